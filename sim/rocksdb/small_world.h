// SmallWorld: one node's Env around a MemoryDisk, for the start-up check and the Store's own tests. Fibers, background
// jobs and posted notices run one at a time, in an order that the seed picks. No network and no traces.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "runtime/base/random.h"
#include "runtime/env/env.h"
#include "sim/rocksdb/memory_disk.h"

namespace orrery::sim {

class SmallWorld final : private Clock, private Net, private Tracer, private Executor {
 public:
    /// `disk` outlives the world.
    SmallWorld(MemoryDisk& disk, uint64_t seed);
    ~SmallWorld() override;

    Env& env() { return env_; }
    MemoryDisk& disk() { return disk_; }
    /// Runs `body` as a fiber until it, and every fiber it spawned, has ended; jobs and notices run in between, and those
    /// left over stay queued.
    void run(FiberBody body);
    /// Runs jobs and notices until none is left.
    void settle();
    size_t jobs_queued() const { return jobs_.size(); }
    /// Events of severity Warning and above, formatted.
    const std::vector<std::string>& warnings() const { return warnings_; }

 private:
    bool step(bool with_fibers);

    Instant now() const override { return now_; }
    Instant reading() const override { return now_; }
    WallTime wall() const override { return {now_.ns + 1'700'000'000'000'000'000}; }
    Result<std::unique_ptr<Listener>> listen(const Address&) override;
    Result<std::unique_ptr<Conn>> connect(Fiber&, const Address&, Instant) override;
    bool wants(Severity severity) const override { return severity >= Severity::Warning; }
    void event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) override;
    Result<void> checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) override;
    void probe(std::string_view) override {}
    Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) override;
    void background(Priority priority, UniqueFunction<void(Blocking&)> work) override;
    void post(UniqueFunction<void()> work) override;

    MemoryDisk& disk_;
    RandomStream order_;
    Instant now_{1'000'000'000};
    SchedulerHooks hooks_;
    StackPool stacks_;
    Scheduler scheduler_;
    std::vector<UniqueFunction<void(Blocking&)>> jobs_;
    std::deque<UniqueFunction<void()>> posts_;
    std::vector<std::string> warnings_;
    Env env_;
};

}  // namespace orrery::sim
