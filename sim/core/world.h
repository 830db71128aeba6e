// World: one simulated run. Virtual time, hosts, a network, and the rule by which the next fiber slice is chosen.
//
// A step is one fiber slice or one event. Fibers run while any is ready; then time moves to the next event. Everything
// that happens enters the rolling hash. One process runs one world at a time, and a world that has failed is not run on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/trace_event.h"
#include "sim/clock/timeline.h"
#include "sim/core/host.h"
#include "sim/core/priorities.h"
#include "sim/net/sim_net.h"

namespace orrery::sim {

enum class SchedulePolicy : uint8_t { Fifo, Random, Pct };

struct WorldOptions {
    uint64_t seed = 1;
    SchedulePolicy policy = SchedulePolicy::Random;
    double extra_yield_p = 0.02;  // of primitives that need not yield
    uint64_t pct_depth = 3;              // Pct: orderings a bug may need
    uint64_t pct_window_slices = 20'000;  // Pct: the change points are drawn for so many slices at a time
    NetOptions net;
    uint64_t max_steps = 200'000'000;  // a run that needs more is reported as stuck
    uint64_t max_steps_per_instant = 2'000'000;  // a loop that never lets time pass
};

/// Why a run is over before its time.
struct Failure {
    std::string name;  // stable: "check.failed", "event.error", an invariant's name
    std::string text;
    Instant at;
    uint64_t step = 0;
};

/// Sees every structured event of every host, at its instant. Must not switch fibers.
class TraceObserver {
 public:
    virtual ~TraceObserver() = default;
    virtual void on_event(Host& host, const TraceEvent& event) = 0;
    /// How long the host's fiber shall be held at this checkpoint; zero for not at all.
    virtual Duration on_checkpoint(Host& /*host*/, const TraceEvent& /*event*/) { return {}; }
    virtual void on_probe(Host& /*host*/, std::string_view /*name*/) {}
};

class World {
 public:
    /// `pins` may be null and outlives the world. CHECKs that no other world of this process is alive.
    explicit World(WorldOptions options, const Pins* pins = nullptr);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    Host& add_host(std::string name, HostOptions options = {});
    Host& host(size_t index) { return *hosts_[index]; }
    size_t host_count() const { return hosts_.size(); }
    /// Null when there is none of that name.
    Host* find_host(std::string_view name);

    enum class Stop { Time, Idle, Failed };
    /// Runs until virtual time `until` (Time), until nothing is left to happen (Idle), or until the run has failed.
    Stop run_until(Instant until);
    /// Runs until `done()` or as above; `done` is asked after every step.
    Stop run_until(Instant until, const std::function<bool()>& done);
    /// Calls `action` at virtual time `at`, between two steps.
    void at(Instant at, std::function<void()> action);
    /// Calls `action` before the next step: for what must not happen inside the fiber that set it off.
    void soon(std::function<void()> action) { soon_.push_back(std::move(action)); }

    Instant now() const { return timeline_.now(); }
    Timeline& timeline() { return timeline_; }
    SimNet& net() { return net_; }
    StackPool& stacks() { return stacks_; }
    const WorldOptions& options() const { return options_; }

    /// The observer outlives the world's run. `debug`: it wants Debug events too.
    void add_observer(TraceObserver& observer, bool debug);
    bool wants_debug() const { return wants_debug_; }
    void publish(Host& host, const TraceEvent& event);
    Duration publish_checkpoint(Host& host, const TraceEvent& event);
    void publish_probe(Host& host, std::string_view name);

    /// Marks the run as failed; the first failure stays. Safe anywhere.
    void fail(std::string name, std::string text);
    const std::optional<Failure>& failure() const { return failure_; }
    /// The last events before now, oldest first, as text lines: what a crash report prints.
    std::vector<std::string> recent_events() const;

    /// The world of this process, or null: for check_failed().
    static World* current();

 private:
    friend class Host;
    class Actions;

    bool step(Instant until);
    void fail_for_steps();
    void add_runnable(Host& host);
    void remember(Host& host, const TraceEvent& event);

    WorldOptions options_;
    Timeline timeline_;
    StackPool stacks_;
    SimNet net_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::vector<Host*> runnable_;  // up, not paused, with ready fibers
    size_t pick_host();

    RandomStream pick_host_;
    std::optional<Priorities> priorities_;  // Pct
    std::unique_ptr<Actions> actions_;
    std::vector<TraceObserver*> observers_;
    std::vector<TraceObserver*> debug_observers_;
    bool wants_debug_ = false;
    std::optional<Failure> failure_;
    Instant instant_{};
    uint64_t steps_at_instant_ = 0;
    std::vector<std::function<void()>> soon_;
    std::vector<std::string> recent_;  // ring of the last events, rendered
    size_t recent_next_ = 0;
};

}  // namespace orrery::sim
