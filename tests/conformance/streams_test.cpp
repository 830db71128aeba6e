#include "tests/conformance/harness.h"

namespace orrery::conformance {
namespace {

struct Pair {
    std::unique_ptr<Conn> client;
    std::unique_ptr<Conn> server;
};

Instant soon(Env& env) { return env.now() + Duration::seconds(20); }

Result<Pair> connected(Fiber& fiber, Env& env, const Place& place) {
    TRY(auto listener, env.net.listen({place.host, 0}));
    Pair out;
    // The connection waits in the listener's queue: nobody accepts while connect() is under way.
    TRY(out.client, env.net.connect(fiber, listener->local(), soon(env)));
    TRY(out.server, listener->accept(fiber));
    return out;
}

Result<Bytes> read_to_end(Fiber& fiber, Env& env, Conn& conn) {
    Bytes out;
    char buffer[5000];
    for (;;) {
        TRY(size_t got, conn.read(fiber, buffer, soon(env)));
        if (got == 0) return out;
        out.append(buffer, got);
    }
}

Bytes random_bytes(RandomStream& draws, size_t size) {
    Bytes out(size, '\0');
    for (char& c : out) c = static_cast<char>(draws.next());
    return out;
}

TEST_CASE("streams: what is echoed is what was sent, whatever the sizes") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        size_t echoed = 0;
        env.spawn("echo", [&](Fiber& echo) {
            char buffer[8192];
            for (;;) {
                auto got = pair.server->read(echo, buffer);
                if (!got.ok() || *got == 0) break;
                if (!pair.server->write_all(echo, {buffer, *got}).ok()) break;
            }
            pair.server->shutdown_write();
            ++echoed;
        });
        RandomStream draws = env.random.stream("test.sizes");
        Bytes sent;
        for (int i = 0; i < 40; ++i) sent += random_bytes(draws, 1 + draws.below(i % 8 == 0 ? 100'000 : 300));
        size_t written = 0;
        env.spawn("writer", [&](Fiber& writer) {
            if (pair.client->write_all(writer, sent).ok()) pair.client->shutdown_write();
            ++written;
        });
        TRY(Bytes back, read_to_end(fiber, env, *pair.client));
        CHECK(back == sent);
        TRY(await_count(fiber, env, echoed, 1));
        return await_count(fiber, env, written, 1);
    });
}

TEST_CASE("streams: half-close lets the other direction go on") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        TRY(pair.client->write_all(fiber, "question", soon(env)));
        pair.client->shutdown_write();
        pair.client->shutdown_write();
        CHECK(pair.client->write(fiber, "more", soon(env)).failed_with(Code::Invalid));
        TRY(Bytes question, read_to_end(fiber, env, *pair.server));
        CHECK(question == "question");
        TRY(pair.server->write_all(fiber, "answer", soon(env)));
        pair.server->shutdown_write();
        TRY(Bytes answer, read_to_end(fiber, env, *pair.client));
        CHECK(answer == "answer");
        return {};
    });
}

TEST_CASE("streams: the end of the peer is seen by reader and writer") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        pair.server.reset();
        char buffer[16];
        const auto got = pair.client->read(fiber, buffer, soon(env));
        CHECK((got.failed_with(Code::Unreachable) || (got.ok() && *got == 0)));
        // The first bytes may still be taken over; the peer's reset comes back for them.
        bool refused = false;
        for (int i = 0; i < 1000 && !refused; ++i) {
            const auto taken = pair.client->write(fiber, "x", soon(env));
            refused = taken.failed_with(Code::Unreachable);
            if (!taken.ok() && !refused) return taken.error();
            TRY(env.sleep(fiber, Duration::millis(1)));
        }
        CHECK(refused);
        return {};
    });
}

TEST_CASE("streams: connecting where nobody listens is Unreachable") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(auto listener, env.net.listen({place.host, 0}));
        const Address at = listener->local();
        CHECK(at.port != 0);
        listener.reset();
        CHECK(env.net.connect(fiber, at, soon(env)).failed_with(Code::Unreachable));
        CHECK(env.net.connect(fiber, {"no-such-host.invalid", 4000}, soon(env)).failed_with(Code::Unreachable));
        return {};
    });
}

TEST_CASE("streams: a port that is taken answers Exists, and is free again after close") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(auto listener, env.net.listen({place.host, 0}));
        CHECK(env.net.listen(listener->local()).failed_with(Code::Exists));
        const Address at = listener->local();
        listener->close();
        TRY(fiber.yield());
        TRY(auto again, env.net.listen(at));
        CHECK(again->local() == at);
        return {};
    });
}

TEST_CASE("streams: a read deadline passes as Timeout and takes nothing away") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        char buffer[16];
        const Instant deadline = env.now() + Duration::millis(20);
        CHECK(pair.client->read(fiber, buffer, deadline).failed_with(Code::Timeout));
        CHECK(env.now() >= deadline);
        TRY(pair.server->write_all(fiber, "late", soon(env)));
        pair.server->shutdown_write();
        TRY(Bytes late, read_to_end(fiber, env, *pair.client));
        CHECK(late == "late");
        return {};
    });
}

