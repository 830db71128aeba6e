// Masters that move and repair members of partitions, while they are killed, lose power or stand still at every step. Data nodes are stood
// in for by servers that speak the same protocol, over groups in memory (data_plane.h): orders arrive late, answers get lost.
#include <algorithm>
#include <set>

#include "node/rpc/server.h"
#include "sim/core/defects.h"
#include "sim/scenario/data_plane.h"
#include "tests/node/master/master_world.h"
#include "tests/node/master/records_in_memory.h"

namespace orrery::test {
namespace {

using wire::MasterAnswer;
using wire::MasterCommand;
using wire::MasterCommandKind;
using wire::MasterQuery;
using wire::MasterTopic;
using wire::MasterView;

Incarnation incarnation_of(NodeId node) { return Incarnation(1000 + node.value); }

/// One data node: what it answers, and what it tells the masters.
class StandIn {
 public:
    StandIn(Env& env, DataPlane& data, NodeId node)
        : env_(env), data_(data), node_(node), draw_(env.random.stream("test.node", node.value)), masters_(env, 100 + node.value, MasterWorld::addresses(), {.attempt = Duration::millis(500)}) {
        identity_.node = node;
        identity_.incarnation = incarnation_of(node);
        handle(wire::Operation::PartitionCreate, [this](rpc::Request& request) -> Result<Bytes> {
            TRY(wire::PartitionCreate order, wire::decode_partition_create(request.body()));
            TRY(data_.create(node_, order));
            return Bytes();
        });
        handle(wire::Operation::PartitionDestroy, [this](rpc::Request& request) -> Result<Bytes> {
            TRY(wire::PartitionDestroy order, wire::decode_partition_destroy(request.body()));
            TRY(data_.destroy(node_, order));
            return Bytes();
        });
        handle(wire::Operation::GroupChange, [this](rpc::Request& request) -> Result<Bytes> {
            TRY(wire::GroupChange change, wire::decode_group_change(request.body()));
            TRY(wire::GroupChangeReply reply, data_.change(node_, PartitionId(request.group().value), change));
            return wire::encode_group_change_reply(reply);
        });
        server_ = std::make_unique<rpc::Server>(env, identity_, service_, rpc::ServerOptions{.name = "service"});
        REQUIRE(server_->start({"client", static_cast<uint16_t>(8000 + node.value)}).ok());
    }

    MasterCommand registration() const {
        MasterCommand command = master::register_command(node_.value, "z" + std::to_string(node_.value % 3), 2);
        command.node.service_address = "client:" + std::to_string(8000 + node_.value);
        return command;
    }

    /// Until `stop`. What changed since the last heartbeat that was acknowledged, or all.
    void tell(Fiber& fiber, const bool& stop) {
        const uint64_t life = 1 + draw_.below(1 << 30);
        uint64_t number = 0, acknowledged = 0;
        std::map<PartitionId, wire::PartitionReport> known;
        while (!stop) {
            if (data_.nodes[node_].up) {
                wire::NodeHeartbeat heartbeat{.node = node_, .incarnation = incarnation_of(node_), .disks = {}, .life = life, .number = ++number, .since = acknowledged, .reports = {}};
                heartbeat.disks = {{DiskId(1), 0, bad_disk ? "worn out" : ""}, {DiskId(2), 0, ""}};
                std::map<PartitionId, wire::PartitionReport> now;
                for (wire::PartitionReport& report : data_.reports(node_)) now[report.partition] = std::move(report);
                for (const auto& [partition, report] : now)
                    if (const auto before = known.find(partition); acknowledged == 0 || before == known.end() || before->second != report) heartbeat.reports.push_back(report);
                for (const auto& [partition, report] : known)
                    if (acknowledged != 0 && !now.contains(partition)) {
                        heartbeat.reports.push_back(report);
                        heartbeat.reports.back().state = wire::ReplicaState::Gone;
                    }
                const Result<wire::HeartbeatAnswer> answer = masters_.heartbeat(fiber, heartbeat, env_.now() + Duration::seconds(1));
                if (answer.ok() && answer->want_full) acknowledged = 0, ++fulls;
                if (answer.ok() && !answer->want_full && answer->number == number) acknowledged = number, known = std::move(now);
            }
            if (!env_.sleep(fiber, Duration::millis(draw_.between(100, 300))).ok()) break;
        }
        (void)masters_.close(fiber);
    }
    Result<void> stop(Fiber& fiber) { return server_->stop(fiber, env_.now()); }

