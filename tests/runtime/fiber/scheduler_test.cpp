#include <algorithm>

#include "tests/runtime/fiber/harness.h"

namespace orrery::test {
namespace {

TEST_CASE("scheduler: fibers run in order of readiness, or as the hooks pick") {
    for (bool newest_first : {false, true}) {
        Bench bench;
        bench.newest_first = newest_first;
        std::string order;
        for (char name : {'a', 'b', 'c'})
            bench.spawn("letter", [&order, name](Fiber& fiber) {
                order += name;
                CHECK(fiber.yield().ok());
                order += static_cast<char>(name - 'a' + 'A');
            });
        bench.settle();
        CHECK(order == (newest_first ? "cCbBaA" : "abcABC"));
        CHECK(bench.scheduler.live() == 0);
    }
}

TEST_CASE("scheduler: became_ready is told when the queue was empty") {
    Bench bench;
    WaitQueue queue;
    for (int i = 0; i < 2; ++i) bench.spawn("waiter", [&](Fiber& fiber) { CHECK(fiber.wait(queue).ok()); });
    CHECK(bench.ready_notices == 1);
    bench.settle();
    queue.wake_all();
    CHECK(bench.ready_notices == 2);
    bench.settle();
}

TEST_CASE("scheduler: timers fire by deadline and then by start of the wait") {
    Bench bench;
    std::vector<int> order;
    int number = 0;
    for (int ms : {30, 10, 20, 10, 5, 30})
        bench.spawn("sleeper", [&order, ms, mine = number++](Fiber& fiber) {
            CHECK(fiber.sleep_until(Bench::at(ms)).ok());
            order.push_back(mine);
        });
    bench.settle();
    CHECK(bench.scheduler.next_timer() == Bench::at(5));
    CHECK(bench.last_timer_notice == Bench::at(5));
    bench.advance_to(4);
    CHECK(order.empty());
    bench.advance_to(10);
    CHECK(order == std::vector<int>{4, 1, 3});
    bench.advance_to(100);
    CHECK(order == std::vector<int>{4, 1, 3, 2, 0, 5});
    CHECK(bench.scheduler.next_timer() == Instant::never());
}

TEST_CASE("scheduler: the timer heap agrees with sorting, under random wakes before the deadline") {
    Bench bench;
    RandomStream draws(7, "test.timers", 0);
    struct Sleeper {
        WaitQueue queue;
        int64_t deadline = 0;
        bool woken = false;
    };
    std::vector<std::unique_ptr<Sleeper>> sleepers;
    std::vector<int64_t> fired;
    for (int i = 0; i < 300; ++i) {
        sleepers.push_back(std::make_unique<Sleeper>());
        Sleeper& mine = *sleepers.back();
        mine.deadline = static_cast<int64_t>(1 + draws.below(500));
        bench.spawn("sleeper", [&fired, &mine](Fiber& fiber) {
            const Result<void> waited = fiber.wait(mine.queue, Bench::at(mine.deadline));
            CHECK(waited.ok() == mine.woken);
            if (waited.failed_with(Code::Timeout)) fired.push_back(mine.deadline);
        });
    }
    bench.settle();
    std::vector<int64_t> expected;
    for (auto& sleeper : sleepers) {
        if (draws.chance(0.5)) {
            sleeper->woken = true;
            CHECK(sleeper->queue.wake_one());
        } else {
            expected.push_back(sleeper->deadline);
        }
    }
    bench.settle();
    std::sort(expected.begin(), expected.end());
    for (int64_t ms = 0; ms <= 500; ms += 7) bench.advance_to(ms);
    bench.advance_to(501);
    CHECK(fired == expected);
}

TEST_CASE("scheduler: cancel ends the present and every later wait, and unknown ids are ignored") {
    Bench bench;
    WaitQueue queue;
    int cancelled = 0;
    const FiberId id = bench.spawn("victim", [&](Fiber& fiber) {
        CHECK(fiber.wait(queue).failed_with(Code::Cancelled));
        CHECK(fiber.sleep_until(Instant::never()).failed_with(Code::Cancelled));
        CHECK(fiber.yield().failed_with(Code::Cancelled));
        CHECK(fiber.maybe_yield().failed_with(Code::Cancelled));
        ++cancelled;
    });
    bench.settle();
    bench.scheduler.cancel(id);
    CHECK(queue.empty());
    bench.settle();
    CHECK(cancelled == 1);
    // The slot is used again: the old id must not hit the new fiber.
    bench.spawn("heir", [&](Fiber& fiber) { CHECK(fiber.wait(queue).ok()); });
    bench.settle();
    bench.scheduler.cancel(id);
    bench.scheduler.cancel(FiberId{});
    bench.scheduler.cancel(FiberId{uint64_t{1} << 40});
    bench.settle();
    CHECK(bench.scheduler.live() == 1);
    queue.wake_all();
    bench.settle();
    CHECK(bench.scheduler.live() == 0);
}

TEST_CASE("scheduler: an uncancellable wait outlives cancel, and the fiber hears of it afterwards") {
    Bench bench;
    WaitQueue queue;
    bool heard = false;
    const FiberId id = bench.spawn("worker", [&](Fiber& fiber) {
        fiber.wait_uncancellable(queue);
        heard = fiber.cancelled() && fiber.yield().failed_with(Code::Cancelled);
    });
    bench.settle();
    bench.scheduler.cancel(id);
    bench.settle();
    CHECK(bench.scheduler.live() == 1);
    queue.wake_one();
    bench.settle();
    CHECK(heard);
}

TEST_CASE("scheduler: captures die with the body, spans are inherited, names are told") {
    Bench bench;
    auto held = std::make_shared<int>(1);
    WaitQueue queue;
    uint64_t child_span = 0;
    bench.spawn("parent", [&, held](Fiber& fiber) {
        fiber.set_span(42);
        CHECK(bench.scheduler.running_name() == "parent");
        CHECK(bench.scheduler.in_fiber());
        bench.spawn("child", [&](Fiber& child) {
            child_span = child.span();
            CHECK(child.wait(queue).ok());
        });
    });
    bench.settle();
    CHECK(held.use_count() == 1);
    CHECK(child_span == 42);
    CHECK(bench.scheduler.live_names() == std::vector<std::string>{"child"});
    queue.wake_all();
    bench.settle();
}

TEST_CASE("scheduler: thousands of fibers come and go on few stacks") {
    Bench bench;
    uint64_t sum = 0;
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 100; ++i)
            bench.spawn("brief", [&sum](Fiber& fiber) {
                volatile char deep[16 * 1024];
                deep[0] = deep[sizeof(deep) - 1] = 1;
                if (fiber.yield().ok()) sum += static_cast<uint64_t>(deep[0]);
            });
        bench.settle();
    }
    CHECK(sum == 5000);
    CHECK(bench.scheduler.live() == 0);
}

}  // namespace
}  // namespace orrery::test
