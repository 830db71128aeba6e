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
#include "kv/stored_format.h"

namespace orrery::kv {

/// The keys of the current epoch as the entries before this one left them (the Store with an overlay of the batch being
/// built). Records may be expired.
class KeyspaceView {
 public:
    virtual ~KeyspaceView() = default;
    /// Errors: those of the Store (Io, Corrupt), or NotReady when the record is not in memory and the caller must not
    /// wait here; execute() then has no effect and may be repeated.
    virtual Result<std::optional<ValueRecord>> get(ByteView key) = 0;
};

struct ExecuteContext {
    LogTime time;    // write: the entry's stamp (at least the last one). Read: state-machine time
    LogTime now;     // write: == time. Read: the leader's running time, >= time; TTLs are counted from it
    LogIndex index;  // write: of the entry. Read: unused
    uint64_t keys = 0;            // Metadata::keys
    uint64_t value_bytes_max = 8ull << 20;  // APPEND beyond it is refused. All members must agree
};

struct Mutation {
    Bytes key;
    std::optional<ValueRecord> record;  // nullopt: removed
};

struct Executed {
    Reply reply;
    std::vector<Mutation> mutations;  // each key at most once
    bool flush = false;               // a new epoch: all keys go, before `mutations`
    int64_t keys_delta = 0;           // for Metadata::keys; with flush: unused, both counters become 0
    int64_t volatile_delta = 0;       // for Metadata::volatile_keys
    /// Read: a key it looked at expires in (time, now]. The reply must not be used: commit a tick stamped `now`, apply
    /// it, read again. Otherwise a later leader with a slower clock could show the key again.
    bool tick_needed = false;
    uint64_t hits = 0;    // keys found and not found, for INFO
    uint64_t misses = 0;
};

/// Requires: Route::Read or Route::Write, passed check_request(); a write went through stamp_command().
/// A malformed argument is an error reply, never an Error. Errors: those of `view`; no effect then.
Result<Executed> execute(ArgvView argv, const ExecuteContext& context, KeyspaceView& view);

/// A Purge entry: removes those of `keys` that are expired at context.time. The reply is their number.
Result<Executed> execute_purge(ArgvView keys, const ExecuteContext& context, KeyspaceView& view);

}  // namespace orrery::kv
