// MasterState: what entries say of disks, decommission and tasks.
//
// A task is planned by what a leader knew; here it is looked at again by what is so. Its steps rest on what the partition's own
// leader reported as committed: a report that comes late or twice finds another step, and does nothing.
#include <algorithm>

#include "node/master/state_work.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr size_t kPage = 1000;

using wire::TaskStep;

bool has(const std::vector<ReplicaId>& replicas, ReplicaId replica) { return std::ranges::find(replicas, replica) != replicas.end(); }

/// For people; kept in records.
std::string cut(std::string text) {
    if (text.size() > MasterLimits::text_bytes_max) text.resize(MasterLimits::text_bytes_max);
    return text;
}

bool will_stay(const wire::NodeRecord& node) {
    return !node.leaving && std::ranges::any_of(node.disks, [](const wire::DiskRecord& disk) { return !disk.leaving; });
}

bool may_follow(TaskStep step, TaskStep next) {
    switch (next) {
        case TaskStep::Create: return false;
        case TaskStep::AddLearner: return step == TaskStep::Create;
        case TaskStep::CatchUp: return step == TaskStep::AddLearner;
        case TaskStep::Promote: return step == TaskStep::CatchUp;
        case TaskStep::RemoveSource: return step == TaskStep::Promote || step == TaskStep::RemoveSource || (step == TaskStep::CatchUp && ORRERY_DEFECT(source_removed_first));
        // The destination may be in the configuration: it must be seen to be out of it before the task is over.
        case TaskStep::BackOut: return step != TaskStep::Create && step != TaskStep::BackOut;
        case TaskStep::Done: return step == TaskStep::RemoveSource || step == TaskStep::BackOut;
    }
    return false;
}

/// What the reported configuration must say before `next` may begin; empty: it does.
std::string missing(const wire::TaskRecord& task, const wire::MasterCommand& command) {
    const bool voter = has(command.voters, task.destination.replica);
    const bool named = voter || has(command.learners, task.destination.replica);
    const bool source_named = has(command.voters, task.source.replica) || has(command.learners, task.source.replica);
    switch (command.next) {
        case TaskStep::CatchUp:
        case TaskStep::Promote: return named ? "" : "the configuration does not name the destination";
        case TaskStep::RemoveSource: return voter || ORRERY_DEFECT(source_removed_first) ? "" : "the destination is no voter";
        case TaskStep::Done:
            if (source_named) return "the configuration names the source";
            return voter || (command.voters.size() > 0 && ORRERY_DEFECT(source_removed_first)) ? "" : "the destination is no voter";
        case TaskStep::Create:
        case TaskStep::AddLearner:
        case TaskStep::BackOut: return "";
    }
    return "";
}

}  // namespace

// ---- what is heard of data nodes

Result<MasterState::Verdict> MasterState::mark_disks(const wire::MasterCommand& command, Work& work) {
    for (const wire::DiskMark& mark : command.disk_marks) {
        auto found = work.nodes.find(mark.node);
        if (found == work.nodes.end()) {
            TRY(std::optional<wire::NodeRecord> node, work.read(node_key(mark.node), &wire::decode_node_record));
            if (!node) continue;
            found = work.nodes.emplace(mark.node, std::move(*node)).first;
        }
        wire::NodeRecord& node = found->second;
        const auto disk = std::ranges::find(node.disks, mark.disk, &wire::DiskRecord::disk);
        if (node.incarnation != mark.incarnation || disk == node.disks.end() || disk->bad == mark.bad) continue;
        disk->bad = mark.bad;
        node.modified = work.index;
    }
    return Verdict();
}

