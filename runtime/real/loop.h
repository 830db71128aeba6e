// Loop: the one thread of a node. Runs the fibers first-in-first-out until none is ready, then waits in epoll.
//
// A turn: read the clock, run what was posted, fire timers, run fibers (a bounded number of slices, then epoll with no
// wait, so that a busy fiber cannot starve the sockets), wait. Readiness of descriptors only wakes fibers; nothing runs
// while events are handed out, so an event source may die at any other time.
// Not here: sockets (TcpNet), threads (ThreadExecutor).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/base/function.h"
#include "runtime/base/random.h"
#include "runtime/env/clock.h"
#include "runtime/fiber/scheduler.h"
#include "runtime/real/system_clock.h"

namespace orrery::real {

/// Whom the loop tells of a descriptor's readiness, edge-triggered. on_events() wakes fibers and sets flags; it neither
/// destroys an event source nor runs node code.
class EventSource {
 public:
    virtual void on_events(uint32_t epoll_events) = 0;

 protected:
    ~EventSource() = default;
};

/// A completion that costs no allocation: it lives on the stack of the fiber that waits for it.
struct Completion {
    bool done = false;  // loop thread only
    WaitQueue waiter;
};

class Loop final : private SchedulerHooks {
 public:
    struct Options {
        /// Fiber slices between two looks at the descriptors. Too small costs system calls, too large delays I/O.
        uint32_t slices_per_turn = 1024;
        /// Share of primitives that yield though they need not, as in the simulator; tests and soak runs only.
        double extra_yield_p = 0;
        uint64_t extra_yield_seed = 1;
    };

    /// CHECKs that the kernel gives the few descriptors it needs.
    Loop();
    explicit Loop(Options options);
    /// Requires: not running, no fibers.
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    Scheduler& scheduler() { return scheduler_; }
    StackPool& stacks() { return stacks_; }
    SystemClock& clock() { return clock_; }

    /// Turns until `done()`, which is asked once a turn, after the fibers and before the wait. May be called again later, by any one
    /// thread at a time.
    void run(FunctionRef<bool()> done);
    /// As run(), at most until `until`. False when that came first.
    bool run_until(Instant until, FunctionRef<bool()> done);

    /// Runs `work` on the loop thread in its next turn; order of one caller is kept. Any thread.
    void post(UniqueFunction<void()> work);
    /// Sets `completion.done` and wakes its waiter in the next turn, in order with post(). Any thread.
    void complete(Completion& completion);
    /// From now on post() drops its work; what is queued and has not run is dropped too. Completions still count.
    void drop_posts();

    /// Loop thread. `source` is told of every edge of IN, OUT, RDHUP, ERR and HUP until unwatch() or the descriptor's
    /// end. Errors: Overloaded (the user's limit of epoll watches).
    Result<void> watch(int descriptor, EventSource& source);
    void unwatch(int descriptor);

    uint64_t turns() const { return turns_; }
    /// True on the thread that is inside run() of any Loop of this process.
    static bool this_thread_runs_a_loop();

 private:
    struct Handover {
        UniqueFunction<void()> work;
        Completion* completion = nullptr;
    };
    struct Plain final : EventSource {
        void on_events(uint32_t) override {}
    };

    bool extra_yield() override;
    void work();
    void wait(Instant until);
    void run_handed_over();
    void hand_over(Handover item);
    void arm_timer(Instant at);

    Options options_;
    SystemClock clock_;
    StackPool stacks_;
    Scheduler scheduler_;
    RandomStream yields_;
    int epoll_ = -1;
    int wake_ = -1;   // eventfd
    int timer_ = -1;  // timerfd of CLOCK_BOOTTIME
    Plain plain_;
    Instant armed_ = Instant::never();
    uint64_t turns_ = 0;
    std::vector<Handover> running_;  // loop thread: the batch of this turn

    std::mutex mutex_;
    // Guarded by mutex_. Bounded by the callers: fibers in blocking() and jobs under way.
    std::vector<Handover> handed_over_;
    bool posts_dropped_ = false;
};

}  // namespace orrery::real
