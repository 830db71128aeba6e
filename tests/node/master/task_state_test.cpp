// Tasks, decommission and marks as entries, against a model that knows nothing of records; and what is refused changes nothing.
#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include "node/master/placement.h"
#include "runtime/base/random.h"
#include "tests/node/master/records_in_memory.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

using wire::MasterAnswer;
using wire::MasterCommand;
using wire::MasterCommandKind;
using wire::TaskStep;

Code code_of(const MasterAnswer& answer) { return static_cast<Code>(answer.code); }

template <typename Record>
std::vector<Record> all(const Masters& masters, const KeyRange& range, Result<Record> (*decode)(ByteView)) {
    std::vector<Record> out;
    RecordsInMemory records = masters.records;
    const StateView::Pairs pairs = records.scan(range, SIZE_MAX).value();
    for (const auto& [key, value] : pairs) out.push_back(decode(value).value());
    return out;
}
auto nodes_of(const Masters& masters) { return all(masters, nodes_after(NodeId()), &wire::decode_node_record); }
auto partitions_of_all(const Masters& masters) { return all(masters, partitions_after(PartitionId()), &wire::decode_partition_record); }
auto tasks_of(const Masters& masters) { return all(masters, tasks_after(TaskId()), &wire::decode_task_record); }

std::map<Bytes, Bytes> records_without_index(const Masters& masters) {
    std::map<Bytes, Bytes> out = masters.records.all();
    out.erase(counters_key());
    return out;
}

MasterCommand of_kind(MasterCommandKind kind) {
    MasterCommand command;
    command.kind = kind;
    return command;
}

Masters with_volume(uint64_t nodes, uint32_t replicas, uint32_t partitions) {
    Masters masters;
    for (uint64_t node = 1; node <= nodes; ++node) REQUIRE(masters.apply(register_command(node, "z" + std::to_string(node), 2)).code == 0);
    MasterCommand command = of_kind(MasterCommandKind::CreateVolume);
    command.name = "v";
    command.replicas = replicas;
    command.partitions = partitions;
    command.placements = *place(nodes_of(masters), replicas, partitions);
    REQUIRE(masters.apply(command).code == 0);
    return masters;
}

MasterCommand decommission(uint64_t node, uint32_t disk = 0) {
    MasterCommand command = of_kind(disk == 0 ? MasterCommandKind::DecommissionNode : MasterCommandKind::DecommissionDisk);
    command.node.node = NodeId(node);
    command.disk = DiskId(disk);
    return command;
}
MasterCommand cancel(uint64_t node, uint32_t disk = 0) {
    MasterCommand command = decommission(node, disk);
    command.kind = MasterCommandKind::CancelDecommission;
    return command;
}

MasterCommand start(const wire::PartitionRecord& partition, size_t member, wire::Place to) {
    MasterCommand command = of_kind(MasterCommandKind::StartTask);
    command.task.kind = wire::TaskKind::Decommission;
    command.task.partition = partition.partition;
    command.task.epoch = partition.epoch;
    command.task.source = partition.members.at(member);
    command.task.destination = {to.node, to.disk, ReplicaId()};
    return command;
}
MasterCommand advance(const wire::TaskRecord& task, TaskStep next, std::vector<ReplicaId> voters = {}, std::vector<ReplicaId> learners = {}) {
    MasterCommand command = of_kind(MasterCommandKind::AdvanceTask);
    command.task = task;
    command.next = next;
    command.voters = std::move(voters);
    command.learners = std::move(learners);
    return command;
}