Result<MasterState::Verdict> MasterState::mark_partitions(const wire::MasterCommand& command, Work& work) {
    for (const wire::PartitionMark& mark : command.partition_marks) {
        TRY(std::optional<wire::PartitionRecord> partition, work.read(partition_key(mark.partition), &wire::decode_partition_record));
        if (!partition) continue;
        const wire::PartitionRecord before = *partition;
        if (mark.leader && mark.term > partition->leader_term) {
            partition->leader = mark.leader;
            partition->leader_term = mark.term;
        }
        for (wire::PartitionMember& member : partition->members) member.created |= has(mark.created, member.replica);
        if (*partition == before) continue;
        TRY(work.put_partition(before, std::move(*partition)));
        work.applied.counters.placed = work.index;
    }
    return Verdict();
}

Result<MasterState::Verdict> MasterState::mark_waits(const wire::MasterCommand& command, Work& work) {
    for (const wire::WaitMark& mark : command.waits) {
        if (mark.node) {
            TRY(std::optional<wire::NodeRecord> node, work.read(node_key(mark.node), &wire::decode_node_record));
            if (!node || node->waits_for == cut(mark.waits_for)) continue;
            node->waits_for = cut(mark.waits_for);
            node->modified = work.index;
            work.put(node_key(mark.node), wire::encode_node_record(*node));
        } else {
            TRY(std::optional<wire::TaskRecord> task, work.read(task_key(mark.task), &wire::decode_task_record));
            if (!task || task->waits_for == cut(mark.waits_for)) continue;
            task->waits_for = cut(mark.waits_for);
            task->since = task->modified = work.applied.counters.placed = work.index;
            work.put(task_key(mark.task), wire::encode_task_record(*task));
        }
    }
    return Verdict();
}

// ---- decommission

/// Refuses what can never be done: the members of some volume need more nodes than would be left.
Result<MasterState::Verdict> MasterState::check_nodes_left(const wire::NodeRecord& leaving, Work& work) {
    uint64_t left = will_stay(leaving);
    NodeId after_node;
    for (bool more = true; more;) {
        TRY(StateView::Pairs page, work.view.scan(nodes_after(after_node), kPage));
        more = page.size() == kPage;
        for (const auto& [key, value] : page) {
            TRY(wire::NodeRecord node, wire::decode_node_record(value));
            after_node = node.node;
            left += node.node != leaving.node && will_stay(node);
        }
    }
    std::string after_volume;
    for (bool more = true; more;) {
        TRY(StateView::Pairs page, work.view.scan(volumes_after(after_volume), kPage));
        more = page.size() == kPage;
        for (const auto& [key, value] : page) {
            TRY(wire::VolumeRecord volume, wire::decode_volume_record(value));
            after_volume = volume.name;
            if (volume.replicas > left)
                return refuse(Code::Invalid, "volume '" + volume.name + "' needs " + number(volume.replicas) + " nodes, and " + number(left) + " would be left");
        }
    }
    return Verdict();
}

Result<MasterState::Verdict> MasterState::decommission(const wire::MasterCommand& command, Work& work) {
    const NodeId id = command.node.node;
    TRY(std::optional<wire::NodeRecord> node, work.read(node_key(id), &wire::decode_node_record));
    if (!node) return refuse(Code::NotFound, "node " + number(id.value) + " is not registered");
    if (command.kind == wire::MasterCommandKind::DecommissionNode) {
        if (node->leaving) return Verdict();
        node->leaving = true;
    } else {
        const auto disk = std::ranges::find(node->disks, command.disk, &wire::DiskRecord::disk);
        if (disk == node->disks.end()) return refuse(Code::NotFound, "node " + number(id.value) + " has no disk " + number(command.disk.value));
        if (disk->leaving) return Verdict();
        disk->leaving = true;
    }
    TRY(Verdict possible, check_nodes_left(*node, work));
    if (possible.refused) return possible;
    node->modified = work.index;
    work.put(node_key(id), wire::encode_node_record(*node));
    return Verdict();
}

