// A partition of three replicas in a simulated world.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/data/extent_writer.h"
#include "node/raft/found_cluster.h"
#include "node/raft/group_host.h"
#include "node/rpc/server.h"
#include "runtime/env/errand.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"

namespace orrery::test {

inline constexpr GroupId kPartition{7};

struct ExtentTuning {
    uint64_t flush_bytes = 32 << 20;  // of the log, until the Store is flushed
    data::ExtentWriterOptions writer;
};

/// Remembers what its node's log held at the start.
class SeenMachine : public data::ExtentMachine {
 public:
    using ExtentMachine::ExtentMachine;
    void recovered(std::span<const raft::Entry> above_applied) override {
        entries.assign(above_applied.begin(), above_applied.end());
        ExtentMachine::recovered(above_applied);
    }
    std::vector<raft::Entry> entries;
};

class ExtentNode : public Process {
 public:
    ExtentNode(Env& env, NodeId id, std::string name, ExtentTuning tuning) : env_(env), id_(id), name_(std::move(name)), tuning_(tuning) {}

    Result<void> run(Fiber& fiber) override {
        TRY(directory_, raft::NodeDirectory::open(fiber, env_, {id_, name_ + ":7100", name_ + ":7000"}));
        raft::GroupHost::handle_peers(service_, *directory_, host_);
        server_ = std::make_unique<rpc::Server>(env_, directory_->identity(), service_, rpc::ServerOptions{});
        TRY(server_->start({name_, 7100}));
        TRY(directory_->wait_founded(fiber));
        raft::GroupHostOptions options;
        options.store = store::Options::small();
        options.log.segment_bytes = 512 << 10;
        options.log.batch_bytes = 128 << 10;
        options.log.queue_bytes = 256 << 10;
        options.log.copy_bytes = 32 << 10;
        options.flush_log_bytes = tuning_.flush_bytes;
        TRY(host_, raft::GroupHost::open(fiber, env_, *directory_, options));
        raft::GroupOptions group;
        group.core.election_timeout_min = Duration::millis(300);
        group.core.election_timeout_max = Duration::millis(600);
        group.core.heartbeat = Duration::millis(50);
        data::ExtentMachineOptions extents;
        extents.replica = ReplicaId(directory_->identity().incarnation.value);
        TRY(group_, host_->add_group(fiber, kPartition, [&](store::Store& store) { return std::make_unique<SeenMachine>(env_, store, extents); }, group));
        writer_ = std::make_unique<data::ExtentWriter>(env_, *group_, machine(), tuning_.writer);
        TRY(stop_.wait(fiber));
        TRY(server_->stop(fiber, env_.now()));
        return host_->stop(fiber, env_.now() + Duration::seconds(5));
    }
    void request_stop() override { stop_.set(); }

    Env& env() { return env_; }
    /// Null while it starts.
    raft::Group* group() { return writer_ ? group_ : nullptr; }
    raft::GroupHost* host() { return host_.get(); }
    SeenMachine& machine() { return static_cast<SeenMachine&>(group_->machine()); }
    data::ExtentWriter& writer() { return *writer_; }

 private:
    Env& env_;
    NodeId id_;
    std::string name_;
    ExtentTuning tuning_;
    std::unique_ptr<raft::NodeDirectory> directory_;
    rpc::Service service_;
    std::unique_ptr<rpc::Server> server_;
    std::unique_ptr<raft::GroupHost> host_;
    raft::Group* group_ = nullptr;
    std::unique_ptr<data::ExtentWriter> writer_;
    Event stop_;
};

/// Extents that a replica calls damaged, by what it says of them.
struct DamageWatch : sim::TraceObserver {
    std::vector<std::string> seen;
    void on_event(sim::Host& host, const TraceEvent& event) override {
        if (event.name == "raft.snapshot.begin") seen.push_back("a snapshot to " + host.name());
        if (event.name == "data.extent_damaged") seen.push_back("damage on " + host.name());
    }
};

struct ExtentWorld {
    DamageWatch damage;  // outlives the world
    sim::World world;
    std::vector<sim::Host*> hosts;
    sim::Host* operator_host;
    ExtentTuning tuning;

    static sim::WorldOptions options(uint64_t seed) {
        sim::WorldOptions out;
        out.seed = seed;
        return out;
    }

    explicit ExtentWorld(uint64_t seed, ExtentTuning the_tuning = {}) : world(options(seed)), tuning(the_tuning) {
        sim::reset_rocksdb_process_state(seed);
        world.add_observer(damage, false);
        sim::HostOptions host;
        host.disk.power_loss.garbage_spares_synced = {store::Options::small().path + "/"};
        for (size_t i = 0; i < 3; ++i) {
            hosts.push_back(&world.add_host("n" + std::to_string(i + 1), host));
            start(i);
        }
        operator_host = &world.add_host("operator");
        operator_host->start([](Env& env) {
            return std::make_unique<Errand>(env, [](Fiber& fiber, Env& inner) -> Result<void> {
                (void)raft::found_cluster(fiber, inner, {{"n1", 7100}, {"n2", 7100}, {"n3", 7100}}, inner.now() + Duration::seconds(10));
                return {};
            });
        });
        (void)settle();
    }

