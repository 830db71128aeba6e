#include "node/master/task_steps.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

using wire::TaskStep;
using What = TaskAction::What;

std::string number(uint64_t value) { return std::to_string(value); }

struct Step {
    const Placed& placed;
    const Reports& reports;
    const wire::TaskRecord& task;
    const wire::PartitionRecord& partition;
    std::optional<LeaderReport> leader;

    TaskAction wait(std::string text) const { return {.what = What::Wait, .at = {}, .text = std::move(text), .voters = {}, .learners = {}, .source = {}}; }
    TaskAction ask(What what, NodeId at) const {
        return {.what = what, .at = at, .text = {}, .voters = {}, .learners = {}, .configuration = leader ? std::optional(leader->configuration) : std::nullopt, .source = {}};
    }
    TaskAction advance(TaskStep next, std::string text = {}) const {
        TaskAction out{.what = What::Advance, .at = {}, .text = std::move(text), .next = next, .voters = {}, .learners = {}, .source = {}};
        if (leader) out.voters = leader->voters(), out.learners = leader->learners();
        return out;
    }
    TaskAction fail(std::string text) const {
        TaskAction out = advance(TaskStep::Done, std::move(text));
        out.what = What::Fail;
        return out;
    }
    bool live(const wire::PartitionMember& member) const { return is_live(placed, reports, task.partition, member); }

    /// Why the destination will not do; empty: it does so far.
    std::string destination_trouble() const {
        const wire::PartitionMember& to = task.destination;
        const wire::NodeRecord* node = placed.node(to.node);
        const wire::DiskRecord* disk = placed.disk(to.node, to.disk);
        const std::string name = "node " + number(to.node.value);
        if (node == nullptr || disk == nullptr) return name + " or its disk is not registered any more";
        if (node->state != wire::NodeState::Active) return name + " is inactive";
        if (node->leaving) return name + " is leaving itself";
        if (disk->bad) return "disk " + number(to.disk.value) + " of " + name + " is bad";
        if (disk->leaving) return "disk " + number(to.disk.value) + " of " + name + " is leaving itself";
        const wire::PartitionReport* report = reports.find(to, task.partition);
        if (report != nullptr && report->state == wire::ReplicaState::Damaged) return "the new replica on " + name + " is damaged";
        if (report == nullptr && task.step != TaskStep::Create && reports.told(to.node)) return name + " has lost the new replica";
        return "";
    }

    /// The reason for which it was begun is gone.
    bool unwanted() const {
        const wire::NodeRecord* node = placed.node(task.source.node);
        const wire::DiskRecord* disk = placed.disk(task.source.node, task.source.disk);
        if (node == nullptr || disk == nullptr || node->leaving || disk->leaving || disk->bad) return false;
        if (task.kind == wire::TaskKind::Decommission) return true;
        return task.kind == wire::TaskKind::Repair && live(task.source) && leader && leader->is_voter(task.source.replica);
    }

    /// With `source` out of the configuration, as reported, whether those that are left can commit.
    std::string quorum_trouble(ReplicaId source) const {
        size_t voters = 0, alive = 0;
        for (const wire::ConfiguredMember& member : leader->members) {
            if (!member.voter || member.replica == source) continue;
            ++voters;
            alive += live({member.node, DiskId(), member.replica});
        }
        if (alive >= majority(voters)) return "";
        return "without the source only " + number(alive) + " of " + number(voters) + " voters would be live";
    }
};

TaskAction create(const Step& step, const StepSoFar& so_far, const StepLimits& limits) {
    const wire::PartitionMember& to = step.task.destination;
    if (const std::string trouble = step.destination_trouble(); !trouble.empty()) return step.fail(trouble);
    if (step.unwanted()) return step.fail("");
    if (step.reports.find(to, step.task.partition) != nullptr) return step.advance(TaskStep::AddLearner);
    if (so_far.tried > limits.create_max)
        return step.fail("node " + number(to.node.value) + " did not create a replica in " + number(static_cast<uint64_t>(limits.create_max.as_seconds())) + " s" +
                         (so_far.last_error.empty() ? "" : ": " + so_far.last_error));
    return step.ask(What::Create, to.node);
}

