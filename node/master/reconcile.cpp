#include "node/master/reconcile.h"

#include <algorithm>

namespace orrery::master {

namespace {

bool is_member(const wire::PartitionRecord& partition, const wire::TaskRecord* task, ReplicaId replica) {
    if (task != nullptr && task->destination.replica == replica) return true;
    return std::ranges::find(partition.members, replica, &wire::PartitionMember::replica) != partition.members.end();
}

/// What a plan that is newer than these records may have given out is nobody's to judge by them.
bool known_to(const Placed& placed, const wire::PartitionReport& report) {
    return report.partition.value < placed.counters.next_partition && report.replica.value < placed.counters.next_replica;
}

struct Looking {
    const Placed& placed;
    const Reports& reports;
    std::map<PartitionId, const wire::TaskRecord*> tasks;
    std::vector<Order> out;

    const wire::TaskRecord* task_of(PartitionId partition) const {
        const auto found = tasks.find(partition);
        return found == tasks.end() ? nullptr : found->second;
    }

    void look_at(NodeId node, const wire::PartitionReport& report) {
        if (!known_to(placed, report)) return;
        const wire::PartitionRecord* partition = placed.partition(report.partition);
        Order order{.what = Order::What::Destroy, .at = node, .partition = report.partition, .replica = report.replica, .founding = {}};
        if (partition == nullptr) return out.push_back(order);
        const wire::TaskRecord* task = task_of(report.partition);
        const std::optional<LeaderReport> leader = reports.leader(*partition, task);
        if (!is_member(*partition, task, report.replica)) {
            // Only by a configuration that is no older than what the replica itself has heard.
            if (!leader || leader->term < report.term || leader->find(report.replica) != nullptr) return;
            order.term = leader->term;
            order.removed_by = leader->configuration;
            return out.push_back(order);
        }
        if (!leader || leader->node != node) return;
        for (const wire::ConfiguredMember& member : leader->members) {
            if (is_member(*partition, task, member.replica) || member.replica.value >= placed.counters.next_replica) continue;
            order.what = Order::What::RemoveMember;
            order.replica = member.replica;
            order.node = member.node;
            order.removed_by = leader->configuration;
            out.push_back(order);
        }
    }

    void look_for_members(const wire::PartitionRecord& partition) {
        for (const wire::PartitionMember& member : partition.members) {
            if (member.created || !reports.told(member.node) || reports.find(member, partition.partition) != nullptr) continue;
            const wire::NodeRecord* node = placed.node(member.node);
            if (node == nullptr || node->state != wire::NodeState::Active) continue;
            // Once members have changed, the ones that founded the group are not known here: it is joined, and fed.
            const bool founds = partition.epoch == Epoch(1);
            out.push_back({.what = Order::What::Create, .at = member.node, .partition = partition.partition, .replica = member.replica, .disk = member.disk,
                           .volume = partition.volume, .founding = founds ? partition.members : std::vector<wire::PartitionMember>()});
        }
    }
};

}  // namespace

std::vector<Order> orders(const Placed& placed, const Reports& reports, OrderCursor after, size_t limit) {
    Looking looking{placed, reports, tasks_by_partition(placed), {}};
    for (const wire::NodeRecord& node : placed.nodes) {
        const Reports::OfNode* has = node.state == wire::NodeState::Active ? reports.of(node.node) : nullptr;
        if (has == nullptr) continue;
        for (const auto& [partition, report] : *has) looking.look_at(node.node, report);
    }
    for (const wire::PartitionRecord& partition : placed.partitions) looking.look_for_members(partition);
    auto place = [](const Order& order) { return OrderCursor{order.at, order.partition}; };
    std::ranges::stable_sort(looking.out, {}, place);
    const auto first = std::ranges::upper_bound(looking.out, after, {}, place);
    std::ranges::rotate(looking.out, first);
    if (looking.out.size() > limit) looking.out.erase(looking.out.begin() + static_cast<ptrdiff_t>(limit), looking.out.end());
    return std::move(looking.out);
}

std::vector<wire::PartitionMark> partition_marks(const Placed& placed, const Reports& reports) {
    const std::map<PartitionId, const wire::TaskRecord*> tasks = tasks_by_partition(placed);
    std::vector<wire::PartitionMark> out;
    for (const wire::PartitionRecord& partition : placed.partitions) {
        if (out.size() == wire::MasterCommand::kMarksMax) break;
        wire::PartitionMark mark{.partition = partition.partition, .created = {}};
        const auto task = tasks.find(partition.partition);
        const std::optional<LeaderReport> leader = reports.leader(partition, task == tasks.end() ? nullptr : task->second);
        if (leader && leader->term > partition.leader_term) {
            mark.leader = leader->node;
            mark.term = leader->term;
        }
        for (const wire::PartitionMember& member : partition.members)
            if (!member.created && reports.find(member, partition.partition) != nullptr) mark.created.push_back(member.replica);
        if (mark.leader || !mark.created.empty()) out.push_back(std::move(mark));
    }
    return out;
}

}  // namespace orrery::master