    void start(size_t i) {
        hosts[i]->start([this, i](Env& env) { return std::make_unique<ExtentNode>(env, NodeId(i + 1), "n" + std::to_string(i + 1), tuning); });
    }
    ExtentNode* node(size_t i) { return hosts[i]->up() ? static_cast<ExtentNode*>(hosts[i]->process()) : nullptr; }
    raft::Group* group(size_t i) { return node(i) != nullptr ? node(i)->group() : nullptr; }
    /// Of the highest term.
    std::optional<size_t> leader() {
        std::optional<size_t> out;
        for (size_t i = 0; i < 3; ++i)
            if (group(i) != nullptr && group(i)->leads() && (!out || group(*out)->core().term() < group(i)->core().term())) out = i;
        return out;
    }
    /// Runs `work` as a fiber of that node. False when it did not end in time.
    bool on_node(size_t i, std::function<void(Fiber&, ExtentNode&)> work, Duration limit = Duration::seconds(20)) {
        auto done = std::make_shared<bool>(false);
        hosts[i]->env()->spawn("test", [work, done, node = node(i)](Fiber& fiber) {
            work(fiber, *node);
            *done = true;
        });
        world.run_until(world.now() + limit, [&] { return *done || !hosts[i]->up(); });
        return *done;
    }
    Instant soon(size_t i, Duration wait = Duration::seconds(5)) { return hosts[i]->env()->now() + wait; }
    /// Everybody leads to the same place: all up, one leader, everything applied everywhere.
    bool settle(Duration limit = Duration::seconds(30)) {
        world.net().heal_all();
        for (size_t i = 0; i < 3; ++i)
            if (!hosts[i]->up()) start(i);
        return world.run_until(world.now() + limit, [&] {
            const std::optional<size_t> at = leader();
            if (!at) return false;
            const raft::Core& core = group(*at)->core();
            for (size_t i = 0; i < 3; ++i)
                if (group(i) == nullptr || group(i)->core().leader() != group(*at)->self() || group(i)->applied() != core.log().last().index || core.log().term_at(group(*at)->applied()) != core.term()) return false;
            return true;
        }), settled();
    }
    bool settled() {
        const std::optional<size_t> at = leader();
        for (size_t i = 0; i < 3; ++i)
            if (!at || group(i) == nullptr || group(i)->applied() != group(*at)->core().log().last().index) return false;
        return true;
    }
    void crash(size_t i, sim::Host::Death death) {
        if (hosts[i]->up()) hosts[i]->crash(death);
    }
    /// The n-th changing operation of that disk from now on is its last.
    void crash_at(size_t i, uint64_t nth, sim::Host::Death death) {
        hosts[i]->disk().crash_at_operation(nth, [this, i, death, life = hosts[i]->life()](const sim::DiskOperation& operation) {
            world.at(operation.at, [this, i, death, life] {
                if (hosts[i]->life() == life) crash(i, death);
            });
        });
    }
    std::string failure_text() { return world.failure() ? world.failure()->name + ": " + world.failure()->text : ""; }
    std::string state_text() {
        std::string out = " at " + std::to_string(world.now().ns / 1000000) + " ms";
        for (size_t i = 0; i < 3; ++i) {
            out += "\n" + hosts[i]->name() + ": ";
            if (group(i) == nullptr) {
                out += hosts[i]->up() ? "starts" : hosts[i]->exit_result() && !hosts[i]->exit_result()->ok() ? hosts[i]->exit_result()->error().text() : "down";
                continue;
            }
            const raft::Status now = group(i)->status();
            out += std::string(raft::role_name(now.role)) + " term " + std::to_string(now.hard_state.term.value) + " last " + std::to_string(now.last.index.value) + " durable " +
                   std::to_string(now.durable.value) + " commit " + std::to_string(now.commit.value) + " applied " + std::to_string(now.applied.value) +
                   " members" + [&] {
                       std::string members;
                       for (const raft::MemberStatus& member : now.members)
                           members += " (" + std::to_string(member.member.node.value) + " state " + std::to_string(static_cast<int>(member.state)) + " match " + std::to_string(member.match.value) + " next " + std::to_string(member.next.value) + " received " + std::to_string(member.received.value) + " window " + std::to_string(member.window_bytes) + ")";
                       return members;
                   }() +
                   (group(i)->stopped() ? " stopped: " + group(i)->stopped()->text() : "");
        }
        for (const std::string& event : world.recent_events())
            out += "\n" + event;
        return out;
    }
    std::string extent_path(size_t i, ExtentId extent) { return node(i)->machine().files().path(extent); }

    /// The records of a replica's extents, as they are.
    std::map<Bytes, Bytes> records(size_t i) {
        std::map<Bytes, Bytes> out;
        on_node(i, [&](Fiber& fiber, ExtentNode& node) {
            const Bytes prefix = raft::space_begin(*node.group()->space());
            Bytes from = prefix + data::extents_begin();
            const Bytes end = raft::space_end(*node.group()->space());
            for (;;) {
                auto chunk = node.host()->store().scan(fiber, nullptr, from, end);
                if (!chunk.ok()) return;
                for (auto& [key, value] : chunk->pairs) out[key.substr(prefix.size())] = value;
                if (!chunk->next) return;
                from = *chunk->next;
            }
        });
        return out;
    }
};

}  // namespace orrery::test