/// The destination is, or may be, in the configuration, and the source still is.
TaskAction take_in(const Step& step) {
    const wire::TaskRecord& task = step.task;
    const wire::ConfiguredMember* to = step.leader->find(task.destination.replica);
    const bool voter = to != nullptr && to->voter;
    if (const std::string trouble = step.destination_trouble(); !trouble.empty()) return step.advance(TaskStep::BackOut, trouble);
    if (!voter && step.unwanted()) return step.advance(TaskStep::BackOut);
    if (task.step == TaskStep::AddLearner && to != nullptr) return step.advance(TaskStep::CatchUp);
    if (to == nullptr) return step.ask(What::AddLearner, step.leader->node);
    if (task.step == TaskStep::CatchUp) {
        if (ORRERY_DEFECT(source_removed_first)) return step.advance(TaskStep::RemoveSource);
        return voter || to->caught_up ? step.advance(TaskStep::Promote) : step.wait("the new replica to catch up");
    }
    if (!voter) return step.ask(What::Promote, step.leader->node);
    return step.live(task.destination) ? step.advance(TaskStep::RemoveSource) : step.wait("the new replica, a voter by now, to be ready");
}

TaskAction remove_source(const Step& step) {
    const wire::TaskRecord& task = step.task;
    const bool voter = step.leader->is_voter(task.destination.replica) || ORRERY_DEFECT(source_removed_first);
    if (step.leader->find(task.source.replica) == nullptr && voter) return step.advance(TaskStep::Done);
    if (!voter) return step.advance(TaskStep::BackOut, "the new replica is no voter any more");
    // Another source was given up for this one, and the order that took that one out came through late: it has gone, and this one stays.
    for (const wire::PartitionMember& other : step.partition.members) {
        if (other.replica == task.source.replica || step.leader->find(other.replica) != nullptr || !step.leader->is_voter(task.source.replica)) continue;
        TaskAction instead = step.advance(TaskStep::RemoveSource);
        instead.source = other;
        return instead;
    }
    const std::string trouble = step.destination_trouble();
    if (!trouble.empty() && step.live(task.source)) return step.advance(TaskStep::BackOut, trouble);
    const std::string few = step.quorum_trouble(task.source.replica);
    if (few.empty() || ORRERY_DEFECT(source_removed_first)) return step.ask(What::RemoveSource, step.leader->node);
    // Another member has died meanwhile, and the group can spare that one: it goes, and whoever should go besides is planned for anew.
    for (const wire::PartitionMember& other : step.partition.members) {
        if (other.replica == task.source.replica || step.live(other) || !step.leader->is_voter(other.replica) || !step.quorum_trouble(other.replica).empty()) continue;
        TaskAction instead = step.advance(TaskStep::RemoveSource);
        instead.source = other;
        return instead;
    }
    return step.wait("more live members: " + few);
}

TaskAction back_out(const Step& step) {
    const wire::TaskRecord& task = step.task;
    const bool source_named = step.leader->find(task.source.replica) != nullptr;
    const wire::ConfiguredMember* to = step.leader->find(task.destination.replica);
    if (to == nullptr) return step.fail(task.last_error);
    // A removal of the source, asked for before, came through: there is no way back.
    if (!source_named && to->voter) return step.advance(TaskStep::Done);
    return step.ask(What::RemoveDestination, step.leader->node);
}

}  // namespace

TaskAction next_action(const Placed& placed, const Reports& reports, const wire::TaskRecord& task, const StepSoFar& so_far, const StepLimits& limits) {
    const wire::PartitionRecord* partition = placed.partition(task.partition);
    CHECK(partition != nullptr, task.partition);
    const Step step{placed, reports, task, *partition, reports.leader(*partition, &task)};
    if (task.step == TaskStep::Create) return create(step, so_far, limits);
    if (!step.leader) return step.wait("a leader of the partition, of which none is heard");
    const wire::NodeRecord* at = placed.node(step.leader->node);
    if (at == nullptr || at->state != wire::NodeState::Active) return step.wait("a leader of the partition: the node of the last one is inactive");
    switch (task.step) {
        case TaskStep::AddLearner:
        case TaskStep::CatchUp:
        case TaskStep::Promote: return take_in(step);
        case TaskStep::RemoveSource: return remove_source(step);
        case TaskStep::BackOut: return back_out(step);
        case TaskStep::Create:
        case TaskStep::Done: break;
    }
    CHECK(false, wire::task_step_name(task.step));
    return {};
}

}  // namespace orrery::master