TEST_CASE("a decommission that can never end is refused, and others are repeated and taken back at will") {
    Masters masters = with_volume(4, 3, 4);
    CHECK(code_of(masters.apply(decommission(9))) == Code::NotFound);
    CHECK(code_of(masters.apply(decommission(1, 9))) == Code::NotFound);
    CHECK(masters.apply(decommission(1)).code == 0);
    const auto once = records_without_index(masters);
    CHECK(masters.apply(decommission(1)).code == 0);
    CHECK(records_without_index(masters) == once);
    const MasterAnswer no = masters.apply(decommission(2));
    CHECK(code_of(no) == Code::Invalid);
    CHECK(no.context == "volume 'v' needs 3 nodes, and 2 would be left");
    CHECK(masters.apply(decommission(2, 1)).code == 0);  // its other disk stays
    CHECK(code_of(masters.apply(decommission(2, 2))) == Code::Invalid);
    CHECK(code_of(masters.apply(cancel(1, 1))) == Code::Invalid);
    CHECK(masters.apply(register_command(1, "z9", 2)).code == 0);
    CHECK(nodes_of(masters)[0].leaving);  // a restart does not undo it
    CHECK(nodes_of(masters)[1].disks[0].leaving);
    CHECK(masters.apply(cancel(1)).code == 0);
    CHECK_FALSE(nodes_of(masters)[0].leaving);
    CHECK(masters.apply(decommission(2, 2)).code == 0);
    CHECK(place(nodes_of(masters), 4, 1).failed_with(Code::Invalid));
}

