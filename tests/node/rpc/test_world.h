// Two or more nodes with a Scheduler each, one clock, and byte streams in memory that split, stall, reset and corrupt by
// a seed. Smaller than sim/: rpc is tested without it, and the other way round.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/rpc/peers.h"
#include "node/rpc/server.h"
#include "runtime/base/defect.h"
#include "runtime/base/random.h"

namespace orrery::rpc::test {

/// Which seeded defects are on; read by active_defects() of this program.
struct DefectSwitch {
    explicit DefectSwitch(Defect defect);
    ~DefectSwitch();
};

class World;

/// One direction of a stream.
struct Pipe {
    std::deque<char> flying;
    std::deque<char> arrived;
    bool ended = false;   // no more will be written
    bool broken = false;  // reset: reading and writing fail
    bool stalled = false;
    WaitQueue readable;
    WaitQueue writable;
    void wake() {
        readable.wake_all();
        writable.wake_all();
    }
};
struct Stream {
    std::shared_ptr<Pipe> pipes[2];
    Address to;
};

class Node;
struct MemListener;

class MemNet final : public Net {
 public:
    MemNet(World& world, std::string host) : world_(world), host_(std::move(host)) {}
    Result<std::unique_ptr<Listener>> listen(const Address& at) override;
    Result<std::unique_ptr<Conn>> connect(Fiber& fiber, const Address& to, Instant deadline) override;

 private:
    World& world_;
    std::string host_;
};

class CollectingTracer final : public Tracer {
 public:
    bool wants(Severity) const override { return true; }
    void event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) override;
    Result<void> checkpoint(Fiber& fiber, std::string_view, std::initializer_list<TraceField>) override {
        return fiber.maybe_yield();
    }
    void probe(std::string_view name) override { ++probes[std::string(name)]; }

    size_t errors(std::string_view name) const;
    std::vector<std::string> error_events;  // formatted
    uint64_t consumed = 0;
    uint64_t mispaired = 0;  // I15: a consumed answer that is not its request's
    std::map<std::string, uint64_t> probes;
};

/// No disk in these tests.
class NoDisk;
class NoExecutor;

class Node final : public SchedulerHooks, public Clock {
 public:
    Node(World& world, std::string name, NodeId id);
    ~Node() override;

    size_t pick(size_t ready) override { return policy_.below(ready); }
    bool extra_yield() override { return policy_.chance(0.1); }
    Instant now() const override;
    Instant reading() const override { return now(); }
    WallTime wall() const override { return WallTime{0}; }

 private:
    RandomStream policy_;
    std::unique_ptr<NoDisk> disk_;
    std::unique_ptr<NoExecutor> executor_;

 public:
    Scheduler scheduler;
    MemNet net;
    CollectingTracer tracer;
    Env env;
    Identity identity;
    std::string name;

 private:
    World& world_;
};

struct WorldOptions {
    uint64_t seed = 1;
    size_t chunk_bytes_max = 5000;
    double stall_chance = 0;  // per step: some pipe stops or goes on
    double reset_chance = 0;
    size_t pipe_bytes = 256u << 10;  // written and not yet read, before a writer waits
};

class World {
 public:
    explicit World(WorldOptions options);
    ~World();

    Node& add(std::string name, NodeId id);
    /// One step: a fiber's slice, a delivery, a fault; or, if nothing can happen, the clock moves to the next timer.
    /// False when nothing will ever happen again.
    bool step();
    /// Steps until `done` or until the time is up. True when done.
    bool run_until(const std::function<bool()>& done, Duration limit = Duration::seconds(600));
    /// Runs `body` as a fiber of `node` to its end.
    void run(Node& node, FiberBody body);
    void advance(Duration time);
    /// No more faults; stalled streams go on.
    void heal();
    void reset_all();
    /// Flips a bit of what is under way. False when nothing is.
    bool corrupt_one();

    Instant now{};
    WorldOptions options;
    StackPool stacks;
    RandomStream random;
    std::map<Address, MemListener*> listeners;
    std::vector<std::weak_ptr<Pipe>> pipes;
    std::vector<std::unique_ptr<Node>> nodes;
    uint64_t steps = 0;

 private:
    bool deliver(Pipe& pipe);
    void fault();
};

}  // namespace orrery::rpc::test
