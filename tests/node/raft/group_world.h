// A Raft group of three in a simulated world, with a state machine whose entries have attachments: each is a file of its
// own, and the state names (index -> hash of the attachment).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/raft/found_cluster.h"
#include "node/raft/group_host.h"
#include "node/rpc/server.h"
#include "runtime/env/errand.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"

namespace orrery::test {

inline constexpr GroupId kGroup{7};

inline std::string attachment_path(LogIndex index, Term term) {
    return "files/" + std::to_string(index.value) + "-" + std::to_string(term.value);
}

/// Entries are texts; one that begins with "+" comes with an attachment of the same text, repeated.
class AttachMachine : public raft::StateMachine {
 public:
    AttachMachine(Env& env, store::Store& store) : env_(env), store_(store) {}

    Result<void> load(Fiber&, const raft::StateSpace& space) override {
        space_ = space;
        return {};
    }
    Result<void> apply(Fiber&, std::span<raft::ApplyItem> items, store::Batch& batch) override {
        for (raft::ApplyItem& item : items) {
            Bytes key = raft::space_begin(space_) + "\x03";
            put_be64(key, item.index.value);
            batch.put(key, item.body);
            if (item.reply_wanted) item.reply = "applied " + Bytes(item.body);
        }
        return {};
    }
    void applied(LogIndex) override {}

    Result<void> store_attachment(Fiber& fiber, const raft::Entry& entry) override {
        const std::string path = attachment_path(entry.index, entry.term);
        return env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
            if (Result<void> made = env_.disk.create_dir(blocking, "files"); !made.ok() && made.code() != Code::Exists) return made;
            TRY(env_.disk.sync_dir(blocking, ""));
            TRY(auto file, env_.disk.open(blocking, path, OpenMode::CreateTruncate));
            TRY(file->pwrite(blocking, 0, *entry.attachment));
            TRY(file->sync(blocking));
            return env_.disk.sync_dir(blocking, "files");
        });
    }
    Result<raft::LoadedAttachment> load_attachment(Fiber& fiber, const raft::Entry& entry) override {
        const std::string path = attachment_path(entry.index, entry.term);
        return env_.blocking(fiber, [&](Blocking& blocking) -> Result<raft::LoadedAttachment> {
            TRY(auto file, env_.disk.open(blocking, path, OpenMode::Read));
            TRY(uint64_t size, file->size(blocking));
            auto bytes = std::make_shared<Bytes>(size, '\0');
            if (size > 0) TRY(file->pread(blocking, 0, *bytes));
            return raft::LoadedAttachment{bytes, {}};
        });
    }

    /// Every text of the state, by index. Yields.
    Result<std::map<uint64_t, Bytes>> texts(Fiber& fiber) {
        std::map<uint64_t, Bytes> out;
        Bytes from = raft::space_begin(space_) + "\x03";
        const Bytes end = raft::space_end(space_);
        for (;;) {
            TRY(store::Store::Chunk chunk, store_.scan(fiber, nullptr, from, end));
            for (auto& [key, value] : chunk.pairs) out[get_be64(key.data() + raft::kSpaceBytes + 1)] = value;
            if (!chunk.next) return out;
            from = *chunk.next;
        }
    }

 private:
    Env& env_;
    store::Store& store_;
    raft::StateSpace space_;
};

/// Knobs of the nodes of a test beyond those that every one names; `groups` are kGroup and the numbers after it.
struct GroupTuning {
    uint64_t reserve_bytes = 0;
    uint64_t retain_bytes_node = 0;
    uint64_t slowed_bytes_per_second = 16 << 20;
    Duration snapshot_timeout = Duration::seconds(60);
    uint64_t snapshot_bytes_per_second = 0;
    uint64_t groups = 1;
};

class GroupNode : public Process {
 public:
    GroupNode(Env& env, NodeId id, std::string name, uint64_t retain_bytes, uint64_t flush_bytes, GroupTuning tuning)
        : env_(env), id_(id), name_(std::move(name)), retain_bytes_(retain_bytes), flush_bytes_(flush_bytes), tuning_(tuning) {}

    Result<void> run(Fiber& fiber) override {
        TRY(directory_, raft::NodeDirectory::open(fiber, env_, {id_, name_ + ":7100", name_ + ":7000"}));
        raft::GroupHost::handle_peers(service_, *directory_, host_);
        server_ = std::make_unique<rpc::Server>(env_, directory_->identity(), service_, rpc::ServerOptions{});
        TRY(server_->start({name_, 7100}));
        TRY(directory_->wait_founded(fiber));
        raft::GroupHostOptions options;
        options.store = store::Options::small();
        options.log.segment_bytes = 256 << 10;
        options.log.batch_bytes = 64 << 10;
        options.log.queue_bytes = 128 << 10;
        options.log.copy_bytes = 32 << 10;
        options.flush_log_bytes = flush_bytes_;
        options.reserve_bytes = tuning_.reserve_bytes;
        options.retain_bytes_node = tuning_.retain_bytes_node;
        options.snapshot_bytes_per_second = tuning_.snapshot_bytes_per_second;
        TRY(host_, raft::GroupHost::open(fiber, env_, *directory_, options));
        raft::GroupOptions group;
        group.core.election_timeout_min = Duration::millis(300);
        group.core.election_timeout_max = Duration::millis(600);
        group.core.heartbeat = Duration::millis(50);
        group.retain_bytes = retain_bytes_;
        group.snapshot_chunk_bytes = 1024;
        group.snapshot_timeout = tuning_.snapshot_timeout;
        group.slowed_bytes_per_second = tuning_.slowed_bytes_per_second;
        for (uint64_t i = tuning_.groups; i-- > 0;) {
            TRY(group_, host_->add_group(fiber, GroupId(kGroup.value + i), [this](store::Store& store) { return std::make_unique<AttachMachine>(env_, store); }, group));
        }
        TRY(stop_.wait(fiber));
        TRY(server_->stop(fiber, env_.now()));
        return host_->stop(fiber, env_.now() + Duration::seconds(5));
    }
    void request_stop() override { stop_.set(); }

