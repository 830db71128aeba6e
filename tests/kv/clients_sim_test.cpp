// What one client may do to another, and a node to its clients: CLIENT KILL and UNBLOCK, READONLY, the cluster face, limits, users.
#include <functional>
#include <set>

#include "kv/cluster_commands.h"
#include "tests/kv/kv_world.h"

using namespace orrery;
using namespace orrery::sim;

namespace {

using Adjust = std::function<void(kv::KvNodeOptions&)>;

struct Cluster : test::KvWorld {
    explicit Cluster(uint64_t seed, size_t count = 3, Adjust the_adjust = {}, uint64_t retain = 64 << 20)
        : KvWorld(seed, count, count, retain, std::move(the_adjust)) {
        found();
    }
    size_t leader() { return leader_host()->index(); }
    std::string name(size_t i) { return "n" + std::to_string(i + 1); }
    /// What INFO says for `field` on node i.
    std::string info(size_t i, const std::string& field) {
        const std::string text = ask(name(i), "INFO everything\r\n");
        const size_t at = text.find("\r\n" + field + ":");
        return at == std::string::npos ? "" : text.substr(at + field.size() + 3, text.find("\r\n", at + 2) - at - field.size() - 3);
    }
    void cut_off(size_t i, bool cut) {
        for (size_t other = 0; other < nodes.size(); ++other) {
            if (other == i) continue;
            for (auto [from, to] : {std::pair{i, other}, std::pair{other, i}}) {
                if (cut) {
                    world.net().cut(nodes[from]->endpoint(), nodes[to]->endpoint());
                } else {
                    world.net().heal(nodes[from]->endpoint(), nodes[to]->endpoint());
                }
            }
        }
    }
};

/// A connection within an errand.
class Client {
 public:
    Client(Fiber& fiber, Env& env, const std::string& node) : fiber_(fiber), env_(env) {
        auto conn = env.net.connect(fiber, {node, 7000}, env.now() + Duration::seconds(2));
        REQUIRE(conn.ok());
        conn_ = std::move(*conn);
    }
    void send(const std::string& bytes) { REQUIRE(conn_->write_all(fiber_, bytes).ok()); }
    /// Until `end` has come, or the node closed.
    std::string read_until(const std::string& end, Duration limit = Duration::seconds(10)) {
        const Instant deadline = env_.now() + limit;
        std::string got = std::move(ahead_);
        ahead_.clear();
        Bytes buffer(4096, '\0');
        while (got.find(end) == std::string::npos) {
            auto count = conn_->read(fiber_, buffer, deadline);
            if (!count.ok() || *count == 0) {
                closed_ = !count.ok() ? count.failed_with(Code::Unreachable) : true;
                return got;
            }
            got.append(buffer.data(), *count);
        }
        const size_t cut = got.find(end) + end.size();
        ahead_ = got.substr(cut);
        return got.substr(0, cut);
    }
    /// All that comes for it.
    std::string talk(const std::string& bytes) {
        send(bytes + "ECHO .end.\r\n");
        std::string got = read_until("$5\r\n.end.\r\n");
        if (got.size() >= 11) got.resize(got.size() - 11);
        return got;
    }
    std::string line(const std::string& bytes) {
        send(bytes);
        return read_until("\r\n");
    }
    bool closed() {
        while (!closed_ && !read_until("\r\n", Duration::millis(500)).empty()) {
        }
        return closed_;
    }
    uint64_t id() { return std::stoull(line("CLIENT ID\r\n").substr(1)); }

 private:
    Fiber& fiber_;
    Env& env_;
    std::unique_ptr<Conn> conn_;
    std::string ahead_;
    bool closed_ = false;
};

}  // namespace

