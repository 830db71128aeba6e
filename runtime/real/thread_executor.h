// ThreadExecutor: the threads of a daemon beside its loop. A pool for blocking(), and for each priority of background()
// threads of its own: a foreground call that waits for a flush must never stand in front of that flush in one queue.
//
// Completions and posts come back through the Loop, batched per turn.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/env/env.h"
#include "runtime/real/loop.h"

namespace orrery::real {

/// The permission itself has no state: what it says is that the thread is not a loop's.
class ThreadBlocking final : public Blocking {
 public:
    ThreadBlocking() = default;
};

class ThreadExecutor final : public Executor {
 public:
    struct Options {
        uint32_t blocking_threads = 2;         // 1 to 64; more than there are disks to wait for gains nothing
        uint32_t background_threads_high = 1;  // 1 to 16: RocksDB flushes
        uint32_t background_threads_low = 1;   // 1 to 16: compactions, scrubbing
    };

    /// Threads start here, with every signal blocked.
    ThreadExecutor(Loop& loop, Options options);
    /// stop().
    ~ThreadExecutor() override;

    Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) override;
    void background(Priority priority, UniqueFunction<void(Blocking&)> work) override;
    void post(UniqueFunction<void()> work) override { loop_.post(std::move(work)); }

    /// Waits for the jobs that run, drops those that have not begun, ends the threads. Later background() calls are
    /// dropped. Requires: no fiber is in run_blocking(). Idempotent.
    void stop();
    /// Calls of run_blocking() that have not returned: what a stop waits for.
    uint64_t blocking_under_way() const { return blocking_under_way_; }

 private:
    struct Call {
        FunctionRef<void(Blocking&)> work;
        Completion completion;
    };
    /// Threads of one queue.
    class Crew;

    Loop& loop_;
    uint64_t blocking_under_way_ = 0;  // loop thread only
    std::unique_ptr<Crew> blocking_;
    std::unique_ptr<Crew> background_[2];
};

}  // namespace orrery::real
