#include "kv/client_commands.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/kv/fake_node.h"

namespace orrery::kv {
namespace {

struct Room : test::FakeNode {
    test::FakeClient caller{*this, 1}, second{*this, 2}, third{*this, 3};
    Room() {
        second.state.address = "10.0.0.2:5";
        second.state.local_address = "10.0.0.1:6379";
        third.state.address = "10.0.0.3:5";
        third.state.user = "maya";
        REQUIRE(the_acl.set("maya", {}).ok());
    }
    Reply run(const Argv& argv) { return caller.run(argv); }
};

TEST_CASE("kv client: KILL by address answers OK or that there is none, and may be the caller's own end behind the reply") {
    Room room;
    CHECK(room.run({"CLIENT", "KILL", "10.0.0.2:5"}) == Reply::ok());
    CHECK(room.killed == std::vector<uint64_t>{2});
    CHECK(room.run({"CLIENT", "KILL", "10.0.0.2:5"}).text == "ERR No such client");
    room.caller.state.address = "me:1";
    CHECK(room.run({"CLIENT", "KILL", "me:1"}) == Reply::ok());
    CHECK(room.caller.state.closing);
    CHECK(room.killed.size() == 1);
}

TEST_CASE("kv client: KILL by filters counts, all filters together, and spares the caller unless told otherwise") {
    const auto killed_by = [](const Argv& options) {
        Room room;
        Argv argv{"CLIENT", "KILL"};
        argv.insert(argv.end(), options.begin(), options.end());
        const Reply reply = room.run(argv);
        CHECK(reply == Reply::integer(static_cast<int64_t>(room.killed.size() + room.caller.state.closing)));
        if (room.caller.state.closing) room.killed.push_back(1);
        return room.killed;
    };
    using Ids = std::vector<uint64_t>;
    CHECK(killed_by({"ID", "2"}) == Ids{2});
    CHECK(killed_by({"ID", "1"}) == Ids{});
    CHECK(killed_by({"id", "1", "skipme", "no"}) == Ids{1});
    CHECK(killed_by({"ADDR", "10.0.0.3:5"}) == Ids{3});
    CHECK(killed_by({"LADDR", "10.0.0.1:6379"}) == Ids{2});
    CHECK(killed_by({"USER", "maya"}) == Ids{3});
    CHECK(killed_by({"USER", "maya", "ID", "2"}) == Ids{});
    CHECK(killed_by({"TYPE", "normal"}) == Ids{2, 3});
    CHECK(killed_by({"TYPE", "pubsub"}) == Ids{});
    CHECK(killed_by({"SKIPME", "yes"}) == Ids{2, 3});
    CHECK(killed_by({"SKIPME", "no"}) == Ids{2, 3, 1});
}

TEST_CASE("kv client: KILL with what it does not know kills nobody") {
    Room room;
    CHECK(room.run({"CLIENT", "KILL", "ID", "x"}).text == "ERR client-id should be greater than 0");
    CHECK(room.run({"CLIENT", "KILL", "ID", "0"}).text == "ERR client-id should be greater than 0");
    CHECK(room.run({"CLIENT", "KILL", "TYPE", "odd"}).text == "ERR Unknown client type 'odd'");
    CHECK(room.run({"CLIENT", "KILL", "USER", "nobody"}).text == "ERR No such user 'nobody'");
    CHECK(room.run({"CLIENT", "KILL", "SKIPME", "maybe"}).text == "ERR syntax error");
    CHECK(room.run({"CLIENT", "KILL", "ID", "2", "ADDR"}).text == "ERR syntax error");
    CHECK(room.run({"CLIENT", "KILL", "SHOE", "43"}).text == "ERR syntax error");
    CHECK(room.killed.empty());
}

TEST_CASE("kv client: UNBLOCK says whether it ended a wait, and how it asked for that") {
    Room room;
    CHECK(room.run({"CLIENT", "UNBLOCK", "2"}) == Reply::integer(0));
    room.second.state.blocked = room.third.state.blocked = true;
    CHECK(room.run({"CLIENT", "UNBLOCK", "2"}) == Reply::integer(1));
    CHECK(room.run({"CLIENT", "UNBLOCK", "3", "error"}) == Reply::integer(1));
    CHECK(room.unblocked == std::vector<std::pair<uint64_t, Unblock>>{{2, Unblock::AsTimeout}, {3, Unblock::AsError}});
    CHECK(room.run({"CLIENT", "UNBLOCK", "99", "TIMEOUT"}) == Reply::integer(0));
    CHECK(room.run({"CLIENT", "UNBLOCK", "x"}).text == "ERR value is not an integer or out of range");
    CHECK(room.run({"CLIENT", "UNBLOCK", "2", "odd"}).text == "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
}

TEST_CASE("kv client: LIST shows what is asked for, each with true fields") {
    Room room;
    room.at = Instant{} + Duration::seconds(10);
    room.second.state.connected_at = Instant{} + Duration::seconds(3);
    room.second.state.active_at = Instant{} + Duration::seconds(8);
    room.second.state.blocked = true;
    room.second.state.command = find_command("config");
    room.second.state.subcommand = find_subcommand(CommandId::Config, "get");
    room.second.state.queued = 2;
    const auto lines_of = [&](const Argv& argv) {
        const Bytes text = room.run(argv).text;
        return std::count(text.begin(), text.end(), '\n');
    };
    CHECK(lines_of({"CLIENT", "LIST"}) == 3);
    CHECK(lines_of({"CLIENT", "LIST", "TYPE", "normal"}) == 3);
    CHECK(lines_of({"CLIENT", "LIST", "TYPE", "replica"}) == 0);
    CHECK(lines_of({"CLIENT", "LIST", "ID", "1", "3", "99"}) == 2);
    const Bytes line = room.run({"CLIENT", "LIST", "ID", "2"}).text;
    for (const char* field : {"id=2 ", " addr=10.0.0.2:5 ", " laddr=10.0.0.1:6379 ", " age=7 ", " idle=2 ", " flags=bx ", " multi=2 ", " cmd=config|get ", " user=default "})
        CHECK_MESSAGE(line.find(field) != Bytes::npos, line, field);
    CHECK(room.run({"CLIENT", "LIST", "TYPE", "odd"}).text == "ERR Unknown client type 'odd'");
    CHECK(room.run({"CLIENT", "LIST", "ID", "x"}).text == "ERR Invalid client ID");
    CHECK(room.run({"CLIENT", "LIST", "odd"}).text == "ERR syntax error");
    CHECK(room.run({"CLIENT", "INFO"}).text.starts_with("id=1 "));
}

TEST_CASE("kv client: REPLY and NO-EVICT set what they say") {
    Room room;
    ClientState& state = room.caller.state;
    room.run({"CLIENT", "REPLY", "SKIP"});
    CHECK(state.replies_withheld == 2);
    room.run({"CLIENT", "REPLY", "OFF"});
    CHECK(state.replies_withheld == ClientState::kNoReplies);
    room.run({"CLIENT", "REPLY", "SKIP"});
    CHECK(state.replies_withheld == ClientState::kNoReplies);
    CHECK(room.run({"CLIENT", "REPLY", "ON"}) == Reply::ok());
    CHECK(state.replies_withheld == 0);
    CHECK(room.run({"CLIENT", "REPLY", "odd"}).text == "ERR syntax error");
    CHECK(room.run({"CLIENT", "NO-EVICT", "on"}) == Reply::ok());
    CHECK(state.no_evict);
    CHECK(room.run({"CLIENT", "NO-EVICT", "odd"}).text == "ERR syntax error");
}

}  // namespace
}  // namespace orrery::kv
