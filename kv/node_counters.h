// NodeCounters: what happened at the clients' side of a node since its start, or since CONFIG RESETSTAT.
#pragma once

#include <array>
#include <cstdint>

#include "kv/command_table.h"

namespace orrery::kv {

struct NodeCounters {
    uint64_t connections_received = 0;
    uint64_t connections_rejected = 0;         // above the number of clients that are allowed
    uint64_t idle_disconnections = 0;
    uint64_t output_limit_disconnections = 0;  // clients that did not take their replies
    uint64_t clients_killed = 0;
    uint64_t input_bytes = 0, output_bytes = 0;  // from and to clients
    uint64_t commands_processed = 0;
    uint64_t auth_denied = 0;      // wrong user or password
    uint64_t commands_denied = 0;  // that the user may not run, or on keys that it may not touch
    uint64_t moved_replies = 0;    // MOVED, with the cluster face
    uint64_t stale_reads = 0;      // answered from this node's own state, for READONLY connections
    // By CommandId.
    std::array<uint64_t, kCommandCount> calls{};
    std::array<uint64_t, kCommandCount> rejected{};  // before they were executed
};

}  // namespace orrery::kv
