#include "kv/local_commands.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "kv/glob.h"
#include "tests/kv/fake_node.h"

namespace orrery::kv {
namespace {

struct LocalClient : test::FakeNode, test::FakeClient {
    LocalClient() : FakeClient(static_cast<test::FakeNode&>(*this)) {}
};

TEST_CASE("kv local: the greetings of clients") {
    LocalClient client;
    CHECK(client.run({"PING"}) == Reply::simple("PONG"));
    CHECK(client.run({"PING", "x"}) == Reply::bulk("x"));
    CHECK(client.run({"PING", "x", "y"}).text == "ERR wrong number of arguments for 'ping' command");
    CHECK(client.run({"HELLO", "2", "SETNAME", "me"}).items.size() == 14);
    CHECK(client.run({"CLIENT", "GETNAME"}) == Reply::bulk("me"));
    CHECK(client.run({"HELLO", "1"}).text == "NOPROTO unsupported protocol version");
    CHECK(client.run({"HELLO", "4"}).text == "NOPROTO unsupported protocol version");
    CHECK(client.run({"HELLO", "x"}).text == "ERR Protocol version is not an integer or out of range");
    CHECK(client.run({"HELLO", "2", "SETNAME"}).text == "ERR Syntax error in HELLO option 'SETNAME'");
    CHECK(client.run({"CLIENT", "SETNAME", "a b"}).text ==
          "ERR Client names cannot contain spaces, newlines or special characters.");
    CHECK(client.run({"CLIENT", "SETINFO", "LIB-NAME", "redis-py"}) == Reply::ok());
    CHECK(client.state.driver_name == "redis-py");
    CHECK(client.run({"CLIENT", "ID"}) == Reply::integer(7));
    CHECK(client.run({"SELECT", "0"}) == Reply::ok());
    CHECK(client.run({"SELECT", "1"}).text == "ERR DB index is out of range");
    CHECK(client.run({"QUIT"}) == Reply::ok());
    CHECK(client.state.closing);
}

TEST_CASE("kv local: HELLO 3 changes the version, with AUTH and SETNAME, and HELLO 2 changes it back") {
    LocalClient client;
    const Reply hello = client.run({"HELLO", "3", "AUTH", "default", "any", "SETNAME", "me"});
    REQUIRE(hello.kind == Reply::Kind::Map);
    CHECK(hello.items[5] == Reply::integer(3));
    CHECK(client.state.version == resp::Version::Resp3);
    CHECK(client.state.name == "me");
    CHECK(client.run({"HELLO"}).items[5] == Reply::integer(3));
    CHECK(client.run({"HELLO", "2", "AUTH", "other", "x"}).text == "WRONGPASS invalid username-password pair or user is disabled.");
    CHECK(client.state.version == resp::Version::Resp3);  // a refused HELLO changes nothing
    client.run({"HELLO", "2"});
    CHECK(client.state.version == resp::Version::Resp2);
    CHECK(client.run({"AUTH", "secret"}).text.starts_with("ERR AUTH <password> called without any password configured"));
    CHECK(client.run({"AUTH", "default", "secret"}) == Reply::ok());
    CHECK(client.run({"INFO", "server"}).kind == Reply::Kind::Verbatim);
}

TEST_CASE("kv local: CLIENT TRACKING is taken where Redis could not tell the client anything either, and nowhere else") {
    LocalClient client;
    CHECK(client.run({"CLIENT", "TRACKING", "ON"}) == Reply::ok());
    CHECK(client.run({"CLIENT", "LIST"}).text.find(" flags=t ") != Bytes::npos);
    CHECK(client.run({"HELLO", "3"}).is_error());
    CHECK(client.run({"CLIENT", "TRACKING", "OFF"}) == Reply::ok());
    CHECK(client.run({"CLIENT", "LIST"}).text.find(" flags=N ") != Bytes::npos);
    CHECK(client.run({"CLIENT", "TRACKING", "ON", "BCAST"}).is_error());
    client.run({"HELLO", "3"});
    CHECK(client.run({"CLIENT", "TRACKING", "ON"}).is_error());
}

TEST_CASE("kv local: INFO has what clients and the test harness look for") {
    LocalClient client;
    client.the_facts.leader = true;
    client.the_facts.keys = 3;
    client.the_facts.replicas = {{.node = NodeId(2), .host = "b", .port = 1, .connected = true, .durable = LogIndex(5), .applied = LogIndex(4)}};
    const Bytes all = client.run({"INFO"}).text;
    for (const char* wanted : {"redis_version:7.2.0\r\n", "redis_mode:standalone\r\n", "loading:0\r\n", "blocked_clients:0\r\n", "role:master\r\n",
                               "connected_slaves:1\r\n", "offset=4,", "cluster_enabled:0\r\n", "db0:keys=3,expires=0,"})
        CHECK_MESSAGE(all.find(wanted) != Bytes::npos, wanted);
    client.the_facts.counters.calls[static_cast<size_t>(CommandId::Get)] = 3;
    client.the_facts.counters.rejected[static_cast<size_t>(CommandId::Set)] = 1;
    CHECK(client.run({"INFO", "commandstats"}).text == "# Commandstats\r\ncmdstat_get:calls=3,rejected_calls=0\r\ncmdstat_set:calls=0,rejected_calls=1\r\n");
    CHECK(all.find("# Commandstats") == Bytes::npos);
    CHECK(client.run({"INFO", "replication"}).text.starts_with("# Replication\r\n"));
    CHECK(client.run({"INFO", "nope"}).text.empty());
}

TEST_CASE("kv local: ROLE tells who leads, and what connected followers hold") {
    LocalClient client;
    client.the_facts.applied_index = LogIndex(9);
    CHECK(client.run({"ROLE"}) == Reply::array({Reply::bulk("slave"), Reply::bulk(""), Reply::integer(0), Reply::bulk("connect"), Reply::integer(9)}));
    client.the_facts.leader_node = NodeId(2);
    client.the_facts.leader_host = "b";
    client.the_facts.leader_port = 7;
    CHECK(client.run({"ROLE"}) == Reply::array({Reply::bulk("slave"), Reply::bulk("b"), Reply::integer(7), Reply::bulk("connected"), Reply::integer(9)}));
    client.the_facts.leader = true;
    client.the_facts.replicas = {{.node = NodeId(3), .host = "c", .port = 1, .connected = true, .durable = LogIndex(5), .applied = LogIndex(4)},
                                 {.node = NodeId(4), .host = "d", .port = 2, .connected = false}};
    CHECK(client.run({"ROLE"}) ==
          Reply::array({Reply::bulk("master"), Reply::integer(9), Reply::array({Reply::array({Reply::bulk("c"), Reply::bulk("1"), Reply::bulk("4")})})}));
}

TEST_CASE("kv local: patterns match as those of Redis, and never take long") {
    const auto matches = [](const char* pattern, const char* text) { return glob_match(pattern, text, LetterCase::Exact); };
    CHECK(matches("*", ""));
    CHECK(matches("h?llo", "hello"));
    CHECK(matches("h[ae]llo", "hallo"));
    CHECK_FALSE(matches("h[^e]llo", "hello"));
    CHECK(matches("h[a-c]llo", "hbllo"));
    CHECK(matches("h[c-a]llo", "hbllo"));
    CHECK(matches("a\\*b", "a*b"));
    CHECK_FALSE(matches("a\\*b", "axb"));
    CHECK(matches("*foo*bar", "xfooybarzfoobar"));
    CHECK_FALSE(matches("foo", "foobar"));
    CHECK(matches("[abc", "c"));
    CHECK(glob_match("SAVE", "save", LetterCase::Ignore));
    Bytes stars;
    for (int i = 0; i < 1000; ++i) stars += "*a";
    CHECK_FALSE(glob_match(stars + "b", Bytes(20'000, 'a'), LetterCase::Exact));
    CHECK(rc::check("any pattern ends", [](const std::string& pattern, const std::string& text) {
        glob_match(pattern, text, LetterCase::Exact);
        RC_ASSERT(glob_match("*" + std::string(), text, LetterCase::Exact));
    }));
}

}  // namespace
}  // namespace orrery::kv
