// Data nodes and their groups, as far as masters deal with them, in memory: stands in for the data node, which is still to come.
//
// A group has a leader while a majority of its voters is there; what it commits is at once so for all. Whatever breaks a rule that no
// order of the masters may break is written down in `wrong`.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "node/wire/data_node.h"
#include "node/wire/membership.h"

namespace orrery::sim {

struct DataPlane {
    struct Replica {
        ReplicaId id;
        DiskId disk;
        bool damaged = false;
        bool operator==(const Replica&) const = default;
    };
    struct Node {
        bool up = true;
        std::map<PartitionId, Replica> replicas;
        std::map<PartitionId, ReplicaId> destroyed;  // the highest id
    };
    struct Member {
        NodeId node;
        bool voter = false, promoting = false, caught_up = false;
    };
    struct Group {
        std::map<ReplicaId, Member> members;
        size_t founded_with = 0;
        LogIndex configuration;
        Term term{1};
        ReplicaId leader;  // 0: none
    };
    std::map<NodeId, Node> nodes;
    std::map<PartitionId, Group> groups;
    std::vector<std::string> wrong;
    uint64_t effects = 0, repeated = 0;
    uint64_t used_bytes = 0;  // of each replica

    static std::string name(PartitionId partition, ReplicaId replica) {
        return "partition " + std::to_string(partition.value) + " replica " + std::to_string(replica.value);
    }
    bool there(PartitionId partition, ReplicaId replica, NodeId at) const {
        const auto node = nodes.find(at);
        if (node == nodes.end() || !node->second.up) return false;
        const auto found = node->second.replicas.find(partition);
        return found != node->second.replicas.end() && found->second.id == replica && !found->second.damaged;
    }
    size_t voters(const Group& group) const {
        size_t out = 0;
        for (const auto& [replica, member] : group.members) out += member.voter;
        return out;
    }
    size_t voters_there(PartitionId partition, const Group& group) const {
        size_t out = 0;
        for (const auto& [replica, member] : group.members) out += member.voter && there(partition, replica, member.node);
        return out;
    }

    /// Elections, and learners that catch up. `catch_up` says which may.
    template <typename CatchUp>
    void go_on(CatchUp catch_up) {
        for (auto& [partition, group] : groups) {
            const bool quorum = voters_there(partition, group) >= voters(group) / 2 + 1;
            const auto leader = group.members.find(group.leader);
            if (quorum && leader != group.members.end() && leader->second.voter && there(partition, group.leader, leader->second.node)) {
            } else {
                group.leader = {};
                for (const auto& [replica, member] : group.members)
                    if (quorum && !group.leader && member.voter && there(partition, replica, member.node)) group.leader = replica, group.term = group.term.next();
            }
            if (!group.leader) continue;
            for (auto& [replica, member] : group.members) {
                if (member.voter || !there(partition, replica, member.node)) continue;
                if (!member.caught_up) member.caught_up = catch_up();
                if (member.caught_up && member.promoting) member.voter = true, group.configuration = group.configuration.next();
            }
        }
    }

    Result<void> create(NodeId at, const wire::PartitionCreate& order) {
        Node& node = nodes[at];
        const auto destroyed = node.destroyed.find(order.partition);
        if (destroyed != node.destroyed.end() && destroyed->second >= order.replica) return Error(Code::Stale, "that replica was destroyed here");
        const auto found = node.replicas.find(order.partition);
        if (found != node.replicas.end()) {
            ++repeated;
            if (found->second.id == order.replica) return {};
            return Error(Code::Exists, "there is another replica of that partition here");
        }
        for (const auto& [id, other] : nodes)
            for (const auto& [partition, replica] : other.replicas)
                if (replica.id == order.replica) wrong.push_back(name(order.partition, order.replica) + " is one of " + name(partition, replica.id) + " on another node");
        ++effects;
        node.replicas[order.partition] = {order.replica, order.disk};
        if (order.members.empty()) return {};
        std::set<ReplicaId> founding;
        for (const wire::PartitionPeer& peer : order.members) founding.insert(peer.replica);
        if (!founding.contains(order.replica)) wrong.push_back(name(order.partition, order.replica) + " founds a group that it is not in");
        if (groups.contains(order.partition)) return {};
        Group& group = groups[order.partition];
        group.founded_with = order.members.size();
        for (const wire::PartitionPeer& peer : order.members) group.members[peer.replica] = {peer.node, true, false, true};
        return {};
    }

