#include "tests/conformance/harness.h"

namespace orrery::conformance {
namespace {

TEST_CASE("sync: a channel hands over each value once, within its bound") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Channel<int> channel(3);
        std::vector<int> last(4, -1);
        size_t got = 0;
        size_t producers = 0;
        size_t consumers = 0;
        for (int p = 0; p < 4; ++p)
            env.spawn("producer", [&, p](Fiber& inner) {
                for (int i = 0; i < 50; ++i) {
                    CHECK(channel.push(inner, p * 1000 + i).ok());
                    CHECK(channel.size() <= 3);
                }
                if (++producers == 4) channel.close();
            });
        for (int c = 0; c < 3; ++c)
            env.spawn("consumer", [&](Fiber& inner) {
                for (;;) {
                    auto value = channel.pop(inner);
                    if (!value.ok()) {
                        CHECK(value.failed_with(Code::Unreachable));
                        break;
                    }
                    // A pop takes place atomically with its return, so values of one producer come in order.
                    CHECK(*value % 1000 > last[static_cast<size_t>(*value / 1000)]);
                    last[static_cast<size_t>(*value / 1000)] = *value % 1000;
                    ++got;
                }
                ++consumers;
            });
        TRY(await_count(fiber, env, consumers, 3));
        CHECK(got == 200);
        CHECK(channel.push(fiber, 1).failed_with(Code::Unreachable));
        return {};
    });
}

TEST_CASE("sync: a mutex excludes across yields") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Mutex mutex;
        int inside = 0;
        size_t rounds = 0;
        for (int f = 0; f < 5; ++f)
            env.spawn("locker", [&](Fiber& inner) {
                for (int i = 0; i < 20; ++i) {
                    auto lock = mutex.lock(inner);
                    CHECK(lock.ok());
                    CHECK(++inside == 1);
                    CHECK(inner.yield().ok());
                    CHECK(inside-- == 1);
                    ++rounds;
                }
            });
        TRY(await_count(fiber, env, rounds, 100));
        auto held = mutex.lock(fiber);
        CHECK(held.ok());
        CHECK(mutex.lock(fiber, env.now() + Duration::millis(5)).failed_with(Code::Timeout));
        return {};
    });
}

TEST_CASE("sync: a semaphore never gives out more than it has, and serves a large request in its turn") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Semaphore permits(4);
        uint64_t out = 0;
        size_t ended = 0;
        for (uint64_t want : {1, 4, 2, 1, 3, 4, 1, 2})
            env.spawn("taker", [&, want](Fiber& inner) {
                for (int i = 0; i < 10; ++i) {
                    CHECK(permits.acquire(inner, want).ok());
                    out += want;
                    CHECK(out <= 4);
                    CHECK(inner.yield().ok());
                    out -= want;
                    permits.release(want);
                }
                ++ended;
            });
        TRY(await_count(fiber, env, ended, 8));
        CHECK(permits.available() == 4);
        return {};
    });
}

TEST_CASE("sync: a gate closes when the last one has left") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        Gate gate;
        size_t left = 0;
        for (int i = 0; i < 5; ++i)
            env.spawn("visitor", [&, i](Fiber& inner) {
                auto pass = gate.enter();
                if (pass) CHECK(env.sleep(inner, Duration::millis(i)).ok());
                ++left;
            });
        TRY(env.sleep(fiber, Duration::millis(1)));
        {
            auto held = gate.enter();
            CHECK(held.has_value());
            CHECK(gate.close(fiber, env.now() + Duration::millis(20)).failed_with(Code::Timeout));
            CHECK(!gate.enter().has_value());
        }
        TRY(gate.close(fiber, env.now() + Duration::seconds(20)));
        CHECK(gate.inside() == 0);
        return await_count(fiber, env, left, 5);
    });
}

}  // namespace
}  // namespace orrery::conformance
