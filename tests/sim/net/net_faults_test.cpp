// Streams that are left half open, and addresses that belong to another machine for a while.
#include "runtime/env/errand.h"
#include "sim/core/world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

namespace {

/// Answers each connection with its host's name, then every byte with itself.
Errand::Work echo(std::string name) {
    return [name](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto listener, env.net.listen({"", 7000}));
        for (;;) {
            TRY(std::unique_ptr<Conn> conn, listener->accept(fiber));
            env.spawn("echo", [name, conn = std::move(conn)](Fiber& own) {
                if (!conn->write(own, name).ok()) return;
                char buffer[256];
                for (;;) {
                    Result<size_t> got = conn->read(own, buffer);
                    if (!got.ok() || *got == 0 || !conn->write(own, ByteView(buffer, *got)).ok()) return;
                }
            });
        }
    };
}

struct Pair {
    World world{{.seed = 3}};
    Host& server = world.add_host("server");
    Host& other = world.add_host("other");
    Host& client = world.add_host("client");
    Pair() {
        server.start([&](Env& env) { return std::make_unique<Errand>(env, echo("server")); });
        other.start([&](Env& env) { return std::make_unique<Errand>(env, echo("other")); });
    }
    void run(Errand::Work work, Duration limit = Duration::seconds(120)) {
        client.start([&](Env& env) { return std::make_unique<Errand>(env, work); });
        world.run_until(world.now() + limit, [&] { return !client.up(); });
        REQUIRE_FALSE(world.failure());
        REQUIRE_FALSE(client.up());
        REQUIRE(client.exit_result()->ok());
    }
};

}  // namespace

TEST_CASE("sim net: a half-open stream swallows what is sent, tells nobody, and ends when the silence has lasted too long") {
    Pair pair;
    pair.run([&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(std::unique_ptr<Conn> conn, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        char buffer[64];
        TRY(size_t got, conn->read(fiber, buffer));
        CHECK(ByteView(buffer, got) == "server");
        CHECK(pair.world.net().half_open_between(pair.client.endpoint(), pair.server.endpoint()) == 1);
        const Instant sent = env.now();
        CHECK(conn->write(fiber, "hello").ok());  // the kernel takes it
        CHECK(conn->read(fiber, buffer, env.now() + Duration::seconds(5)).failed_with(Code::Timeout));
        CHECK(conn->read(fiber, buffer).failed_with(Code::Unreachable));
        CHECK(env.now() - sent >= pair.world.net().options().silence_max);
        CHECK(env.now() - sent < pair.world.net().options().silence_max + Duration::seconds(1));
        // A new stream is none the wiser.
        TRY(std::unique_ptr<Conn> again, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        TRY(size_t name, again->read(fiber, buffer));
        CHECK(ByteView(buffer, name) == "server");
        return {};
    });
    CHECK(pair.world.net().counters().half_opened == 1);
    CHECK(pair.world.net().counters().vanished >= 1);
}

TEST_CASE("sim net: an idle half-open stream stays open at both ends for as long as nobody sends") {
    Pair pair;
    pair.run([&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(std::unique_ptr<Conn> conn, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        char buffer[64];
        TRY(size_t got, conn->read(fiber, buffer));
        CHECK(got == 6);
        CHECK(pair.world.net().half_open_between(pair.server.endpoint(), pair.client.endpoint()) == 1);
        CHECK(conn->read(fiber, buffer, env.now() + Duration::seconds(60)).failed_with(Code::Timeout));
        return {};
    });
}

TEST_CASE("sim net: a lent address leads to another machine until it is given back; open streams stay where they are") {
    Pair pair;
    pair.run([&](Fiber& fiber, Env& env) -> Result<void> {
        auto who = [&](Conn& conn) -> Result<std::string> {
            char buffer[64];
            TRY(size_t got, conn.read(fiber, buffer));
            return std::string(buffer, got);
        };
        TRY(std::unique_ptr<Conn> before, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        pair.world.net().lend_address("server", pair.other.endpoint());
        TRY(std::unique_ptr<Conn> lent, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        pair.world.net().lend_address("server", std::nullopt);
        TRY(std::unique_ptr<Conn> after, env.net.connect(fiber, {"server", 7000}, Instant::never()));
        CHECK(*who(*before) == "server");
        CHECK(*who(*lent) == "other");
        CHECK(*who(*after) == "server");
        return {};
    });
    CHECK(pair.world.net().counters().misdirected == 1);
}
