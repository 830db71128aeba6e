#include "kv/config_commands.h"

#include <doctest/doctest.h>

#include "tests/kv/fake_node.h"

namespace orrery::kv {
namespace {

struct ConfigClient : test::FakeNode, test::FakeClient {
    ConfigClient() : FakeClient(static_cast<test::FakeNode&>(*this)) {}
    Bytes get(const Bytes& name) {
        const Reply reply = run({"CONFIG", "GET", name});
        return reply.items.size() == 2 ? reply.items[1].text : "";
    }
};

TEST_CASE("kv config: GET by several patterns, each name once, in any case") {
    ConfigClient client;
    CHECK(client.run({"CONFIG", "GET", "SAVE"}) == Reply::map({Reply::bulk("save"), Reply::bulk("")}));
    CHECK(client.run({"CONFIG", "GET", "append*", "save", "s*"}).items.size() == 6);
    CHECK(client.run({"CONFIG", "GET", "nothing"}) == Reply::map({}));
}

TEST_CASE("kv config: what can be set online is set, and GET shows it") {
    ConfigClient client;
    struct Case {
        const char *name, *value, *shown;
    };
    for (const Case& one : {Case{"maxclients", "17", "17"}, Case{"timeout", "30", "30"}, Case{"proto-max-bulk-len", "1mb", "1048576"},
                            Case{"wait-zero", "ALL", "all"}, Case{"request-limit-ms", "250", "250"}, Case{"client-slow-limit", "5", "5"},
                            Case{"client-output-buffer-limit", "normal 1mb 512kb 10", "normal 1048576 524288 10 slave 0 0 0 pubsub 0 0 0"}}) {
        CHECK(client.run({"CONFIG", "SET", one.name, one.value}) == Reply::ok());
        CHECK(client.get(one.name) == one.shown);
    }
    CHECK(client.the_settings == Settings{.clients_max = 17,
                                          .idle_limit = Duration::seconds(30),
                                          .bulk_bytes_max = 1 << 20,
                                          .wait_zero = WaitZero::All,
                                          .output = {1 << 20, 512 << 10, Duration::seconds(10)},
                                          .slow_client_limit = Duration::seconds(5),
                                          .request_limit = Duration::millis(250)});
}

TEST_CASE("kv config: SET is all or nothing, and says which argument is wrong and why") {
    ConfigClient client;
    const Settings before = client.the_settings;
    const auto refused = [&](const Argv& pairs) {
        Argv argv{"CONFIG", "SET", "maxclients", "99", "requirepass", "secret"};
        argv.insert(argv.end(), pairs.begin(), pairs.end());
        const Bytes text = client.run(argv).text;
        CHECK(client.the_settings == before);
        CHECK(client.the_acl.open_to_all());
        return text;
    };
    const Bytes failed = "ERR CONFIG SET failed (possibly related to argument '";
    CHECK(refused({"nope", "1"}) == "ERR Unknown option or number of arguments for CONFIG SET - 'nope'");
    CHECK(refused({"save", "60 1"}) == failed + "save') - can't set immutable config");
    CHECK(refused({"timeout", "x"}) == failed + "timeout') - argument couldn't be parsed into an integer");
    CHECK(refused({"timeout", "-1"}).starts_with(failed + "timeout') - argument must be between 0 and "));
    CHECK(refused({"MaxClients", "7"}) == failed + "MaxClients') - duplicate parameter");
    CHECK(refused({"proto-max-bulk-len", "x"}) == failed + "proto-max-bulk-len') - argument must be a memory value");
    CHECK(refused({"proto-max-bulk-len", "10gb"}) == failed + "proto-max-bulk-len') - argument must be between 1024 and 8388608 inclusive");
    CHECK(refused({"wait-zero", "some"}) == failed + "wait-zero') - argument must be one of the following: redis, all");
    CHECK(refused({"client-output-buffer-limit", "normal 1 2"}).ends_with("Wrong number of arguments in buffer limit configuration."));
    CHECK(refused({"client-output-buffer-limit", "odd 1 2 3"}).ends_with("Invalid client class specified in buffer limit configuration."));
    CHECK(refused({"client-output-buffer-limit", "normal x 2 3"}).ends_with("Error in hard, soft or soft_seconds setting in buffer limit configuration."));
    CHECK(refused({"timeout"}) == "ERR wrong number of arguments for 'config|set' command");
    CHECK(client.settings_changes == 0);
}

TEST_CASE("kv config: SET of what holds already is no change") {
    ConfigClient client;
    CHECK(client.run({"CONFIG", "SET", "save", "", "appendonly", "yes", "maxclients", "10000"}) == Reply::ok());
    CHECK(client.settings_changes == 0);
}

TEST_CASE("kv config: requirepass is the default user's password, of which a hash is shown, and empty takes it away") {
    ConfigClient client;
    CHECK(client.get("requirepass").empty());
    CHECK(client.run({"CONFIG", "SET", "requirepass", "secret"}) == Reply::ok());
    CHECK_FALSE(client.the_acl.open_to_all());
    CHECK(client.get("requirepass") == "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    CHECK(client.run({"AUTH", "wrong"}).text == "WRONGPASS invalid username-password pair or user is disabled.");
    CHECK(client.run({"AUTH", "secret"}) == Reply::ok());
    CHECK(client.run({"CONFIG", "SET", "requirepass", ""}) == Reply::ok());
    CHECK(client.the_acl.open_to_all());
}

TEST_CASE("kv config: RESETSTAT reaches the node") {
    ConfigClient client;
    CHECK(client.run({"CONFIG", "RESETSTAT"}) == Reply::ok());
    CHECK(client.resets == 1);
}

}  // namespace
}  // namespace orrery::kv
