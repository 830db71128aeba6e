// Reports: what data nodes have told this office of the masters about their replicas. Pure; soft: nothing of it is ever in the
// log, and an office begins with nothing.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "node/wire/master.h"

namespace orrery::master {

/// A partition's leader, by what is reported.
struct LeaderReport {
    NodeId node;
    Term term;
    LogIndex configuration;  // its index
    std::vector<wire::ConfiguredMember> members;

    const wire::ConfiguredMember* find(ReplicaId replica) const;
    bool is_voter(ReplicaId replica) const;
    std::vector<ReplicaId> voters() const;
    std::vector<ReplicaId> learners() const;
};

/// Copies share what is the same in both; copy and destroy on one thread, read where you like.
class Reports {
 public:
    using OfNode = std::map<PartitionId, wire::PartitionReport>;
    /// Replicas that are kept; of a node that would go beyond, nothing is believed to be told.
    static constexpr size_t kReportsMax = 2'000'000;

    struct Taken {
        uint64_t number = 0;     // of the heartbeat, if it counts
        bool want_full = false;  // it could not be placed
    };
    /// Requires: its node is registered, and it is of that incarnation.
    Taken take(wire::NodeHeartbeat heartbeat);
    void clear();

    /// Whether what find() does not find on this node is not there.
    bool told(NodeId node) const { return nodes_.contains(node); }
    const wire::PartitionReport* find(NodeId node, PartitionId partition) const;
    /// The member's own report: of this replica, whatever its state. Null: none.
    const wire::PartitionReport* find(const wire::PartitionMember& member, PartitionId partition) const;
    /// The leader of highest term among members and, if there is one, the destination of a task; of no lower term than is recorded.
    std::optional<LeaderReport> leader(const wire::PartitionRecord& partition, const wire::TaskRecord* task) const;
    /// Null: nothing told.
    const OfNode* of(NodeId node) const;
    size_t size() const { return size_; }

 private:
    struct Node {
        uint64_t life = 0, number = 0;
        // Shared with a plan that is being made on another thread: changed in place only if nobody else has it.
        std::shared_ptr<OfNode> reports;
    };
    std::map<NodeId, Node> nodes_;
    size_t size_ = 0;
};

}  // namespace orrery::master