/// What has moved stays where it is; what is under way and not yet a voter is given up by whoever drives it.
Result<MasterState::Verdict> MasterState::cancel_decommission(const wire::MasterCommand& command, Work& work) {
    const NodeId id = command.node.node;
    TRY(std::optional<wire::NodeRecord> node, work.read(node_key(id), &wire::decode_node_record));
    if (!node) return refuse(Code::NotFound, "node " + number(id.value) + " is not registered");
    const wire::NodeRecord before = *node;
    if (command.disk) {
        const auto disk = std::ranges::find(node->disks, command.disk, &wire::DiskRecord::disk);
        if (disk == node->disks.end()) return refuse(Code::NotFound, "node " + number(id.value) + " has no disk " + number(command.disk.value));
        if (node->leaving) return refuse(Code::Invalid, "the whole of node " + number(id.value) + " is leaving, not only this disk");
        disk->leaving = false;
    } else {
        node->leaving = false;
    }
    if (*node == before) return Verdict();
    node->modified = work.index;
    work.put(node_key(id), wire::encode_node_record(*node));
    return Verdict();
}

// ---- tasks

Result<MasterState::Verdict> MasterState::start_task(const wire::MasterCommand& command, Work& work) {
    const wire::TaskRecord& plan = command.task;
    TRY(std::optional<wire::PartitionRecord> partition, work.read(partition_key(plan.partition), &wire::decode_partition_record));
    if (!partition) return refuse(Code::Stale, "partition " + number(plan.partition.value) + " is gone");
    if (partition->epoch != plan.epoch) return refuse(Code::Stale, "the members of partition " + number(plan.partition.value) + " have changed meanwhile");
    TRY(std::optional<wire::TaskRecord> other, work.task_of(plan.partition));
    if (other && !ORRERY_DEFECT(decommission_checked_alone))
        return refuse(Code::Stale, "partition " + number(plan.partition.value) + " has task " + number(other->task.value) + " already");
    const auto source = std::ranges::find(partition->members, plan.source.replica, &wire::PartitionMember::replica);
    if (source == partition->members.end()) return refuse(Code::Stale, "replica " + number(plan.source.replica.value) + " is no member");
    const wire::Place place{plan.destination.node, plan.destination.disk};
    if (std::ranges::find(partition->members, place.node, &wire::PartitionMember::node) != partition->members.end())
        return refuse(Code::Stale, "node " + number(place.node.value) + " has a member already");
    TRY(wire::DiskRecord * disk, work.disk(place.node, place.disk));
    if (disk == nullptr) return refuse(Code::Stale, "node " + number(place.node.value) + " or its disk " + number(place.disk.value) + " is not registered");
    const wire::NodeRecord& node = work.nodes.at(place.node);
    if (node.state != wire::NodeState::Active || node.leaving || disk->leaving || disk->bad)
        return refuse(Code::Stale, "node " + number(place.node.value) + " or its disk " + number(place.disk.value) + " takes nothing new any more");

    wire::MasterCounters& counters = work.applied.counters;
    wire::TaskRecord task = plan;
    task.task = TaskId(counters.next_task++);
    task.volume = partition->volume;
    task.source = *source;
    const bool planned = ORRERY_DEFECT(master_allocates_before_applied) && plan.destination.replica;
    task.destination = {place.node, place.disk, planned ? plan.destination.replica : ReplicaId(counters.next_replica), false};
    if (!planned || plan.destination.replica.value >= counters.next_replica) counters.next_replica = task.destination.replica.value + 1;
    task.step = TaskStep::Create;
    task.created = task.modified = task.since = work.index;
    task.waits_for.clear();
    task.failures = partition->failures;
    task.last_error = partition->last_error;
    ++disk->members;
    ++counters.tasks;
    counters.placed = work.index;
    work.put(task_key(task.task), wire::encode_task_record(task));
    work.put(partition_task_key(task.partition), encode_task_id(task.task));
    work.applied.answer.task = task.task;
    return Verdict();
}

