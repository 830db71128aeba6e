// Child processes that end in every way a world can end.
#include "tools/orrery/children.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

using namespace orrery;
using namespace orrery::cli;

namespace {

ChildEnd end_of(const std::function<int(int)>& body, ChildLimits limits = {}) {
    Children children;
    CHECK(children.start(7, limits, body).ok());
    std::vector<ChildEnd> ended;
    while (ended.empty()) ended = children.wait(Instant::never());
    CHECK(ended.size() == 1);
    CHECK(ended[0].token == 7);
    return std::move(ended[0]);
}

}  // namespace

TEST_CASE("children: a reply and a status come back") {
    const ChildEnd end = end_of([](int fd) { return write_all(fd, "hello") ? 5 : 1; });
    CHECK(end.signal == 0);
    CHECK(end.exit_status == 5);
    CHECK(end.reply == "hello");
}

TEST_CASE("children: an abort is seen, with what was said before it") {
    const ChildEnd end = end_of([](int fd) {
        write_all(fd, "half");
        std::fprintf(stderr, "last words\n");
        std::abort();
        return 0;
    });
    CHECK(end.signal == SIGABRT);
    CHECK(end.reply == "half");
    CHECK(end.stderr_tail.find("last words") != std::string::npos);
}

TEST_CASE("children: one that hangs is killed at its wall limit") {
    const Instant began = machine_now();
    const ChildEnd end = end_of([](int) { return pause(); }, {.wall = Duration::millis(200)});
    CHECK(end.timed_out);
    CHECK(end.signal == SIGKILL);
    CHECK((machine_now() - began).ns >= Duration::millis(200).ns);
}

TEST_CASE("children: a reply without end is cut off and said to be too long") {
    const ChildEnd end = end_of(
        [](int fd) {
            while (write_all(fd, std::string(100'000, 'x'))) {
            }
            return 0;
        },
        {.reply_bytes = 1 << 20});
    CHECK(end.reply_too_long);
    CHECK(end.reply.size() <= (1 << 20));
}

TEST_CASE("children: only the last of a long standard error is kept") {
    const ChildEnd end = end_of(
        [](int) {
            for (int i = 0; i < 20'000; ++i) std::fprintf(stderr, "line %d\n", i);
            return 0;
        },
        {.stderr_bytes = 1000});
    CHECK(end.stderr_tail.size() == 1000);
    CHECK(end.stderr_tail.ends_with("line 19999\n"));
}

TEST_CASE("children: several run at a time, and each end carries its token") {
    Children children;
    for (uint64_t token = 0; token < 5; ++token)
        CHECK(children.start(token, {}, [token](int) { return static_cast<int>(token); }).ok());
    size_t seen = 0;
    while (children.running() > 0)
        for (const ChildEnd& end : children.wait(Instant::never())) {
            CHECK(end.exit_status == static_cast<int>(end.token));
            ++seen;
        }
    CHECK(seen == 5);
}

TEST_CASE("children: a stop signal ends the wait and not the children (SIGTERM)") {
    StopSignals stop;
    Children children(&stop);
    CHECK(children.start(1, {}, [](int) { return pause(); }).ok());
    kill(getpid(), SIGTERM);
    CHECK(children.wait(Instant::never()).empty());
    CHECK(stop.count() == 1);
    CHECK(children.running() == 1);
    children.kill_all();
    CHECK(children.running() == 0);
}