TEST_CASE("a task: what has changed since it was planned, and what its group has not committed, stops it") {
    Masters masters = with_volume(5, 3, 1);
    const wire::PartitionRecord partition = partitions_of_all(masters)[0];
    std::vector<NodeId> free;
    for (const wire::NodeRecord& node : nodes_of(masters))
        if (std::ranges::find(partition.members, node.node, &wire::PartitionMember::node) == partition.members.end()) free.push_back(node.node);
    const wire::Place to{free[0], DiskId(1)};
    auto refused = [&](Code code, MasterCommand command) {
        const auto before = records_without_index(masters);
        const MasterAnswer answer = masters.apply(command);
        return code_of(answer) == code && !answer.context.empty() && records_without_index(masters) == before;
    };
    auto spoilt = [&](auto spoil) {
        MasterCommand command = start(partition, 0, to);
        spoil(command.task);
        return command;
    };
    CHECK(refused(Code::Stale, spoilt([](wire::TaskRecord& t) { t.partition = PartitionId(99); })));
    CHECK(refused(Code::Stale, spoilt([](wire::TaskRecord& t) { t.epoch = Epoch(2); })));
    CHECK(refused(Code::Stale, spoilt([](wire::TaskRecord& t) { t.source.replica = ReplicaId(99); })));
    CHECK(refused(Code::Stale, spoilt([&](wire::TaskRecord& t) { t.destination.node = partition.members[1].node; })));
    CHECK(refused(Code::Stale, spoilt([](wire::TaskRecord& t) { t.destination.disk = DiskId(9); })));
    REQUIRE(masters.apply(decommission(to.node.value, 1)).code == 0);
    CHECK(refused(Code::Stale, start(partition, 0, to)));
    REQUIRE(masters.apply(cancel(to.node.value, 1)).code == 0);
    MasterCommand bad = of_kind(MasterCommandKind::MarkDisks);
    bad.disk_marks = {{to.node, Incarnation(1000 + to.node.value), DiskId(1), true}, {to.node, Incarnation(5), DiskId(2), true}, {NodeId(77), {}, DiskId(1), true}};
    REQUIRE(masters.apply(bad).code == 0);
    CHECK(refused(Code::Stale, start(partition, 0, to)));
    bad.disk_marks[0].bad = false;
    REQUIRE(masters.apply(bad).code == 0);

    const MasterAnswer begun = masters.apply(start(partition, 0, to));
    REQUIRE(begun.code == 0);
    CHECK(begun.task == TaskId(1));
    CHECK(refused(Code::Stale, start(partition, 1, {free[1], DiskId(1)})));
    const wire::TaskRecord task = tasks_of(masters)[0];
    CHECK(task.destination.replica == ReplicaId(4));
    const ReplicaId a = partition.members[0].replica, b = partition.members[1].replica, c = partition.members[2].replica, d = task.destination.replica;
    auto now = [&] { return tasks_of(masters)[0]; };
    CHECK(refused(Code::Invalid, advance(now(), TaskStep::RemoveSource, {a, b, c, d})));
    CHECK(refused(Code::Invalid, advance(now(), TaskStep::BackOut)));
    REQUIRE(masters.apply(advance(now(), TaskStep::AddLearner)).code == 0);
    CHECK(refused(Code::Stale, advance(task, TaskStep::AddLearner)));  // it was said before
    CHECK(refused(Code::Stale, advance(now(), TaskStep::CatchUp, {a, b, c})));
    REQUIRE(masters.apply(advance(now(), TaskStep::CatchUp, {a, b, c}, {d})).code == 0);
    REQUIRE(masters.apply(advance(now(), TaskStep::Promote, {a, b, c}, {d})).code == 0);
    CHECK(refused(Code::Stale, advance(now(), TaskStep::RemoveSource, {a, b, c}, {d})));
    MasterCommand fail = advance(now(), TaskStep::Done, {a, b, c});
    fail.kind = MasterCommandKind::FailTask;
    CHECK(refused(Code::Invalid, fail));
    REQUIRE(masters.apply(advance(now(), TaskStep::RemoveSource, {a, b, c, d})).code == 0);
    CHECK(refused(Code::Stale, advance(now(), TaskStep::Done, {a, b, c, d})));
    CHECK(refused(Code::Stale, advance(now(), TaskStep::Done, {b, c}, {d})));
    CHECK(partitions_of_all(masters)[0].members == partition.members);

    Masters other = masters;  // where it backs out
    REQUIRE(masters.apply(advance(now(), TaskStep::Done, {b, c, d})).code == 0);
    const wire::PartitionRecord moved = partitions_of_all(masters)[0];
    CHECK(moved.epoch == Epoch(2));
    CHECK(std::ranges::find(moved.members, a, &wire::PartitionMember::replica) == moved.members.end());
    CHECK(std::ranges::find(moved.members, d, &wire::PartitionMember::replica)->created);
    CHECK(tasks_of(masters).empty());
    CHECK(masters.state.counters().tasks == 0);
    CHECK(code_of(masters.apply(advance(task, TaskStep::Done, {b, c, d}))) == Code::Stale);

    REQUIRE(other.apply(advance(tasks_of(other)[0], TaskStep::BackOut)).code == 0);
    fail.task = tasks_of(other)[0];
    fail.voters = {a, b, c, d};
    CHECK(code_of(other.apply(fail)) == Code::Stale);
    fail.voters = {a, b, c};
    fail.reason = "no space";
    REQUIRE(other.apply(fail).code == 0);
    const wire::PartitionRecord kept = partitions_of_all(other)[0];
    CHECK(kept.members == partition.members);
    CHECK(kept.epoch == Epoch(1));
    CHECK(kept.failures == 1);
    CHECK(kept.failed_at == to.node);
    CHECK(kept.last_error == "no space");
    REQUIRE(other.apply(start(kept, 0, to)).code == 0);
    CHECK(tasks_of(other)[0].task == TaskId(2));
    CHECK(tasks_of(other)[0].destination.replica == ReplicaId(5));
    CHECK(tasks_of(other)[0].failures == 1);
    REQUIRE(other.apply(delete_command("v")).code == 0);
    CHECK(tasks_of(other).empty());
    for (const wire::NodeRecord& node : nodes_of(other))
        for (const wire::DiskRecord& disk : node.disks) CHECK(disk.members == 0);
}

