// RocksCall: which Store a call into RocksDB works for, where RocksDB itself has only process-wide state.
//
// In the daemons the scopes do nothing. The simulator replaces rocks_call_begins() and rocks_call_ends() at link time
// (sim/rocksdb) together with RocksDB's process-wide generators: draws and ids then come from the Store's own state, so
// that one node's extra call does not shift another node's, and a wait for background jobs can be served by running them.
#pragma once

#include <cstdint>

namespace orrery::store {

class JobQueue;

struct RocksCall {
    uint32_t random_state = 1;    // of skip list heights and sampling; in [1, 2^31 - 2]
    uint64_t id_seed = 0;         // of session ids
    uint64_t ids_taken = 0;
    JobQueue* jobs = nullptr;     // to run when RocksDB wants to wait; null where it must not
};

/// Bracket every call into RocksDB. Nested brackets are of the same Store.
void rocks_call_begins(RocksCall& call);
void rocks_call_ends(RocksCall& call);

class RocksScope {
 public:
    explicit RocksScope(RocksCall& call) : call_(call) { rocks_call_begins(call_); }
    ~RocksScope() { rocks_call_ends(call_); }
    RocksScope(const RocksScope&) = delete;
    RocksScope& operator=(const RocksScope&) = delete;

 private:
    RocksCall& call_;
};

}  // namespace orrery::store
