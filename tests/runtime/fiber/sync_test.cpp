#include "tests/runtime/fiber/harness.h"

namespace orrery::test {
namespace {

TEST_CASE("event: a set event does not wait, and reset makes it wait again") {
    Bench bench;
    Event event;
    event.set();
    int passed = 0;
    const auto waiter = [&](Fiber& fiber) {
        if (event.wait(fiber).ok()) ++passed;
    };
    bench.spawn("first", waiter);
    bench.settle();
    CHECK(passed == 1);
    event.reset();
    bench.spawn("second", waiter);
    bench.settle();
    CHECK(passed == 1);
    event.set();
    bench.settle();
    CHECK(passed == 2);
}

TEST_CASE("mutex: a lock handed to a waiter is not lost when somebody else asks at the same time") {
    Bench bench;
    Mutex mutex;
    std::string order;
    WaitQueue hold;
    for (char name : {'a', 'b', 'c'})
        bench.spawn("locker", [&, name](Fiber& fiber) {
            auto lock = mutex.lock(fiber);
            CHECK(lock.ok());
            order += name;
            if (name == 'a') CHECK(fiber.wait(hold).ok());
        });
    bench.settle();
    CHECK(order == "a");
    hold.wake_all();
    bench.settle();
    CHECK(order == "abc");
    CHECK(!mutex.locked());
}

TEST_CASE("mutex: a waiter that is cancelled or times out leaves the lock to the next") {
    Bench bench;
    Mutex mutex;
    WaitQueue hold;
    std::string outcome;
    bench.spawn("holder", [&](Fiber& fiber) {
        auto lock = mutex.lock(fiber);
        CHECK(fiber.wait(hold).ok());
    });
    const FiberId cancelled =
        bench.spawn("cancelled", [&](Fiber& fiber) { outcome += mutex.lock(fiber).failed_with(Code::Cancelled) ? 'c' : '-'; });
    bench.spawn("late", [&](Fiber& fiber) {
        outcome += mutex.lock(fiber, Bench::at(10)).failed_with(Code::Timeout) ? 't' : '-';
    });
    bench.spawn("patient", [&](Fiber& fiber) { outcome += mutex.lock(fiber).ok() ? 'p' : '-'; });
    bench.settle();
    bench.scheduler.cancel(cancelled);
    bench.advance_to(10);
    CHECK(outcome == "ct");
    hold.wake_all();
    bench.settle();
    CHECK(outcome == "ctp");
    CHECK(!mutex.locked());
}

TEST_CASE("semaphore: a large request is not overtaken, and one that gives up lets the others through") {
    Bench bench;
    Semaphore permits(2);
    std::string order;
    CHECK(permits.try_acquire(1));
    bench.spawn("large", [&](Fiber& fiber) { order += permits.acquire(fiber, 2, Bench::at(50)).ok() ? 'L' : 'l'; });
    bench.settle();
    bench.spawn("small", [&](Fiber& fiber) { order += permits.acquire(fiber, 1).ok() ? 'S' : 's'; });
    bench.settle();
    CHECK(order.empty());
    CHECK(!permits.try_acquire(1));
    bench.advance_to(50);
    CHECK(order == "lS");
    permits.release(2);
    CHECK(permits.available() == 2);
}

TEST_CASE("channel: bound, close, and drain") {
    Bench bench;
    Channel<int> channel(2);
    CHECK(channel.try_push(1));
    CHECK(channel.try_push(2));
    CHECK(!channel.try_push(3));
    std::string log;
    bench.spawn("pusher", [&](Fiber& fiber) { log += channel.push(fiber, 4).ok() ? "pushed " : "refused "; });
    bench.settle();
    CHECK(log.empty());
    CHECK(channel.try_pop() == 1);
    bench.settle();
    CHECK(log == "pushed ");
    channel.close();
    CHECK(!channel.try_push(5));
    bench.spawn("popper", [&](Fiber& fiber) {
        for (int wanted : {2, 4}) {
            auto got = channel.pop(fiber);
            CHECK((got.ok() && *got == wanted));
        }
        CHECK(channel.pop(fiber).failed_with(Code::Unreachable));
        log += "drained";
    });
    bench.settle();
    CHECK(log == "pushed drained");
}

TEST_CASE("gate: close waits for who is inside and lets nobody else in") {
    Bench bench;
    Gate gate;
    auto pass = gate.enter();
    CHECK(pass.has_value());
    bool closed = false;
    bench.spawn("closer", [&](Fiber& fiber) { closed = gate.close(fiber).ok(); });
    bench.settle();
    CHECK(!closed);
    CHECK(!gate.enter().has_value());
    pass.reset();
    bench.settle();
    CHECK(closed);
}

TEST_CASE("primitives: an extra yield at every turn changes no outcome") {
    Bench bench;
    bench.yields_asked = 1;
    Channel<int> channel(1);
    int sum = 0;
    bench.spawn("pusher", [&](Fiber& fiber) {
        for (int i = 1; i <= 10; ++i) CHECK(channel.push(fiber, i).ok());
        channel.close();
    });
    bench.spawn("popper", [&](Fiber& fiber) {
        for (auto got = channel.pop(fiber); got.ok(); got = channel.pop(fiber)) sum += *got;
    });
    bench.settle();
    CHECK(sum == 55);
    CHECK(bench.yield_count >= 20);
}

TEST_CASE("guarded: a pin gives access, and pinning again after a yield is fine") {
    Bench bench;
    Guarded<int> value(1);
    bench.spawn("user", [&](Fiber& fiber) {
        {
            auto pin = value.pin(fiber);
            *pin += 1;
        }
        CHECK(fiber.yield().ok());
        auto pin = value.pin(fiber);
        CHECK(*pin == 2);
    });
    bench.settle();
}

}  // namespace
}  // namespace orrery::test
