// Plans on random clusters: limits and quorums are kept at every step, and a cluster that is left alone comes to rest with every member
// where it should be.
#include <rapidcheck.h>

#include <algorithm>

#include "node/master/placement.h"
#include "node/master/planner.h"
#include "node/master/reconcile.h"
#include "node/master/task_steps.h"
#include "runtime/base/defect.h"
#include "runtime/base/random.h"
#include "sim/core/defects.h"
#include "sim/scenario/data_plane.h"
#include "tests/node/master/records_in_memory.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

using wire::MasterCommand;
using wire::MasterCommandKind;

/// Masters and data nodes in one place, in rounds: nodes tell what they have, tasks and orders go a step, a plan is made and applied.
struct Cluster {
    explicit Cluster(uint64_t seed) : draw(seed, "planner.test", 0) {}

    RandomStream draw;
    Masters masters;
    sim::DataPlane data;
    Reports reports;
    PlanLimits limits{.repair_after = Duration::seconds(3), .tasks_max = 12, .tasks_of_node_max = 4, .tasks_of_disk_max = 2, .balance_tasks_max = 3,
                      .balance_percent = 25, .retry_after = Duration::seconds(1)};
    std::map<NodeId, int> down_for;  // rounds
    std::map<PartitionId, Instant> last_failed;
    std::map<TaskId, std::pair<wire::TaskStep, int>> step_of;
    uint64_t number = 0, started = 0, done = 0, failed = 0, stale = 0;
    int round = 0;
    std::vector<std::string> wrong;
    Plan last_plan;

    Instant now() const { return Instant{} + Duration::seconds(1000 + round); }

    wire::MasterAnswer apply(const MasterCommand& command) { return masters.apply(command); }

    void add_node(uint64_t id, uint32_t disks) {
        if (apply(register_command(id, "z" + std::to_string(id % 3), disks)).code == 0) data.nodes[NodeId(id)];
    }
    void kill(NodeId node) { data.nodes[node].up = false; }
    void revive(NodeId node) { data.nodes[node].up = true; }

    Placed placed() const {
        Placed out;
        RecordsInMemory records = masters.records;
        out.counters = masters.state.counters();
        auto read = [&](const KeyRange& range, auto& into, auto decode) {
            const StateView::Pairs pairs = records.scan(range, SIZE_MAX).value();
            for (const auto& [key, value] : pairs) into.push_back(decode(value).value());
        };
        read(nodes_after(NodeId()), out.nodes, &wire::decode_node_record);
        read(volumes_after({}), out.volumes, &wire::decode_volume_record);
        read(partitions_after(PartitionId()), out.partitions, &wire::decode_partition_record);
        read(tasks_after(TaskId()), out.tasks, &wire::decode_task_record);
        return out;
    }

    void hear() {
        MasterCommand marks;
        marks.kind = MasterCommandKind::MarkNodes;
        for (const auto& [id, node] : data.nodes) {
            int& rounds = down_for[id];
            rounds = node.up ? 0 : rounds + 1;
            marks.marks.push_back({id, Incarnation(1000 + id.value), rounds > 1 ? wire::NodeState::Inactive : wire::NodeState::Active});
            if (node.up) reports.take({.node = id, .incarnation = Incarnation(1000 + id.value), .disks = {}, .life = 1, .number = ++number, .since = 0, .reports = data.reports(id)});
        }
        apply(marks);
        MasterCommand told;
        told.kind = MasterCommandKind::MarkPartitions;
        told.partition_marks = partition_marks(placed(), reports);
        apply(told);
    }

    void obey() {
        const Placed at = placed();
        for (const Order& order : orders(at, reports, {}, 1000)) {
            if (!data.nodes[order.at].up || draw.chance(0.2)) continue;
            switch (order.what) {
                case Order::What::Create: {
                    wire::PartitionCreate create{order.partition, order.replica, order.volume, order.disk, {}};
                    for (const wire::PartitionMember& member : order.founding) create.members.push_back({member.node, member.replica, "h:1"});
                    (void)data.create(order.at, create);
                    break;
                }
                case Order::What::Destroy: (void)data.destroy(order.at, {order.partition, order.replica, order.term, order.removed_by}); break;
                case Order::What::RemoveMember:
                    (void)data.change(order.at, order.partition, {.action = wire::ChangeAction::Remove, .identity = {order.node, {}, {}, {}}, .replica = order.replica, .configuration = order.removed_by});
                    break;
            }
        }
    }