    bool bad_disk = false;
    int fulls = 0;

 private:
    void handle(wire::Operation operation, std::function<Result<Bytes>(rpc::Request&)> work) {
        service_.handle(operation, [this, work = std::move(work)](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
            // Some orders take effect long after whoever gave them has given up; some answers get lost.
            if (!env_.sleep(fiber, Duration::millis(draw_.chance(0.05) ? draw_.between(0, 4000) : draw_.between(0, 30))).ok()) return;
            if (!data_.nodes[node_].up) return responder.fail(Error(Code::Unreachable, "this node is down"));
            Result<Bytes> done = work(request);
            if (draw_.chance(0.05)) return responder.fail(Error(Code::Unknown, "the answer is lost"));
            if (!done.ok()) return responder.fail(done.error());
            responder.reply(std::move(*done));
        });
    }

    Env& env_;
    DataPlane& data_;
    NodeId node_;
    RandomStream draw_;
    client::MasterClient masters_;
    rpc::Identity identity_;
    rpc::Service service_;
    std::unique_ptr<rpc::Server> server_;
};

struct Outcome {
    std::vector<std::string> wrong;
    uint64_t started = 0, done = 0, effects = 0, repeated = 0;
    int kills = 0, fulls = 0;
    Duration took;
};

void tune(master::MasterNodeOptions& options) {
    options.service.node_check = Duration::millis(200);
    options.service.tasks.period = Duration::millis(200);
    options.service.tasks.order_timeout = Duration::seconds(2);
    options.service.tasks.plan.repair_after = Duration::seconds(4);
    options.service.tasks.plan.retry_after = Duration::millis(200);
    options.service.tasks.steps.create_max = Duration::seconds(10);
}

class Run {
 public:
    explicit Run(uint64_t seed) : world_(seed, 64 << 20, Duration::seconds(3), tune), draw_(seed, "test.tasks", 0) {}

    Outcome go() { return errand(&Run::trouble); }
    /// How long it takes until every member of a large volume is there and every partition has a leader, in `out.wrong` if that is too long.
    Outcome create_large() {
        quiet_ = true;
        return errand(&Run::large);
    }

 private:
    Outcome errand(void (Run::*what)(Fiber&, Env&)) {
        world_.errand([&](Fiber& fiber, Env& env) { work(fiber, env, what); }, Duration::seconds(400), [&] { wreck(); });
        out_.effects = data_.effects;
        out_.repeated = data_.repeated;
        out_.wrong.insert(out_.wrong.begin(), data_.wrong.begin(), data_.wrong.end());
        return std::move(out_);
    }

    void wrong(const std::string& what) { out_.wrong.push_back(what); }

    /// The leader is struck when it has just given an order or made an entry: so at every step, over the runs.
    void wreck() {
        const Instant now = world_.world.now();
        for (auto at = down_.begin(); at != down_.end();) {
            if (at->second.first > now) {
                ++at;
                continue;
            }
            if (at->second.second) {
                if (world_.masters[at->first]->state() == Host::State::Paused) world_.masters[at->first]->resume();
            } else {
                world_.start(at->first);
            }
            at = down_.erase(at);
        }
        const std::optional<size_t> leader = world_.leader();
        if (!leader || world_.masters[*leader]->state() != Host::State::Up || world_.node(*leader)->service() == nullptr) return;
        const master::TaskDriver::Counters& counters = world_.node(*leader)->service()->task_counters();
        const uint64_t seen = counters.started + counters.done + counters.failed + counters.orders;
        if (seen == seen_[*leader]) return;
        if (seen > seen_[*leader]) {
            out_.started += counters.started - std::min(counters.started, started_[*leader]);
            out_.done += counters.done - std::min(counters.done, done_[*leader]);
        }
        seen_[*leader] = seen;
        started_[*leader] = counters.started;
        done_[*leader] = counters.done;
        if (quiet_ || !down_.empty() || !draw_.chance(0.04)) return;
        ++out_.kills;
        const bool pause = draw_.chance(0.3);
        if (pause) {
            world_.masters[*leader]->pause();
        } else {
            world_.masters[*leader]->crash(draw_.chance(0.5) ? Host::Death::Kill : Host::Death::Power);
            seen_[*leader] = started_[*leader] = done_[*leader] = 0;
        }
        down_[*leader] = {now + Duration::millis(draw_.between(100, 2500)), pause};
    }

