#include "kv/cluster_commands.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "tests/kv/fake_node.h"

namespace orrery::kv {
namespace {

struct ClusterClient : test::FakeNode, test::FakeClient {
    ClusterClient() : FakeClient(static_cast<test::FakeNode&>(*this)) {
        the_face = ClientFace::Cluster;
        view.cluster = 0xabc;
        view.term = Term(4);
        view.serving = true;
        view.nodes = {{.node = NodeId(1), .replica = ReplicaId(0x11), .host = "a", .port = 1, .peer_port = 101, .self = true, .voter = true, .connected = true},
                      {.node = NodeId(2), .replica = ReplicaId(0x22), .host = "b", .port = 2, .peer_port = 102, .leader = true, .voter = true, .connected = true},
                      {.node = NodeId(3), .replica = ReplicaId(0x33), .host = "c", .port = 3, .peer_port = 103, .connected = false}};
    }
};

const Bytes kFirst = "0000000000000abc000000000000001100000001", kSecond = "0000000000000abc000000000000002200000002";

TEST_CASE("kv cluster: slots of keys are those of Redis") {
    CHECK(key_slot("123456789") == 0x31c3 % kSlots);  // the check value of CRC16-CCITT (XMODEM)
    CHECK(key_slot("foo") == 12182);
    CHECK(key_slot("somekey") == 11058);
    CHECK(key_slot("foo{hash_tag}") == 2515);
    CHECK(key_slot("bar{hash_tag}{other}") == 2515);
    CHECK(key_slot("") == 0);
    CHECK(key_slot("{}x") != key_slot("x"));  // empty braces mark nothing
    CHECK(key_slot("{x") != key_slot("x"));
    CHECK(rc::check("every key has a slot, and what is in braces alone decides", [](const std::string& key, const std::string& after) {
        RC_ASSERT(key_slot(key) < kSlots);
        RC_PRE(!key.empty() && key.find('}') == std::string::npos);
        RC_ASSERT(key_slot("{" + key + "}" + after) == key_slot("{" + key + "}"));
    }));
}

TEST_CASE("kv cluster: the standalone face has no cluster commands but READONLY and READWRITE") {
    ClusterClient client;
    client.the_face = ClientFace::Standalone;
    for (const Argv& argv : {Argv{"CLUSTER", "INFO"}, Argv{"CLUSTER", "SLOTS"}, Argv{"CLUSTER", "KEYSLOT", "a"}, Argv{"ASKING"}})
        CHECK(client.run(argv).text == "ERR This instance has cluster support disabled");
    CHECK(client.run({"READONLY"}) == Reply::ok());
    CHECK(client.state.readonly);
    CHECK(client.run({"READWRITE"}) == Reply::ok());
    CHECK_FALSE(client.state.readonly);
}

TEST_CASE("kv cluster: SLOTS names the leader first, then the voters, and nobody while none leads") {
    ClusterClient client;
    const auto node = [](const char* host, int64_t port, const Bytes& id) {
        return Reply::array({Reply::bulk(host), Reply::integer(port), Reply::bulk(id), Reply::array({})});
    };
    CHECK(client.run({"CLUSTER", "SLOTS"}) ==
          Reply::array({Reply::array({Reply::integer(0), Reply::integer(16383), node("b", 2, kSecond), node("a", 1, kFirst)})}));
    client.view.nodes[1].leader = false;
    CHECK(client.run({"CLUSTER", "SLOTS"}) == Reply::array({}));
}

TEST_CASE("kv cluster: NODES, SHARDS, INFO and MYID say the same of the members") {
    ClusterClient client;
    CHECK(client.run({"CLUSTER", "MYID"}) == Reply::bulk(kFirst));
    CHECK(client.run({"CLUSTER", "NODES"}).text ==
          kFirst + " a:1@101 myself,slave " + kSecond + " 0 0 4 connected\n" + kSecond + " b:2@102 master - 0 0 4 connected 0-16383\n" +
              "0000000000000abc000000000000003300000003 c:3@103 slave,fail? " + kSecond + " 0 0 4 disconnected\n");
    const Reply shards = client.run({"CLUSTER", "SHARDS"});
    REQUIRE(shards.items.size() == 1);
    CHECK(shards.items[0].items[1] == Reply::array({Reply::integer(0), Reply::integer(16383)}));
    REQUIRE(shards.items[0].items[3].items.size() == 3);
    CHECK(shards.items[0].items[3].items[1].items[9] == Reply::bulk("master"));
    CHECK(shards.items[0].items[3].items[2].items[13] == Reply::bulk("fail"));
    const Bytes info = client.run({"CLUSTER", "INFO"}).text;
    CHECK(info.starts_with("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"));
    CHECK(info.find("cluster_known_nodes:3\r\n") != Bytes::npos);
    client.view.nodes[1].leader = false;
    CHECK(client.run({"CLUSTER", "INFO"}).text.starts_with("cluster_state:fail\r\n"));
}

TEST_CASE("kv cluster: MOVED goes to the leader, and the cluster is down without one") {
    ClusterClient client;
    const Argv argv{"SET", "foo", "1"};
    const CommandInfo& command = *find_command("set");
    CHECK(moved_reply(client.view, command, resp::views_of(argv)).text == "MOVED 12182 b:2");
    client.view.serving = false;
    CHECK(moved_reply(client.view, command, resp::views_of(argv)).text == "CLUSTERDOWN The cluster is down");
    client.view.serving = true;
    client.view.nodes[1].leader = false;
    CHECK(moved_reply(client.view, command, resp::views_of(argv)).text == "CLUSTERDOWN The cluster is down");
}

TEST_CASE("kv cluster: questions about keys of a slot are checked") {
    const auto ask = [](const Argv& argv) { return slot_question(resp::views_of(argv)); };
    const auto count = ask({"CLUSTER", "COUNTKEYSINSLOT", "7"});
    REQUIRE(std::holds_alternative<SlotQuestion>(count));
    CHECK(std::get<SlotQuestion>(count).count_only);
    const auto keys = ask({"CLUSTER", "GETKEYSINSLOT", "7", "3"});
    REQUIRE(std::holds_alternative<SlotQuestion>(keys));
    CHECK(std::get<SlotQuestion>(keys).keys_max == 3);
    CHECK(std::get<Reply>(ask({"CLUSTER", "COUNTKEYSINSLOT", "16384"})).text == "ERR Invalid slot");
    CHECK(std::get<Reply>(ask({"CLUSTER", "GETKEYSINSLOT", "0", "-1"})).text == "ERR Invalid slot or number of keys");
    CHECK(std::get<Reply>(ask({"CLUSTER", "COUNTKEYSINSLOT", "x"})).text == "ERR value is not an integer or out of range");
}

}  // namespace
}  // namespace orrery::kv
