#include "node/admin/admin_server.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "node/admin/json_writer.h"
#include "tests/node/rpc/test_world.h"

using namespace orrery;
using admin::AdminLimits;
using admin::AdminServer;
using rpc::test::Node;
using rpc::test::World;

namespace {

const Address kAt{"node", 80};

struct Setting {
    explicit Setting(AdminLimits limits = {}, rpc::test::WorldOptions options = {})
        : world(options),
          node(world.add("node", NodeId(1))),
          client(world.add("client", NodeId(2))) {
        server.emplace(node.env, admin::AdminOptions{"orrery-test", limits});
        server->add_check("log", [this]() -> Result<void> {
            if (log_ok) return {};
            return Error(Code::NotReady, "replaying\n3 of 7");
        });
        server->add_check("leader", [this]() -> Result<void> {
            if (leader_ok) return {};
            return Error(Code::NotLeader, "none is known");
        });
        server->set_status([] {
            admin::JsonWriter json;
            json.begin_object().field("role", "leader").field("term", uint64_t{7}).end_object();
            return json.text();
        });
        REQUIRE(server->start(kAt).ok());
    }
    ~Setting() { stop(); }

    void stop() {
        if (stopped) return;
        stopped = true;
        world.run(node, [&](Fiber& fiber) { CHECK(server->stop(fiber).ok()); });
        CHECK(server->connections() == 0);
        CHECK(node.scheduler.live() == 0);
    }
    /// Sends everything, then reads to the end of the stream.
    std::string exchange(const std::string& bytes) {
        std::string got;
        world.run(client, [&](Fiber& fiber) {
            auto conn = client.env.net.connect(fiber, kAt, Instant::never());
            REQUIRE(conn.ok());
            if ((*conn)->write_all(fiber, bytes).ok()) (*conn)->shutdown_write();
            got = read_to_end(fiber, **conn);
        });
        return got;
    }
    static std::string read_to_end(Fiber& fiber, Conn& conn) {
        std::string got;
        char into[512];
        for (;;) {
            Result<size_t> count = conn.read(fiber, into);
            if (!count.ok() || *count == 0) return got;
            got.append(into, *count);
        }
    }

    World world;
    Node& node;
    Node& client;
    std::optional<AdminServer> server;
    bool log_ok = true;
    bool leader_ok = true;
    bool stopped = false;
};

std::string get(const std::string& target, const std::string& more = "Connection: close\r\n") {
    return "GET " + target + " HTTP/1.1\r\nHost: node\r\n" + more + "\r\n";
}

std::string body_of(const std::string& reply) {
    const size_t end = reply.find("\r\n\r\n");
    return end == std::string::npos ? "(no body)" : reply.substr(end + 4);
}

size_t count_of(const std::string& text, const std::string& what) {
    size_t count = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++count;
    return count;
}

}  // namespace

TEST_CASE("admin: readyz is 200 only when every check holds, and names those that do not") {
    Setting setting;
    CHECK(body_of(setting.exchange(get("/readyz"))) == "ready\n");
    CHECK(body_of(setting.exchange(get("/readyz?verbose"))) == "ready\nlog: ok\nleader: ok\n");
    setting.leader_ok = false;
    std::string reply = setting.exchange(get("/readyz"));
    CHECK(reply.starts_with("HTTP/1.1 503 "));
    CHECK(body_of(reply) == "not ready\nleader: NotLeader: none is known\n");
    setting.log_ok = false;
    reply = setting.exchange(get("/readyz?x=y&verbose=true"));
    CHECK(reply.starts_with("HTTP/1.1 503 "));
    CHECK(body_of(reply) ==
          "not ready\nlog: NotReady: replaying 3 of 7\nleader: NotLeader: none is known\n");
    CHECK(setting.exchange(get("/livez")).starts_with("HTTP/1.1 200 "));
    setting.log_ok = setting.leader_ok = true;
    CHECK(setting.exchange(get("/readyz")).starts_with("HTTP/1.1 200 "));
}

