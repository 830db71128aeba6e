#include "tools/bench/pp3.h"

#include <array>
#include <memory>
#include <string>

#include "runtime/base/check.h"
#include "sim/core/world.h"
#include "tools/bench/harness.h"

namespace orrery::bench {

namespace {

constexpr size_t kMessageBytes = 64;
constexpr uint16_t kPort = 7000;

/// One node: listens, dials the nodes of a higher number; one fiber a connection.
class Node final : public Process {
 public:
    Node(Env& env, int number, uint64_t window, uint64_t& delivered)
        : env_(env), number_(number), window_(window), delivered_(delivered) {}

    Result<void> run(Fiber& fiber) override {
        TRY(std::unique_ptr<Listener> listener, env_.net.listen({"", kPort}));
        for (int other = number_ + 1; other < 3; ++other) {
            TRY(std::unique_ptr<Conn> conn,
                env_.net.connect(fiber, {"n" + std::to_string(other), kPort}, Instant::never()));
            serve(std::move(conn));
        }
        for (int accepted = 0; accepted < number_; ++accepted) {
            TRY(std::unique_ptr<Conn> conn, listener->accept(fiber));
            serve(std::move(conn));
        }
        return stop_.wait(fiber);
    }
    void request_stop() override { stop_.set(); }

 private:
    void serve(std::unique_ptr<Conn> conn) {
        env_.spawn("echo",
                   [this, conn = std::move(conn)](Fiber& fiber) { (void)echo(fiber, *conn).ok(); });
    }

    Result<void> echo(Fiber& fiber, Conn& conn) {
        std::array<char, kMessageBytes> message{};
        for (uint64_t i = 0; i < window_; ++i) {
            message[0] = static_cast<char>(i);
            TRY(conn.write_all(fiber, ByteView(message.data(), message.size())));
        }
        std::array<char, 4096> into;
        size_t have = 0;
        for (;;) {
            TRY(const size_t got, conn.read(fiber, std::span(into).subspan(have)));
            if (got == 0) return {};
            have += got;
            size_t at = 0;
            // Each message is a write of its own: what is counted is messages, not batches.
            for (; have - at >= kMessageBytes; at += kMessageBytes) {
                ++delivered_;
                TRY(conn.write_all(fiber, ByteView(into.data() + at, kMessageBytes)));
            }
            std::copy(into.begin() + static_cast<ptrdiff_t>(at),
                      into.begin() + static_cast<ptrdiff_t>(have), into.begin());
            have -= at;
        }
    }

    Env& env_;
    int number_;
    uint64_t window_;
    uint64_t& delivered_;
    Event stop_;
};

}  // namespace

Pp3Result run_pp3(uint64_t seed, uint64_t window, uint64_t messages) {
    sim::WorldOptions options;
    options.seed = seed;
    options.net.latency_min = Duration::micros(500);
    options.net.latency_mean = Duration::micros(500);
    sim::World world(options);
    uint64_t delivered = 0;
    for (int i = 0; i < 3; ++i) world.add_host("n" + std::to_string(i));
    for (int i = 2; i >= 0; --i)
        world.host(static_cast<size_t>(i)).start([&, i](Env& env) {
            return std::make_unique<Node>(env, i, window, delivered);
        });
    // Warm: connections made, buffers grown.
    CHECK(world.run_until(Instant{Duration::millis(20).ns}) == sim::World::Stop::Time,
          world.failure() ? world.failure()->text : "");
    const uint64_t delivered_before = delivered;
    const Instant simulated_before = world.now();
    const uint64_t goal = delivered + messages;
    const int64_t begin = cpu_ns();
    while (delivered < goal) {
        const sim::World::Stop stop = world.run_until(world.now() + Duration::millis(10));
        CHECK(stop == sim::World::Stop::Time, world.failure() ? world.failure()->text : "idle");
    }
    const int64_t end = cpu_ns();
    return {delivered - delivered_before, static_cast<double>(end - begin) / 1e9,
            (world.now() - simulated_before).as_seconds(), world.timeline().hash().value(),
            world.timeline().hash().steps()};
}

}  // namespace orrery::bench
