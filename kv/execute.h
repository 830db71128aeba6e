// execute(): one command against the keyspace, without I/O of its own, clock or chance: the same entry on the same state
// gives the same reply and the same changes on every member and in every year.
//
// Reads and writes go the same way. A key is gone when its expiry is at or before state-machine time, whether or not its
// record was removed yet.
#pragma once

#include <optional>
#include <vector>

#include "kv/command_table.h"
#include "kv/log_entry.h"
#include "kv/record.h"
#include "kv/stored_format.h"
#include "kv/transaction.h"
#include "runtime/base/function.h"

namespace orrery::kv {

/// The keys of the current epoch as the entries before this one left them (the Store with an overlay of the batch being
/// built). Records may be expired.
class KeyspaceView {
 public:
    virtual ~KeyspaceView() = default;
    /// Nothing: there is no record of the key. Errors: those of the Store (Io, Corrupt), or NotReady when the record is not in
    /// memory and the caller must not wait here; execute() then has no effect and may be repeated.
    virtual Result<RecordRef> get(const HashedKey& key) = 0;
    /// The records from a scan position on (stored_format.h), in the order of the Store, about `records_max` of them. It may
    /// have none although there are more: `next` tells. Errors: as get().
    struct Stretch {
        std::vector<RecordRef> records;
        std::optional<uint64_t> next;  // all records at lower positions were given; nullopt: there are no more
    };
    virtual Result<Stretch> stretch(uint64_t position, size_t records_max) = 0;
};

struct ExecuteContext {
    LogTime time;    // write: the entry's stamp (at least the last one). Read: state-machine time
    LogTime now;     // write: == time. Read: the leader's running time, >= time; TTLs are counted from it
    LogIndex index;  // write: of the entry. Read: the applied index
    uint64_t keys = 0;            // Metadata::keys
    uint64_t draw = 0;            // the leader's, for RANDOMKEY
    uint64_t value_bytes_max = 8ull << 20;  // APPEND and SETRANGE beyond it are refused. All members must agree
    /// A reply of many values beyond it is refused: it travels between nodes in one frame. All members must agree.
    uint64_t reply_bytes_max = 15ull << 20;
    /// All replies of a pipeline that is one entry, but for its first: they are held at once. All members must agree.
    uint64_t pipeline_bytes_max = 1ull << 20;
};

struct Executed {
    Reply reply;
    std::vector<RecordRef> mutations;  // each key at most once; one that does not exist() was removed
    bool flush = false;               // a new epoch: all keys go, before `mutations`
    std::vector<uint64_t> created;    // hashes of keys that came into being, for CreatedKeys; also of those that went again
    int64_t keys_delta = 0;           // for Metadata::keys; with flush: counts from 0, as the next
    int64_t volatile_delta = 0;       // for Metadata::volatile_keys
    /// Read: a key it looked at expires in (time, now]. The reply must not be used: commit a tick stamped `now`, apply
    /// it, read again. Otherwise a later leader with a slower clock could show the key again.
    bool tick_needed = false;
    uint64_t hits = 0;    // keys found and not found, for INFO
    uint64_t misses = 0;
};

/// Requires: Route::Read or Route::Write; a write went through stamp_command().
/// A malformed argument is an error reply, never an Error. Errors: those of `view`; no effect then.
Result<Executed> execute(const Request& request, const ExecuteContext& context, KeyspaceView& view);
/// Words of the log: what check_request() refuses has that reply and no effect.
Result<Executed> execute(ArgvView argv, const ExecuteContext& context, KeyspaceView& view);

/// All of it against one state, or nothing if a watched key has changed: then the reply is the null array. The commands see what
/// those before them did; their replies are an array, in which the errors of single commands stand. What does not fit
/// reply_bytes_max is replaced by an error; its command took effect. `created_at` gives CreatedKeys::latest() for a hash of a
/// key. In mode Pipeline it ends before the first command whose reply is too much, without an effect of that one: the reply is as long
/// as what was executed, at least one. Requires: context.now == context.time. Errors: as execute().
Result<Executed> execute_transaction(const Transaction& transaction, const ExecuteContext& context, KeyspaceView& view,
                                     FunctionRef<LogIndex(uint64_t)> created_at);

/// A Purge entry: removes those of `keys` that are expired at context.time. The reply is their number.
Result<Executed> execute_purge(ArgvView keys, const ExecuteContext& context, KeyspaceView& view);

}  // namespace orrery::kv