    void drive(const wire::TaskRecord& task, const Placed& at) {
        auto& [step, rounds] = step_of[task.task];
        rounds = step == task.step ? rounds + 1 : 0;
        step = task.step;
        const TaskAction action = next_action(at, reports, task, {Duration::seconds(rounds), "no answer"}, {.create_max = Duration::seconds(20)});
        wire::GroupChange change{.identity = {task.destination.node, {}, "h:1", "h:2"}, .replica = task.destination.replica, .configuration = action.configuration};
        // An order may be lost, and may come twice.
        const int times = data.nodes[action.at].up || !action.at ? static_cast<int>(draw.below(3)) : 0;
        for (int i = 0; i < times; ++i) {
            MasterCommand command;
            command.task = task;
            switch (action.what) {
                case TaskAction::What::Wait: break;
                case TaskAction::What::Create: (void)data.create(action.at, {task.partition, task.destination.replica, task.volume, task.destination.disk, {}}); break;
                case TaskAction::What::AddLearner:
                    change.action = wire::ChangeAction::AddLearner;
                    (void)data.change(action.at, task.partition, change);
                    break;
                case TaskAction::What::Promote:
                    change.action = wire::ChangeAction::AddVoter;
                    (void)data.change(action.at, task.partition, change);
                    break;
                case TaskAction::What::RemoveSource:
                case TaskAction::What::RemoveDestination: {
                    const wire::PartitionMember& out = action.what == TaskAction::What::RemoveSource ? task.source : task.destination;
                    change = {.action = wire::ChangeAction::Remove, .identity = {out.node, {}, {}, {}}, .replica = out.replica, .configuration = action.configuration};
                    (void)data.change(action.at, task.partition, change);
                    break;
                }
                case TaskAction::What::Advance:
                    command.kind = MasterCommandKind::AdvanceTask;
                    command.next = action.next;
                    command.voters = action.voters;
                    command.learners = action.learners;
                    command.reason = action.text;
                    if (action.source.replica) command.task.source = action.source;
                    if (apply(command).code == 0) done += action.next == wire::TaskStep::Done;
                    break;
                case TaskAction::What::Fail:
                    command.kind = MasterCommandKind::FailTask;
                    command.voters = action.voters;
                    command.learners = action.learners;
                    command.reason = action.text;
                    if (apply(command).code == 0) {
                        ++failed;
                        last_failed[task.partition] = now();
                    }
                    break;
            }
        }
    }

    PlanInput input() const {
        PlanInput out{placed(), reports, {}, last_failed};
        for (const auto& [node, rounds] : down_for)
            if (rounds > 1) out.silent[node] = Duration::seconds(rounds);
        return out;
    }

    /// A leader that has just begun, and has not applied all that is committed: it may plan only if a defect lets it.
    void plan_too_early(const PlanInput& older) {
        if (!ORRERY_DEFECT(master_allocates_before_applied)) return;
        for (const MasterCommand& command : plan(older, limits, now()).commands) apply(command);
        check_records();
    }
    /// What an earlier office planned, and proposed so late, does no harm.
    void apply_late(const Plan& older) {
        for (const MasterCommand& command : older.commands) apply(command);
        check_records();
    }

    void go_on() {
        ++round;
        data.go_on([&] { return draw.chance(0.5); });
        hear();
        obey();
        const Placed at = placed();
        for (const wire::TaskRecord& task : at.tasks) drive(task, at);
        const PlanInput before = input();
        last_plan = plan(before, limits, now());
        check_plan(before, last_plan);
        for (const MasterCommand& command : last_plan.commands) {
            const wire::MasterAnswer answer = apply(command);
            if (command.kind == MasterCommandKind::StartTask) {
                stale += answer.code != 0;
                started += answer.code == 0;
            }
        }
        MasterCommand waits;
        waits.kind = MasterCommandKind::MarkWaits;
        waits.waits = last_plan.waits;
        apply(waits);
        check_records();
    }