Result<MasterState::Verdict> MasterState::advance_task(const wire::MasterCommand& command, Work& work) {
    TRY(std::optional<wire::TaskRecord> task, work.read(task_key(command.task.task), &wire::decode_task_record));
    if (!task) return refuse(Code::Stale, "task " + number(command.task.task.value) + " is over");
    if (task->step != command.task.step)
        return refuse(Code::Stale, "task " + number(task->task.value) + " is at " + std::string(wire::task_step_name(task->step)) + " meanwhile");
    if (!may_follow(task->step, command.next))
        return refuse(Code::Invalid, std::string(wire::task_step_name(command.next)) + " does not follow " + std::string(wire::task_step_name(task->step)));
    if (const std::string why = missing(*task, command); !why.empty()) return refuse(Code::Stale, why);
    TRY(std::optional<wire::PartitionRecord> partition, work.read(partition_key(task->partition), &wire::decode_partition_record));
    if (!partition) return Error(Code::Corrupt, "master store: the partition of task " + number(task->task.value) + " has no record");
    if (command.next == task->step) {
        // Another member goes instead, which is dead: it is the one that the group can spare.
        const auto source = std::ranges::find(partition->members, command.task.source.replica, &wire::PartitionMember::replica);
        if (source == partition->members.end() || source->replica == task->source.replica || !has(command.voters, task->source.replica))
            return refuse(Code::Stale, "the source is out, or there is no other");
        task->source = *source;
        task->kind = wire::TaskKind::Repair;
    }
    if (command.next != TaskStep::Done) {
        task->step = command.next;
        task->modified = task->since = work.applied.counters.placed = work.index;
        task->waits_for.clear();
        if (command.next == TaskStep::BackOut) task->last_error = cut(command.reason);
        work.put(task_key(task->task), wire::encode_task_record(*task));
        return Verdict();
    }
    const wire::PartitionRecord before = *partition;
    std::erase_if(partition->members, [&](const wire::PartitionMember& member) { return member.replica == task->source.replica; });
    partition->members.push_back(task->destination);
    partition->members.back().created = true;
    std::ranges::sort(partition->members, {}, &wire::PartitionMember::node);
    partition->epoch = partition->epoch.next();
    partition->failures = 0;
    partition->failed_at = NodeId();
    partition->last_error.clear();
    TRY(work.put_partition(before, std::move(*partition)));
    TRY(work.leave(task->source));
    work.end(*task);
    return Verdict();
}

Result<MasterState::Verdict> MasterState::fail_task(const wire::MasterCommand& command, Work& work) {
    TRY(std::optional<wire::TaskRecord> task, work.read(task_key(command.task.task), &wire::decode_task_record));
    if (!task) return refuse(Code::Stale, "task " + number(command.task.task.value) + " is over");
    if (task->step != command.task.step)
        return refuse(Code::Stale, "task " + number(task->task.value) + " is at " + std::string(wire::task_step_name(task->step)) + " meanwhile");
    if (task->step != TaskStep::Create && task->step != TaskStep::BackOut)
        return refuse(Code::Invalid, "the configuration may name the destination: it backs out first");
    if (task->step == TaskStep::BackOut && (command.voters.empty() || has(command.voters, task->destination.replica) || has(command.learners, task->destination.replica)))
        return refuse(Code::Stale, "the configuration names the destination");
    if (!command.reason.empty()) {
        TRY(std::optional<wire::PartitionRecord> partition, work.read(partition_key(task->partition), &wire::decode_partition_record));
        if (!partition) return Error(Code::Corrupt, "master store: the partition of task " + number(task->task.value) + " has no record");
        const wire::PartitionRecord before = *partition;
        ++partition->failures;
        partition->failed_at = task->destination.node;
        partition->last_error = cut(command.reason);
        TRY(work.put_partition(before, std::move(*partition)));
    }
    TRY(work.leave(task->destination));
    work.end(*task);
    return Verdict();
}

}  // namespace orrery::master
