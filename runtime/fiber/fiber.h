// Fiber: permission to yield.
//
// Whatever may give up the thread takes `Fiber&` as its first parameter; what has no such parameter is atomic. A Fiber
// is handed only to the body given to Scheduler::spawn(), and is never stored or captured beyond it.
//
// Cancellation is a value: after cancel every yielding call answers Cancelled at once, so that a body runs to its end
// by ordinary returns. A body that ignores Cancelled never ends, and the host's stop reports its name.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery {

class Scheduler;
class WaitQueue;
struct FiberState;  // scheduler.cpp

/// Names a fiber for cancel(); stays valid, and harmless, after the fiber's end.
struct FiberId {
    uint64_t value = 0;
};

class Fiber {
 public:
    /// Lets other ready fibers run. Errors: Cancelled.
    Result<void> yield();
    /// Yields only when the schedule policy asks for it (the simulator's extra yields): called first by every primitive
    /// that may yield, also where it would not have to. Errors: Cancelled.
    Result<void> maybe_yield();
    /// Yields: until `queue` wakes this fiber or the deadline (of the scheduler's clock) passes.
    /// Errors: Timeout, Cancelled.
    Result<void> wait(WaitQueue& queue, Instant deadline = Instant::never());
    /// Yields: until the deadline passes. Errors: Cancelled.
    Result<void> sleep_until(Instant deadline);
    /// Yields: until woken; ignores cancellation. Only for work whose memory this fiber's stack holds (Env::blocking).
    void wait_uncancellable(WaitQueue& queue);

    bool cancelled() const;
    Scheduler& scheduler() const;
    std::string_view name() const;
    FiberId id() const;
    /// A number that names the operation this fiber works for, in traces; 0 = none. Inherited by spawned fibers.
    uint64_t span() const;
    void set_span(uint64_t span);

    /// Guarded<T> counts its pins here: a yield while pinned is a bug and traps.
    void pin();
    void unpin();

 private:
    friend class Scheduler;
    friend struct FiberEntry;
    explicit Fiber(FiberState& state) : state_(state) {}
    FiberState& state_;
};

/// Fibers that wait for something, woken in order of arrival. The owner outlives the waiters.
class WaitQueue {
 public:
    WaitQueue() = default;
    ~WaitQueue();
    WaitQueue(const WaitQueue&) = delete;
    WaitQueue& operator=(const WaitQueue&) = delete;

    bool empty() const { return head_ == nullptr; }
    /// Makes the longest waiting fiber ready. False when nobody waits.
    bool wake_one();
    void wake_all();

 private:
    friend class Scheduler;
    FiberState* head_ = nullptr;
    FiberState* tail_ = nullptr;
};

}  // namespace orrery