    void check_plan(const PlanInput& before, const Plan& made) {
        std::map<NodeId, uint32_t> of_node;
        std::map<std::pair<NodeId, DiskId>, uint32_t> of_disk;
        std::map<NodeId, uint32_t> sources;
        std::map<std::pair<NodeId, DiskId>, uint32_t> disk_sources;
        size_t all = 0;
        for (const wire::TaskRecord& task : before.placed.tasks) {
            if (stands_still(before.placed, before.reports, task)) continue;
            ++all;
            for (const wire::PartitionMember* one : {&task.source, &task.destination}) ++of_node[one->node], ++of_disk[{one->node, one->disk}];
        }
        std::set<PartitionId> planned;
        uint32_t priority = 0;
        for (const MasterCommand& command : made.commands) {
            if (command.kind != MasterCommandKind::StartTask) continue;
            const wire::TaskRecord& task = command.task;
            ++all;
            if (task.priority < priority) wrong.push_back("a less urgent task is planned first");
            priority = task.priority;
            if (!planned.insert(task.partition).second) wrong.push_back("two tasks of one partition in a plan");
            const wire::PartitionRecord* partition = before.placed.partition(task.partition);
            size_t alive = 0, others = 0;
            for (const wire::PartitionMember& member : partition->members) {
                const bool live = data.there(task.partition, member.replica, member.node) || !data.nodes[member.node].up;  // what just died may not be known
                const bool known = is_live(before.placed, before.reports, task.partition, member);
                if (known && !live && !data.nodes[member.node].replicas.contains(task.partition)) wrong.push_back("believed live and is not there");
                alive += known;
                others += known && member.replica != task.source.replica;
            }
            if (alive < majority(partition->members.size()) || others + 1 < majority(partition->members.size())) wrong.push_back("a task without a quorum");
            const bool source_live = is_live(before.placed, before.reports, task.partition, task.source);
            for (const wire::PartitionMember* one : {&task.source, &task.destination}) {
                const bool counts = one == &task.destination || source_live;
                if (++of_node[one->node] > limits.tasks_of_node_max && counts) wrong.push_back("more tasks of a node than may");
                if (++of_disk[{one->node, one->disk}] > limits.tasks_of_disk_max && counts) wrong.push_back("more tasks of a disk than may");
            }
        }
        if (all > limits.tasks_max) wrong.push_back("more tasks than may");
    }

    void check_records() {
        const Placed at = placed();
        std::map<std::pair<NodeId, DiskId>, uint32_t> counted;
        std::set<uint64_t> replicas;
        std::set<PartitionId> with_task;
        for (const wire::PartitionRecord& partition : at.partitions) {
            std::set<NodeId> nodes;
            for (const wire::PartitionMember& member : partition.members) {
                if (!nodes.insert(member.node).second) wrong.push_back("two members on one node");
                if (!replicas.insert(member.replica.value).second) wrong.push_back("a replica id is given twice");
                ++counted[{member.node, member.disk}];
            }
        }
        for (const wire::TaskRecord& task : at.tasks) {
            if (!with_task.insert(task.partition).second) wrong.push_back("two tasks of one partition");
            if (!replicas.insert(task.destination.replica.value).second) wrong.push_back("a replica id is given twice");
            ++counted[{task.destination.node, task.destination.disk}];
        }
        for (const wire::NodeRecord& node : at.nodes)
            for (const wire::DiskRecord& disk : node.disks)
                if (disk.members != counted[{node.node, disk.disk}]) wrong.push_back("the count of a disk is wrong");
        if (at.counters.tasks != at.tasks.size()) wrong.push_back("the count of tasks is wrong");
        wrong.insert(wrong.end(), data.wrong.begin(), data.wrong.end());
        data.wrong.clear();
    }

    /// Its group has no majority, and there is nobody who could bring it back.
    bool lost(PartitionId partition) const {
        const auto group = data.groups.find(partition);
        return group == data.groups.end() || data.voters_there(partition, group->second) < data.voters(group->second) / 2 + 1;
    }

    void create_volume(const std::string& name, uint32_t replicas, uint32_t partitions) {
        MasterCommand command;
        command.kind = MasterCommandKind::CreateVolume;
        command.name = name;
        command.replicas = replicas;
        command.partitions = partitions;
        auto where = place(placed().nodes, replicas, partitions);
        if (!where.ok()) return;
        command.placements = *where;
        apply(command);
    }
    void order(MasterCommandKind kind, NodeId node, DiskId disk = {}) {
        MasterCommand command;
        command.kind = kind;
        command.node.node = node;
        command.disk = disk;
        apply(command);
    }
    void mark_bad(NodeId node, DiskId disk) {
        MasterCommand command;
        command.kind = MasterCommandKind::MarkDisks;
        command.disk_marks = {{node, Incarnation(1000 + node.value), disk, true}};
        apply(command);
    }
};

