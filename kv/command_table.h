// The command table: what exists, how many words it takes, where its keys are, and which path it goes. COMMAND, the
// arity check and the router of the server all read this one table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kv/resp/reply.h"
#include "kv/resp/request_parser.h"

namespace orrery::kv {

using resp::Argv;
using resp::ArgvView;
using resp::Reply;

enum class CommandId : uint8_t {  // not stored: log entries carry names
    Acl, Append, Asking, Auth, Client, Cluster, Command, Config, Copy, Dbsize, Decr, Decrby, Del, Discard, Echo, Exec, Exists, Expire,
    Expireat, Expiretime, Flushall, Flushdb, Function, Get, Getdel, Getex, Getrange, Getset, Hello, Incr, Incrby,
    Incrbyfloat, Info, Keys, Mget, Mset, Msetnx, Multi, Object, Persist, Pexpire, Pexpireat, Pexpiretime, Ping, Psetex,
    Pttl, Quit, Randomkey, Readonly, Readwrite, Rename, Renamenx, Reset, Role, Scan, Select, Set, Setex, Setnx, Setrange, Strlen, Substr, Time,
    Touch, Ttl, Type, Unlink, Unwatch, Wait, Waitall, Waitaof, Watch,
};
inline constexpr size_t kCommandCount = static_cast<size_t>(CommandId::Watch) + 1;

/// Who answers.
enum class Route : uint8_t {
    Local,  // the node the client talks to, from its own state: execute_local()
    Read,   // linearizable read of the group: execute()
    Write,  // a log entry of the group: stamp_command() on the leader, execute() at apply
    Wait,   // the leader's WaitTracker: parse_wait()
    Session,  // the connection itself: transactions, RESET
};

enum CommandFlag : uint32_t {
    kFlagWrite = 1,
    kFlagReadonly = 2,
    kFlagDenyOom = 4,
    kFlagAdmin = 8,
    kFlagLoading = 16,
    kFlagStale = 32,
    kFlagFast = 64,
    kFlagNoAuth = 128,
    kFlagBlocking = 256,
    kFlagNoScript = 512,
    kFlagNoMulti = 1024,
};

struct CommandInfo {
    CommandId id;
    std::string_view name;  // lower case
    int arity;              // words with the name; negative: at least that many
    uint32_t flags;
    int first_key;  // 0: none
    int last_key;   // negative: counted from the end
    int key_step;
    Route route;
    std::string_view since;
    std::string_view group;
    std::string_view categories;  // of ACLs, without @, separated by spaces
    std::string_view summary;
};

/// Part of a command that its second word chooses: CONFIG GET.
struct SubcommandInfo {
    CommandId container;
    std::string_view name;  // lower case
    int arity;              // words with both names; negative: at least that many
    std::string_view categories;  // as those of a command
};

/// Sorted by name.
std::span<const CommandInfo> command_table();
/// Grouped by command.
std::span<const SubcommandInfo> subcommand_table();

/// Any case. Null when there is no such command.
const CommandInfo* find_command(ByteView name);
/// Any case. Null when the command has no such subcommand.
const SubcommandInfo* find_subcommand(CommandId container, ByteView name);
/// "get", "config|get".
Bytes full_name(const CommandInfo& command, const SubcommandInfo* subcommand);
/// Is `category` (without @, lower case) one of the words of `categories`?
bool in_category(std::string_view categories, std::string_view category);

/// The keys of a request that passed check_request().
std::vector<ByteView> keys_of(const CommandInfo& command, ArgvView argv);

struct CheckedRequest {
    const CommandInfo* command = nullptr;  // null: refused
    const SubcommandInfo* subcommand = nullptr;  // null: it has none
    Reply refusal;
};

/// Unknown command, unknown subcommand and wrong number of words, in the words of Redis 7.0. Requires: argv not empty.
CheckedRequest check_request(ArgvView argv);

/// A request that passed check_request() as that command.
struct Request {
    ArgvView argv;
    const CommandInfo* command = nullptr;
};

/// COMMAND [COUNT | INFO names... | DOCS names... | LIST | GETKEYS ...]. Requires: passed check_request().
Reply command_command(ArgvView argv);

}  // namespace orrery::kv
