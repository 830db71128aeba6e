// Scheduler: the run queue and the timers of one node's fibers. One class for both worlds.
//
// The real loop runs it first-in-first-out between two polls; the simulator steps it one slice at a time and lets its
// policy pick which ready fiber is next. It knows no clock: the owner calls fire_timers(now) and asks next_timer().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/function.h"
#include "runtime/fiber/fiber.h"
#include "runtime/fiber/stack_pool.h"

namespace orrery {

using FiberBody = UniqueFunction<void(Fiber&)>;

/// What the owner of a Scheduler is told and asked. Calls come from inside fibers: they must not switch fibers.
class SchedulerHooks {
 public:
    virtual ~SchedulerHooks() = default;
    /// The run queue was empty and is not any more.
    virtual void became_ready() {}
    /// The earliest timer is now earlier than it was.
    virtual void timer_moved(Instant /*earliest*/) {}
    /// Which of `ready` fibers (> 0) runs next, counted from the longest ready.
    virtual size_t pick(size_t /*ready*/) { return 0; }
    /// Whether a primitive that need not yield shall do so.
    virtual bool extra_yield() { return false; }
};

class Scheduler {
 public:
    /// `stacks` may be shared by schedulers of one thread. Both outlive the Scheduler.
    Scheduler(SchedulerHooks& hooks, StackPool& stacks);
    /// Requires: no live fiber (see cancel_all), unless abandon_all() was called.
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    /// Starts `body` as a fiber, ready but not yet run. `name` is copied. The body's captures are destroyed at its end.
    FiberId spawn(std::string_view name, FiberBody body);

    bool has_ready() const { return ready_count_ != 0; }
    /// Of the ready fibers, counted from the longest ready. Requires: index < ready fibers.
    FiberId ready_id(size_t index) const;
    std::string_view ready_name(size_t index) const;
    size_t ready() const { return ready_count_; }
    /// Runs one slice of one ready fiber, chosen by the hooks. Requires: has_ready(), not called from a fiber.
    void run_one();
    /// run_one() until no fiber is ready or `slices_max` slices have run; returns how many. Cheaper a slice than run_one().
    uint32_t run_ready(uint32_t slices_max);

    /// Instant::never() when no fiber has a deadline.
    Instant next_timer() const;
    /// Wakes every fiber whose deadline is at or before `now`, in order of (deadline, start of wait).
    void fire_timers(Instant now);

    /// Told by the loop: for so much more time it had work and got no processor, because other threads had them all.
    void add_crowded_out(Duration time) { crowded_out_ = crowded_out_ + time; }
    /// All of that so far. Zero in the simulator, whose fibers take no time, unless a test tells.
    Duration crowded_out() const { return crowded_out_; }

    /// The fiber's present and every later yielding call answers Cancelled. Unknown ids are ignored.
    void cancel(FiberId id);
    void cancel_all();
    /// Forgets every fiber without running it again: their stacks and what they own leak. Only for a simulated run
    /// that has failed already, whose process is about to end.
    void abandon_all();
    size_t live() const { return live_count_; }
    /// Names of the live fibers, for stop reports and dumps.
    std::vector<std::string> live_names() const;
    /// True while a fiber of this scheduler runs.
    bool in_fiber() const { return running_ != nullptr; }
    std::string_view running_name() const;
    /// Leaves the running fiber for good, back to the caller of run_one(). Requires: in_fiber().
    [[noreturn]] void abandon_running();

 private:
    friend class Fiber;
    friend class WaitQueue;
    friend struct FiberState;

    void make_ready(FiberState& fiber);
    void grow_ring();
    FiberState& take_oldest();
    FiberState& take_ready(size_t index);
    void run_slice();
    void retire(FiberState& fiber);
    void switch_out(FiberState& fiber);
    Result<void> suspend(FiberState& fiber, WaitQueue* queue, Instant deadline, bool cancellable);
    void wake(FiberState& fiber, int reason);
    void timer_insert(FiberState& fiber);
    void timer_remove(FiberState& fiber);
    void timer_sift(size_t index);
    bool timer_before(const FiberState& a, const FiberState& b) const;
    friend struct FiberEntry;

    SchedulerHooks& hooks_;
    StackPool& stacks_;
    // Ready fibers in a ring, oldest first.
    std::vector<FiberState*> ring_;
    size_t ring_head_ = 0;
    size_t ready_count_ = 0;
    std::vector<FiberState*> timers_;  // binary heap by (wake_at, wait_sequence)
    uint64_t wait_sequence_ = 0;
    // Fibers by slot; an id is (generation << 32 | slot + 1).
    std::vector<std::unique_ptr<FiberState>> slots_;
    std::vector<uint32_t> free_slots_;
    size_t live_count_ = 0;
    Duration crowded_out_{};
    FiberState* running_ = nullptr;
    bool abandoned_ = false;
    void* main_fake_stack_ = nullptr;
    const void* main_stack_bottom_ = nullptr;
    size_t main_stack_size_ = 0;
    void* main_tsan_fiber_ = nullptr;
};

}  // namespace orrery