TEST_CASE("a volume is extended up to its limit, and a plan that was made of fewer partitions is not done twice") {
    Masters masters = with_volume(3, 2, 4);
    MasterCommand more = of_kind(MasterCommandKind::ExtendVolume);
    more.name = "v";
    more.partitions = 3;
    more.placements = *place(nodes_of(masters), 2, 3);
    more.expected_partitions = 4;
    REQUIRE(masters.apply(more).code == 0);
    CHECK(code_of(masters.apply(more)) == Code::Stale);
    more.expected_partitions = 0;
    CHECK(masters.apply(more).code == 0);
    CHECK(partitions_of_all(masters).size() == 10);
    CHECK(masters.state.counters().partitions == 10);
    more.placements.pop_back();
    CHECK(code_of(masters.apply(more)) == Code::Invalid);
    more.name = "w";
    CHECK(code_of(masters.apply(more)) == Code::NotFound);
    more.name = "v";
    more.partitions = 0;
    CHECK(code_of(masters.apply(more)) == Code::Invalid);
    more.partitions = 10'000;
    for (int i = 0; i < 19; ++i) {
        more.placements.assign(10'000, {{{NodeId(1), DiskId(1)}, {NodeId(2), DiskId(1)}}});
        REQUIRE(masters.apply(more).code == 0);
    }
    more.placements.assign(10'000, {{{NodeId(1), DiskId(1)}, {NodeId(2), DiskId(1)}}});
    const MasterAnswer full = masters.apply(more);
    CHECK(full.context == "volume 'v' has 190010 partitions, and may have 200000");
}

TEST_CASE("who leads: only a higher term replaces what is known") {
    Masters masters = with_volume(3, 3, 1);
    auto mark = [&](uint64_t node, uint64_t term, std::vector<ReplicaId> created = {}) {
        MasterCommand command = of_kind(MasterCommandKind::MarkPartitions);
        command.partition_marks = {{PartitionId(1), NodeId(node), Term(term), std::move(created)}, {PartitionId(55), NodeId(1), Term(9), {}}};
        REQUIRE(masters.apply(command).code == 0);
        return partitions_of_all(masters)[0];
    };
    CHECK(mark(2, 5).leader == NodeId(2));
    CHECK(mark(3, 5).leader == NodeId(2));
    CHECK(mark(3, 4).leader_term == Term(5));
    const wire::PartitionRecord later = mark(3, 6, {ReplicaId(2)});
    CHECK(later.leader == NodeId(3));
    CHECK(later.epoch == Epoch(1));
    CHECK_FALSE(later.members[0].created);
    CHECK(later.members[1].created);
}

/// A task, to somebody who knows nothing of records.
struct ModelTask {
    uint64_t partition;
    TaskStep step;
    ReplicaId source, destination;
    NodeId to;
};
struct ModelPartition {
    std::map<ReplicaId, NodeId> members;
    uint64_t epoch = 1;
};

TEST_CASE("random tasks against a model: ids are new, one task a partition, members change with its last step alone, disks are counted") {
    const bool held = rc::check("tasks", [](uint64_t seed) {
        RandomStream draw(seed, "task.test", 0);
        Masters masters = with_volume(6, 3, 5);
        std::map<uint64_t, ModelPartition> partitions;
        std::map<uint64_t, ModelTask> tasks;
        std::set<uint64_t> replicas, task_ids;
        for (const wire::PartitionRecord& partition : partitions_of_all(masters))
            for (const wire::PartitionMember& member : partition.members) {
                partitions[partition.partition.value].members[member.replica] = member.node;
                replicas.insert(member.replica.value);
            }
        for (int i = 0; i < 150; ++i) {
            if (draw.chance(0.05)) masters = masters.started_anew();
            const std::vector<wire::TaskRecord> present = tasks_of(masters);
            const bool begins = present.empty() || draw.chance(0.3);
            if (begins) {
                const auto records = partitions_of_all(masters);
                const wire::PartitionRecord& partition = records[draw.below(records.size())];
                MasterCommand command = start(partition, draw.below(partition.members.size()), {NodeId(1 + draw.below(7)), DiskId(1 + static_cast<uint32_t>(draw.below(3)))});
                if (draw.chance(0.1)) command.task.epoch = Epoch(partition.epoch.value + 1 - 2 * draw.below(2));
                ModelPartition& model = partitions[partition.partition.value];
                const NodeId to = command.task.destination.node;
                const bool taken = std::ranges::any_of(model.members, [&](const auto& member) { return member.second == to; });
                const bool busy = std::ranges::any_of(tasks, [&](const auto& task) { return task.second.partition == partition.partition.value; });
                const bool possible = !taken && !busy && to.value <= 6 && command.task.destination.disk.value <= 2 && command.task.epoch.value == model.epoch;
                const MasterAnswer answer = masters.apply(command);
                RC_ASSERT((answer.code == 0) == possible);
                if (!possible) continue;
                RC_ASSERT(task_ids.insert(answer.task.value).second);
                const auto made = masters.records.find(task_key(answer.task), &wire::decode_task_record);
                RC_ASSERT(made.has_value());
                RC_ASSERT(replicas.insert(made->destination.replica.value).second);
                tasks[answer.task.value] = {partition.partition.value, TaskStep::Create, command.task.source.replica, made->destination.replica, to};
            } else {
                const wire::TaskRecord& record = present[draw.below(present.size())];
                ModelTask& model = tasks.at(record.task.value);
                ModelPartition& partition = partitions[model.partition];
                const auto next = static_cast<TaskStep>(1 + draw.below(7));
                const bool fails = draw.chance(0.2);
                const uint64_t config = draw.below(4);  // destination: learner, voter, not there; source out
                std::vector<ReplicaId> voters, learners;
                for (const auto& [replica, node] : partition.members)
                    if (replica != model.source || config != 3) voters.push_back(replica);
                if (config == 0) learners.push_back(model.destination);
                if (config == 1 || config == 3) voters.push_back(model.destination);
                MasterCommand command = advance(record, next, voters, learners);
                const bool late = draw.chance(0.1);
                if (late) command.task.step = record.step == TaskStep::Create ? TaskStep::BackOut : TaskStep::Create;
                bool possible = !late;
                if (fails) {
                    command.kind = MasterCommandKind::FailTask;
                    command.reason = draw.chance(0.5) ? "why" : "";
                    possible &= model.step == TaskStep::Create || (model.step == TaskStep::BackOut && config == 2);
                } else {
                    const auto from = static_cast<int>(model.step), to = static_cast<int>(next);
                    switch (next) {
                        case TaskStep::Create: possible = false; break;
                        case TaskStep::AddLearner: possible &= from + 1 == to; break;
                        case TaskStep::CatchUp:
                        case TaskStep::Promote: possible &= from + 1 == to && config != 2; break;
                        case TaskStep::RemoveSource: possible &= from + 1 == to && (config == 1 || config == 3); break;
                        case TaskStep::BackOut: possible &= from > 1 && from < 6; break;
                        case TaskStep::Done: possible &= from >= 5 && config == 3; break;
                    }
                }
                const auto before = records_without_index(masters);
                RC_ASSERT((masters.apply(command).code == 0) == possible);
                if (!possible) {
                    RC_ASSERT(records_without_index(masters) == before);
                    continue;
                }
                if (fails) {
                    tasks.erase(record.task.value);
                } else if (next == TaskStep::Done) {
                    partition.members.erase(model.source);
                    partition.members[model.destination] = model.to;
                    ++partition.epoch;
                    tasks.erase(record.task.value);
                } else {
                    model.step = next;
                }
            }
            std::map<std::pair<NodeId, DiskId>, uint32_t> placed;
            for (const wire::PartitionRecord& partition : partitions_of_all(masters)) {
                const ModelPartition& model = partitions.at(partition.partition.value);
                RC_ASSERT(partition.epoch.value == model.epoch);
                RC_ASSERT(partition.members.size() == model.members.size());
                for (const wire::PartitionMember& member : partition.members) {
                    RC_ASSERT(model.members.at(member.replica) == member.node);
                    ++placed[{member.node, member.disk}];
                }
            }
            const auto left = tasks_of(masters);
            RC_ASSERT(left.size() == tasks.size());
            RC_ASSERT(masters.state.counters().tasks == tasks.size());
            for (const wire::TaskRecord& task : left) {
                RC_ASSERT(task.step == tasks.at(task.task.value).step);
                ++placed[{task.destination.node, task.destination.disk}];
            }
            for (const wire::NodeRecord& node : nodes_of(masters))
                for (const wire::DiskRecord& disk : node.disks) RC_ASSERT((disk.members == placed[{node.node, disk.disk}]));
        }
    });
    CHECK(held);
}

}  // namespace
}  // namespace orrery::master
