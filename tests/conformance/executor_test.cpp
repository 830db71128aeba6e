#include "tests/conformance/harness.h"

namespace orrery::conformance {
namespace {

TEST_CASE("blocking: results and errors come back, whatever the body returns") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        int ran = 0;
        TRY(env.blocking(fiber, [&](Blocking&) { ++ran; }));
        TRY(std::string text, env.blocking(fiber, [](Blocking&) { return std::string("plain"); }));
        CHECK(text == "plain");
        const Result<int> failed = env.blocking(fiber, [](Blocking&) -> Result<int> { return Error(Code::Stale, "why"); });
        CHECK(failed.failed_with(Code::Stale));
        CHECK(failed.error().context == "why");
        CHECK(ran == 1);
        return {};
    });
}

TEST_CASE("blocking: a cancelled fiber begins nothing, and waits for what has begun") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        size_t ended = 0;
        const FiberId early = env.spawn("early", [&](Fiber& inner) {
            bool ran = false;
            CHECK(env.blocking(inner, [&](Blocking&) { ran = true; }).failed_with(Code::Cancelled));
            CHECK(!ran);
            ++ended;
        });
        env.scheduler.cancel(early);
        TRY(await_count(fiber, env, ended, 1));
        FiberId late{};
        bool told = false;
        late = env.spawn("late", [&](Fiber& inner) {
            Bytes local(1000, 'x');  // the body borrows it: it must not die first
            const Result<void> ran = env.blocking(inner, [&](Blocking& blocking) -> Result<void> {
                TRY(auto file, env.disk.open(blocking, "slow", OpenMode::Create));
                env.executor.post([&] { env.scheduler.cancel(late); });
                for (int i = 0; i < 20; ++i) TRY(file->sync(blocking));
                return file->pwrite(blocking, 0, local);
            });
            CHECK((ran.ok() || ran.failed_with(Code::Cancelled)));
            told = true;
            ++ended;
        });
        TRY(await_count(fiber, env, ended, 2));
        CHECK(told);
        return {};
    });
}

TEST_CASE("blocking: what was written before the return is there after it") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        std::vector<uint64_t> seen;
        size_t ended = 0;
        for (uint64_t i = 0; i < 30; ++i) {
            env.spawn("worker", [&, i](Fiber& worker) {
                uint64_t made = 0;
                CHECK(env.blocking(worker, [&](Blocking&) { made = i + 1; }).ok());
                seen.push_back(made);
                ++ended;
            });
        }
        TRY(await_count(fiber, env, ended, 30));
        uint64_t sum = 0;
        for (uint64_t one : seen) sum += one;
        CHECK(sum == 30 * 31 / 2);
        return {};
    });
}

TEST_CASE("background: jobs of both priorities run, and what they post arrives on the loop thread in order") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        size_t arrived = 0;
        std::vector<int> posted[4];
        for (int job = 0; job < 4; ++job) {
            env.background(job % 2 == 0 ? Priority::High : Priority::Low, [&, job](Blocking&) {
                for (int i = 0; i < 5; ++i)
                    env.executor.post([&, job, i] {
                        posted[job].push_back(i);
                        ++arrived;
                    });
            });
        }
        CHECK(arrived == 0);
        TRY(await_count(fiber, env, arrived, 20));
        for (const auto& of_job : posted) CHECK(of_job == std::vector<int>{0, 1, 2, 3, 4});
        return {};
    });
}

TEST_CASE("background: a job may queue another, and a foreground call does not wait behind either") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        size_t done = 0;
        env.background(Priority::Low, [&](Blocking& blocking) {
            CHECK(env.disk.create_dir(blocking, "made").ok());
            env.background(Priority::High, [&](Blocking& inner) {
                CHECK(env.disk.stat(inner, "made").ok());
                env.executor.post([&] { ++done; });
            });
        });
        TRY(env.blocking(fiber, [](Blocking&) {}));
        return await_count(fiber, env, done, 1);
    });
}

TEST_CASE("post: work runs later, once each, in order, and never inside the caller") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        std::vector<int> order;
        size_t count = 0;
        for (int i = 0; i < 10; ++i)
            env.executor.post([&, i] {
                order.push_back(i);
                ++count;
                if (i == 0) env.executor.post([&] { ++count; });
            });
        CHECK(count == 0);
        TRY(await_count(fiber, env, count, 11));
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        return {};
    });
}

}  // namespace
}  // namespace orrery::conformance