    Result<void> destroy(NodeId at, const wire::PartitionDestroy& order) {
        Node& node = nodes[at];
        const auto group = groups.find(order.partition);
        const auto found = node.replicas.find(order.partition);
        if (order.term.value != 0 && group != groups.end() && group->second.members.contains(order.replica)) {
            if (group->second.configuration > order.removed_by) return Error(Code::Stale, "a later configuration names it");
            wrong.push_back(name(order.partition, order.replica) + " is destroyed while its group names it");
        }
        if (order.term.value == 0) groups.erase(order.partition);
        ReplicaId& tombstone = node.destroyed[order.partition];
        tombstone = std::max(tombstone, order.replica);
        if (found == node.replicas.end() || found->second.id != order.replica) {
            ++repeated;
            return {};
        }
        ++effects;
        node.replicas.erase(found);
        return {};
    }

    Result<wire::GroupChangeReply> change(NodeId at, PartitionId partition, const wire::GroupChange& change) {
        const auto found = groups.find(partition);
        if (found == groups.end() || !nodes[at].replicas.contains(partition)) return Error(Code::NotFound, "no such group here");
        Group& group = found->second;
        if (!group.leader || group.members.at(group.leader).node != at) return Error(Code::NotLeader, "another member leads, or none");
        if (voters_there(partition, group) < voters(group) / 2 + 1) return Error(Code::NotReady, "no majority");
        if (change.configuration && *change.configuration != group.configuration) return Error(Code::Stale, "the configuration is another one");
        const auto member = group.members.find(change.replica);
        const bool named = member != group.members.end();
        auto committed = [&]() -> Result<wire::GroupChangeReply> {
            ++effects;
            group.configuration = group.configuration.next();
            return wire::GroupChangeReply{true, group.configuration};
        };
        switch (change.action) {
            case wire::ChangeAction::AddLearner:
                if (named) break;
                group.members[change.replica] = {change.identity.node, false, false, false};
                return committed();
            case wire::ChangeAction::AddVoter:
                if (named && (member->second.voter || member->second.promoting)) break;
                if (!named) group.members[change.replica] = {change.identity.node, false, false, false};
                group.members[change.replica].promoting = true;
                return committed();
            case wire::ChangeAction::Remove: {
                if (!named) break;
                if (member->second.voter) {
                    const size_t left = voters(group) - 1, alive = voters_there(partition, group) - there(partition, change.replica, member->second.node);
                    if (left == 0) return Error(Code::Invalid, "the last voter");
                    if (left < group.founded_with) wrong.push_back(name(partition, change.replica) + " is removed while " + std::to_string(left) + " voters would be left");
                    if (alive < left / 2 + 1) return Error(Code::Invalid, "no majority would be left");
                }
                group.members.erase(member);
                if (group.leader == change.replica) group.leader = {};
                return committed();
            }
            default: return Error(Code::Unsupported, "not here");
        }
        ++repeated;
        return wire::GroupChangeReply{false, group.configuration};
    }

    std::vector<wire::PartitionReport> reports(NodeId at) const {
        std::vector<wire::PartitionReport> out;
        for (const auto& [partition, replica] : nodes.at(at).replicas) {
            wire::PartitionReport report{.partition = partition, .replica = replica.id, .disk = replica.disk, .members = {}};
            report.used_bytes = used_bytes;
            report.state = replica.damaged ? wire::ReplicaState::Damaged : wire::ReplicaState::Ready;
            if (const auto group = groups.find(partition); group != groups.end()) {
                const auto member = group->second.members.find(replica.id);
                report.role = member == group->second.members.end() || member->second.voter ? wire::ReplicaRole::Follower : wire::ReplicaRole::Learner;
                if (member != group->second.members.end()) report.term = group->second.term;
                if (group->second.leader == replica.id) {
                    report.role = wire::ReplicaRole::Leader;
                    report.configuration = group->second.configuration;
                    for (const auto& [id, one] : group->second.members) report.members.push_back({one.node, id, one.voter, one.caught_up});
                }
            }
            out.push_back(std::move(report));
        }
        return out;
    }
};

}  // namespace orrery::sim