TEST_CASE(
    "admin: status is the daemon's document; other paths and methods are refused with what there "
    "is") {
    Setting setting;
    const std::string reply = setting.exchange(get("/status"));
    CHECK(reply.find("Content-Type: application/json\r\n") != std::string::npos);
    CHECK(nlohmann::json::parse(body_of(reply))["term"] == 7);
    CHECK(setting.exchange(get("http://node:80/livez")).starts_with("HTTP/1.1 200 "));
    CHECK(setting.exchange(get("/")).starts_with("HTTP/1.1 404 "));
    CHECK(setting.exchange(get("/livezz")).starts_with("HTTP/1.1 404 "));
    const std::string post = setting.exchange(
        "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    CHECK(post.starts_with("HTTP/1.1 405 "));
    CHECK(post.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
    const std::string head =
        setting.exchange("HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(head.find("Content-Length: 5\r\n") != std::string::npos);
    CHECK(body_of(head).empty());
}

TEST_CASE("admin: without a status document there is no /status") {
    Setting setting;
    AdminServer bare(setting.node.env, {"orrery-bare"});
    REQUIRE(bare.start({"node", 81}).ok());
    std::string got;
    setting.world.run(setting.client, [&](Fiber& fiber) {
        auto conn = setting.client.env.net.connect(fiber, {"node", 81}, Instant::never());
        REQUIRE(conn.ok());
        REQUIRE((*conn)->write_all(fiber, get("/status")).ok());
        got = Setting::read_to_end(fiber, **conn);
    });
    CHECK(got.starts_with("HTTP/1.1 404 "));
    setting.world.run(setting.node, [&](Fiber& fiber) { CHECK(bare.stop(fiber).ok()); });
}

TEST_CASE(
    "admin: a connection serves many requests, pipelined ones in order, and every split gives the "
    "same answers (seeds)") {
    const std::string stream = get("/livez", "") + get("/readyz", "") +
                               "POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n1234" +
                               get("/status", "") + get("/nothing", "");
    std::string expected;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        rpc::test::WorldOptions options;
        options.seed = seed;
        options.chunk_bytes_max = seed == 1 ? 5000 : 1 + seed % 40;
        Setting setting({}, options);
        const std::string got = setting.exchange(stream);
        CHECK(setting.server->counters().requests == 5);
        CHECK(setting.server->counters().accepted == 1);
        if (seed == 1) expected = got;
        REQUIRE(got == expected);
    }
    CHECK(count_of(expected, "HTTP/1.1 200 ") == 3);
    CHECK(expected.find(" 405 ") < expected.find("application/json"));
    CHECK(expected.find("application/json") < expected.find(" 404 "));
}

TEST_CASE(
    "admin: a bad request is answered once and ends its connection; what follows it is not read") {
    Setting setting;
    const std::string got =
        setting.exchange(get("/livez", "") + "garbage\r\n\r\n" + get("/livez", ""));
    CHECK(got.starts_with("HTTP/1.1 200 "));
    CHECK(count_of(got, "HTTP/1.1 ") == 2);
    CHECK(got.find("HTTP/1.1 400 ") != std::string::npos);
    CHECK(got.find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(setting.exchange(get("/livez", "X: " + std::string(9000, 'x') + "\r\n"))
              .starts_with("HTTP/1.1 431 "));
    CHECK(setting.exchange("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n")
              .starts_with("HTTP/1.1 413 "));
    CHECK(setting.server->counters().malformed == 3);
}

TEST_CASE("admin: the server outlives garbage, resets and stalls, and still answers (seeds)") {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        rpc::test::WorldOptions options;
        options.seed = seed;
        options.chunk_bytes_max = 100;
        options.reset_chance = 0.01;
        options.stall_chance = 0.02;
        Setting setting({.connections = 8}, options);
        RandomStream draws(seed, "garbage", 0);
        int ended = 0;
        constexpr int kClients = 20;
        for (int i = 0; i < kClients; ++i) {
            std::string bytes = draws.chance(0.5) ? get("/readyz", "") : "";
            for (uint64_t left = draws.below(300); left > 0; --left)
                bytes += static_cast<char>(draws.below(256));
            setting.client.env.spawn("garbage", [&, bytes](Fiber& fiber) {
                auto conn = setting.client.env.net.connect(fiber, kAt, Instant::never());
                if (conn.ok() &&
                    (*conn)
                        ->write_all(fiber, bytes, setting.client.env.now() + Duration::seconds(5))
                        .ok()) {
                    char into[64];
                    (void)(*conn)
                        ->read(fiber, into, setting.client.env.now() + Duration::seconds(5))
                        .ok();
                }
                ++ended;
            });
        }
        REQUIRE(setting.world.run_until([&] { return ended == kClients; }));
        setting.world.heal();
        setting.world.advance(Duration::seconds(120));
        REQUIRE(setting.exchange(get("/livez")).starts_with("HTTP/1.1 200 "));
        setting.stop();
    }
}

TEST_CASE(
    "admin: an idle connection is closed after its timeout, a request that does not end is 408") {
    Setting setting(
        {.idle_timeout = Duration::seconds(3), .request_timeout = Duration::seconds(1)});
    const auto read_after = [&](const std::string& sent, Duration& took) {
        std::string got;
        setting.world.run(setting.client, [&](Fiber& fiber) {
            auto conn = setting.client.env.net.connect(fiber, kAt, Instant::never());
            REQUIRE(conn.ok());
            if (!sent.empty()) REQUIRE((*conn)->write_all(fiber, sent).ok());
            const Instant begin = setting.client.env.now();
            got = Setting::read_to_end(fiber, **conn);
            took = setting.client.env.now() - begin;
        });
        return got;
    };
    Duration took;
    CHECK(read_after("", took).empty());
    CHECK(took >= Duration::millis(2900));
    CHECK(took < Duration::millis(3500));
    CHECK(read_after("GET /livez HT", took).starts_with("HTTP/1.1 408 "));
    CHECK(took >= Duration::millis(900));
    CHECK(took < Duration::millis(1500));
    CHECK(read_after(get("/livez", ""), took).starts_with("HTTP/1.1 200 "));
    CHECK(took >= Duration::millis(2900));
    CHECK(setting.server->counters().malformed == 1);
}

TEST_CASE("admin: a request that trickles in does not extend its time byte by byte") {
    Setting setting({.request_timeout = Duration::seconds(1)});
    std::string got;
    Duration took;
    setting.world.run(setting.client, [&](Fiber& fiber) {
        auto conn = setting.client.env.net.connect(fiber, kAt, Instant::never());
        REQUIRE(conn.ok());
        const Instant begin = setting.client.env.now();
        for (char c : get("/livez")) {
            if (!(*conn)->write_all(fiber, ByteView(&c, 1)).ok()) break;
            REQUIRE(setting.client.env.sleep(fiber, Duration::millis(200)).ok());
        }
        got = Setting::read_to_end(fiber, **conn);
        took = setting.client.env.now() - begin;
    });
    CHECK(count_of(got, "HTTP/1.1 ") <= 1);
    CHECK(got.find("200 OK") == std::string::npos);
    CHECK(setting.server->counters().malformed == 1);
}

TEST_CASE("admin: at the limit the longest idle connection makes room, and a busy one never does") {
    Setting setting({.connections = 2});
    const auto connect = [&](std::unique_ptr<Conn>& conn, const std::string& bytes) {
        setting.world.run(setting.client, [&](Fiber& fiber) {
            auto made = setting.client.env.net.connect(fiber, kAt, Instant::never());
            REQUIRE(made.ok());
            conn = std::move(*made);
            if (!bytes.empty()) REQUIRE(conn->write_all(fiber, bytes).ok());
        });
        setting.world.advance(Duration::millis(10));
    };
    std::unique_ptr<Conn> busy;
    std::unique_ptr<Conn> idle;
    connect(busy, "GET /livez HT");
    connect(idle, "");
    CHECK(setting.server->connections() == 2);
    CHECK(setting.exchange(get("/livez")).starts_with("HTTP/1.1 200 "));
    CHECK(setting.server->counters().evicted == 1);
    std::unique_ptr<Conn> second;
    connect(second, "GET /li");
    CHECK(setting.server->connections() == 2);
    CHECK(setting.exchange(get("/livez")).empty());  // both are within a request
    CHECK(setting.server->counters().refused == 1);
    setting.world.run(setting.client, [&](Fiber& fiber) {
        REQUIRE(busy->write_all(fiber, "TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok());
        CHECK(Setting::read_to_end(fiber, *busy).starts_with("HTTP/1.1 200 "));
    });
}

TEST_CASE("admin: a reader that never reads is dropped and costs a bounded buffer") {
    rpc::test::WorldOptions options;
    options.pipe_bytes = 1024;
    Setting setting({.write_timeout = Duration::seconds(2)}, options);
    setting.world.run(setting.client, [&](Fiber& fiber) {
        auto conn = setting.client.env.net.connect(fiber, kAt, Instant::never());
        REQUIRE(conn.ok());
        std::string many;
        for (int i = 0; i < 4000; ++i) many += get("/readyz?verbose", "");
        const Result<void> wrote =
            (*conn)->write_all(fiber, many, setting.client.env.now() + Duration::seconds(30));
        CHECK_FALSE(wrote.ok());
        CHECK_FALSE(wrote.failed_with(Code::Timeout));
    });
    CHECK(setting.server->connections() == 0);
    CHECK(setting.server->counters().requests < 4000);
}

TEST_CASE(
    "admin: stop ends idle connections at once, lets a request that has begun end, and bounds the "
    "wait") {
    Setting setting({.request_timeout = Duration::seconds(2)});
    std::unique_ptr<Conn> idle;
    std::unique_ptr<Conn> busy;
    setting.world.run(setting.client, [&](Fiber& fiber) {
        for (auto* conn : {&idle, &busy}) {
            auto made = setting.client.env.net.connect(fiber, kAt, Instant::never());
            REQUIRE(made.ok());
            *conn = std::move(*made);
        }
        REQUIRE(busy->write_all(fiber, "GET /livez HT").ok());
    });
    setting.world.advance(Duration::millis(10));
    std::string answered;
    setting.client.env.spawn("finish", [&](Fiber& fiber) {
        if (!setting.client.env.sleep(fiber, Duration::millis(500)).ok()) return;
        if (busy->write_all(fiber, "TP/1.1\r\nHost: a\r\n\r\n").ok())
            answered = Setting::read_to_end(fiber, *busy);
    });
    const Instant begin = setting.world.now;
    setting.stop();
    const Duration took = setting.world.now - begin;
    CHECK(took >= Duration::millis(490));
    CHECK(took < Duration::seconds(3));
    setting.world.advance(Duration::millis(10));
    CHECK(answered.starts_with("HTTP/1.1 200 "));
    CHECK(answered.find("\r\nConnection: close\r\n") != std::string::npos);
}
