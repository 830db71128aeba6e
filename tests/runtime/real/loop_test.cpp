#include <sched.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "runtime/real/signals.h"
#include "tests/runtime/real/harness.h"

namespace orrery::real::test {
namespace {

TEST_CASE("loop: a busy fiber does not keep others from sockets, timers and posts") {
    TemporaryDirectory directory;
    run_real(directory.path(), [](Fiber& fiber, Env& env) -> Result<void> {
        bool stop = false;
        uint64_t spins = 0;
        bool ended = false;
        env.spawn("busy", [&](Fiber& busy) {
            while (!stop && busy.yield().ok()) ++spins;
            ended = true;
        });
        bool posted = false;
        env.background(Priority::High, [&](Blocking&) { env.executor.post([&] { posted = true; }); });
        TRY(env.sleep(fiber, Duration::millis(20)));
        for (int i = 0; i < 1000 && !posted; ++i) TRY(env.sleep(fiber, Duration::millis(1)));
        CHECK(posted);
        CHECK(spins > 100);
        stop = true;
        while (!ended) TRY(env.sleep(fiber, Duration::millis(1)));  // it looks at this fiber's stack
        return {};
    });
}

TEST_CASE("loop: the clock stands still in a turn and moves for other threads") {
    Loop loop;
    bool checked = false;
    loop.scheduler().spawn("looker", [&](Fiber&) {
        const Instant before = loop.clock().now();
        const Instant until = SystemClock::read_now() + Duration::millis(3);
        while (SystemClock::read_now() < until) {
        }
        CHECK(loop.clock().now() == before);
        Instant elsewhere{};
        std::thread([&] { elsewhere = loop.clock().now(); }).join();
        CHECK(elsewhere >= until);
        checked = true;
    });
    loop.run([&] { return checked; });
    CHECK(loop.scheduler().live() == 0);
}

TEST_CASE("loop: run_until ends at its instant when nothing happens, and idles in few turns") {
    Loop loop;
    const Instant until = SystemClock::read_now() + Duration::millis(50);
    CHECK(!loop.run_until(until, [] { return false; }));
    CHECK(SystemClock::read_now() >= until);
    CHECK(loop.turns() < 10);
}

TEST_CASE("loop: it is told for how long other threads had all the processors") {
    cpu_set_t before, one;
    REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &before)) ++first;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);  // threads begun from here on inherit it
    std::atomic<bool> stop{false};
    std::vector<std::thread> rivals;
    for (int i = 0; i < 3; ++i) rivals.emplace_back([&] { while (!stop) {} });
    Loop loop;
    const Instant until = SystemClock::read_now() + Duration::millis(200);
    loop.scheduler().spawn("busy", [&](Fiber& fiber) {
        while (SystemClock::read_now() < until) CHECK(fiber.yield().ok());
    });
    loop.run([&] { return loop.scheduler().live() == 0; });
    stop = true;
    for (std::thread& rival : rivals) rival.join();
    REQUIRE(sched_setaffinity(0, sizeof(before), &before) == 0);
    // Three rivals on one processor leave it a quarter; that somebody else is there too only makes it more.
    CHECK(loop.scheduler().crowded_out() >= Duration::millis(80));
}

TEST_CASE("loop: posts that were dropped do not run, completions do") {
    Loop loop;
    bool ran = false;
    loop.post([&] { ran = true; });
    loop.drop_posts();
    loop.post([&] { ran = true; });
    Completion completion;
    loop.complete(completion);
    loop.run([&] { return completion.done; });
    CHECK(!ran);
}

TEST_CASE("signals: each comes as a call on the loop thread, none kills") {
    Loop loop;
    std::vector<int> got;
    Signals signals(loop, {SIGTERM, SIGHUP}, [&](int signal) {
        CHECK(Loop::this_thread_runs_a_loop());
        CHECK(!loop.scheduler().in_fiber());
        got.push_back(signal);
    });
    raise(SIGHUP);
    loop.run([&] { return got.size() == 1; });
    raise(SIGTERM);
    loop.run([&] { return got.size() == 2; });
    CHECK(got == std::vector<int>{SIGHUP, SIGTERM});
}

}  // namespace
}  // namespace orrery::real::test
