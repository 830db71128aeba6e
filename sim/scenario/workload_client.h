// Workload::Client: what the workload knows of one of its clients. For the workload's own sources.
#pragma once

#include "sim/scenario/script.h"
#include "sim/scenario/workload.h"

namespace orrery::sim {

/// One user: its connection, its draws, and the index its writes have reached.
struct Workload::Client {
    Client(Env& client_env, RandomStream client_draws)
        : env(client_env), resp(client_env), draws(client_draws) {}
    Env& env;
    RespClient resp;
    RandomStream draws;
    size_t index = 0;
    bool reads_only = false;  // a reader: stays with one node
    uint64_t number = 0;    // in the history
    size_t member = 0;      // connected to
    uint64_t left = 0;      // operations
    bool may_wait = false;  // wrote on this connection, and every write of it is known
    LogIndex written;  // highest entry of an acknowledged write of this connection, where it could
                       // be found
    LogIndex bound;    // nothing this connection saw lies beyond
    Bytes unknown;            // value of a write of this connection whose outcome is not known
    Bytes expiring;           // its own key that may expire; given up after an unknown outcome
    uint64_t expiring_keys = 0;
    std::vector<ScriptStep> steps;  // kv-script
    size_t next_step = 0;
};

}  // namespace orrery::sim
