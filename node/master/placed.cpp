#include "node/master/placed.h"

#include <algorithm>

namespace orrery::master {

const wire::NodeRecord* Placed::node(NodeId id) const {
    const auto found = std::ranges::lower_bound(nodes, id, {}, &wire::NodeRecord::node);
    return found == nodes.end() || found->node != id ? nullptr : &*found;
}

const wire::PartitionRecord* Placed::partition(PartitionId id) const {
    const auto found = std::ranges::lower_bound(partitions, id, {}, &wire::PartitionRecord::partition);
    return found == partitions.end() || found->partition != id ? nullptr : &*found;
}

const wire::DiskRecord* Placed::disk(NodeId id, DiskId disk) const {
    const wire::NodeRecord* on = node(id);
    if (on == nullptr) return nullptr;
    const auto found = std::ranges::find(on->disks, disk, &wire::DiskRecord::disk);
    return found == on->disks.end() ? nullptr : &*found;
}

std::map<PartitionId, const wire::TaskRecord*> tasks_by_partition(const Placed& placed) {
    std::map<PartitionId, const wire::TaskRecord*> out;
    for (const wire::TaskRecord& task : placed.tasks) out[task.partition] = &task;
    return out;
}

bool is_live(const Placed& placed, const Reports& reports, PartitionId partition, const wire::PartitionMember& member) {
    const wire::NodeRecord* node = placed.node(member.node);
    if (node == nullptr || node->state != wire::NodeState::Active) return false;
    const wire::PartitionReport* report = reports.find(member, partition);
    return report != nullptr && report->state == wire::ReplicaState::Ready;
}

}  // namespace orrery::master
