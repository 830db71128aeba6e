// A scheduler that a test steps by hand, with a clock that the test moves.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/random.h"
#include "runtime/fiber/scheduler.h"
#include "runtime/fiber/sync.h"
#include <doctest/doctest.h>

namespace orrery::test {

class Bench : public SchedulerHooks {
 public:
    Bench() : scheduler(*this, stacks) {}
    ~Bench() {
        scheduler.cancel_all();
        settle();
    }

    /// Runs until nothing is ready.
    void settle() {
        while (scheduler.has_ready()) scheduler.run_one();
    }
    void advance_to(int64_t ms) {
        now = {Duration::millis(ms).ns};
        scheduler.fire_timers(now);
        settle();
    }
    static Instant at(int64_t ms) { return {Duration::millis(ms).ns}; }
    FiberId spawn(const char* name, FiberBody body) { return scheduler.spawn(name, std::move(body)); }

    size_t pick(size_t ready) override { return newest_first ? ready - 1 : 0; }
    bool extra_yield() override { return yields_asked != 0 && ++yield_count % yields_asked == 0; }
    void became_ready() override { ++ready_notices; }
    void timer_moved(Instant earliest) override { last_timer_notice = earliest; }

    Instant now{};
    bool newest_first = false;
    uint64_t yields_asked = 0;  // every n-th primitive yields
    uint64_t yield_count = 0;
    int ready_notices = 0;
    Instant last_timer_notice{};
    StackPool stacks;
    Scheduler scheduler;
};

}  // namespace orrery::test
