#include "tests/conformance/harness.h"

namespace orrery::conformance {
namespace {

TEST_CASE("timers: sleepers wake in order of their deadlines") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        std::vector<int> order;
        const Instant start = env.now();
        size_t ended = 0;
        for (int ms : {30, 10, 20, 0, 40}) {
            env.spawn("sleeper", [&, ms](Fiber& sleeper) {
                const Instant until = start + Duration::millis(ms);
                CHECK(sleeper.sleep_until(until).ok());
                CHECK(env.now() >= until);
                order.push_back(ms);
                ++ended;
            });
        }
        TRY(await_count(fiber, env, ended, 5));
        // Two that are due in the same look at the clock are both ready, and the simulator may pick either: the arms
        // agree on deadlines that lie apart.
        CHECK(order == std::vector<int>{0, 10, 20, 30, 40});
        return {};
    });
}

TEST_CASE("timers: a wait ends by its deadline, by its wake-up, or by cancel, whichever is first") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Event event;
        const Instant deadline = env.now() + Duration::millis(10);
        CHECK(event.wait(fiber, deadline).failed_with(Code::Timeout));
        CHECK(env.now() >= deadline);
        env.spawn("setter", [&](Fiber& setter) {
            (void)env.sleep(setter, Duration::millis(5));
            event.set();
        });
        CHECK(event.wait(fiber, env.now() + Duration::seconds(20)).ok());
        size_t ended = 0;
        const FiberId sleeper = env.spawn("sleeper", [&](Fiber& inner) {
            CHECK(env.sleep(inner, Duration::seconds(1000)).failed_with(Code::Cancelled));
            CHECK(inner.cancelled());
            CHECK(env.sleep(inner, Duration::millis(1)).failed_with(Code::Cancelled));
            CHECK(inner.yield().failed_with(Code::Cancelled));
            ++ended;
        });
        TRY(env.sleep(fiber, Duration::millis(2)));
        env.scheduler.cancel(sleeper);
        env.scheduler.cancel(sleeper);
        TRY(await_count(fiber, env, ended, 1));
        env.scheduler.cancel(sleeper);  // of a fiber that has ended: nothing
        return {};
    });
}

TEST_CASE("timers: the clock never goes back, and stands still between two yields") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Instant before = env.now();
        for (int i = 0; i < 200; ++i) {
            const Instant first = env.now();
            CHECK(first >= before);
            CHECK(env.now() == first);
            before = first;
            TRY(i % 50 == 0 ? env.sleep(fiber, Duration::millis(1)) : fiber.yield());
        }
        CHECK(env.clock.wall().ns > 0);
        return {};
    });
}

TEST_CASE("timers: a deadline that is past does not wait, and never() does not end") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        TRY(fiber.sleep_until(env.now() - Duration::seconds(1)));
        Notify notify;
        size_t woken = 0;
        env.spawn("waiter", [&](Fiber& waiter) {
            CHECK(notify.wait(waiter, Instant::never() + Duration::seconds(1)).ok());
            ++woken;
        });
        TRY(env.sleep(fiber, Duration::millis(20)));
        CHECK(woken == 0);
        notify.notify_all();
        return await_count(fiber, env, woken, 1);
    });
}

}  // namespace
}  // namespace orrery::conformance