    MasterAnswer change(Fiber& fiber, Env& env, MasterCommand command) {
        Result<MasterAnswer> answer = client_->change(fiber, std::move(command), env.now() + Duration::seconds(30));
        REQUIRE_MESSAGE(answer.ok(), (answer.ok() ? "" : answer.error().text()));
        return *answer;
    }
    MasterAnswer order(Fiber& fiber, Env& env, MasterCommandKind kind, uint64_t node, uint32_t disk = 0) {
        MasterCommand command;
        command.kind = kind;
        command.node.node = NodeId(node);
        command.disk = DiskId(disk);
        return change(fiber, env, std::move(command));
    }
    MasterView ask(Fiber& fiber, Env& env, MasterQuery query) {
        query.limit = 5000;
        Result<MasterView> view = client_->query(fiber, query, env.now() + Duration::seconds(30));
        REQUIRE_MESSAGE(view.ok(), (view.ok() ? "" : view.error().text()));
        return *view;
    }
    void create(Fiber& fiber, Env& env, const std::string& name, uint32_t replicas, uint32_t partitions) {
        MasterCommand command;
        command.kind = MasterCommandKind::CreateVolume;
        command.name = name;
        command.replicas = replicas;
        command.partitions = partitions;
        REQUIRE(change(fiber, env, command).code == 0);
    }

    void work(Fiber& fiber, Env& env, void (Run::*what)(Fiber&, Env&)) {
        client_ = std::make_unique<client::MasterClient>(env, 1, MasterWorld::addresses(), client::MasterClient::Options{});
        std::vector<std::unique_ptr<StandIn>>& nodes = nodes_;
        bool stop = false;
        Together all(env);
        for (uint64_t node = 1; node <= kNodes; ++node) {
            data_.nodes[NodeId(node)];
            nodes.push_back(std::make_unique<StandIn>(env, data_, NodeId(node)));
            REQUIRE(change(fiber, env, nodes.back()->registration()).code == 0);
            all.start([&, at = nodes.back().get()](Fiber& own) { at->tell(own, stop); });
        }
        all.start([&](Fiber& own) {
            while (!stop && env.sleep(own, Duration::millis(50)).ok()) data_.go_on([&] { return draw_.chance(0.3); });
        });
        (this->*what)(fiber, env);
        stop = true;
        all.wait(fiber);
        for (std::unique_ptr<StandIn>& node : nodes) {
            out_.fulls += node->fulls;
            REQUIRE(node->stop(fiber).ok());
        }
        (void)client_->close(fiber);
        client_.reset();
        nodes.clear();
    }

    void large(Fiber& fiber, Env& env) {
        constexpr uint32_t kPartitions = 1000;
        create(fiber, env, "large", 3, kPartitions);
        const Instant begun = env.now();
        size_t created = 0;
        while (created < kPartitions && env.now() - begun < Duration::seconds(40)) {
            REQUIRE(env.sleep(fiber, Duration::millis(500)).ok());
            created = 0;
            for (const wire::PartitionRecord& partition : ask(fiber, env, {MasterTopic::Partitions, "large"}).partitions)
                created += partition.leader && std::ranges::all_of(partition.members, &wire::PartitionMember::created);
        }
        if (created < kPartitions) wrong("only " + std::to_string(created) + " partitions are there after 40 s");
        out_.took = env.now() - begun;
        if (data_.effects != 3 * kPartitions) wrong(std::to_string(data_.effects) + " replicas were made");
    }

