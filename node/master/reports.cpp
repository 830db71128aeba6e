#include "node/master/reports.h"

#include <algorithm>

namespace orrery::master {

const wire::ConfiguredMember* LeaderReport::find(ReplicaId replica) const {
    const auto found = std::ranges::find(members, replica, &wire::ConfiguredMember::replica);
    return found == members.end() ? nullptr : &*found;
}

bool LeaderReport::is_voter(ReplicaId replica) const {
    const wire::ConfiguredMember* member = find(replica);
    return member != nullptr && member->voter;
}

std::vector<ReplicaId> LeaderReport::voters() const {
    std::vector<ReplicaId> out;
    for (const wire::ConfiguredMember& member : members)
        if (member.voter) out.push_back(member.replica);
    return out;
}

std::vector<ReplicaId> LeaderReport::learners() const {
    std::vector<ReplicaId> out;
    for (const wire::ConfiguredMember& member : members)
        if (!member.voter) out.push_back(member.replica);
    return out;
}

Reports::Taken Reports::take(wire::NodeHeartbeat heartbeat) {
    if (heartbeat.life == 0) return {};
    const auto known = nodes_.find(heartbeat.node);
    const bool same_life = known != nodes_.end() && known->second.life == heartbeat.life;
    // Late: what came since is newer.
    if (same_life && heartbeat.number <= known->second.number) return {known->second.number, false};
    // Of another one than it speaks of: what changed there and back since would be missed.
    if (heartbeat.since != 0 && (!same_life || heartbeat.since != known->second.number)) return {0, true};
    Node next{heartbeat.life, heartbeat.number, {}};
    size_t before = 0;
    if (known != nodes_.end()) {
        before = known->second.reports->size();
        if (heartbeat.since != 0) next.reports = std::move(known->second.reports);
        nodes_.erase(known);
    }
    if (!next.reports) {
        next.reports = std::make_shared<OfNode>();
    } else if (next.reports.use_count() > 1) {
        next.reports = std::make_shared<OfNode>(*next.reports);
    }
    for (wire::PartitionReport& report : heartbeat.reports) {
        const PartitionId partition = report.partition;
        if (report.state == wire::ReplicaState::Gone) {
            next.reports->erase(partition);
        } else {
            next.reports->insert_or_assign(partition, std::move(report));
        }
    }
    size_ -= before;
    if (size_ + next.reports->size() > kReportsMax) return {0, true};
    size_ += next.reports->size();
    nodes_.emplace(heartbeat.node, std::move(next));
    return {heartbeat.number, false};
}

void Reports::clear() {
    nodes_.clear();
    size_ = 0;
}

const Reports::OfNode* Reports::of(NodeId node) const {
    const auto found = nodes_.find(node);
    return found == nodes_.end() ? nullptr : found->second.reports.get();
}

const wire::PartitionReport* Reports::find(NodeId node, PartitionId partition) const {
    const OfNode* reports = of(node);
    if (reports == nullptr) return nullptr;
    const auto found = reports->find(partition);
    return found == reports->end() ? nullptr : &found->second;
}

const wire::PartitionReport* Reports::find(const wire::PartitionMember& member, PartitionId partition) const {
    const wire::PartitionReport* report = find(member.node, partition);
    return report != nullptr && report->replica == member.replica ? report : nullptr;
}

std::optional<LeaderReport> Reports::leader(const wire::PartitionRecord& partition, const wire::TaskRecord* task) const {
    const wire::PartitionReport* best = nullptr;
    NodeId at;
    auto look = [&](const wire::PartitionMember& member) {
        const wire::PartitionReport* report = find(member, partition.partition);
        if (report == nullptr || report->role != wire::ReplicaRole::Leader || report->members.empty()) return;
        if (report->term < partition.leader_term || (best != nullptr && report->term <= best->term)) return;
        best = report;
        at = member.node;
    };
    for (const wire::PartitionMember& member : partition.members) look(member);
    if (task != nullptr) look(task->destination);
    if (best == nullptr) return std::nullopt;
    return LeaderReport{at, best->term, best->configuration, best->members};
}

}  // namespace orrery::master