TEST_CASE("streams: a writer stalls while the reader does not read, and no byte is lost") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        const Bytes block(64 * 1024, 'b');
        size_t sent = 0;
        bool stalled = false;
        while (!stalled && sent < (256u << 20)) {
            const auto taken = pair.client->write(fiber, block, env.now() + Duration::millis(100));
            if (taken.ok())
                sent += *taken;
            else if (taken.failed_with(Code::Timeout))
                stalled = true;
            else
                return taken.error();
        }
        CHECK(stalled);
        pair.client->shutdown_write();
        TRY(Bytes all, read_to_end(fiber, env, *pair.server));
        CHECK(all.size() == sent);
        return {};
    });
}

TEST_CASE("streams: a stalled writer goes on when the reader reads") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(Pair pair, connected(fiber, env, place));
        const Bytes sent(16u << 20, 'w');  // more than both ends buffer
        size_t written = 0;
        env.spawn("writer", [&](Fiber& writer) {
            CHECK(pair.client->write_all(writer, sent).ok());
            pair.client->shutdown_write();
            ++written;
        });
        TRY(env.sleep(fiber, Duration::millis(30)));
        CHECK(written == 0);
        TRY(Bytes all, read_to_end(fiber, env, *pair.server));
        CHECK(all.size() == sent.size());
        return await_count(fiber, env, written, 1);
    });
}

TEST_CASE("streams: close wakes who waits, on a stream and on a listener") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(auto listener, env.net.listen({place.host, 0}));
        TRY(Pair pair, connected(fiber, env, place));
        size_t woken = 0;
        env.spawn("reader", [&](Fiber& reader) {
            char buffer[16];
            CHECK(pair.client->read(reader, buffer).failed_with(Code::Unreachable));
            ++woken;
        });
        env.spawn("acceptor", [&](Fiber& acceptor) {
            CHECK(listener->accept(acceptor).failed_with(Code::Unreachable));
            ++woken;
        });
        TRY(env.sleep(fiber, Duration::millis(5)));
        pair.client->close();
        pair.client->close();
        listener->close();
        TRY(await_count(fiber, env, woken, 2));
        CHECK(listener->accept(fiber).failed_with(Code::Unreachable));
        char buffer[16];
        CHECK(pair.client->read(fiber, buffer).failed_with(Code::Unreachable));
        return {};
    });
}

TEST_CASE("streams: cancellation ends reads, accepts and connects") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(auto listener, env.net.listen({place.host, 0}));
        TRY(Pair pair, connected(fiber, env, place));
        size_t ended = 0;
        const FiberId reader = env.spawn("reader", [&](Fiber& inner) {
            char buffer[16];
            CHECK(pair.client->read(inner, buffer).failed_with(Code::Cancelled));
            CHECK(env.net.connect(inner, listener->local(), Instant::never()).failed_with(Code::Cancelled));
            ++ended;
        });
        const FiberId acceptor = env.spawn("acceptor", [&](Fiber& inner) {
            CHECK(listener->accept(inner).failed_with(Code::Cancelled));
            ++ended;
        });
        TRY(env.sleep(fiber, Duration::millis(5)));
        env.scheduler.cancel(reader);
        env.scheduler.cancel(acceptor);
        return await_count(fiber, env, ended, 2);
    });
}

TEST_CASE("streams: many connections at once keep apart") {
    run_case([](Fiber& fiber, Env& env, const Place& place) -> Result<void> {
        TRY(auto listener, env.net.listen({place.host, 0}));
        constexpr size_t kClients = 40;
        size_t served = 0;
        size_t answered = 0;
        for (size_t i = 0; i < kClients; ++i) {
            env.spawn("client", [&, i](Fiber& client) {
                auto conn = env.net.connect(client, listener->local(), soon(env));
                CHECK(conn.ok());
                if (!conn.ok()) return;
                const Bytes mine = "client " + std::to_string(i);
                CHECK((*conn)->write_all(client, mine, soon(env)).ok());
                (*conn)->shutdown_write();
                auto back = read_to_end(client, env, **conn);
                CHECK((back.ok() && *back == mine + "!"));
                ++answered;
            });
        }
        for (size_t i = 0; i < kClients; ++i) {
            TRY(auto conn, listener->accept(fiber));
            env.spawn("session", [&env, &served, held = std::move(conn)](Fiber& session) {
                auto said = read_to_end(session, env, *held);
                CHECK(said.ok());
                if (said.ok()) CHECK(held->write_all(session, *said + "!", soon(env)).ok());
                ++served;
            });
        }
        TRY(await_count(fiber, env, served, kClients));
        return await_count(fiber, env, answered, kClients);
    });
}

}  // namespace
}  // namespace orrery::conformance