TEST_CASE("kv clients: UNBLOCK ends a wait at once, here and through a follower, with the count or with an error") {
    Cluster cluster(1);
    const size_t leader = cluster.leader();
    cluster.nodes[(leader + 1) % 3]->crash(Host::Death::Kill);
    for (size_t at : {leader, (leader + 2) % 3}) {
        cluster.errand([&](Fiber& fiber, Env& env) {
            Client waits(fiber, env, cluster.name(at)), other(fiber, env, cluster.name(at));
            const std::string id = std::to_string(waits.id());
            REQUIRE(waits.talk("SET a 1\r\n") == "+OK\r\n");
            const auto unblocked = [&](const std::string& command, const std::string& how) {
                waits.send(command);
                REQUIRE(env.sleep(fiber, Duration::millis(300)).ok());
                CHECK(other.talk("CLIENT LIST ID " + id + "\r\n").find(" flags=b ") != std::string::npos);
                CHECK(cluster.node(at)->facts().blocked_clients == 1);
                CHECK(other.line("CLIENT UNBLOCK " + id + how + "\r\n") == ":1\r\n");
                const Instant before = env.now();
                const std::string reply = waits.talk("");
                CHECK((env.now() - before) < Duration::millis(150));
                CHECK(other.line("CLIENT UNBLOCK " + id + how + "\r\n") == ":0\r\n");
                return reply;
            };
            CHECK(unblocked("WAIT 2 0\r\n", "") == ":1\r\n");
            CHECK(unblocked("WAIT 2 60000\r\n", " TIMEOUT") == ":1\r\n");
            CHECK(unblocked("WAIT 2 0\r\n", " ERROR") == "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
            CHECK(unblocked("WAITALL 0\r\n", "").starts_with("*3\r\n:2\r\n:3\r\n*1\r\n"));
            CHECK(unblocked("WAITAOF 1 2 0\r\n", "") == "*2\r\n:1\r\n:1\r\n");
        });
    }
    cluster.run(Duration::seconds(3));
    CHECK(cluster.node(leader)->service()->waiting() == 0);
}

TEST_CASE("kv clients: UNBLOCK beside satisfaction gives exactly one reply, and says the truth about which it was") {
    Cluster cluster(2);
    const size_t leader = cluster.leader();
    size_t ended = 0, satisfied = 0;
    for (size_t at : {leader, (leader + 1) % 3}) {
        cluster.errand([&](Fiber& fiber, Env& env) {
            Client waits(fiber, env, cluster.name(at)), other(fiber, env, cluster.name(at));
            const std::string id = std::to_string(waits.id());
            for (int round = 0; round < 150; ++round) {
                waits.send("SET a " + std::to_string(round) + "\r\nWAIT 2 0\r\n");
                REQUIRE(waits.read_until("+OK\r\n") == "+OK\r\n");
                REQUIRE(env.sleep(fiber, Duration::micros(round * 20)).ok());
                const std::string told = other.line("CLIENT UNBLOCK " + id + " ERROR\r\n");
                const std::string reply = waits.talk("");
                if (told == ":1\r\n") {
                    CHECK(reply == "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
                    ++ended;
                } else {
                    CHECK(reply == ":2\r\n");
                    ++satisfied;
                }
            }
        }, Duration::seconds(60));
    }
    CHECK(ended > 10);
    CHECK(satisfied > 10);
}

TEST_CASE("kv clients: UNBLOCK between the end of a wait and its reply comes too late, and says so") {
    Cluster cluster(13);
    const size_t leader = cluster.leader();
    kv::KvNode& node = *cluster.node(leader);
    size_t tried = 0;
    bool waited = false;
    cluster.each_step = [&] {
        const bool waits = node.service()->waiting() > 0;
        if (waited && !waits) {
            node.for_each_client([&](const kv::ClientState& client) {
                if (!client.blocked) return;
                ++tried;
                CHECK_FALSE(node.unblock_client(client.id, kv::Unblock::AsError));
            });
        }
        waited = waits;
    };
    cluster.errand([&](Fiber& fiber, Env& env) {
        Client waits(fiber, env, cluster.name(leader));
        for (int round = 0; round < 50; ++round) {
            CHECK(waits.talk("SET a 1\r\nWAIT 2 0\r\n") == "+OK\r\n:2\r\n");
            CHECK(waits.talk("WAIT 3 1\r\n") == ":2\r\n");
        }
    });
    cluster.each_step = {};
    CHECK(tried > 0);
}

TEST_CASE("kv clients: KILL of a client that waits closes it and leaves no waiter, wherever it came in") {
    Cluster cluster(3);
    const size_t leader = cluster.leader();
    cluster.nodes[(leader + 1) % 3]->crash(Host::Death::Kill);
    for (size_t at : {leader, (leader + 2) % 3}) {
        cluster.errand([&](Fiber& fiber, Env& env) {
            Client waits(fiber, env, cluster.name(at)), other(fiber, env, cluster.name(at));
            const std::string id = std::to_string(waits.id());
            REQUIRE(waits.talk("SET a 1\r\n") == "+OK\r\n");
            waits.send("WAITALL 0\r\n");
            REQUIRE(env.sleep(fiber, Duration::millis(300)).ok());
            REQUIRE(cluster.node(leader)->service()->waiting() == 1);
            CHECK(other.line("CLIENT KILL ID " + id + "\r\n") == ":1\r\n");
            CHECK(waits.closed());
            REQUIRE(env.sleep(fiber, Duration::seconds(3)).ok());
            CHECK(cluster.node(leader)->service()->waiting() == 0);
            CHECK(other.talk("CLIENT LIST ID " + id + "\r\n") == "$0\r\n\r\n");
        });
        CHECK(cluster.info(at, "clients_killed") == "1");
        CHECK(cluster.info(at, "blocked_clients") == "0");
    }
}

TEST_CASE("kv clients: KILL ends what a client has still to say, and of itself comes behind the reply") {
    Cluster cluster(4, 1);
    cluster.errand([&](Fiber& fiber, Env& env) {
        Client one(fiber, env, "n1"), other(fiber, env, "n1");
        const std::string id = std::to_string(one.id());
        one.send("CLIENT KILL ID " + id + " SKIPME no\r\nSET after 1\r\n");
        CHECK(one.read_until("\r\n") == ":1\r\n");
        CHECK(one.closed());
        CHECK(other.line("EXISTS after\r\n") == ":0\r\n");
    });
}

TEST_CASE("kv clients: CLIENT REPLY withholds what it should, and nothing else") {
    Cluster cluster(5);
    for (const char* node : {"n1", "n2", "n3"}) {
        CHECK(cluster.ask(node, "CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nnosuch\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nGET a\r\nPING\r\n") == "+OK\r\n+PONG\r\n");
        CHECK(cluster.ask(node, "CLIENT REPLY SKIP\r\nMULTI\r\nGET a\r\nCLIENT REPLY OFF\r\nEXEC\r\n") ==
              "+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n-ERR CLIENT REPLY is not taken inside a transaction\r\n");
        CHECK(cluster.ask(node, "CLIENT REPLY OFF\r\nRESET\r\nGET a\r\n") == "+RESET\r\n$1\r\n1\r\n");
    }
}

TEST_CASE("kv clients: READONLY reads come from the follower itself, though nobody can be reached, and READWRITE ends that") {
    Cluster cluster(6);
    const size_t leader = cluster.leader(), follower = (leader + 1) % 3;
    REQUIRE(cluster.ask(cluster.name(leader), "SET a old\r\nWAITALL 2000\r\n").starts_with("+OK\r\n*3\r\n:3\r\n"));
    for (Host* node : cluster.nodes) node->expect_error("rpc.connect_failed");
    cluster.cut_off(follower, true);
    REQUIRE(cluster.ask(cluster.name(leader), "SET a new\r\n") == "+OK\r\n");
    cluster.errand([&](Fiber& fiber, Env& env) {
        Client client(fiber, env, cluster.name(follower));
        const Instant before = env.now();
        CHECK(client.talk("READONLY\r\nGET a\r\nMGET a none\r\nDBSIZE\r\n") == "+OK\r\n$3\r\nold\r\n*2\r\n$3\r\nold\r\n$-1\r\n:1\r\n");
        CHECK((env.now() - before) < Duration::millis(100));
        CHECK(client.line("SET a mine\r\n").starts_with("-"));
        CHECK(client.line("READWRITE\r\n") == "+OK\r\n");
        CHECK(client.line("GET a\r\n").starts_with("-"));
    }, Duration::seconds(40));
    CHECK(cluster.info(follower, "stale_reads") == "3");
    cluster.cut_off(follower, false);
    cluster.run(Duration::seconds(5));
    CHECK(cluster.ask(cluster.name(follower), "READONLY\r\nGET a\r\n") == "+OK\r\n$3\r\nnew\r\n");
    CHECK(cluster.ask(cluster.name(follower), "READONLY\r\nRESET\r\nGET a\r\n") == "+OK\r\n+RESET\r\n$3\r\nnew\r\n");
    CHECK(cluster.info(follower, "stale_reads") == "4");
}

TEST_CASE("kv clients: READONLY reads see all of a write to many keys or nothing of it, while entries and a snapshot come in") {
    Cluster cluster(7, 3, {}, 32 << 10);
    const size_t leader = cluster.leader(), follower = (leader + 1) % 3;
    std::string read = "MGET";
    for (int key = 0; key < 30; ++key) read += " k" + std::to_string(key);  // more than the cache of records holds
    read += "\r\n";
    int written = 0;
    const auto next_write = [&] {
        const std::string value = std::to_string(100'000 + written++) + std::string(100, 'x');
        std::string command = "MSET";
        for (int key = 0; key < 30; ++key) command += " k" + std::to_string(key) + " " + value;
        return command + "\r\n";
    };
    REQUIRE(cluster.ask(cluster.name(leader), next_write()) == "+OK\r\n");
    cluster.run(Duration::seconds(1));
    cluster.nodes[follower]->crash(Host::Death::Power);
    for (int i = 1; i < 60; ++i) REQUIRE(cluster.ask(cluster.name(leader), next_write()) == "+OK\r\n");
    cluster.run(Duration::seconds(2));
    cluster.start(follower);
    std::set<std::string> seen;
    std::string nothing = "*30\r\n";  // what was durable at the crash may end before the first write
    for (int key = 0; key < 30; ++key) nothing += "$-1\r\n";
    bool before = false;
    cluster.errand([&](Fiber& fiber, Env& env) {
        const Instant until = env.now() + Duration::seconds(8);
        while (env.now() < until) {
            auto conn = env.net.connect(fiber, {cluster.name(follower), 7000}, env.now() + Duration::seconds(1));
            if (conn.ok()) break;
            REQUIRE(env.sleep(fiber, Duration::millis(5)).ok());
        }
        Client client(fiber, env, cluster.name(follower));
        REQUIRE(client.line("READONLY\r\n") == "+OK\r\n");
        bool writer_ended = false;
        env.spawn("test.writer", [&](Fiber& own) {
            Client writer(own, env, cluster.name(leader));
            while (env.now() < until) CHECK(writer.line(next_write()) == "+OK\r\n");
            writer_ended = true;
        });
        while (!writer_ended) {
            const std::string all = client.talk(read);
            if (all == nothing) {
                before = true;
                continue;
            }
            REQUIRE_MESSAGE(all.starts_with("*30\r\n$106\r\n"), all.substr(0, 200));
            const std::string one = all.substr(5, 6 + 106 + 2);
            std::string wanted = "*30\r\n";
            for (int key = 0; key < 30; ++key) wanted += one;
            CHECK(all == wanted);
            seen.insert(one);
        }
    }, Duration::seconds(30));
    CHECK(seen.size() > 100);
    CHECK((before || seen.begin()->find("\r\n100000xxx") != std::string::npos));  // of before the snapshot
    CHECK(cluster.node(follower)->group()->space()->generation > Generation(1));
}

TEST_CASE("kv clients: with the cluster face followers send clients to the leader, whoever that is, and tell the same of the members") {
    Cluster cluster(8, 3, [](kv::KvNodeOptions& options) { options.face = kv::ClientFace::Cluster; });
    const size_t leader = cluster.leader(), follower = (leader + 1) % 3, third = (leader + 2) % 3;
    const std::string moved = "-MOVED 12182 " + cluster.name(leader) + ":7000\r\n";
    CHECK(cluster.ask(cluster.name(leader), "SET foo 1\r\nGET foo\r\nWAITALL 2000\r\n").starts_with("+OK\r\n$1\r\n1\r\n*3\r\n:3\r\n"));
    CHECK(cluster.ask(cluster.name(follower), "GET foo\r\nSET foo 2\r\nPING\r\nDBSIZE\r\n") == moved + moved + "+PONG\r\n:1\r\n");
    CHECK(cluster.ask(cluster.name(follower), "READONLY\r\nGET foo\r\nSET foo 2\r\nREADWRITE\r\nGET foo\r\n") == "+OK\r\n$1\r\n1\r\n" + moved + "+OK\r\n" + moved);
    CHECK(cluster.ask(cluster.name(follower), "MULTI\r\nSET foo 2\r\nEXEC\r\n") ==
          "+OK\r\n" + moved + "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK(cluster.ask(cluster.name(follower), "ASKING\r\nCLUSTER KEYSLOT foo\r\nCLUSTER COUNTKEYSINSLOT 12182\r\nCLUSTER GETKEYSINSLOT 12182 9\r\n"
                                              "CLUSTER COUNTKEYSINSLOT 5\r\n") == "+OK\r\n:12182\r\n:1\r\n*1\r\n$3\r\nfoo\r\n:0\r\n");
    const std::string slots = cluster.ask(cluster.name(0), "CLUSTER SLOTS\r\n");
    CHECK(slots.starts_with("*1\r\n*5\r\n:0\r\n:16383\r\n*4\r\n$2\r\n" + cluster.name(leader) + "\r\n:7000\r\n"));
    CHECK(cluster.ask(cluster.name(1), "CLUSTER SLOTS\r\n") == slots);
    CHECK(cluster.ask(cluster.name(2), "CLUSTER SLOTS\r\n") == slots);
    CHECK(cluster.info(follower, "cluster_enabled") == "1");
    CHECK(cluster.ask(cluster.name(follower), "ROLE\r\n").starts_with("*5\r\n$5\r\nslave\r\n$2\r\n" + cluster.name(leader) + "\r\n:7000\r\n$9\r\nconnected\r\n"));

    cluster.nodes[leader]->crash(Host::Death::Kill);
    cluster.run(Duration::seconds(4));
    const size_t next = cluster.leader(), other = next == follower ? third : follower;
    REQUIRE(next != leader);
    CHECK(cluster.ask(cluster.name(other), "GET foo\r\n") == "-MOVED 12182 " + cluster.name(next) + ":7000\r\n");
    CHECK(cluster.ask(cluster.name(next), "CLUSTER INFO\r\n").find("cluster_state:ok\r\n") != std::string::npos);
    CHECK(cluster.ask(cluster.name(next), "CLUSTER NODES\r\n").find(cluster.name(leader) + ":7000@7100 slave,fail?") != std::string::npos);
    cluster.nodes[next]->crash(Host::Death::Kill);
    cluster.run(Duration::seconds(4));
    CHECK(cluster.ask(cluster.name(other), "GET foo\r\nCLUSTER SLOTS\r\n") == "-CLUSTERDOWN The cluster is down\r\n*0\r\n");
}

TEST_CASE("kv clients: connections beyond maxclients are told so and closed, and counted") {
    Cluster cluster(9, 1);
    REQUIRE(cluster.ask("n1", "CONFIG SET maxclients 2\r\n") == "+OK\r\n");
    cluster.errand([&](Fiber& fiber, Env& env) {
        Client first(fiber, env, "n1"), second(fiber, env, "n1");
        CHECK(second.line("PING\r\n") == "+PONG\r\n");
        Client third(fiber, env, "n1");
        CHECK(third.line("PING\r\n") == "-ERR max number of clients reached\r\n");
        CHECK(third.closed());
        CHECK(first.line("PING\r\n") == "+PONG\r\n");
        CHECK(first.line("CONFIG SET maxclients 3\r\n") == "+OK\r\n");
        Client fourth(fiber, env, "n1");
        CHECK(fourth.line("PING\r\n") == "+PONG\r\n");
    });
    CHECK(cluster.info(0, "rejected_connections") == "1");
    CHECK(cluster.ask("n1", "CONFIG RESETSTAT\r\n") == "+OK\r\n");
    CHECK(cluster.info(0, "rejected_connections") == "0");
    CHECK(cluster.info(0, "cmdstat_config") == "");
    CHECK(cluster.info(0, "cmdstat_info").starts_with("calls=3,"));
}

TEST_CASE("kv clients: idle ones are closed once timeout says so, blocked ones and busy ones are not") {
    Cluster cluster(10);
    const size_t leader = cluster.leader();
    cluster.nodes[(leader + 1) % 3]->crash(Host::Death::Kill);
    cluster.errand([&](Fiber& fiber, Env& env) {
        const std::string name = cluster.name(leader);
        Client idle(fiber, env, name), waits(fiber, env, name), busy(fiber, env, name);
        REQUIRE(idle.line("PING\r\n") == "+PONG\r\n");
        waits.send("SET a 1\r\nWAITALL 5000\r\n");
        CHECK(busy.line("CONFIG SET timeout 2\r\n") == "+OK\r\n");  // counts for those that are connected
        for (int i = 0; i < 6; ++i) {
            REQUIRE(env.sleep(fiber, Duration::millis(500)).ok());
            CHECK(busy.line("PING\r\n") == "+PONG\r\n");
        }
        CHECK(idle.closed());
        CHECK(waits.read_until("\r\n3\r\n").starts_with("+OK\r\n*3\r\n:2\r\n"));
    });
    CHECK(cluster.info(leader, "client_idle_disconnections") != "0");
}

TEST_CASE("kv clients: one that takes no replies is closed by the hard, the soft or the last limit, and the node holds little meanwhile") {
    struct Case {
        const char* set;
        const char* limit;
        int64_t seconds;  // after which it must be gone
    };
    for (const Case& one : {Case{"CONFIG SET client-output-buffer-limit \"normal 256kb 0 0\"\r\n", "hard", 1},
                            Case{"CONFIG SET client-output-buffer-limit \"normal 0 64kb 3\"\r\n", "soft", 5},
                            Case{"CONFIG SET client-slow-limit 8\r\n", "slow", 12}}) {
        struct Limits : TraceObserver {
            std::vector<std::string> seen;
            void on_event(Host&, const TraceEvent& event) override {
                if (event.name == "kv.client_too_slow") seen.emplace_back(event.text("limit"));
            }
        } limits;
        Cluster cluster(11, 1);
        cluster.world.add_observer(limits, false);
        REQUIRE(cluster.ask("n1", one.set) == "+OK\r\n");
        REQUIRE(cluster.ask("n1", "SET big " + std::string(60'000, 'b') + "\r\n") == "+OK\r\n");
        cluster.errand([&](Fiber& fiber, Env& env) {
            Client greedy(fiber, env, "n1"), other(fiber, env, "n1");
            const std::string id = std::to_string(greedy.id());
            std::string many;
            for (int i = 0; i < 400; ++i) many += "GET big\r\n";
            greedy.send(many);
            uint64_t most = 0;
            bool there = true;
            for (int64_t i = 0; i < one.seconds * 10 && there; ++i) {
                there = false;
                cluster.node(0)->for_each_client([&](const kv::ClientState& client) {
                    if (std::to_string(client.id) != id) return;
                    there = true;
                    most = std::max(most, client.output_bytes);
                });
                REQUIRE(env.sleep(fiber, Duration::millis(100)).ok());
            }
            CHECK_MESSAGE(!there, one.limit);
            CHECK(most < (2 << 20));
            CHECK(other.line("PING\r\n") == "+PONG\r\n");
        }, Duration::seconds(40));
        REQUIRE(limits.seen.size() == 1);
        CHECK_MESSAGE(limits.seen[0].find(one.limit) != std::string::npos, limits.seen[0]);
        CHECK(cluster.info(0, "client_output_buffer_limit_disconnections") == "1");
    }
}

TEST_CASE("kv clients: users get what they may do, on every path, and lose their connections with their names") {
    Cluster cluster(12, 1, [](kv::KvNodeOptions& options) {
        options.acl = kv::Acl::parse("user default on >boss ~* &* +@all\nuser maya on >pw ~m:* +@all -@admin -flushall\n").value();
    });
    const std::string noauth = "-NOAUTH Authentication required.\r\n", no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    CHECK(cluster.ask("n1", "PING\r\nGET a\r\nMULTI\r\nAUTH wrong\r\nGET a\r\nAUTH boss\r\nGET a\r\n") ==
          noauth + noauth + noauth + "-WRONGPASS invalid username-password pair or user is disabled.\r\n" + noauth + "+OK\r\n$-1\r\n");
    CHECK(cluster.ask("n1", "*11\r\n").starts_with("-ERR Protocol error: unauthenticated multibulk length"));
    CHECK(cluster.ask("n1", "*1\r\n$16385\r\n").starts_with("-ERR Protocol error: unauthenticated bulk length"));
    cluster.errand([&](Fiber& fiber, Env& env) {
        Client boss(fiber, env, "n1"), maya(fiber, env, "n1");
        REQUIRE(boss.line("AUTH boss\r\n") == "+OK\r\n");
        CHECK(maya.talk("AUTH maya pw\r\nACL WHOAMI\r\nSET m:1 x\r\nSET n x\r\nMGET m:1 n\r\nCLIENT LIST\r\nCLIENT GETNAME\r\nFLUSHALL\r\n") ==
              "+OK\r\n$4\r\nmaya\r\n+OK\r\n" + no_key + no_key + "-NOPERM this user has no permissions to run the 'client|list' command\r\n$-1\r\n" +
                  "-NOPERM this user has no permissions to run the 'flushall' command\r\n");
        CHECK(maya.talk("MULTI\r\nSET m:2 x\r\nSET n x\r\nEXEC\r\n") ==
              "+OK\r\n+QUEUED\r\n" + no_key + "-EXECABORT Transaction discarded because of previous errors.\r\n");
        // What was queued while it was allowed is not done any more.
        CHECK(maya.line("MULTI\r\n") == "+OK\r\n");
        CHECK(maya.line("SET m:2 x\r\n") == "+QUEUED\r\n");
        CHECK(boss.line("ACL SETUSER maya -set\r\n") == "+OK\r\n");
        CHECK(maya.talk("EXEC\r\nEXISTS m:2\r\n") ==
              "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'set' command\r\n:0\r\n");
        CHECK(maya.line("RESET\r\n") == "+RESET\r\n");
        CHECK(maya.line("GET m:1\r\n") == noauth);
        CHECK(maya.line("AUTH maya pw\r\n") == "+OK\r\n");
        CHECK(boss.line("ACL DELUSER maya\r\n") == ":1\r\n");
        CHECK(maya.closed());
        CHECK(boss.line("CONFIG SET requirepass \"\"\r\n") == "+OK\r\n");
        Client anybody(fiber, env, "n1");
        CHECK(anybody.line("GET m:1\r\n") == "$1\r\n");
    });
    CHECK(cluster.info(0, "acl_access_denied_auth") == "1");
    CHECK(cluster.info(0, "acl_access_denied_cmd") == "6");
}
