// Host: one machine of a world, the fault domain. It owns its clock, its disk, its place in the network, and in each
// life a scheduler, an Env and a Process.
//
// Killing or powering off freezes disk and network first, so that whatever still runs has no effect; then every fiber is
// cancelled and run to its end, and the process is destroyed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/env/process.h"
#include "sim/clock/node_clock.h"
#include "sim/disk/sim_disk.h"
#include "sim/net/sim_net.h"

namespace orrery::sim {

class World;

struct HostOptions {
    Duration clock_offset = Duration::seconds(1000);
    DiskOptions disk;
    Duration background_delay_max = Duration::millis(5);  // of queued background jobs, drawn uniformly
};

class Host : public EventTarget, private SchedulerHooks, private Tracer, private Executor {
 public:
    enum class State { Down, Up, Paused };
    enum class Death { Kill, Power };  // the process only, its kernel lives on; or the machine

    Host(World& world, uint32_t index, std::string name, HostOptions options);
    ~Host() override;

    const std::string& name() const { return name_; }
    uint32_t index() const { return index_; }
    EndpointId endpoint() const { return endpoint_; }
    State state() const { return state_; }
    bool up() const { return state_ != State::Down; }
    /// It is dying: its fibers run to their ends, and nothing of that leaves the host.
    bool ending() const { return ending_; }
    /// Counts starts; 0 before the first.
    uint64_t life() const { return life_; }

    /// Requires: Down. The process's main fiber is ready when this returns.
    void start(const Program& program);
    /// Requires: not Down.
    void crash(Death death);
    /// All fibers stop between two slices; sockets stay open and fill. Requires: Up.
    void pause();
    void resume();
    /// All the time it has been paused, the present pause included.
    Duration paused_time() const;
    /// Asks the process to drain; it goes Down when its main fiber has returned. No-op when Down.
    void request_stop();
    /// Down by its own decision: what run() returned, in this life.
    const std::optional<Result<void>>& exit_result() const { return exit_; }

    /// Null when Down.
    Process* process() { return process_.get(); }
    SimDisk& disk() { return disk_; }
    NodeClock& clock() { return clock_; }
    World& world() { return world_; }
    /// Null when Down. For harness code that runs fibers of its own on this host (clients).
    Env* env() { return env_.get(); }
    uint64_t live_fibers() const { return scheduler_ ? scheduler_->live() : 0; }
    /// Error events that this host may emit without failing the run, by name.
    void expect_error(std::string name) { expected_errors_.push_back(std::move(name)); }

    void fire(uint64_t argument) override;

 private:
    friend class World;
    enum class What : uint8_t { Timer = 1, Blocking = 2, Background = 3, Posted = 4 };

    // SchedulerHooks
    void became_ready() override;
    void timer_moved(Instant earliest) override;
    size_t pick(size_t ready) override;
    bool extra_yield() override;
    // Tracer
    bool wants(Severity severity) const override;
    void event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) override;
    Result<void> checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) override;
    void probe(std::string_view name) override;
    // Executor
    Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) override;
    void background(Priority priority, UniqueFunction<void(Blocking&)> work) override;
    void post(UniqueFunction<void()> work) override;

    void run_slice();
    void arm_timer();
    void main_ended(Result<void> result);
    void end_life();
    uint64_t pack(What what, uint64_t number) const;
    void release_deferred(Instant at, std::vector<UniqueFunction<void()>> deferred);

    struct PendingBlocking {
        WaitQueue queue;
        bool done = false;
        bool crashed = false;
    };

    // Of the PCT policy (World::pick_host).
    uint64_t life_key() const { return uint64_t{index_} << 32 | (life_ & 0xffffffff); }
    size_t highest_ready() const;
    std::optional<uint64_t> highest_priority() const;  // nullopt: nothing to run
    bool lower_highest();

    World& world_;
    uint32_t index_;
    std::string name_;
    HostOptions options_;
    NodeClock clock_;
    SimDisk disk_;
    EndpointId endpoint_;
    State state_ = State::Down;
    Instant paused_since_;
    Duration paused_before_;
    uint64_t life_ = 0;
    bool in_runnable_ = false;
    bool main_returned_ = false;
    bool ending_ = false;
    std::unique_ptr<Net> net_;
    std::unique_ptr<Scheduler> scheduler_;
    std::unique_ptr<Env> env_;
    std::unique_ptr<Process> process_;
    std::optional<Result<void>> exit_;
    uint64_t armed_sequence_ = 0;                // of the timer event that counts
    Instant armed_world_ = Instant::never();  // the earliest timer event scheduled and not yet fired
    std::map<uint64_t, PendingBlocking*> blocking_;
    std::map<uint64_t, UniqueFunction<void(Blocking&)>> jobs_;
    std::map<uint64_t, UniqueFunction<void()>> posted_;
    uint64_t next_number_ = 1;
    // Set while a blocking or background body runs: what it posts and queues waits for the end of its interval.
    std::vector<UniqueFunction<void()>>* deferring_ = nullptr;
    RandomStream pick_fiber_;
    RandomStream yields_;
    RandomStream background_delay_;
    std::vector<std::string> expected_errors_;
};

}  // namespace orrery::sim
