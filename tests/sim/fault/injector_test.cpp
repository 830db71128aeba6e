#include "sim/fault/injector.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

namespace {

/// Writes and syncs a file for ever, and says so.
class Writer : public Process {
 public:
    explicit Writer(Env& env) : env_(env) {}
    Result<void> run(Fiber& fiber) override {
        for (int64_t round = 1; !stopping_; ++round) {
            TRY(env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
                TRY(auto file, env_.disk.open(blocking, "file", OpenMode::Create));
                TRY(file->pwrite(blocking, 0, Bytes(1000, 'x')));
                return file->sync(blocking);
            }));
            TRY(env_.tracer.checkpoint(
                fiber, "writer.round",
                {{"round", round}, {"id", Incarnation(-static_cast<uint64_t>(round))}}));
            TRY(env_.sleep(fiber, Duration::millis(1)));
        }
        return {};
    }
    void request_stop() override { stopping_ = true; }

 private:
    Env& env_;
    bool stopping_ = false;
};

class Troupe : public Cast {
 public:
    explicit Troupe(World& world) : world_(world) {
        for (int i = 1; i <= 3; ++i) {
            members_.push_back(&world.add_host("n" + std::to_string(i)));
            start(*members_.back());
        }
    }
    const std::vector<Host*>& members() const override { return members_; }
    const std::vector<Host*>& others() const override { return others_; }
    std::vector<Host*> resolve(const NodeName& name, RandomStream&) override {
        if (name == "all(kv)") return members_;
        Host* host = world_.find_host(name);
        return host != nullptr ? std::vector<Host*>{host} : std::vector<Host*>{};
    }
    void start(Host& host) override {
        host.start([](Env& env) { return std::make_unique<Writer>(env); });
    }
    bool transfer(Host&) override { return false; }

 private:
    World& world_;
    std::vector<Host*> members_, others_;
};

struct Stage {
    explicit Stage(std::vector<PlannedFault> the_events)
        : events(std::move(the_events)), injector(world, troupe, events) {
        injector.begin();
    }
    void run_ms(int64_t ms) { world.run_until(world.now() + Duration::millis(ms)); }
    World world{WorldOptions{}};
    Troupe troupe{world};
    std::vector<PlannedFault> events;
    Injector injector;
};

PlannedFault at(int64_t ms, Fault fault, std::string id = {}) {
    return {std::move(id), TriggerAt{Duration::millis(ms)}, std::move(fault)};
}

}  // namespace

TEST_CASE("injector: a crash strikes at its time, and the node comes back after its delay") {
    Stage stage({at(10, ProcCrash{.node = "n1", .restart_after = Duration::millis(20)})});
    stage.run_ms(15);
    CHECK(!stage.world.host(0).up());
    CHECK(stage.world.host(1).up());
    stage.run_ms(20);
    CHECK(stage.world.host(0).up());
    CHECK(stage.world.host(0).life() == 2);
    CHECK(stage.injector.fired().size() == 1);
    CHECK(stage.injector.fired()[0].effective);
}

TEST_CASE("injector: a crash can strike at every disk operation, before and after it") {
    for (bool before : {false, true}) {
        for (uint64_t operation = 1; operation <= 8; ++operation) {
            ProcCrash crash{.node = "n2",
                            .at_disk_operation = operation,
                            .before_operation = before,
                            .restarts = false};
            Stage stage({at(0, crash)});
            stage.run_ms(200);
            CHECK(!stage.world.host(1).up());
            CHECK(stage.injector.fired().size() == 1);
            stage.injector.heal();
            CHECK(stage.world.host(1).up());
        }
    }
}

TEST_CASE("injector: an event follows another after its delay, by id and by name") {
    Stage stage(
        {at(5, ProcPause{"n1", Duration::millis(10)}, "first"),
         {"", TriggerAfter{"first", Duration::millis(7)}, ProcPause{"n2", Duration::millis(10)}},
         {"", TriggerAfter{"proc.crash", {}}, ProcPause{"n3", Duration::millis(10)}}});
    stage.run_ms(6);
    CHECK(stage.world.host(0).state() == Host::State::Paused);
    CHECK(stage.world.host(1).state() == Host::State::Up);
    stage.run_ms(7);
    CHECK(stage.world.host(1).state() == Host::State::Paused);
    stage.run_ms(20);
    CHECK(stage.world.host(0).state() == Host::State::Up);
    CHECK(stage.injector.never_fired() == std::vector<size_t>{2});
}

TEST_CASE(
    "injector: a trace point sets off a fault on the node that reached it, the nth time and where "
    "fields match") {
    Stage stage(
        {{"", TriggerWhen{"writer.round", "n3", 1, "round=4 id=18446744073709551612"},
          ProcCrash{.node = "self", .restarts = false}},
         {"", TriggerWhen{"writer.round", "n1", 3, ""}, HoldCheckpoint{Duration::seconds(5)}}});
    stage.run_ms(500);
    CHECK(!stage.world.host(2).up());
    CHECK(stage.world.host(0).up());
    REQUIRE(stage.injector.fired().size() == 2);
    const uint64_t held = stage.world.host(0).disk().operation_number();
    stage.run_ms(500);
    CHECK(stage.world.host(0).disk().operation_number() == held);
}

TEST_CASE(
    "injector: cuts end by themselves and at heal, and tell whether they held anything back") {
    NetPartition alone{.node = "n1", .for_time = Duration::millis(50)};
    NetPartition lasting{.shape = PartitionShape::Links, .links = {"n2->n3"}};
    Stage stage({at(0, alone), at(0, lasting)});
    stage.run_ms(10);
    SimNet& net = stage.world.net();
    auto cut = [&](size_t from, size_t to) {
        return net.is_cut(stage.world.host(from).endpoint(), stage.world.host(to).endpoint());
    };
    CHECK(cut(0, 1));
    CHECK(cut(1, 0));
    CHECK(cut(1, 2));
    CHECK(!cut(2, 1));
    stage.run_ms(100);
    CHECK(!cut(0, 1));
    CHECK(cut(1, 2));
    stage.injector.heal();
    CHECK(!cut(1, 2));
    for (const Fired& fired : stage.injector.fired()) CHECK(!fired.effective);  // nobody talked
}

TEST_CASE("injector: a failed sync and a full disk count as effective only when they struck") {
    Stage stage({at(0, DiskSyncFailure{"n1", "file", 1}),
                 at(0, DiskSyncFailure{"n2", "no-such-zone", 1}), at(0, ProcCrash{.node = "n3"}),
                 at(1, ProcCrash{.node = "n3"})});
    stage.run_ms(100);
    stage.injector.heal();
    REQUIRE(stage.injector.fired().size() == 4);
    CHECK(stage.injector.fired()[0].effective);
    CHECK(!stage.injector.fired()[1].effective);
    CHECK(stage.injector.fired()[2].effective);
    CHECK(!stage.injector.fired()[3].effective);  // it was down already
}
