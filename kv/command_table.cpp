#include "kv/command_table.h"

#include <algorithm>
#include <array>

#include "kv/common_replies.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

constexpr uint32_t kWrite = kFlagWrite | kFlagDenyOom;
constexpr uint32_t kFastWrite = kFlagWrite | kFlagDenyOom | kFlagFast;
constexpr uint32_t kFastRead = kFlagReadonly | kFlagFast;
constexpr uint32_t kHandshake = kFlagNoScript | kFlagLoading | kFlagStale | kFlagFast | kFlagNoAuth;

// id, name, arity, flags, first key, last key, step, route, since, group, categories, summary
constexpr std::array kCommands = {
    CommandInfo{CommandId::Acl, "acl", -2, 0, 0, 0, 0, Route::Local, "6.0.0", "server", "slow", "Commands about users and what they may do"},
    CommandInfo{CommandId::Append, "append", 3, kFastWrite, 1, 1, 1, Route::Write, "2.0.0", "string", "write string fast",
                "Adds bytes at the end of a value"},
    CommandInfo{CommandId::Asking, "asking", 1, kFlagFast, 0, 0, 0, Route::Local, "3.0.0", "cluster", "fast connection",
                "Taken and without effect: slots do not move"},
    CommandInfo{CommandId::Auth, "auth", -2, kHandshake, 0, 0, 0, Route::Local, "1.0.0", "connection",
                "fast connection", "Authenticates as a user"},
    CommandInfo{CommandId::Client, "client", -2, 0, 0, 0, 0, Route::Local, "2.4.0", "connection", "slow",
                "Commands about the connection"},
    CommandInfo{CommandId::Cluster, "cluster", -2, 0, 0, 0, 0, Route::Local, "3.0.0", "cluster", "slow",
                "The members of the group as nodes of a Redis cluster; with the cluster face only"},
    CommandInfo{CommandId::Command, "command", -1, kFlagLoading | kFlagStale, 0, 0, 0, Route::Local, "2.8.13", "server",
                "slow connection", "Describes the commands"},
    CommandInfo{CommandId::Config, "config", -2, 0, 0, 0, 0, Route::Local, "2.0.0", "server", "slow",
                "Commands about the configuration"},
    CommandInfo{CommandId::Copy, "copy", -3, kWrite, 1, 2, 1, Route::Write, "6.2.0", "generic",
                "keyspace write slow", "Copies a value and its expiry to another key"},
    CommandInfo{CommandId::Dbsize, "dbsize", 1, kFastRead, 0, 0, 0, Route::Read, "1.0.0", "server", "keyspace read fast",
                "Number of keys"},
    CommandInfo{CommandId::Decr, "decr", 2, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Subtracts one from a number"},
    CommandInfo{CommandId::Decrby, "decrby", 3, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Subtracts from a number"},
    CommandInfo{CommandId::Del, "del", -2, kFlagWrite, 1, -1, 1, Route::Write, "1.0.0", "generic", "keyspace write slow",
                "Removes keys"},
    CommandInfo{CommandId::Discard, "discard", 1, kHandshake & ~kFlagNoAuth, 0, 0, 0, Route::Session, "2.0.0", "transactions",
                "fast transaction", "Forgets what was queued and watched"},
    CommandInfo{CommandId::Echo, "echo", 2, kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "1.0.0",
                "connection", "fast connection", "Answers its argument"},
    CommandInfo{CommandId::Exec, "exec", 1, kFlagNoScript | kFlagLoading | kFlagStale, 0, 0, 0, Route::Session, "1.2.0", "transactions",
                "slow transaction", "Executes what was queued, as one step"},
    CommandInfo{CommandId::Exists, "exists", -2, kFastRead, 1, -1, 1, Route::Read, "1.0.0", "generic",
                "keyspace read fast", "How many of these keys exist"},
    CommandInfo{CommandId::Expire, "expire", -3, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "1.0.0", "generic",
                "keyspace write fast", "Sets the time to live, in seconds"},
    CommandInfo{CommandId::Expireat, "expireat", -3, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "1.2.0", "generic",
                "keyspace write fast", "Sets the time of expiry, in Unix seconds"},
    CommandInfo{CommandId::Expiretime, "expiretime", 2, kFastRead, 1, 1, 1, Route::Read, "7.0.0", "generic",
                "keyspace read fast", "The time of expiry, in Unix seconds"},
    CommandInfo{CommandId::Flushall, "flushall", -1, kFlagWrite, 0, 0, 0, Route::Write, "1.0.0", "server",
                "keyspace write slow dangerous", "Removes all keys"},
    CommandInfo{CommandId::Flushdb, "flushdb", -1, kFlagWrite, 0, 0, 0, Route::Write, "1.0.0", "server",
                "keyspace write slow dangerous", "Removes all keys of the database"},
    CommandInfo{CommandId::Function, "function", -2, kFlagNoScript, 0, 0, 0, Route::Local, "7.0.0", "scripting",
                "slow scripting", "FLUSH only: there are no functions"},
    CommandInfo{CommandId::Get, "get", 2, kFastRead, 1, 1, 1, Route::Read, "1.0.0", "string", "read string fast",
                "The value of a key"},
    CommandInfo{CommandId::Getdel, "getdel", 2, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "6.2.0", "string",
                "write string fast", "Answers the value and removes the key"},
    CommandInfo{CommandId::Getex, "getex", -2, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "6.2.0", "string",
                "write string fast", "Answers the value and changes its expiry"},
    CommandInfo{CommandId::Getrange, "getrange", 4, kFlagReadonly, 1, 1, 1, Route::Read, "2.4.0", "string",
                "read string slow", "A part of a value"},
    CommandInfo{CommandId::Getset, "getset", 3, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Sets a value, answers the one before"},
    CommandInfo{CommandId::Hello, "hello", -1, kHandshake, 0, 0, 0, Route::Local, "6.0.0", "connection",
                "fast connection", "Greets, and agrees on the protocol version"},
    CommandInfo{CommandId::Incr, "incr", 2, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Adds one to a number"},
    CommandInfo{CommandId::Incrby, "incrby", 3, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Adds to a number"},
    CommandInfo{CommandId::Incrbyfloat, "incrbyfloat", 3, kFastWrite, 1, 1, 1, Route::Write, "2.6.0", "string",
                "write string fast", "Adds to a decimal fraction"},
    CommandInfo{CommandId::Info, "info", -1, kFlagLoading | kFlagStale, 0, 0, 0, Route::Local, "1.0.0", "server",
                "slow dangerous", "Figures of the server"},
    CommandInfo{CommandId::Keys, "keys", 2, kFlagReadonly, 0, 0, 0, Route::Read, "1.0.0", "generic",
                "keyspace read slow dangerous", "All keys that match a pattern"},
    CommandInfo{CommandId::Mget, "mget", -2, kFastRead, 1, -1, 1, Route::Read, "1.0.0", "string",
                "read string fast", "The values of several keys"},
    CommandInfo{CommandId::Mset, "mset", -3, kWrite, 1, -1, 2, Route::Write, "1.0.1", "string",
                "write string slow", "Sets several values, as one step"},
    CommandInfo{CommandId::Msetnx, "msetnx", -3, kWrite, 1, -1, 2, Route::Write, "1.0.1", "string",
                "write string slow", "Sets several values unless one of the keys exists"},
    CommandInfo{CommandId::Multi, "multi", 1, kHandshake & ~kFlagNoAuth, 0, 0, 0, Route::Session, "1.2.0", "transactions",
                "fast transaction", "Begins to queue commands"},
    CommandInfo{CommandId::Object, "object", -2, kFlagReadonly, 2, 2, 1, Route::Read, "2.2.3", "generic",
                "keyspace read slow", "Facts of a value: ENCODING, FREQ, IDLETIME, REFCOUNT"},
    CommandInfo{CommandId::Persist, "persist", 2, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "2.2.0", "generic",
                "keyspace write fast", "Takes the expiry from a key"},
    CommandInfo{CommandId::Pexpire, "pexpire", -3, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "2.6.0", "generic",
                "keyspace write fast", "Sets the time to live, in milliseconds"},
    CommandInfo{CommandId::Pexpireat, "pexpireat", -3, kFlagWrite | kFlagFast, 1, 1, 1, Route::Write, "2.6.0", "generic",
                "keyspace write fast", "Sets the time of expiry, in Unix milliseconds"},
    CommandInfo{CommandId::Pexpiretime, "pexpiretime", 2, kFastRead, 1, 1, 1, Route::Read, "7.0.0", "generic",
                "keyspace read fast", "The time of expiry, in Unix milliseconds"},
    CommandInfo{CommandId::Ping, "ping", -1, kFlagFast, 0, 0, 0, Route::Local, "1.0.0", "connection", "fast connection",
                "Answers PONG, or its argument"},
    CommandInfo{CommandId::Psetex, "psetex", 4, kWrite, 1, 1, 1, Route::Write, "2.6.0", "string", "write string slow",
                "Sets a value and its time to live, in milliseconds"},
    CommandInfo{CommandId::Pttl, "pttl", 2, kFastRead, 1, 1, 1, Route::Read, "2.6.0", "generic", "keyspace read fast",
                "The time to live, in milliseconds"},
    CommandInfo{CommandId::Quit, "quit", -1, kHandshake, 0, 0, 0, Route::Local, "1.0.0", "connection", "fast connection",
                "Closes the connection"},
    CommandInfo{CommandId::Randomkey, "randomkey", 1, kFlagReadonly, 0, 0, 0, Route::Read, "1.0.0", "generic",
                "keyspace read slow", "Some key"},
    CommandInfo{CommandId::Readonly, "readonly", 1, kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "3.0.0", "cluster",
                "fast connection", "From now on this connection's reads may be stale: answered here, whoever leads"},
    CommandInfo{CommandId::Readwrite, "readwrite", 1, kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "3.0.0", "cluster",
                "fast connection", "Ends READONLY"},
    CommandInfo{CommandId::Rename, "rename", 3, kFlagWrite, 1, 2, 1, Route::Write, "1.0.0", "generic",
                "keyspace write slow", "Gives a value another key"},
    CommandInfo{CommandId::Renamenx, "renamenx", 3, kFlagWrite | kFlagFast, 1, 2, 1, Route::Write, "1.0.0", "generic",
                "keyspace write fast", "Gives a value another key unless that exists"},
    CommandInfo{CommandId::Reset, "reset", 1, kHandshake, 0, 0, 0, Route::Session, "6.2.0", "connection",
                "fast connection", "Makes the connection as if it were new"},
    CommandInfo{CommandId::Role, "role", 1, kFlagNoScript | kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "2.8.12", "server",
                "admin fast dangerous", "Leader or follower, and of whom"},
    CommandInfo{CommandId::Scan, "scan", -2, kFlagReadonly, 0, 0, 0, Route::Read, "2.8.0", "generic",
                "keyspace read slow", "Walks over the keys, a part a time"},
    CommandInfo{CommandId::Select, "select", 2, kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "1.0.0",
                "connection", "fast connection", "Chooses the database; there is only 0"},
    CommandInfo{CommandId::Set, "set", -3, kWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string slow",
                "Sets a value, with conditions and expiry"},
    CommandInfo{CommandId::Setex, "setex", 4, kWrite, 1, 1, 1, Route::Write, "2.0.0", "string", "write string slow",
                "Sets a value and its time to live, in seconds"},
    CommandInfo{CommandId::Setnx, "setnx", 3, kFastWrite, 1, 1, 1, Route::Write, "1.0.0", "string", "write string fast",
                "Sets a value unless the key exists"},
    CommandInfo{CommandId::Setrange, "setrange", 4, kWrite, 1, 1, 1, Route::Write, "2.2.0", "string",
                "write string slow", "Overwrites a part of a value"},
    CommandInfo{CommandId::Strlen, "strlen", 2, kFastRead, 1, 1, 1, Route::Read, "2.2.0", "string", "read string fast",
                "Bytes of a value"},
    CommandInfo{CommandId::Substr, "substr", 4, kFlagReadonly, 1, 1, 1, Route::Read, "1.0.0", "string",
                "read string slow", "A part of a value"},
    CommandInfo{CommandId::Time, "time", 1, kFlagLoading | kFlagStale | kFlagFast, 0, 0, 0, Route::Local, "2.6.0",
                "server", "fast", "The server's wall clock"},
    CommandInfo{CommandId::Touch, "touch", -2, kFastRead, 1, -1, 1, Route::Read, "3.2.1", "generic", "keyspace read fast",
                "How many of these keys exist"},
    CommandInfo{CommandId::Ttl, "ttl", 2, kFastRead, 1, 1, 1, Route::Read, "1.0.0", "generic", "keyspace read fast",
                "The time to live, in seconds"},
    CommandInfo{CommandId::Type, "type", 2, kFastRead, 1, 1, 1, Route::Read, "1.0.0", "generic", "keyspace read fast",
                "The type of a value"},
    CommandInfo{CommandId::Unlink, "unlink", -2, kFlagWrite | kFlagFast, 1, -1, 1, Route::Write, "4.0.0", "generic",
                "keyspace write fast", "Removes keys"},
    CommandInfo{CommandId::Unwatch, "unwatch", 1, kHandshake & ~kFlagNoAuth, 0, 0, 0, Route::Session, "2.2.0", "transactions",
                "fast transaction", "Watches no key any more"},
    CommandInfo{CommandId::Wait, "wait", 3, kFlagNoScript | kFlagBlocking, 0, 0, 0, Route::Wait, "3.0.0", "generic",
                "slow blocking connection", "Waits until replicas hold this connection's writes; WAIT ALL: every member"},
    CommandInfo{CommandId::Waitall, "waitall", 2, kFlagNoScript | kFlagBlocking, 0, 0, 0, Route::Wait, "7.2.0", "generic",
                "slow blocking connection", "Waits until every configured member holds this connection's writes"},
    CommandInfo{CommandId::Waitaof, "waitaof", 4, kFlagNoScript | kFlagBlocking, 0, 0, 0, Route::Wait, "7.2.0", "generic",
                "slow blocking connection", "Waits until the leader and replicas have synced this connection's writes"},
    CommandInfo{CommandId::Watch, "watch", -2, kHandshake & ~kFlagNoAuth, 1, -1, 1, Route::Read, "2.2.0", "transactions",
                "fast transaction", "EXEC does nothing if one of these keys changes until then"},
};
static_assert(std::ranges::is_sorted(kCommands, {}, &CommandInfo::name));

using S = SubcommandInfo;
constexpr std::string_view kSlow = "slow", kAdmin = "admin slow dangerous", kOfClient = "slow connection",
                           kAdminOfClient = "admin slow dangerous connection", kLook = "keyspace read slow";

constexpr std::array kSubcommands = {
    S{CommandId::Acl, "cat", -2, kSlow},                 S{CommandId::Acl, "deluser", -3, kAdmin},
    S{CommandId::Acl, "getuser", 3, kAdmin},             S{CommandId::Acl, "list", 2, kAdmin},
    S{CommandId::Acl, "setuser", -3, kAdmin},            S{CommandId::Acl, "users", 2, kAdmin},
    S{CommandId::Acl, "whoami", 2, kSlow},               S{CommandId::Client, "getname", 2, kOfClient},
    S{CommandId::Client, "id", 2, kOfClient},            S{CommandId::Client, "info", 2, kOfClient},
    S{CommandId::Client, "kill", -3, kAdminOfClient},    S{CommandId::Client, "list", -2, kAdminOfClient},
    S{CommandId::Client, "no-evict", 3, kAdminOfClient}, S{CommandId::Client, "reply", 3, kOfClient},
    S{CommandId::Client, "setinfo", 4, kOfClient},       S{CommandId::Client, "setname", 3, kOfClient},
    S{CommandId::Client, "tracking", -3, kOfClient},     S{CommandId::Client, "unblock", -3, kAdminOfClient},
    S{CommandId::Cluster, "countkeysinslot", 3, kSlow},  S{CommandId::Cluster, "getkeysinslot", 4, kSlow},
    S{CommandId::Cluster, "info", 2, kSlow},             S{CommandId::Cluster, "keyslot", 3, kSlow},
    S{CommandId::Cluster, "myid", 2, kSlow},             S{CommandId::Cluster, "nodes", 2, kSlow},
    S{CommandId::Cluster, "shards", 2, kSlow},           S{CommandId::Cluster, "slots", 2, kSlow},
    S{CommandId::Command, "count", 2, kOfClient},        S{CommandId::Command, "docs", -2, kOfClient},
    S{CommandId::Command, "getkeys", -4, kOfClient},     S{CommandId::Command, "info", -2, kOfClient},
    S{CommandId::Command, "list", -2, kOfClient},        S{CommandId::Config, "get", -3, kAdmin},
    S{CommandId::Config, "resetstat", 2, kAdmin},        S{CommandId::Config, "set", -4, kAdmin},
    S{CommandId::Function, "flush", -2, "write slow scripting"}, S{CommandId::Object, "encoding", 3, kLook},
    S{CommandId::Object, "freq", 3, kLook},              S{CommandId::Object, "idletime", 3, kLook},
    S{CommandId::Object, "refcount", 3, kLook},
};

struct FlagName {
    uint32_t flag;
    std::string_view name;
};

constexpr std::array kFlagNames = {
    FlagName{kFlagWrite, "write"},        FlagName{kFlagReadonly, "readonly"}, FlagName{kFlagDenyOom, "denyoom"},
    FlagName{kFlagAdmin, "admin"},        FlagName{kFlagNoScript, "noscript"}, FlagName{kFlagBlocking, "blocking"},
    FlagName{kFlagLoading, "loading"},    FlagName{kFlagStale, "stale"},       FlagName{kFlagFast, "fast"},
    FlagName{kFlagNoAuth, "no_auth"},     FlagName{kFlagNoMulti, "no_multi"},
};

constexpr size_t kEchoedBytesMax = 128;  // of a client's own words in an error

// What C would print of it with %.*s.
ByteView printable(ByteView text, size_t bytes_max) { return text.substr(0, std::min(text.find('\0'), bytes_max)); }

Reply unknown_command(ArgvView argv) {
    Bytes words;
    for (size_t i = 1; i < argv.size() && words.size() < kEchoedBytesMax; ++i) {
        const ByteView word = printable(argv[i], kEchoedBytesMax - words.size());
        words.append("'").append(word).append("' ");
    }
    return Reply::error("ERR unknown command '" + Bytes(printable(argv[0], kEchoedBytesMax)) +
                        "', with args beginning with: " + words);
}

Reply wrong_arity(ByteView name) {
    return Reply::error("ERR wrong number of arguments for '" + Bytes(name) + "' command");
}

bool arity_fits(int arity, size_t words) {
    return arity >= 0 ? words == static_cast<size_t>(arity) : words >= static_cast<size_t>(-arity);
}

/// Looked at for every command.
constexpr std::array<bool, kCommandCount> kContainers = [] {
    std::array<bool, kCommandCount> out{};
    for (const SubcommandInfo& subcommand : kSubcommands) out[static_cast<size_t>(subcommand.container)] = true;
    return out;
}();

Reply key_specs_of(const CommandInfo& command) {
    if (command.first_key == 0) return Reply::array({});
    const bool reads = (command.flags & kFlagReadonly) != 0;
    std::vector<Reply> access;
    for (std::string_view word : reads ? std::vector<std::string_view>{"RO", "access"}
                                       : std::vector<std::string_view>{"RW", "access", "update"})
        access.push_back(Reply::simple(word));
    // The last key is counted from the first one, or from the end.
    const int last = command.last_key < 0 ? command.last_key : command.last_key - command.first_key;
    Reply begin = Reply::map({bulk_of("type"), bulk_of("index"), bulk_of("spec"),
                              Reply::map({bulk_of("index"), Reply::integer(command.first_key)})});
    Reply find = Reply::map({bulk_of("type"), bulk_of("range"), bulk_of("spec"),
                             Reply::map({bulk_of("lastkey"), Reply::integer(last), bulk_of("keystep"),
                                         Reply::integer(command.key_step), bulk_of("limit"), Reply::integer(0)})});
    return Reply::array({Reply::map({bulk_of("flags"), Reply::set(std::move(access)), bulk_of("begin_search"),
                                     std::move(begin), bulk_of("find_keys"), std::move(find)})});
}

Reply categories_of(std::string_view categories) {
    std::vector<Reply> out;
    while (!categories.empty()) {
        const size_t end = std::min(categories.find(' '), categories.size());
        out.push_back(Reply::simple("@" + Bytes(categories.substr(0, end))));
        categories.remove_prefix(std::min(end + 1, categories.size()));
    }
    return Reply::set(std::move(out));
}

Reply subcommands_of(const CommandInfo& command) {
    std::vector<Reply> out;
    for (const SubcommandInfo& subcommand : kSubcommands) {
        if (subcommand.container != command.id) continue;
        out.push_back(Reply::array({Reply::bulk(full_name(command, &subcommand)), Reply::integer(subcommand.arity), Reply::set({}),
                                    Reply::integer(0), Reply::integer(0), Reply::integer(0), categories_of(subcommand.categories),
                                    Reply::array({}), Reply::array({}), Reply::array({})}));
    }
    return Reply::array(std::move(out));
}

Reply describe(const CommandInfo& command) {
    std::vector<Reply> flags;
    for (const FlagName& name : kFlagNames)
        if (command.flags & name.flag) flags.push_back(Reply::simple(name.name));
    return Reply::array({bulk_of(command.name), Reply::integer(command.arity), Reply::set(std::move(flags)),
                         Reply::integer(command.first_key), Reply::integer(command.last_key),
                         Reply::integer(command.key_step), categories_of(command.categories), Reply::array({}),
                         key_specs_of(command), subcommands_of(command)});
}

void add_docs(std::vector<Reply>& out, const CommandInfo& command) {
    out.push_back(bulk_of(command.name));
    out.push_back(Reply::map({bulk_of("summary"), bulk_of(command.summary), bulk_of("since"), bulk_of(command.since),
                              bulk_of("group"), bulk_of(command.group)}));
}

Reply get_keys(ArgvView words) {
    const CommandInfo* command = find_command(words[0]);
    if (command == nullptr) return Reply::error("ERR Invalid command specified");
    if (!arity_fits(command->arity, words.size()))
        return Reply::error("ERR Invalid number of arguments specified for command");
    if (command->first_key == 0) return Reply::error("ERR The command has no key arguments");
    std::vector<Reply> out;
    for (ByteView key : keys_of(*command, words)) out.push_back(bulk_of(key));
    return Reply::array(std::move(out));
}

}  // namespace

std::span<const CommandInfo> command_table() { return kCommands; }
std::span<const SubcommandInfo> subcommand_table() { return kSubcommands; }

const SubcommandInfo* find_subcommand(CommandId container, ByteView name) {
    for (const SubcommandInfo& subcommand : kSubcommands)
        if (subcommand.container == container && is_word(name, subcommand.name)) return &subcommand;
    return nullptr;
}

Bytes full_name(const CommandInfo& command, const SubcommandInfo* subcommand) {
    return subcommand == nullptr ? Bytes(command.name) : Bytes(command.name) + "|" + Bytes(subcommand->name);
}

bool in_category(std::string_view categories, std::string_view category) {
    while (!categories.empty()) {
        const size_t end = std::min(categories.find(' '), categories.size());
        if (categories.substr(0, end) == category) return true;
        categories.remove_prefix(std::min(end + 1, categories.size()));
    }
    return false;
}

namespace {

/// A name in lower case as two words, so that comparing is two comparisons.
struct PackedName {
    uint64_t low = 0, high = 0;
    constexpr bool operator==(const PackedName&) const = default;
};
constexpr size_t kLongestName = 16;
constexpr PackedName packed(std::string_view name) {
    PackedName out;
    for (size_t i = 0; i < name.size(); ++i)
        (i < 8 ? out.low : out.high) |= static_cast<uint64_t>(static_cast<unsigned char>(lower(name[i]))) << (8 * (i % 8));
    return out;
}
static_assert(std::ranges::all_of(kCommands, [](const CommandInfo& command) { return command.name.size() <= kLongestName; }));

// Every command is looked up a few times on its way: open addressing, built at compile time.
constexpr size_t kIndexSlots = 512;
static_assert(kIndexSlots >= 2 * kCommands.size());
constexpr size_t index_slot(const PackedName& name) { return static_cast<size_t>(((name.low ^ name.high * 31) * 0x9e3779b97f4a7c15ull) >> 55); }
struct IndexSlot {
    PackedName name;
    const CommandInfo* command = nullptr;
};
constexpr std::array<IndexSlot, kIndexSlots> kIndex = [] {
    std::array<IndexSlot, kIndexSlots> out{};
    for (const CommandInfo& command : kCommands) {
        const PackedName name = packed(command.name);
        size_t at = index_slot(name);
        while (out[at].command != nullptr) at = (at + 1) % kIndexSlots;
        out[at] = {name, &command};
    }
    return out;
}();

}  // namespace

const CommandInfo* find_command(ByteView name) {
    if (name.size() > kLongestName) return nullptr;
    const PackedName wanted = packed(name);
    for (size_t at = index_slot(wanted); kIndex[at].command != nullptr; at = (at + 1) % kIndexSlots)
        if (kIndex[at].name == wanted && kIndex[at].command->name.size() == name.size()) return kIndex[at].command;
    return nullptr;
}

std::vector<ByteView> keys_of(const CommandInfo& command, ArgvView argv) {
    std::vector<ByteView> out;
    if (command.first_key == 0) return out;
    const int last = command.last_key < 0 ? static_cast<int>(argv.size()) + command.last_key : command.last_key;
    for (int i = command.first_key; i <= last; i += command.key_step) out.push_back(argv[static_cast<size_t>(i)]);
    return out;
}

CheckedRequest check_request(ArgvView argv) {
    CHECK(!argv.empty());
    const CommandInfo* command = find_command(argv[0]);
    if (command == nullptr) return {nullptr, nullptr, unknown_command(argv)};
    if (!arity_fits(command->arity, argv.size())) return {nullptr, nullptr, wrong_arity(command->name)};
    const SubcommandInfo* subcommand = nullptr;
    if (argv.size() > 1 && kContainers[static_cast<size_t>(command->id)]) {
        subcommand = find_subcommand(command->id, argv[1]);
        if (subcommand == nullptr)
            return {nullptr, nullptr, Reply::error("ERR unknown subcommand '" + Bytes(printable(argv[1], kEchoedBytesMax)) + "'. Try " +
                                                   uppered(command->name) + " HELP.")};
        if (!arity_fits(subcommand->arity, argv.size()))
            return {nullptr, nullptr, wrong_arity(full_name(*command, subcommand))};
    }
    return {command, subcommand, {}};
}

Reply command_command(ArgvView argv) {
    const bool all = argv.size() <= 2;  // of those forms that take names
    if (argv.size() == 1 || is_word(argv[1], "info")) {
        std::vector<Reply> out;
        if (all) {
            for (const CommandInfo& command : kCommands) out.push_back(describe(command));
        } else {
            for (ByteView name : argv.subspan(2)) {
                const CommandInfo* command = find_command(name);
                out.push_back(command == nullptr ? Reply::null_array() : describe(*command));
            }
        }
        return Reply::array(std::move(out));
    }
    if (is_word(argv[1], "count")) return Reply::integer(static_cast<int64_t>(kCommands.size()));
    if (is_word(argv[1], "getkeys")) return get_keys(argv.subspan(2));
    std::vector<Reply> out;
    if (is_word(argv[1], "list")) {
        if (!all) return Reply::error("ERR syntax error");
        for (const CommandInfo& command : kCommands) out.push_back(bulk_of(command.name));
        return Reply::array(std::move(out));
    }
    CHECK(is_word(argv[1], "docs"), argv[1]);
    if (all) {
        for (const CommandInfo& command : kCommands) add_docs(out, command);
    } else {
        for (ByteView name : argv.subspan(2))
            if (const CommandInfo* command = find_command(name)) add_docs(out, *command);
    }
    return Reply::map(std::move(out));
}

}  // namespace orrery::kv