    void trouble(Fiber& fiber, Env& env) {
        std::vector<std::unique_ptr<StandIn>>& nodes = nodes_;
        auto pause = [&](int64_t low, int64_t high) { REQUIRE(env.sleep(fiber, Duration::millis(draw_.between(low, high))).ok()); };
        create(fiber, env, "a", 3, 6);
        create(fiber, env, "b", 2, 3);
        pause(500, 3000);
        const uint64_t leaving = 1 + draw_.below(kNodes), dead = 1 + (leaving + draw_.below(kNodes - 1)) % kNodes, worn = 1 + dead % kNodes;
        REQUIRE(order(fiber, env, MasterCommandKind::DecommissionNode, leaving).code == 0);
        pause(0, 3000);
        data_.nodes[NodeId(dead)].up = false;
        create(fiber, env, "c", 3, 2);
        pause(0, 4000);
        nodes[worn - 1]->bad_disk = true;
        MasterCommand extend;
        extend.kind = MasterCommandKind::ExtendVolume;
        extend.name = "a";
        extend.partitions = 3;
        const MasterAnswer extended = change(fiber, env, extend);
        CHECK_MESSAGE(extended.code == 0, extended.context);
        pause(0, 4000);
        REQUIRE(change(fiber, env, master::delete_command("b")).code == 0);
        pause(4000, 8000);
        const bool returns = draw_.chance(0.5);
        if (returns) data_.nodes[NodeId(dead)].up = true;
        pause(0, 6000);
        quiet_ = true;
        settle(fiber, env);
        judge(fiber, env, leaving, returns ? 0 : dead, worn);
    }

    /// Until nothing has changed for a while: no task, and no order had an effect.
    void settle(Fiber& fiber, Env& env) {
        int still = 0;
        uint64_t effects = 0;
        for (int look = 0; look < 300 && still < 8; ++look) {
            REQUIRE(env.sleep(fiber, Duration::millis(500)).ok());
            const bool rests = ask(fiber, env, {MasterTopic::Tasks}).tasks.empty() && data_.effects == effects;
            still = rests ? still + 1 : 0;
            effects = data_.effects;
            if (!data_.wrong.empty()) return;
        }
        if (still >= 8) return;
        for (const wire::TaskRecord& task : ask(fiber, env, {MasterTopic::Tasks}).tasks)
            wrong("task " + std::to_string(task.task.value) + " of partition " + std::to_string(task.partition.value) + " is not over: " +
                  std::string(wire::task_step_name(task.step)) + ", waits for " + task.waits_for);
        wrong("it does not come to rest");
    }

