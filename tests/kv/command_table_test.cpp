#include "kv/command_table.h"

#include <doctest/doctest.h>

namespace orrery::kv {
namespace {

Bytes refusal(const Argv& argv) { return check_request(resp::views_of(argv)).refusal.text; }
Reply command(const Argv& argv) { return command_command(resp::views_of(argv)); }

TEST_CASE("kv commands: unknown names and wrong arity, in the words of Redis 7.0") {
    CHECK(refusal({"foo", "a", "b"}) == "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    CHECK(refusal({"foo", "a\r\nb!"}) == "ERR unknown command 'foo', with args beginning with: 'a  b!' ");
    CHECK(refusal({""}) == "ERR unknown command '', with args beginning with: ");
    CHECK(refusal({"foo", Bytes("a\0b", 3), Bytes(200, 'y')}) ==
          "ERR unknown command 'foo', with args beginning with: 'a' '" + Bytes(124, 'y') + "' ");
    CHECK(refusal({"GET"}) == "ERR wrong number of arguments for 'get' command");
    CHECK(refusal({"get", "a", "b"}) == "ERR wrong number of arguments for 'get' command");
    CHECK(refusal({"client", "foo"}) == "ERR unknown subcommand 'foo'. Try CLIENT HELP.");
    CHECK(refusal({"client"}) == "ERR wrong number of arguments for 'client' command");
    CHECK(refusal({"client", "setname"}) == "ERR wrong number of arguments for 'client|setname' command");
    CHECK(refusal({"config", "get"}) == "ERR wrong number of arguments for 'config|get' command");
    CHECK(check_request(resp::views_of({"SeT", "k", "v"})).command->id == CommandId::Set);
}

TEST_CASE("kv commands: COMMAND and its forms") {
    CHECK(command({"COMMAND", "COUNT"}) == Reply::integer(static_cast<int64_t>(command_table().size())));
    CHECK(command({"COMMAND"}).items.size() == command_table().size());
    const Reply some = command({"COMMAND", "INFO", "get", "nope"});
    REQUIRE(some.items.size() == 2);
    CHECK(some.items[0].items.size() == 10);
    CHECK(some.items[0].items[0] == Reply::bulk("get"));
    CHECK(some.items[0].items[1] == Reply::integer(2));
    CHECK(some.items[1] == Reply::null_array());
    CHECK(command({"COMMAND", "DOCS", "get", "nope"}).items.size() == 2);
    CHECK(command({"COMMAND", "GETKEYS", "del", "a", "b"}) == Reply::array({Reply::bulk("a"), Reply::bulk("b")}));
    CHECK(refusal({"COMMAND", "GETKEYS", "get"}) == "ERR wrong number of arguments for 'command|getkeys' command");
    CHECK(command({"COMMAND", "LIST", "x"}).text == "ERR syntax error");
    CHECK(command({"COMMAND", "GETKEYS", "ping", "x"}).text == "ERR The command has no key arguments");
}

TEST_CASE("kv commands: every command is found by its name, in any case, and has a route that fits its flags") {
    for (const CommandInfo& info : command_table()) {
        Bytes name(info.name);
        CHECK(find_command(name) == &info);
        name[0] = static_cast<char>(name[0] - 'a' + 'A');
        CHECK(find_command(name) == &info);
        CHECK(find_command(name + Bytes(1, '\0')) == nullptr);
        CHECK(find_command(name + "x") == nullptr);
        CHECK((info.route == Route::Write) == ((info.flags & kFlagWrite) != 0));
        if (info.id == CommandId::Watch) continue;  // a read of the group, but no read command to its clients
        CHECK((info.route == Route::Read) == ((info.flags & kFlagReadonly) != 0));
    }
    CHECK(find_command(Bytes(1000, 'a')) == nullptr);
}

}  // namespace
}  // namespace orrery::kv
