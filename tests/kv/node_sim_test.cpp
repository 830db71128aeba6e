// KvNode in a simulated world: founding, writes and reads on any node, crash and restart, a wiped node, a second cluster.
// The wide net of faults is cast by scenarios; here stand the plain paths and the refusals.
#include "tests/kv/kv_world.h"

using namespace orrery;
using namespace orrery::sim;

namespace {

struct Cluster : test::KvWorld {
    explicit Cluster(uint64_t seed, size_t count = 3) : KvWorld(seed, count, count) {}
};

}  // namespace

TEST_CASE("kv: a founded group of three takes commands on any node") {
    Cluster cluster(1);
    cluster.found();
    CHECK(cluster.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    CHECK(cluster.ask("n2", "GET a\r\n") == "$1\r\n1\r\n");
    CHECK(cluster.ask("n3", "INCR a\r\nSET b x\r\nGET a\r\nDBSIZE\r\nWAITALL 2000\r\n") == ":2\r\n+OK\r\n$1\r\n2\r\n:2\r\n*3\r\n:3\r\n:3\r\n*0\r\n");
}

TEST_CASE("kv: everything acknowledged is there after all nodes lost power at once") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        Cluster cluster(seed);
        cluster.found();
        for (int i = 0; i < 20; ++i) {
            const std::string command = "SET k" + std::to_string(i) + " v" + std::to_string(i) + "\r\n";
            REQUIRE(cluster.ask("n" + std::to_string(i % 3 + 1), command) == "+OK\r\n");
        }
        for (Host* node : cluster.nodes) node->crash(Host::Death::Power);
        for (size_t i = 0; i < 3; ++i) cluster.start(i);
        cluster.run(Duration::seconds(5));
        for (int i = 0; i < 20; ++i)
            CHECK(cluster.ask("n" + std::to_string(i % 3 + 1), "GET k" + std::to_string(i) + "\r\n").ends_with("\r\nv" + std::to_string(i) + "\r\n"));
    }
}

TEST_CASE("kv: a wiped node stays outside and the others go on") {
    Cluster cluster(3);
    cluster.found();
    REQUIRE(cluster.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    cluster.nodes[2]->crash(Host::Death::Power);
    cluster.nodes[2]->disk().wipe();
    cluster.nodes[0]->expect_error("rpc.handshake_refused");
    cluster.nodes[1]->expect_error("rpc.handshake_refused");
    for (Host* node : cluster.nodes) node->expect_error("rpc.connect_failed");
    cluster.start(2);
    cluster.run(Duration::seconds(5));
    CHECK(cluster.ask("n1", "SET a 2\r\nGET a\r\n") == "+OK\r\n$1\r\n2\r\n");
    auto* wiped = static_cast<kv::KvNode*>(cluster.nodes[2]->process());
    CHECK_FALSE(wiped->serving());
    CHECK_FALSE(wiped->directory()->founding().has_value());
    CHECK(cluster.ask("n1", "SET a 3\r\nWAITALL 500\r\n") == "+OK\r\n*3\r\n:2\r\n:3\r\n*1\r\n$1\r\n3\r\n");
}

TEST_CASE("kv: a graceful stop drains, keeps everything and takes no time") {
    Cluster cluster(4);
    cluster.found();
    REQUIRE(cluster.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    const Instant before = cluster.world.now();
    for (Host* node : cluster.nodes) node->request_stop();
    cluster.world.run_until(cluster.world.now() + Duration::seconds(20), [&] {
        return std::none_of(cluster.nodes.begin(), cluster.nodes.end(), [](Host* node) { return node->up(); });
    });
    CHECK_MESSAGE(!cluster.world.failure(), (cluster.world.failure() ? cluster.world.failure()->text : ""));
    for (Host* node : cluster.nodes) {
        REQUIRE_FALSE(node->up());
        CHECK(node->exit_result()->ok());
    }
    CHECK((cluster.world.now() - before) < Duration::seconds(5));
    for (size_t i = 0; i < 3; ++i) cluster.start(i);
    cluster.run(Duration::seconds(3));
    CHECK(cluster.ask("n2", "GET a\r\n") == "$1\r\n1\r\n");
}

TEST_CASE("kv: expired keys are gone for readers at once and leave the count by an entry") {
    Cluster cluster(5);
    cluster.found();
    REQUIRE(cluster.ask("n1", "SET a 1 PX 500\r\nSET b 2\r\nDBSIZE\r\n") == "+OK\r\n+OK\r\n:2\r\n");
    cluster.run(Duration::millis(600));
    CHECK(cluster.ask("n2", "GET a\r\n") == "$-1\r\n");
    cluster.run(Duration::seconds(3));
    CHECK(cluster.ask("n3", "DBSIZE\r\nGET b\r\n") == ":1\r\n$1\r\n2\r\n");
    for (Host* node : cluster.nodes) {
        CHECK(static_cast<kv::KvNode*>(node->process())->service()->machine().metadata().keys == 1);
    }
}

TEST_CASE("kv: a snapshot carries values larger than any frame") {
    Cluster cluster(6);
    cluster.retain_bytes = 256 << 10;
    for (size_t i = 0; i < 3; ++i) {
        cluster.nodes[i]->crash(Host::Death::Power);
        cluster.start(i);
    }
    cluster.found();
    cluster.nodes[2]->crash(Host::Death::Power);
    const std::string large(3 << 20, 'x');
    REQUIRE(cluster.ask("n1", "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$" + std::to_string(large.size()) + "\r\n" + large + "\r\n") == "+OK\r\n");
    for (int i = 0; i < 40; ++i) REQUIRE(cluster.ask("n1", "SET k" + std::to_string(i) + " " + std::string(20'000, 'y') + "\r\n") == "+OK\r\n");
    cluster.run(Duration::seconds(3));
    cluster.start(2);
    cluster.run(Duration::seconds(8));
    raft::Group* group = static_cast<kv::KvNode*>(cluster.nodes[2]->process())->group();
    REQUIRE(group != nullptr);
    CHECK(group->space()->generation > Generation(1));
    CHECK(cluster.ask("n3", "STRLEN large\r\nDBSIZE\r\nWAITALL 3000\r\n") == ":3145728\r\n:41\r\n*3\r\n:3\r\n:3\r\n*0\r\n");
}
