// Figures of node parts on one thread: RESP parser, Raft core, segmented log, Store.
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "kv/resp/request_parser.h"
#include "node/log/segmented_log.h"
#include "node/raft/core/core.h"
#include "runtime/base/check.h"
#include "runtime/store/store.h"
#include "sim/core/world.h"
#include "sim/rocksdb/l1.h"
#include "tools/bench/figures.h"

namespace orrery::bench {

namespace {

/// ns to parse one SET of a 16-byte key and a 64-byte value, from pipelined reads of 16 requests.
double resp_ns() {
    resp::RequestParser parser;
    const std::string one =
        "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n" + std::string(64, 'v') + "\r\n";
    constexpr int kPipelined = 16;
    std::string chunk;
    for (int i = 0; i < kPipelined; ++i) chunk += one;
    uint64_t words = 0;
    const double ns = ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            parser.append(chunk);
            while (parser.next() == resp::RequestParser::Status::Request)
                words += parser.argv().size();
        }
    });
    CHECK(words > 0);
    return ns / kPipelined;
}

/// Three raft cores that hand each other their messages in one loop; a disk that syncs at once;
/// `window` proposals open.
class RaftLoop {
 public:
    RaftLoop() {
        std::vector<raft::Member> members;
        for (uint64_t id = 1; id <= 3; ++id) members.push_back({NodeId(id), ReplicaId(id)});
        const raft::Configuration all = raft::Configuration::make(members).value();
        for (uint64_t id = 1; id <= 3; ++id) {
            raft::Options options;
            options.self = members[id - 1];
            raft::Recovered recovered;
            recovered.floor.configuration = all;
            cores_.push_back(
                raft::Core::create(now_, options, recovered, RandomStream(1, "raft", id)).value());
            cores_.back()->set_campaign_allowed(now_, true);
        }
        cores_[0]->campaign(now_);
        for (int i = 0; i < 3; ++i) pump(i);
        settle();
        CHECK(cores_[0]->role() == raft::Role::Leader);
    }

    void commit(uint64_t entries, uint64_t window) {
        const LogIndex last{cores_[0]->commit().value + entries};
        uint64_t proposed = 0;
        while (cores_[0]->applied_index() < last) {
            now_ = now_ + Duration::micros(50);
            while (proposed < entries &&
                   proposed <
                       window + (entries - (last.value - cores_[0]->applied_index().value))) {
                CHECK(cores_[0]->propose(now_, body_).ok());
                ++proposed;
            }
            for (int i = 0; i < 3; ++i)
                if (cores_[static_cast<size_t>(i)]->next_deadline() <= now_)
                    cores_[static_cast<size_t>(i)]->tick(now_);
            for (int i = 0; i < 3; ++i) pump(i);
            // One message at a time: no batching of deliveries that a network would not give
            // either.
            for (size_t left = queue_.size(); left > 0; --left) deliver();
        }
        // As drivers do, now and then, and only what all have applied.
        const LogIndex floor = std::min(
            {cores_[0]->applied_index(), cores_[1]->applied_index(), cores_[2]->applied_index()});
        if (floor.value > 1000)
            for (auto& core : cores_) core->compact(LogIndex{floor.value - 500});
    }
    uint64_t messages() const { return messages_; }

 private:
    void pump(int i) {
        raft::Core& core = *cores_[static_cast<size_t>(i)];
        for (;;) {
            raft::Output out = core.take_output(now_);
            // News of a commit alone is no output to persist or send.
            if (out.applicable > core.applied_index()) {
                core.applied(now_, out.applicable);
            } else if (out.empty()) {
                return;
            }
            for (raft::Message& message : out.messages) queue_.push_back(std::move(message));
            if (out.sequence != 0) core.persisted(now_, out.sequence);
        }
    }
    void deliver() {
        raft::Message message = std::move(queue_.front());
        queue_.pop_front();
        ++messages_;
        const int to = static_cast<int>(message.to.node.value) - 1;
        cores_[static_cast<size_t>(to)]->step(now_, std::move(message));
        pump(to);
    }
    void settle() {
        while (!queue_.empty()) deliver();
    }

    Instant now_{1'000'000'000};
    std::vector<std::unique_ptr<raft::Core>> cores_;
    std::deque<raft::Message> queue_;
    std::shared_ptr<const Bytes> body_ = std::make_shared<const Bytes>(Bytes(64, 'x'));
    uint64_t messages_ = 0;
};

double raft_rate(uint64_t window) {
    RaftLoop loop;
    return 1e9 / ns_per_iteration([&](uint64_t iterations) {
               for (uint64_t left = iterations; left > 0;) {
                   const uint64_t now = std::min<uint64_t>(left, 4096);
                   loop.commit(now, window);
                   left -= now;
               }
           });
}

/// Runs `body` as the process of the only host of a world.
class Script final : public Process {
 public:
    using Body = std::function<Result<void>(Fiber&, Env&)>;
    Script(Env& env, Body body) : env_(env), body_(std::move(body)) {}
    Result<void> run(Fiber& fiber) override { return body_(fiber, env_); }
    void request_stop() override {}