/// A cluster with trouble for a while.
void disturb(Cluster& cluster, int rounds) {
    RandomStream& draw = cluster.draw;
    const uint64_t nodes = 4 + draw.below(5);
    for (uint64_t id = 1; id <= nodes; ++id) cluster.add_node(id, 1 + static_cast<uint32_t>(draw.below(3)));
    const uint64_t volumes = 1 + draw.below(3);
    for (uint64_t i = 0; i < volumes; ++i) cluster.create_volume("v" + std::to_string(i), draw.chance(0.8) ? 3 : 1 + static_cast<uint32_t>(draw.below(3)), 1 + static_cast<uint32_t>(draw.below(8)));
    for (int i = 0; i < 6; ++i) cluster.go_on();
    uint64_t next = nodes + 1;
    std::optional<NodeId> down;
    std::optional<PlanInput> older;
    for (int i = 0; i < rounds; ++i) {
        const NodeId node(1 + draw.below(nodes));
        const DiskId disk(1 + static_cast<uint32_t>(draw.below(2)));
        switch (draw.below(24)) {
            case 0:
                if (!down) cluster.kill(*(down = node));
                break;
            case 1:
                if (down && draw.chance(0.5)) cluster.revive(*down), down.reset();
                break;
            case 2: cluster.mark_bad(node, disk); break;
            case 3: cluster.order(MasterCommandKind::DecommissionNode, node); break;
            case 4: cluster.order(MasterCommandKind::DecommissionDisk, node, disk); break;
            case 5: cluster.order(MasterCommandKind::CancelDecommission, node); break;
            case 6:
                if (next < nodes + 4) cluster.add_node(next++, 2);
                break;
            case 7:
                cluster.masters = cluster.masters.started_anew();
                break;
            case 8:  // a replica is lost with its disk
                if (!down && !cluster.data.nodes[node].replicas.empty()) {
                    auto& replicas = cluster.data.nodes[node].replicas;
                    replicas.erase(replicas.begin());
                }
                break;
            case 10:
            case 12:
            case 13:
            case 14:
                if (older) cluster.plan_too_early(*older);
                break;
            case 11:
                if (older) cluster.apply_late(plan(*older, cluster.limits, cluster.now()));
                break;
            case 9: cluster.apply(delete_command("v" + std::to_string(draw.below(9)))); break;
            default: break;
        }
        if (draw.chance(0.3)) older = cluster.input();
        cluster.go_on();
    }
    if (down && draw.chance(0.5)) cluster.revive(*down);
    // Room for all.
    for (int i = 0; i < 3; ++i) cluster.add_node(next++, 2);
}

std::string first_wrong(const Cluster& cluster) { return cluster.wrong.empty() ? "" : cluster.wrong.front(); }

TEST_CASE("plans keep limits and quorums, ids are given once, and a cluster that is left alone comes to rest") {
    uint64_t started = 0, done = 0, failed = 0;
    const bool held = rc::check("clusters with trouble", [&](uint64_t seed) {
        Cluster cluster(seed);
        disturb(cluster, 60);
        RC_ASSERT(first_wrong(cluster) == "");
        int quiet = 0;
        for (int i = 0; i < 400 && quiet < 8; ++i) {
            cluster.go_on();
            const Placed at = cluster.placed();
            const bool at_rest = std::ranges::all_of(at.tasks, [&](const wire::TaskRecord& task) { return cluster.lost(task.partition); });
            quiet = cluster.last_plan.commands.empty() && at_rest && orders(at, cluster.reports, {}, 1).empty() ? quiet + 1 : 0;
        }
        RC_ASSERT(first_wrong(cluster) == "");
        const Placed at = cluster.placed();
        for (const wire::TaskRecord& task : at.tasks) {
            const TaskAction action = next_action(at, cluster.reports, task, {}, {});
            RC_LOG() << "task " << task.task.value << " of " << task.partition.value << " at " << wire::task_step_name(task.step) << " " << static_cast<int>(action.what) << ": " << action.text << "\n";
        }
        // What still waits does so because its group has lost its majority, for good.
        for (const Waiting& waiting : cluster.last_plan.waiting) {
            if (!cluster.lost(waiting.partition)) RC_FAIL("partition " + std::to_string(waiting.partition.value) + " waits: " + waiting.why);
        }
        for (const wire::PartitionRecord& partition : at.partitions) {
            if (cluster.lost(partition.partition)) continue;
            const auto group = cluster.data.groups.find(partition.partition);
            RC_ASSERT(cluster.data.voters(group->second) == partition.members.size());
            RC_ASSERT(group->second.members.size() == partition.members.size());
            for (const wire::PartitionMember& member : partition.members) {
                RC_ASSERT(group->second.members.contains(member.replica));
                RC_ASSERT(cluster.data.there(partition.partition, member.replica, member.node));
                RC_ASSERT(!at.node(member.node)->leaving);
                RC_ASSERT(takes_members(*at.disk(member.node, member.disk)));
            }
        }
        RC_ASSERT(quiet >= 8);
        started += cluster.started;
        done += cluster.done;
        failed += cluster.failed;
    });
    CHECK(held);
    MESSAGE(started << " tasks begun, " << done << " done, " << failed << " given up");
    CHECK(done > 500);
    CHECK(failed > 20);
}

