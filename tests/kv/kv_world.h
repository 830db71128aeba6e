// KV nodes n1, n2, ... in a simulated world, an operator, and clients on the operator's host.
#pragma once

#include <algorithm>

#include "kv/kv_node.h"
#include "node/raft/found_cluster.h"
#include "runtime/env/errand.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"

#include <doctest/doctest.h>

namespace orrery::test {

using namespace orrery::sim;

/// Runs `work` on the operator's host until it is done, or `limit` passes.
struct KvWorld {
    World world;
    std::vector<Host*> nodes;
    Host* operator_host;

    static WorldOptions options(uint64_t seed) {
        WorldOptions out;
        out.seed = seed;
        return out;
    }

    uint64_t retain_bytes;
    uint64_t slowed_bytes_per_second = 16 << 20;
    uint64_t cache_bytes = store::Options::small().cache_bytes;
    raft::DamageRepair repair = raft::DamageRepair::Automatic;
    size_t founders;
    std::function<void(kv::KvNodeOptions&)> adjust;  // of each node, when it starts
    std::function<void()> each_step;                 // after every event of the world, during an errand

    /// `count` nodes run, of which the first `the_founders` found the cluster.
    KvWorld(uint64_t seed, size_t count, size_t the_founders, uint64_t the_retain_bytes = 64 << 20,
            std::function<void(kv::KvNodeOptions&)> the_adjust = {})
        : world(options(seed)), retain_bytes(the_retain_bytes), founders(the_founders), adjust(std::move(the_adjust)) {
        REQUIRE(check_rocksdb_is_deterministic(seed).ok());
        HostOptions host;
        host.disk.power_loss.garbage_spares_synced = {store::Options::small().path + "/"};
        for (size_t i = 0; i < count; ++i) {
            nodes.push_back(&world.add_host("n" + std::to_string(i + 1), host));
            start(i);
        }
        operator_host = &world.add_host("operator");
    }

    void start(size_t i) {
        nodes[i]->start([i, this](Env& env) {
            kv::KvNodeOptions options;
            const std::string name = "n" + std::to_string(i + 1);
            options.node = NodeId(i + 1);
            options.peer_listen = {name, 7100};
            options.service_listen = {name, 7000};
            options.admin_listen = Address{name, 7200};
            options.host.store = store::Options::small();
            options.host.store.cache_bytes = cache_bytes;
            options.host.repair = repair;
            options.cache.slots = 16;
            options.host.log.segment_bytes = 16 << 20;
            options.host.log.batch_bytes = 4 << 20;
            options.host.log.queue_bytes = 8 << 20;
            options.host.log.copy_bytes = 32 << 10;
            options.host.flush_log_bytes = retain_bytes / 4;
            options.group.retain_bytes = retain_bytes;
            options.group.slowed_bytes_per_second = slowed_bytes_per_second;
            options.group.core.election_timeout_min = Duration::millis(300);
            options.group.core.election_timeout_max = Duration::millis(600);
            options.group.core.heartbeat = Duration::millis(50);
            if (adjust) adjust(options);
            return std::make_unique<kv::KvNode>(env, options);
        });
    }

    void errand(std::function<void(Fiber&, Env&)> work, Duration limit = Duration::seconds(20)) {
        bool done = false;
        operator_host->start([&](Env& env) {
            return std::make_unique<Errand>(env, [&](Fiber& fiber, Env& inner) {
                work(fiber, inner);
                done = true;
                return Result<void>();
            });
        });
        world.run_until(world.now() + limit, [&] {
            if (each_step) each_step();
            return done && !operator_host->up();
        });
        if (world.failure()) {
            for (const std::string& line : world.recent_events()) MESSAGE(line);
            FAIL(world.failure()->name << ": " << world.failure()->text);
        }
        REQUIRE(done);
    }

    void found() {
        errand([&](Fiber& fiber, Env& env) {
            std::vector<Address> peers;
            for (size_t i = 0; i < founders; ++i) peers.push_back({nodes[i]->name(), 7100});
            Result<wire::FoundingRecord> record = raft::found_cluster(fiber, env, peers, env.now() + Duration::seconds(10));
            CHECK_MESSAGE(record.ok(), (record.ok() ? "" : record.error().text()));
        });
        run(Duration::seconds(3));
    }

    kv::KvNode* node(size_t i) { return static_cast<kv::KvNode*>(nodes[i]->process()); }
    /// Null when nobody leads.
    Host* leader_host() {
        Host* best = nullptr;
        Term highest;
        for (size_t i = 0; i < nodes.size(); ++i) {
            raft::Group* group = nodes[i]->up() && node(i) != nullptr ? node(i)->group() : nullptr;
            if (group == nullptr || !group->leads() || group->core().term() <= highest) continue;
            best = nodes[i];
            highest = group->core().term();
        }
        return best;
    }
    raft::Group* leader_group() {
        Host* leader = leader_host();
        return leader == nullptr ? nullptr : node(leader->index())->group();
    }

    void run(Duration duration) {
        world.run_until(world.now() + duration);
        if (world.failure()) {
            for (const std::string& line : world.recent_events()) MESSAGE(line);
            FAIL(world.failure()->name << ": " << world.failure()->text);
        }
    }

    /// What a client on the operator's host gets for raw bytes and a QUIT behind them, whose own +OK is cut off.
    std::string ask(const std::string& host, const std::string& bytes) {
        std::string answer;
        errand([&](Fiber& fiber, Env& env) {
            auto conn = env.net.connect(fiber, {host, 7000}, env.now() + Duration::seconds(2));
            if (!conn.ok()) {
                answer = conn.error().text();
                return;
            }
            if (!(*conn)->write_all(fiber, bytes + "QUIT\r\n").ok()) return;
            Bytes buffer(4096, '\0');
            for (;;) {
                auto count = (*conn)->read(fiber, buffer, env.now() + Duration::seconds(8));
                if (!count.ok() || *count == 0) return;
                answer.append(buffer.data(), *count);
            }
        });
        if (answer.ends_with("+OK\r\n")) answer.resize(answer.size() - 5);
        return answer;
    }
};

}  // namespace orrery::test
