// Masters m1, m2, m3 in a simulated world, and a client on a host of its own.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "node/client/master_client.h"
#include "node/master/master_node.h"
#include "node/raft/found_cluster.h"
#include "runtime/env/errand.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

namespace orrery::test {

using namespace orrery::sim;

inline constexpr uint64_t kRuns = seeds(10);
inline constexpr bool kPlants = !kSanitized;  // seeded defects are looked for

/// Fibers of one host that are waited for together.
class Together {
 public:
    explicit Together(Env& env) : env_(env) {}
    template <typename Work>
    void start(Work work) {
        ++running_;
        env_.spawn("test.client", [this, work](Fiber& own) {
            work(own);
            --running_;
            ended_.notify_all();
        });
    }
    void wait(Fiber& fiber) {
        while (running_ > 0) REQUIRE(ended_.wait(fiber).ok());
    }

 private:
    Env& env_;
    int running_ = 0;
    Notify ended_;
};

struct MasterWorld {
    World world;
    std::vector<Host*> masters;
    Host* client_host;
    uint64_t retain_bytes;
    Duration node_silence;  // of data nodes
    std::function<void(master::MasterNodeOptions&)> tune;

    static WorldOptions options(uint64_t seed) {
        WorldOptions out;
        out.seed = seed;
        return out;
    }

    explicit MasterWorld(uint64_t seed, uint64_t the_retain_bytes = 64 << 20, Duration the_node_silence = Duration::seconds(3600),
                         std::function<void(master::MasterNodeOptions&)> the_tune = {})
        : world(options(seed)), retain_bytes(the_retain_bytes), node_silence(the_node_silence), tune(std::move(the_tune)) {
        REQUIRE(check_rocksdb_is_deterministic(seed).ok());
        HostOptions host;
        host.disk.power_loss.garbage_spares_synced = {store::Options::small().path + "/"};
        for (size_t i = 0; i < 3; ++i) {
            masters.push_back(&world.add_host("m" + std::to_string(i + 1), host));
            start(i);
        }
        client_host = &world.add_host("client");
        errand([&](Fiber& fiber, Env& env) {
            REQUIRE(raft::found_cluster(fiber, env, {{"m1", 7100}, {"m2", 7100}, {"m3", 7100}}, env.now() + Duration::seconds(10)).ok());
        });
    }

    void start(size_t i) {
        masters[i]->start([i, this](Env& env) {
            master::MasterNodeOptions options;
            const std::string name = "m" + std::to_string(i + 1);
            options.node = NodeId(i + 1);
            options.peer_listen = {name, 7100};
            options.service_listen = {name, 7000};
            options.admin_listen = Address{name, 7200};
            options.host.store = store::Options::small();
            options.host.log.segment_bytes = 1 << 20;
            options.host.log.batch_bytes = 256 << 10;
            options.host.log.queue_bytes = 512 << 10;
            options.host.log.copy_bytes = 32 << 10;
            options.host.flush_log_bytes = retain_bytes / 4;
            options.group.retain_bytes = retain_bytes;
            options.service.node_silence = node_silence;
            options.group.core.election_timeout_min = Duration::millis(300);
            options.group.core.election_timeout_max = Duration::millis(600);
            options.group.core.heartbeat = Duration::millis(50);
            if (tune) tune(options);
            return std::make_unique<master::MasterNode>(env, options);
        });
    }

    /// Runs `work` on the client's host until it is done; `meanwhile` after every event of the world.
    void errand(std::function<void(Fiber&, Env&)> work, Duration limit = Duration::seconds(60), std::function<void()> meanwhile = {}) {
        bool done = false;
        client_host->start([&](Env& env) {
            return std::make_unique<Errand>(env, [&](Fiber& fiber, Env& inner) {
                work(fiber, inner);
                done = true;
                return Result<void>();
            });
        });
        world.run_until(world.now() + limit, [&] {
            if (meanwhile) meanwhile();
            return done && !client_host->up();
        });
        look();
        REQUIRE(done);
    }
    void run(Duration duration) {
        world.run_until(world.now() + duration);
        look();
    }
    void look() {
        if (!world.failure()) return;
        for (const std::string& line : world.recent_events()) MESSAGE(line);
        FAIL(world.failure()->name << ": " << world.failure()->text);
    }

    static std::vector<Address> addresses() { return {{"m1", 7000}, {"m2", 7000}, {"m3", 7000}}; }
    master::MasterNode* node(size_t i) { return static_cast<master::MasterNode*>(masters[i]->process()); }
    std::optional<size_t> leader() {
        for (size_t i = 0; i < masters.size(); ++i)
            if (masters[i]->up() && node(i) != nullptr && node(i)->group() != nullptr && node(i)->group()->leads()) return i;
        return std::nullopt;
    }
};

}  // namespace orrery::test
