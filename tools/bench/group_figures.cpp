// Figures of a whole Raft group in a world: idle speed-up, set-up and tear-down.
#include <memory>
#include <string>
#include <vector>

#include "kv/kv_node.h"
#include "node/raft/found_cluster.h"
#include "runtime/base/check.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"
#include "tools/bench/figures.h"

namespace orrery::bench {

namespace {

kv::KvNodeOptions node_options(uint64_t number) {
    kv::KvNodeOptions options;
    const std::string name = "n" + std::to_string(number);
    options.node = NodeId(number);
    options.peer_listen = {name, 7100};
    options.service_listen = {name, 7000};
    options.host.store = store::Options::small();
    options.cache.slots = 64;
    options.host.log.segment_bytes = 256 << 10;
    options.host.log.batch_bytes = 64 << 10;
    options.host.log.queue_bytes = 128 << 10;
    options.host.log.copy_bytes = 32 << 10;
    options.group.core.election_timeout_min = Duration::millis(500);
    options.group.core.election_timeout_max = Duration::millis(1000);
    options.group.core.heartbeat = Duration::millis(50);
    return options;
}

/// Founds the cluster and ends.
class Founder final : public Process {
 public:
    explicit Founder(Env& env) : env_(env) {}
    Result<void> run(Fiber& fiber) override {
        TRY(raft::found_cluster(fiber, env_, {{"n1", 7100}, {"n2", 7100}, {"n3", 7100}},
                                env_.now() + Duration::seconds(10)));
        return {};
    }
    void request_stop() override {}

 private:
    Env& env_;
};

/// A founded group of three KV nodes with a leader, after ten simulated seconds.
class Group {
 public:
    Group() : world({.seed = 1}) {
        for (uint64_t number = 1; number <= 3; ++number)
            world.add_host("n" + std::to_string(number)).start([number](Env& env) {
                return std::make_unique<kv::KvNode>(env, node_options(number));
            });
        world.add_host("operator").start([](Env& env) { return std::make_unique<Founder>(env); });
        run(Duration::seconds(10));
        int leaders = 0;
        for (size_t i = 0; i < 3; ++i) {
            auto* node = static_cast<kv::KvNode*>(world.host(i).process());
            CHECK(node->serving());
            leaders += node->group()->status().role == raft::Role::Leader;
        }
        CHECK(leaders == 1, leaders);
    }
    void run(Duration duration) {
        const sim::World::Stop stop = world.run_until(world.now() + duration);
        CHECK(stop == sim::World::Stop::Time, world.failure() ? world.failure()->text : "idle");
    }
    sim::World world;
};

struct GroupTimes {
    double idle_speed_up = 0;
    double set_up_ms = 0;
};

GroupTimes group_times() {
    GroupTimes times;
    sim::reset_rocksdb_process_state(1);
    const int64_t begin = cpu_ns();
    int64_t idle = 0;
    {
        Group group;
        const int64_t idle_begin = cpu_ns();
        group.run(Duration::seconds(200));
        idle = cpu_ns() - idle_begin;
        times.idle_speed_up = 200e9 / static_cast<double>(idle);
    }
    // Three nodes with their stores and logs: made, founded, ten simulated seconds, destroyed.
    times.set_up_ms = static_cast<double>(cpu_ns() - begin - idle) / 1e6;
    sim::release_rocksdb_process_state();
    return times;
}

}  // namespace

void add_group_figures(std::vector<Figure>& figures) {
    figures.push_back({"group.idle sim s / s, 50 ms beat", "times", Better::Higher, 5000,
                       [] { return group_times().idle_speed_up; }});
    figures.push_back({"group.found+10 s+tear-down", "ms", Better::Lower, 0,
                       [] { return group_times().set_up_ms; }});
}

}  // namespace orrery::bench
