// Env: all that a node may know of the world, handed down through constructors. The real one is built in a *_main.cpp,
// the simulated one by sim/core; node code cannot tell which it has.
//
// Disk work happens inside blocking() and background() only:
//  - blocking(fiber, fn): fn runs on the disk pool (real) or in place with virtual instants (simulated); the fiber waits.
//    fn owns its data or borrows from the waiting fiber's stack; it touches no state of the loop thread, and nothing it
//    learned is visible before blocking() returns.
//  - background(priority, fn): a set of threads of its own (real; never the pool of blocking(), or a foreground call
//    that waits for a queued flush would deadlock) or an event with seeded delay and order (simulated).
#pragma once

#include <optional>
#include <type_traits>

#include "runtime/base/function.h"
#include "runtime/base/random.h"
#include "runtime/env/clock.h"
#include "runtime/env/disk.h"
#include "runtime/env/net.h"
#include "runtime/env/tracer.h"
#include "runtime/fiber/scheduler.h"
#include "runtime/fiber/sync.h"

namespace orrery {

enum class Priority : uint8_t { High = 0, Low = 1 };  // of background jobs

class Executor {
 public:
    virtual ~Executor() = default;
    /// Runs `work` once and returns after it has ended, or Cancelled without having begun, or Cancelled after it ended
    /// when the host crashed meanwhile. Yields, uncancellably while `work` runs.
    virtual Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) = 0;
    /// Queues `work`; jobs of one priority start in order in the daemons, in seeded order in the simulator. Callable
    /// from any thread that runs blocking or background work, and from the loop thread.
    virtual void background(Priority priority, UniqueFunction<void(Blocking&)> work) = 0;
    /// Runs `work` on the loop thread, atomically, soon: how a background job hands over what it learned. Callable from
    /// any thread. Dropped when the node stops.
    virtual void post(UniqueFunction<void()> work) = 0;
};

struct Env {
    Scheduler& scheduler;
    Clock& clock;
    Net& net;
    Disk& disk;
    Random random;
    Tracer& tracer;
    Executor& executor;

    Instant now() const { return clock.now(); }
    FiberId spawn(std::string_view name, FiberBody body) { return scheduler.spawn(name, std::move(body)); }
    /// Yields. Errors: Cancelled.
    Result<void> sleep(Fiber& fiber, Duration duration) { return fiber.sleep_until(now() + duration); }

    /// Runs fn(Blocking&) off the loop thread; fn returns Result<T>, T (not a Result) or void, and so does this, in a
    /// Result. Yields. Errors: Cancelled, and fn's.
    template <typename F>
    auto blocking(Fiber& fiber, F&& fn) {
        using R = std::invoke_result_t<F&, Blocking&>;
        if constexpr (std::is_void_v<R>) {
            return executor.run_blocking(fiber, [&](Blocking& blocking) { fn(blocking); });
        } else {
            using Out = typename AsResult<R>::type;
            std::optional<R> out;
            Result<void> ran = executor.run_blocking(fiber, [&](Blocking& blocking) { out.emplace(fn(blocking)); });
            if (!ran.ok()) return Out(ran.error());
            return Out(std::move(*out));
        }
    }
    void background(Priority priority, UniqueFunction<void(Blocking&)> work) {
        executor.background(priority, std::move(work));
    }

 private:
    template <typename T>
    struct AsResult {
        using type = Result<T>;
    };
    template <typename T>
    struct AsResult<Result<T>> {
        using type = Result<T>;
    };
};

}  // namespace orrery