    void judge(Fiber& fiber, Env& env, uint64_t leaving, uint64_t dead, uint64_t worn) {
        std::map<NodeId, std::map<PartitionId, ReplicaId>> wanted;
        size_t partitions = 0;
        std::set<uint64_t> ids;
        for (const wire::VolumeRecord& volume : ask(fiber, env, {MasterTopic::Volumes}).volumes) {
            for (const wire::PartitionRecord& partition : ask(fiber, env, {MasterTopic::Partitions, volume.name}).partitions) {
                ++partitions;
                const std::string name = "partition " + std::to_string(partition.partition.value);
                const auto group = data_.groups.find(partition.partition);
                if (group == data_.groups.end()) {
                    wrong(name + " has no group");
                    continue;
                }
                if (group->second.members.size() != partition.members.size() || partition.members.size() != volume.replicas) wrong(name + " has another number of members");
                if (partition.leader == NodeId()) wrong(name + " has no leader");
                for (const wire::PartitionMember& member : partition.members) {
                    if (!ids.insert(member.replica.value).second) wrong(name + " has a replica id that was given twice");
                    wanted[member.node][partition.partition] = member.replica;
                    const auto found = group->second.members.find(member.replica);
                    if (found == group->second.members.end() || !found->second.voter) wrong(name + " has a member that is no voter");
                    if (!data_.there(partition.partition, member.replica, member.node)) wrong(name + " has a member that is not there");
                    if (member.node == NodeId(leaving) || member.node == NodeId(dead)) wrong(name + " has a member on node " + std::to_string(member.node.value));
                    if (member.node == NodeId(worn) && member.disk == DiskId(1)) wrong(name + " has a member on a bad disk");
                }
            }
        }
        if (partitions != 11) wrong(std::to_string(partitions) + " partitions");
        for (const auto& [id, node] : data_.nodes) {
            if (!node.up) continue;
            for (const auto& [partition, replica] : node.replicas)
                if (wanted[id][partition] != replica.id) wrong(DataPlane::name(partition, replica.id) + " is left over on node " + std::to_string(id.value));
        }
        for (const wire::NodeRecord& node : ask(fiber, env, {MasterTopic::Nodes}).nodes) {
            size_t members = 0;
            for (const wire::DiskRecord& disk : node.disks) members += disk.members;
            if (members != wanted[node.node].size()) wrong("node " + std::to_string(node.node.value) + " counts " + std::to_string(members) + " members");
            if (!node.waits_for.empty()) wrong("node " + std::to_string(node.node.value) + " waits for " + node.waits_for);
        }
    }

    static constexpr uint64_t kNodes = 7;
    MasterWorld world_;
    RandomStream draw_;
    DataPlane data_;
    std::vector<std::unique_ptr<StandIn>> nodes_;  // while the errand runs
    Outcome out_;
    bool quiet_ = false;
    std::map<size_t, std::pair<Instant, bool>> down_;  // until when; paused only
    std::map<size_t, uint64_t> seen_, started_, done_;
    std::unique_ptr<client::MasterClient> client_;
};

TEST_CASE("members are moved and repaired while masters are struck at every step: all are there at the end, none went too early, nothing is done twice") {
    Outcome all;
    for (uint64_t seed = 200; seed < 200 + 3 * kRuns; ++seed) {
        const Outcome one = Run(seed).go();
        CAPTURE(seed);
        CHECK_MESSAGE(one.wrong.empty(), one.wrong.front());
        CHECK(one.done > 0);
        all.started += one.started;
        all.done += one.done;
        all.effects += one.effects;
        all.repeated += one.repeated;
        all.kills += one.kills;
        all.fulls += one.fulls;
    }
    MESSAGE(all.started << " tasks begun, " << all.done << " done; " << all.effects << " orders with effect, " << all.repeated << " without; " << all.kills << " masters struck; "
                        << all.fulls << " times a full report was wanted");
    CHECK(all.kills > 6 * static_cast<int>(kRuns));
    CHECK(all.done > 20 * kRuns);
    CHECK(all.repeated > 0);
    CHECK(all.fulls > 0);
}

TEST_CASE("a volume of a thousand partitions: 3,000 replicas are made, each once, although one order in ten is late or its answer is lost") {
    const Outcome made = Run(77).create_large();
    CHECK_MESSAGE(made.wrong.empty(), made.wrong.front());
    MESSAGE("in " << made.took.as_millis() << " ms; " << made.repeated << " orders without effect");
}

TEST_CASE("with the checks taken out, members go too early or two at a time") {
    for (Defect defect : {Defect::source_removed_first, Defect::decommission_checked_alone}) {
        set_defects(only(defect));
        uint64_t seed = 200;
        std::vector<std::string> wrong;
        for (; wrong.empty() && seed < 210; ++seed) wrong = Run(seed).go().wrong;
        set_defects({});
        const std::string name(kDefects[static_cast<size_t>(defect)].name);
        CHECK_MESSAGE(!wrong.empty(), name);
        if (!wrong.empty()) MESSAGE(name << ": run " << seed - 200 << ": " << wrong.front());
    }
}

}  // namespace
}  // namespace orrery::test