TEST_CASE("each planted way to get it wrong is seen") {
    for (Defect defect : {Defect::decommission_checked_alone, Defect::master_allocates_before_applied, Defect::source_removed_first}) {
        sim::set_defects(only(defect));
        std::string wrong;
        uint64_t seed = 1;
        for (; wrong.empty() && seed < 500; ++seed) {
            Cluster cluster(seed);
            disturb(cluster, 60);
            wrong = first_wrong(cluster);
        }
        sim::set_defects({});
        const std::string name(kDefects[static_cast<size_t>(defect)].name);
        CHECK_MESSAGE(!wrong.empty(), name);
        MESSAGE(name << ": run " << seed - 1 << ": " << wrong);
    }
}

TEST_CASE("why a member stays where it is: words for people, on the node that waits") {
    Cluster cluster(7);
    for (uint64_t id = 1; id <= 4; ++id) cluster.add_node(id, 1);
    cluster.create_volume("v", 3, 4);
    for (int i = 0; i < 8; ++i) cluster.go_on();
    auto waits_for = [&](uint64_t node) { return cluster.placed().node(NodeId(node))->waits_for; };
    cluster.kill(NodeId(4));
    cluster.kill(NodeId(3));
    for (int i = 0; i < 6; ++i) cluster.go_on();
    CHECK((waits_for(3) + waits_for(4)).find("only 1 of 3 members are live, and nothing can be changed without a majority") != std::string::npos);
    cluster.revive(NodeId(3));
    for (int i = 0; i < 60; ++i) cluster.go_on();
    CHECK(cluster.masters.state.counters().tasks == 0);
    cluster.order(MasterCommandKind::DecommissionNode, NodeId(3));  // three nodes are left for three replicas by what is registered
    for (int i = 0; i < 4; ++i) cluster.go_on();
    CHECK(waits_for(3).find("no other active node takes a member of this partition") != std::string::npos);
    cluster.revive(NodeId(4));
    for (int i = 0; i < 60; ++i) cluster.go_on();
    CHECK(waits_for(3) == "");
    CHECK(cluster.placed().node(NodeId(3))->disks[0].members == 0);
    CHECK(first_wrong(cluster) == "");
}

TEST_CASE("a volume that is nearly full is extended, to its limit, and then says why not") {
    Cluster cluster(8);
    for (uint64_t id = 1; id <= 4; ++id) cluster.add_node(id, 1);
    MasterCommand command;
    command.kind = MasterCommandKind::CreateVolume;
    command.name = "v";
    command.replicas = 3;
    command.partitions = 20;
    command.max_partitions = 23;
    command.placements = *place(cluster.placed().nodes, 3, 20);
    REQUIRE(cluster.apply(command).code == 0);
    for (int i = 0; i < 5; ++i) cluster.go_on();
    CHECK(cluster.placed().volumes[0].partitions == 20);
    cluster.data.used_bytes = cluster.limits.partition_bytes / 100 * 79;
    for (int i = 0; i < 5; ++i) cluster.go_on();
    CHECK(cluster.placed().volumes[0].partitions == 20);
    cluster.data.used_bytes = cluster.limits.partition_bytes / 100 * 95;
    for (int i = 0; i < 9; ++i) cluster.go_on();
    CHECK(cluster.placed().volumes[0].partitions == 23);
    CHECK(cluster.placed().partitions.size() == 23);
    REQUIRE(cluster.last_plan.volumes_full.size() == 1);
    CHECK(cluster.last_plan.volumes_full[0] == "volume 'v' is nearly full, and has as many partitions as it may");
    CHECK(cluster.data.groups.size() == 23);
    CHECK(first_wrong(cluster) == "");
}

}  // namespace
}  // namespace orrery::master
