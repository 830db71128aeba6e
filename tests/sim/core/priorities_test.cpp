// The PCT policy: the highest priority runs, change points are few, and an ordering that uniform choice hardly ever makes
// is made often.
#include "runtime/env/errand.h"
#include "sim/core/world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

namespace {

/// One fiber sets a flag for a moment at its very beginning; another looks after `steps` yields. True: it saw the flag,
/// which takes all its steps before the other's second.
bool late_reader_wins(uint64_t seed, SchedulePolicy policy, int steps) {
    World world({.seed = seed, .policy = policy, .extra_yield_p = 0, .pct_depth = 2, .pct_window_slices = 64});
    Host& host = world.add_host("n1");
    bool flag = false, seen = false;
    host.start([&](Env& env) {
        return std::make_unique<Errand>(env, [&](Fiber& fiber, Env& own) -> Result<void> {
            int left = 2;
            Notify done;
            own.spawn("writer", [&](Fiber& mine) {
                flag = true;
                (void)mine.yield();
                flag = false;
                --left;
                done.notify_all();
            });
            own.spawn("reader", [&](Fiber& mine) {
                for (int i = 0; i < steps; ++i) (void)mine.yield();
                seen = flag;
                --left;
                done.notify_all();
            });
            while (left > 0) TRY(done.wait(fiber));
            return {};
        });
    });
    world.run_until(Instant{} + Duration::seconds(10), [&] { return !host.up(); });
    REQUIRE_FALSE(world.failure());
    return seen;
}

int wins(SchedulePolicy policy, int steps) {
    int count = 0;
    for (uint64_t seed = 1; seed <= 200; ++seed) count += late_reader_wins(seed, policy, steps);
    return count;
}

}  // namespace

TEST_CASE("sim: PCT makes one fiber run long while another stands still, uniform choice does not") {
    CHECK(wins(SchedulePolicy::Random, 20) == 0);  // a chance of 2^-20 each
    CHECK(wins(SchedulePolicy::Fifo, 20) == 0);
    CHECK(wins(SchedulePolicy::Pct, 20) >= 2);  // the writer is lowered right after its first slice: 1 in 64, and more
}

TEST_CASE("sim: a fiber that PCT lowers runs only when no other is ready, and is an ordinary one in the next window") {
    Priorities priorities(RandomStream(1, "sched.pct", 0), 1, 4, 1000);
    uint64_t lowered = 0;
    for (uint64_t slice = 0; slice < 1000; ++slice) {
        const uint64_t fiber = slice % 5;
        if (!priorities.lower(0, fiber)) continue;
        ++lowered;
        for (uint64_t other = 5; other < 20; ++other) CHECK(priorities.of(0, fiber) < priorities.of(0, other));
    }
    CHECK(lowered == 3);  // depth - 1; the draws of this seed do not coincide
    (void)priorities.lower(0, 99);
    for (uint64_t fiber = 0; fiber < 5; ++fiber) CHECK(priorities.of(0, fiber) >= uint64_t{1} << 63);
    CHECK(priorities.of(0, 1) != priorities.of(1, 1));
}
