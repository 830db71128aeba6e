// ClusterView: the members of the group as a client of a Redis cluster sees nodes. All slots belong to the one group: its leader is
// their master, the other voters are replicas.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/ids.h"

namespace orrery::kv {

/// What a node shows its clients: a standalone server that takes every command, or a node of a Redis cluster that sends clients to
/// the leader.
enum class ClientFace : uint8_t { Standalone, Cluster };

struct ClusterView {
    struct Node {
        NodeId node;
        ReplicaId replica;
        std::string host;      // where clients reach it; empty: not known
        uint16_t port = 0;
        uint16_t peer_port = 0;
        bool self = false;
        bool leader = false;
        bool voter = false;
        bool connected = false;  // for all this node knows: the leader knows of all, others of themselves and the leader
        LogIndex applied;        // where it is known
    };
    uint64_t cluster = 0;  // id of the whole
    Term term;
    bool serving = false;  // the group runs here and this node is a member
    std::vector<Node> nodes;  // by node id, replica id
    const Node* leader() const {
        for (const Node& node : nodes)
            if (node.leader) return &node;
        return nullptr;
    }
};

}  // namespace orrery::kv
