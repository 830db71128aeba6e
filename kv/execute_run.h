// Run: one command while it executes; private to the execute_*.cpp files. It is the only way they reach the keyspace,
// so that counters, hits and expiry are kept in one place.
#pragma once

#include "kv/execute.h"

namespace orrery::kv {

/// What is known of a key.
struct SeenKey {
    HashedKey key;                    // looks into the command
    RecordRef live;                   // nothing: absent or expired
    bool stored = false;              // a record exists, live or expired: it is in the counters
    bool stored_volatile = false;     // with an expiry
};

class Run {
 public:
    Run(const ExecuteContext& the_context, KeyspaceView& view) : context(the_context), view_(view) {}

    /// Counts a hit or miss, and notes a key that is gone at `now` but not at `time`. Errors: those of the view.
    Result<SeenKey> look(const HashedKey& key);
    /// One of stretch(): is the key there? Notes a key that is gone at `now` but not at `time`.
    bool is_live(const Record& record);
    Result<KeyspaceView::Stretch> stretch(uint64_t position, size_t records_max) { return view_.stretch(position, records_max); }
    /// Each key at most once, put or removed, in a command. `seen` is what look() said of it.
    void put(const SeenKey& seen, ByteView data, int64_t expire_at_ms);
    void remove(const SeenKey& seen);

    const ExecuteContext& context;
    Executed out;

 private:
    KeyspaceView& view_;
};

/// Sorted, each once.
std::vector<ByteView> distinct(ArgvView keys);

/// Bytes that a reply holds, roughly, for ExecuteContext::reply_bytes_max.
uint64_t reply_bytes(const Reply& reply);
Reply reply_too_large(const ExecuteContext& context);

Result<Reply> run_get(Run& run, ArgvView argv);
Result<Reply> run_getdel(Run& run, ArgvView argv);
Result<Reply> run_getset(Run& run, ArgvView argv);
Result<Reply> run_set(Run& run, ArgvView argv);
Result<Reply> run_setex(Run& run, ArgvView argv, CommandId id);
Result<Reply> run_setnx(Run& run, ArgvView argv);
Result<Reply> run_append(Run& run, ArgvView argv);
Result<Reply> run_strlen(Run& run, ArgvView argv);
Result<Reply> run_increment(Run& run, ArgvView argv, CommandId id);
Result<Reply> run_incrbyfloat(Run& run, ArgvView argv);
Result<Reply> run_getex(Run& run, ArgvView argv);
Result<Reply> run_getrange(Run& run, ArgvView argv);
Result<Reply> run_setrange(Run& run, ArgvView argv);
Result<Reply> run_mget(Run& run, ArgvView argv);
Result<Reply> run_mset(Run& run, ArgvView argv, CommandId id);

// execute_keys.cpp
Result<Reply> run_del(Run& run, ArgvView argv);
Result<Reply> run_exists(Run& run, ArgvView argv);
Result<Reply> run_type(Run& run, ArgvView argv);
Result<Reply> run_rename(Run& run, ArgvView argv, CommandId id);
Result<Reply> run_copy(Run& run, ArgvView argv);
Result<Reply> run_keys(Run& run, ArgvView argv);
Result<Reply> run_scan(Run& run, ArgvView argv);
Result<Reply> run_randomkey(Run& run);
Result<Reply> run_object(Run& run, ArgvView argv);
Result<Reply> run_watch(Run& run, ArgvView argv);

Result<Reply> run_expire(Run& run, ArgvView argv, CommandId id);
Result<Reply> run_persist(Run& run, ArgvView argv);
Result<Reply> run_time_to_live(Run& run, ArgvView argv, CommandId id);

}  // namespace orrery::kv
