// ServerFacts: the figures of a node, as its clients are told them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kv/node_counters.h"
#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery::kv {

/// What INFO, HELLO and ROLE report. Filled by the server for the call; all plain values.
struct ServerFacts {
    std::string redis_version = "7.2.0";  // what clients compare for features
    std::string orrery_version;
    std::string run_id;  // 40 hexadecimal digits
    uint64_t process_id = 0;
    uint16_t port = 0;
    Duration uptime;
    WallTime wall;
    int64_t state_time_ns = 0;  // state-machine time as this node knows it
    std::string_view state_time_source = "none";  // running, estimate, wall, none
    uint64_t connected_clients = 0, blocked_clients = 0, clients_max = 0;
    uint64_t used_memory_bytes = 0;
    bool loading = false;
    uint64_t expired_keys = 0, hits = 0, misses = 0;  // since CONFIG RESETSTAT, as the counters
    NodeCounters counters;
    bool cluster_face = false;
    bool leader = false;
    NodeId node, leader_node;  // leader_node 0: none known
    Term term;
    LogIndex commit_index, applied_index;
    std::string leader_host;  // where clients reach it; empty: not known
    uint16_t leader_port = 0;
    struct Replica {
        NodeId node;
        std::string host;
        uint16_t port = 0;
        bool connected = false;
        LogIndex durable, applied;
    };
    std::vector<Replica> replicas;  // leader: all configured members but itself
    uint64_t keys = 0, volatile_keys = 0;
};

}  // namespace orrery::kv