    raft::Group* group() { return group_; }
    raft::GroupHost* host() { return host_.get(); }
    void add_crowded_out(Duration time) { env_.scheduler.add_crowded_out(time); }
    AttachMachine& machine() { return static_cast<AttachMachine&>(group_->machine()); }

 private:
    Env& env_;
    NodeId id_;
    std::string name_;
    uint64_t retain_bytes_;
    uint64_t flush_bytes_;
    GroupTuning tuning_;
    std::unique_ptr<raft::NodeDirectory> directory_;
    rpc::Service service_;
    std::unique_ptr<rpc::Server> server_;
    std::unique_ptr<raft::GroupHost> host_;
    raft::Group* group_ = nullptr;
    Event stop_;
};

struct GroupWorld {
    sim::World world;
    std::vector<sim::Host*> hosts;
    sim::Host* operator_host;
    uint64_t retain_bytes;
    uint64_t flush_bytes;
    GroupTuning tuning;

    static sim::WorldOptions options(uint64_t seed) {
        sim::WorldOptions out;
        out.seed = seed;
        return out;
    }

    explicit GroupWorld(uint64_t seed, uint64_t the_retain_bytes = 64 << 20, uint64_t the_flush_bytes = 32 << 20, GroupTuning the_tuning = {})
        : world(options(seed)), retain_bytes(the_retain_bytes), flush_bytes(the_flush_bytes), tuning(the_tuning) {
        sim::reset_rocksdb_process_state(seed);
        sim::HostOptions host;
        host.disk.power_loss.garbage_spares_synced = {store::Options::small().path + "/"};
        for (size_t i = 0; i < 3; ++i) {
            hosts.push_back(&world.add_host("n" + std::to_string(i + 1), host));
            start(i);
        }
        operator_host = &world.add_host("operator");
        errand(*operator_host, [&](Fiber& fiber, Env& env) {
            (void)raft::found_cluster(fiber, env, {{"n1", 7100}, {"n2", 7100}, {"n3", 7100}}, env.now() + Duration::seconds(10));
        });
        world.run_until(world.now() + Duration::seconds(3));
    }

    void start(size_t i) {
        hosts[i]->start([this, i](Env& env) {
            return std::make_unique<GroupNode>(env, NodeId(i + 1), "n" + std::to_string(i + 1), retain_bytes, flush_bytes, tuning);
        });
    }
    GroupNode* node(size_t i) { return static_cast<GroupNode*>(hosts[i]->process()); }
    raft::Group* group(size_t i) { return hosts[i]->up() && node(i) != nullptr ? node(i)->group() : nullptr; }
    std::optional<size_t> leader() {
        for (size_t i = 0; i < 3; ++i)
            if (group(i) != nullptr && group(i)->leads()) return i;
        return std::nullopt;
    }
    /// Runs `work` as the process of a host that is down, until it ends. False when it did not.
    bool errand(sim::Host& host, std::function<void(Fiber&, Env&)> work, Duration limit = Duration::seconds(20)) {
        host.start([&](Env& env) { 
            return std::make_unique<Errand>(env, [work](Fiber& fiber, Env& inner) {
                work(fiber, inner);
                return Result<void>();
            });
        });
        world.run_until(world.now() + limit, [&] { return !host.up(); });
        return !host.up();
    }
    /// Runs `work` as a fiber of that node. False when it did not end in time.
    bool on_node(size_t i, std::function<void(Fiber&, GroupNode&)> work, Duration limit = Duration::seconds(20)) {
        auto done = std::make_shared<bool>(false);
        hosts[i]->env()->spawn("test", [work, done, node = node(i)](Fiber& fiber) {
            work(fiber, *node);
            *done = true;
        });
        world.run_until(world.now() + limit, [&] { return *done || !hosts[i]->up(); });
        return *done;
    }
    /// Proposes at the leader, waiting for one. True when it was acknowledged.
    bool put(const std::string& text, Duration limit = Duration::seconds(10)) {
        const Instant until = world.now() + limit;
        while (world.now() < until && !world.failure()) {
            const std::optional<size_t> at = leader();
            if (!at) {
                world.run_until(world.now() + Duration::millis(50));
                continue;
            }
            auto ok = std::make_shared<bool>(false);  // the fiber may outlive this attempt
            on_node(*at, [text, ok](Fiber& fiber, GroupNode& node) {
                std::shared_ptr<const Bytes> attachment;
                if (text.starts_with("+")) attachment = std::make_shared<const Bytes>(attachment_of(text));
                *ok = node.group()->propose(fiber, text, attachment, Instant::never()).ok();
            }, Duration::seconds(3));
            if (*ok) return true;
        }
        return false;
    }
    static Bytes attachment_of(const std::string& text) {
        Bytes out;
        for (int i = 0; i < 300; ++i) out += text;
        return out;
    }
    std::string failure_text() { return world.failure() ? world.failure()->name + ": " + world.failure()->text : ""; }
};

}  // namespace orrery::test