 private:
    Env& env_;
    Body body_;
};

void run_script(const Script::Body& body) {
    sim::reset_rocksdb_process_state(1);
    {
        sim::World world({.seed = 1});
        sim::Host& host = world.add_host("n");
        host.start([&](Env& env) { return std::make_unique<Script>(env, body); });
        const auto ended = [&] { return host.exit_result().has_value(); };
        (void)world.run_until(Instant::never() - Duration::seconds(1), ended);
        CHECK(!world.failure(), world.failure()->text);
        CHECK(host.exit_result()->ok(), host.exit_result()->error().text());
    }
    sim::release_rocksdb_process_state();
}

/// us of processor time of one append of 64 bytes and the wait for its sync, on the simulated disk;
/// `together` appends share a batch.
double log_us(uint64_t together) {
    double us = 0;
    run_script([&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto log, log::SegmentedLog::open(
                          fiber, env, {}, [](GroupId) { return log::DurableApplied{}; }, nullptr));
        log->start();
        const Bytes body(64, 'x');
        constexpr uint64_t kEntries = 20'000;
        const int64_t begin = cpu_ns();
        log::Ticket ticket;
        for (uint64_t index = 1; index <= kEntries; ++index) {
            log::Batch batch;
            batch.entry({LogIndex(index), Term(1), 0, false, body});
            TRY(ticket, log->append(GroupId(1), batch));
            if (index % together == 0) TRY(log->wait_synced(fiber, ticket));
            if (index % 4096 == 0) TRY(log->set_floor(GroupId(1), LogIndex(index - 1000), Term(1)));
        }
        TRY(log->wait_synced(fiber, ticket));
        us = static_cast<double>(cpu_ns() - begin) / kEntries / 1e3;
        return log->stop(fiber);
    });
    return us;
}

std::string key_of(uint64_t number) {
    std::string digits = std::to_string(number);
    return "key:" + std::string(12 - digits.size(), '0') + digits;
}

struct StoreTimes {
    double put_ns = 0;
    double get_ns = 0;
};

/// Puts of 16 + 64 bytes in batches of 100 with marks, then reads that memory answers; RocksDB on
/// the simulated disk.
StoreTimes store_times() {
    StoreTimes times;
    run_script([&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto store, store::Store::open(fiber, env, {}));
        const Bytes value(64, 'v');
        constexpr uint64_t kKeys = 10'000;
        constexpr uint64_t kBatches = 500;
        int64_t begin = cpu_ns();
        store::Batch batch;
        for (uint64_t number = 0; number < kBatches; ++number) {
            batch.clear();
            for (uint64_t i = 0; i < 100; ++i)
                batch.put(key_of((number * 7919 + i * 104729) % kKeys), value);
            batch.mark(1, number + 1);
            TRY(store->write_when_possible(fiber, batch));
        }
        times.put_ns = static_cast<double>(cpu_ns() - begin) / (kBatches * 100);
        begin = cpu_ns();
        constexpr uint64_t kReads = 50'000;
        uint64_t found = 0;
        for (uint64_t i = 0; i < kReads; ++i) {
            TRY(auto got, store->get(fiber, key_of(i * 7907 % kKeys)));
            found += got.has_value();
        }
        times.get_ns = static_cast<double>(cpu_ns() - begin) / kReads;
        CHECK(found > kReads / 2, found);
        return store->close(fiber);
    });
    return times;
}

}  // namespace

void add_node_figures(std::vector<Figure>& figures) {
    figures.push_back({"resp.parse SET 64 B", "ns", Better::Lower, 0, resp_ns});
    figures.push_back(
        {"raft.core loop W=64 commits", "1/s", Better::Higher, 0, [] { return raft_rate(64); }});
    figures.push_back(
        {"raft.core loop W=1 commits", "1/s", Better::Higher, 0, [] { return raft_rate(1); }});
    figures.push_back(
        {"log.append+sync (1 a batch)", "us", Better::Lower, 0, [] { return log_us(1); }});
    figures.push_back(
        {"log.append+sync (64 a batch)", "us", Better::Lower, 0, [] { return log_us(64); }});
    figures.push_back(
        {"store.put (100 a batch)", "ns", Better::Lower, 0, [] { return store_times().put_ns; }});
    figures.push_back(
        {"store.get (memory)", "ns", Better::Lower, 0, [] { return store_times().get_ns; }});
}

}  // namespace orrery::bench
