#include <cstdio>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/runtime/real/harness.h"

namespace orrery::real::test {
namespace {

TEST_CASE("tcp: accept waits out a shortage of descriptors and then serves who waited") {
#if defined(__SANITIZE_ADDRESS__)
    // UBSan asks through a pipe whether an address can be read, and takes "no descriptor left" for a bad object.
    std::puts("SKIPPED real_test.descriptor_shortage the sanitizer needs descriptors of its own");
    return;
#endif
    TemporaryDirectory directory;
    run_real(directory.path(), [](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto listener, env.net.listen({"127.0.0.1", 0}));
        TRY(auto client, env.net.connect(fiber, listener->local(), env.now() + Duration::seconds(5)));
        std::unique_ptr<Conn> accepted;
        // Every number below the limit is taken, so that accept4() has none to give.
        std::vector<int> taken;
        rlimit before{};
        CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
        const int highest = dup(0);
        taken.push_back(highest);
        const rlimit low{static_cast<rlim_t>(highest) + 1, before.rlim_max};
        CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
        for (int extra; (extra = dup(0)) >= 0;) taken.push_back(extra);
        CHECK(errno == EMFILE);
        size_t done = 0;
        env.spawn("acceptor", [&](Fiber& acceptor) {
            auto got = listener->accept(acceptor);
            CHECK(got.ok());
            if (got.ok()) accepted = std::move(*got);
            ++done;
        });
        TRY(env.sleep(fiber, Duration::millis(50)));
        CHECK(done == 0);
        const auto refused = env.net.connect(fiber, listener->local(), env.now() + Duration::seconds(5));
        CHECK(refused.failed_with(Code::Unreachable));
        CHECK(refused.error().context.find("Too many open files") != std::string::npos);
        for (int one : taken) ::close(one);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        for (int i = 0; i < 3000 && done == 0; ++i) TRY(env.sleep(fiber, Duration::millis(1)));
        CHECK(accepted != nullptr);
        if (!accepted) return {};
        TRY(client->write_all(fiber, "still here"));
        char buffer[32];
        TRY(size_t got, accepted->read(fiber, buffer, env.now() + Duration::seconds(5)));
        CHECK(Bytes(buffer, got) == "still here");
        return {};
    });
}

TEST_CASE("tcp: a taken port names address, reason and holder") {
    TemporaryDirectory directory;
    run_real(directory.path(), [](Fiber&, Env& env) -> Result<void> {
        TRY(auto listener, env.net.listen({"127.0.0.1", 0}));
        const auto again = env.net.listen(listener->local());
        CHECK(again.failed_with(Code::Exists));
        CHECK(again.error().context.find("cannot listen on " + listener->local().text()) != std::string::npos);
        CHECK(again.error().context.find("held by process " + std::to_string(getpid())) != std::string::npos);
        CHECK(env.net.listen({"192.0.2.1", 0}).failed_with(Code::Invalid));  // not an address of this machine
        return {};
    });
}

TEST_CASE("tcp: names are looked up, in time or not at all") {
    TemporaryDirectory directory;
    run_real(directory.path(), [](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto listener, env.net.listen({"localhost", 0}));
        TRY(auto client, env.net.connect(fiber, {"localhost", listener->local().port}, env.now() + Duration::seconds(10)));
        TRY(auto server, listener->accept(fiber));
        CHECK(server->peer().port != 0);
        CHECK(env.net.connect(fiber, {"localhost", 0}, Instant::never()).failed_with(Code::Invalid));
        const auto late = env.net.connect(fiber, {"localhost", 1}, env.now() - Duration::seconds(1));
        CHECK((late.failed_with(Code::Timeout) || late.failed_with(Code::Unreachable)));  // whichever is known first
        return {};
    });
}

TEST_CASE("tcp: IPv6 loopback, where the machine has one") {
    TemporaryDirectory directory;
    run_real(directory.path(), [](Fiber& fiber, Env& env) -> Result<void> {
        auto listener = env.net.listen({"::1", 0});
        if (!listener.ok()) {
            MESSAGE("SKIPPED tcp.ipv6 " << listener.error().context);
            return {};
        }
        TRY(auto client, env.net.connect(fiber, (*listener)->local(), env.now() + Duration::seconds(5)));
        TRY(auto server, (*listener)->accept(fiber));
        CHECK(server->peer().host == "::1");
        return {};
    });
}

}  // namespace
}  // namespace orrery::real::test
