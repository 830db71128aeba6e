// What must end the process, in a child of its own, with the message that it ends with.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "runtime/real/crash.h"
#include "runtime/real/system_clock.h"
#include "tests/runtime/fiber/harness.h"

namespace orrery::test {
namespace {

struct Death {
    int signal = 0;
    std::string said;
};

Death die(void (*body)()) {
    int pipe_ends[2];
    CHECK(pipe(pipe_ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        // doctest has handlers of its own, which would speak instead.
        for (int signal : {SIGSEGV, SIGABRT, SIGBUS}) std::signal(signal, SIG_DFL);
        dup2(pipe_ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(pipe_ends[1]);
    Death out;
    char buffer[4096];
    for (ssize_t got; (got = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) out.said.append(buffer, static_cast<size_t>(got));
    close(pipe_ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    out.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return out;
}

bool says(const Death& death, std::string_view text) { return death.said.find(text) != std::string::npos; }

[[gnu::noinline]] int dig(int depth) {
    volatile char room[512];
    room[0] = static_cast<char>(depth);
    return depth > 1'000'000 ? 0 : dig(depth + 1) + room[0];
}

TEST_CASE("guarded: a yield while pinned is a failed check that names the fiber") {
    const Death death = die([] {
        Bench bench;
        Guarded<int> value(1);
        bench.spawn("careless", [&](Fiber& fiber) {
            auto pin = value.pin(fiber);
            (void)fiber.yield();
        });
        bench.settle();
    });
    CHECK(death.signal == SIGABRT);
    CHECK(says(death, "error[E0001]"));
    CHECK(says(death, "careless"));
    CHECK(says(death, "yield while a Guarded is pinned"));
}

TEST_CASE("scheduler: using another fiber's handle is a failed check") {
    const Death death = die([] {
        Bench bench;
        Fiber* stolen = nullptr;
        bench.spawn("victim", [&](Fiber& fiber) {
            stolen = &fiber;
            (void)fiber.yield();
            (void)fiber.yield();
        });
        bench.spawn("thief", [&](Fiber&) { (void)stolen->yield(); });
        bench.settle();
    });
    CHECK(death.signal == SIGABRT);
    CHECK(says(death, "outside its own body"));
}

TEST_CASE("crash: a fiber's stack overflow is named, with the last events") {
    const Death death = die([] {
        real::Loop loop;
        real::LogTracer log(loop.clock(), {.format = real::LogFormat::Json, .least = Severity::Error});
        real::CrashHandler crash("orrery-test", &loop, &log.recorder());
        log.event(Severity::Info, "before.crash", {{"number", 17}});
        loop.scheduler().spawn("digger", [](Fiber&) { dig(0); });
        loop.run([] { return false; });
    });
    CHECK(death.signal == SIGSEGV);
    CHECK(says(death, "orrery-test: error[E0002]: killed by SIGSEGV"));
    CHECK(says(death, "in fiber 'digger'"));
    CHECK(says(death, "the stack of this fiber has overflowed"));
    CHECK(says(death, "before.crash number=17"));
}

TEST_CASE("crash: a failed check prints the last events, and a wild pointer is not called an overflow") {
    const Death failed = die([] {
        real::Loop loop;
        real::LogTracer log(loop.clock(), {.least = Severity::Error});
        real::CrashHandler crash("orrery-test", &loop, &log.recorder());
        log.event(Severity::Warning, "before.check", {});
        check_failed("file.cpp", 3, "made up");
    });
    CHECK(failed.signal == SIGABRT);
    CHECK(says(failed, "made up"));
    CHECK(says(failed, "SIGABRT"));
    CHECK(says(failed, "before.check"));
    const Death wild = die([] {
        real::Loop loop;
        real::CrashHandler crash("orrery-test", &loop, nullptr);
        loop.scheduler().spawn("wild", [](Fiber&) { raise(SIGSEGV); });
        loop.run([] { return false; });
    });
    CHECK(wild.signal == SIGSEGV);
    CHECK(says(wild, "in fiber 'wild'"));
    CHECK(!says(wild, "overflowed"));
}

}  // namespace
}  // namespace orrery::test
