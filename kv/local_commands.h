// Commands that the node answers from its own state: PING ECHO AUTH HELLO SELECT QUIT CLIENT CONFIG INFO COMMAND FUNCTION TIME.
// Pure: what the server knows comes in as ServerFacts, what the connection is lives in ClientState.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/command_table.h"
#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery::kv {

struct ClientState {
    uint64_t id = 0;  // of the connection, never reused while the process lives
    Bytes name;
    Bytes driver_name;
    Bytes driver_version;
    Bytes address;        // ip:port of the peer
    Bytes local_address;  // ip:port of ours
    resp::Version version = resp::Version::Resp2;
    bool in_transaction = false;
    bool tracking = false;  // CLIENT TRACKING ON over RESP2: Redis has no way to tell such a client anything either
    bool closing = false;  // QUIT: close after the reply
};

/// What INFO, HELLO and CONFIG GET report. Filled by the server for the call; all plain values.
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
    uint64_t connections_received = 0, commands_processed = 0, expired_keys = 0, hits = 0, misses = 0;
    bool leader = false;
    NodeId node, leader_node;  // leader_node 0: none known
    Term term;
    LogIndex commit_index, applied_index;
    struct Replica {
        NodeId node;
        std::string host;
        uint16_t port = 0;
        bool connected = false;
        LogIndex durable, applied;
    };
    std::vector<Replica> replicas;  // leader: all configured members but itself
    uint64_t keys = 0, volatile_keys = 0;
    struct CommandCount {
        std::string_view name;
        uint64_t calls = 0;
        Duration spent;
    };
    std::vector<CommandCount> command_counts;
    /// The connections of this node, by id: for CLIENT LIST, filled for it only.
    std::vector<const ClientState*> clients;
    /// name -> value of CONFIG GET, sorted by name.
    std::vector<std::pair<std::string, std::string>> configuration;
};

/// Requires: Route::Local, passed check_request().
Reply execute_local(ArgvView argv, ClientState& client, const ServerFacts& facts);

/// The settings a Redis client or benchmark asks for, that are true of this server whatever its configuration.
std::vector<std::pair<std::string, std::string>> fixed_configuration();

}  // namespace orrery::kv
