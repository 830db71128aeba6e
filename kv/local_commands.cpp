#include "kv/local_commands.h"

#include <algorithm>

#include "kv/glob.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

Reply bulk_of(std::string_view text) { return Reply::bulk(Bytes(text)); }

// Client names and versions end up in one-line lists.
bool is_plain(ByteView text) {
    return std::ranges::all_of(text, [](char c) { return c >= '!' && c <= '~'; });
}

Reply set_name(ClientState& client, ByteView name) {
    if (!is_plain(name)) return Reply::error("ERR Client names cannot contain spaces, newlines or special characters.");
    client.name = name;
    return Reply::ok();
}

Reply hello(ArgvView argv, ClientState& client, const ServerFacts& facts) {
    if (argv.size() > 1) {
        const auto version = resp::parse_int64(argv[1]);
        if (!version) return Reply::error("ERR Protocol version is not an integer or out of range");
        if (*version != 2 && *version != 3) return Reply::error("NOPROTO unsupported protocol version");
    }
    if (argv.size() > 1 && argv[1] == "3" && client.tracking)
        return Reply::error("ERR keys are not tracked: turn CLIENT TRACKING off before HELLO 3");
    std::optional<ByteView> name;
    for (size_t i = 2; i < argv.size(); ++i) {
        const size_t left = argv.size() - 1 - i;
        if (is_word(argv[i], "auth") && left >= 2) {
            // There is one user, without a password: as in a Redis without requirepass, any password will do.
            if (argv[i + 1] != "default") return Reply::error("WRONGPASS invalid username-password pair or user is disabled.");
            i += 2;
        } else if (is_word(argv[i], "setname") && left >= 1) {
            name = argv[++i];
        } else {
            return Reply::error("ERR Syntax error in HELLO option '" + Bytes(argv[i].substr(0, argv[i].find('\0'))) + "'");
        }
    }
    if (name) {
        Reply named = set_name(client, *name);
        if (named.is_error()) return named;
    }
    if (argv.size() > 1) client.version = *resp::parse_int64(argv[1]) == 3 ? resp::Version::Resp3 : resp::Version::Resp2;
    // Any node takes any command, so each of them is a master to its clients; INFO tells who leads.
    return Reply::map({bulk_of("server"), bulk_of("redis"), bulk_of("version"), bulk_of(facts.redis_version),
                       bulk_of("proto"), Reply::integer(static_cast<int64_t>(client.version)), bulk_of("id"),
                       Reply::integer(static_cast<int64_t>(client.id)), bulk_of("mode"), bulk_of("standalone"),
                       bulk_of("role"), bulk_of("master"), bulk_of("modules"), Reply::array({})});
}

Bytes client_flags(const ClientState& client) {
    Bytes out;
    if (client.in_transaction) out += 'x';
    if (client.tracking) out += 't';
    return out.empty() ? "N" : out;
}

// Keys are not tracked. Over RESP2, without redirection, that makes no difference: there is no message that could be sent.
Reply client_tracking(ArgvView options, ClientState& client) {
    const bool on = is_word(options[0], "on");
    if (!on && !is_word(options[0], "off")) return Reply::error("ERR syntax error");
    if (on && (options.size() > 1 || client.version != resp::Version::Resp2))
        return Reply::error("ERR keys are not tracked: CLIENT TRACKING is taken over RESP2 and without options only, where it has no effect");
    client.tracking = on;
    return Reply::ok();
}

Bytes client_line(const ClientState& client) {
    return "id=" + std::to_string(client.id) + " addr=" + client.address + " laddr=" + client.local_address +
           " name=" + client.name + " flags=" + client_flags(client) + " db=0 resp=" + std::to_string(static_cast<int>(client.version)) +
           " lib-name=" + client.driver_name + " lib-ver=" + client.driver_version + "\n";
}

Reply client_command(ArgvView argv, ClientState& client, const ServerFacts& facts) {
    if (is_word(argv[1], "id")) return Reply::integer(static_cast<int64_t>(client.id));
    if (is_word(argv[1], "getname")) return client.name.empty() ? Reply::null() : Reply::bulk(client.name);
    if (is_word(argv[1], "setname")) return set_name(client, argv[2]);
    if (is_word(argv[1], "tracking")) return client_tracking(argv.subspan(2), client);
    if (is_word(argv[1], "list")) {
        if (argv.size() > 2) return Reply::error("ERR syntax error");
        Bytes lines;
        for (const ClientState* one : facts.clients) lines += client_line(*one);
        return Reply::verbatim(std::move(lines));
    }
    if (is_word(argv[1], "info")) return Reply::verbatim(client_line(client));
    CHECK(is_word(argv[1], "setinfo"), argv[1]);
    const bool name = is_word(argv[2], "lib-name");
    if (!name && !is_word(argv[2], "lib-ver")) return Reply::error("ERR Unrecognized option '" + Bytes(argv[2]) + "'");
    if (!is_plain(argv[3]))
        return Reply::error("ERR " + lowered(argv[2]) + " cannot contain spaces, newlines or special characters.");
    (name ? client.driver_name : client.driver_version) = argv[3];
    return Reply::ok();
}

// Sorted by name, each once.
std::vector<std::pair<std::string, std::string>> whole_configuration(const ServerFacts& facts) {
    std::vector<std::pair<std::string, std::string>> all = fixed_configuration(), out;
    all.insert(all.end(), facts.configuration.begin(), facts.configuration.end());
    std::ranges::stable_sort(all, {}, [](const auto& item) { return item.first; });
    for (auto& item : all) {
        // The server's own value, which stands behind the fixed one of the same name, wins.
        if (!out.empty() && out.back().first == item.first)
            out.back() = std::move(item);
        else
            out.push_back(std::move(item));
    }
    return out;
}

Reply config_get(ArgvView patterns, const ServerFacts& facts) {
    std::vector<Reply> out;
    for (const auto& [name, value] : whole_configuration(facts)) {
        const bool wanted =
            std::ranges::any_of(patterns, [&](ByteView pattern) { return glob_match(pattern, name, LetterCase::Ignore); });
        if (!wanted) continue;
        out.push_back(bulk_of(name));
        out.push_back(bulk_of(value));
    }
    return Reply::map(std::move(out));
}

// What is set through clients in Redis is set by file, environment and flags here. A value that holds already is no change.
Reply config_set(ArgvView pairs, const ServerFacts& facts) {
    const auto all = whole_configuration(facts);
    if (pairs.size() % 2 != 0) return Reply::error("ERR wrong number of arguments for 'config|set' command");
    for (size_t i = 0; i < pairs.size(); i += 2) {
        const auto found = std::ranges::find(all, lowered(pairs[i]), [](const auto& item) { return item.first; });
        if (found == all.end())
            return Reply::error("ERR Unknown option or number of arguments for CONFIG SET - '" + Bytes(pairs[i]) + "'");
        if (found->second != pairs[i + 1])
            return Reply::error("ERR CONFIG SET failed (possibly related to argument '" + Bytes(pairs[i]) + "') - can't set immutable config");
    }
    return Reply::ok();
}

class InfoText {
 public:
    void section(std::string_view title) {
        if (!text_.empty()) text_ += "\r\n";
        text_.append("# ").append(title).append("\r\n");
    }
    void line(std::string_view name, std::string_view value) {
        text_.append(name).append(":").append(value).append("\r\n");
    }
    void line(std::string_view name, uint64_t value) { line(name, std::to_string(value)); }
    void signed_line(std::string_view name, int64_t value) { line(name, std::to_string(value)); }
    Bytes take() { return std::move(text_); }

 private:
    Bytes text_;
};

void info_server(InfoText& out, const ServerFacts& facts) {
    out.section("Server");
    out.line("redis_version", facts.redis_version);
    out.line("redis_mode", "standalone");
    out.line("orrery_version", facts.orrery_version);
    out.line("arch_bits", 64);
    out.line("process_id", facts.process_id);
    out.line("run_id", facts.run_id);
    out.line("tcp_port", facts.port);
    out.line("server_time_usec", static_cast<uint64_t>(facts.wall.ns / 1000));
    out.line("uptime_in_seconds", static_cast<uint64_t>(facts.uptime.ns / 1'000'000'000));
    out.line("uptime_in_days", static_cast<uint64_t>(facts.uptime.ns / 86'400'000'000'000));
    out.line("node_id", facts.node.value);
    // What expiries go by. Not this node's clock: that is server_time_usec.
    out.signed_line("state_time_usec", facts.state_time_ns / 1000);
    out.signed_line("state_time_ahead_ms", facts.state_time_ns == 0 ? 0 : (facts.state_time_ns - facts.wall.ns) / 1'000'000);
    out.line("state_time_source", facts.state_time_source);
}

void info_replication(InfoText& out, const ServerFacts& facts) {
    out.section("Replication");
    out.line("role", facts.leader ? "master" : "slave");
    if (!facts.leader) out.line("master_link_status", facts.leader_node.value != 0 ? "up" : "down");
    out.line("leader_node_id", facts.leader_node.value);
    out.line("raft_term", facts.term.value);
    out.line("raft_commit_index", facts.commit_index.value);
    uint64_t connected = 0;
    for (const auto& replica : facts.replicas) connected += replica.connected;
    out.line("connected_slaves", connected);
    for (size_t i = 0; i < facts.replicas.size(); ++i) {
        const auto& replica = facts.replicas[i];
        const LogIndex held = std::min(replica.durable, replica.applied);
        const uint64_t lag = held < facts.commit_index ? facts.commit_index - held : 0;
        out.line("slave" + std::to_string(i),
                 "ip=" + replica.host + ",port=" + std::to_string(replica.port) +
                     ",state=" + (replica.connected ? "online" : "disconnected") +
                     ",offset=" + std::to_string(held.value) + ",lag_entries=" + std::to_string(lag) +
                     ",durable=" + std::to_string(replica.durable.value) +
                     ",applied=" + std::to_string(replica.applied.value) + ",node_id=" + std::to_string(replica.node.value));
    }
    out.line("master_replid", facts.run_id);
    out.line("master_repl_offset", facts.applied_index.value);
}

void info_section(InfoText& out, const ServerFacts& facts, std::string_view name) {
    if (name == "server") {
        info_server(out, facts);
    } else if (name == "clients") {
        out.section("Clients");
        out.line("connected_clients", facts.connected_clients);
        out.line("maxclients", facts.clients_max);
        out.line("blocked_clients", facts.blocked_clients);
    } else if (name == "memory") {
        out.section("Memory");
        out.line("used_memory", facts.used_memory_bytes);
        out.line("maxmemory", 0);
    } else if (name == "persistence") {
        out.section("Persistence");
        out.line("loading", facts.loading ? 1 : 0);
        out.line("aof_enabled", 1);
    } else if (name == "stats") {
        out.section("Stats");
        out.line("total_connections_received", facts.connections_received);
        out.line("total_commands_processed", facts.commands_processed);
        out.line("expired_keys", facts.expired_keys);
        out.line("keyspace_hits", facts.hits);
        out.line("keyspace_misses", facts.misses);
    } else if (name == "replication") {
        info_replication(out, facts);
    } else if (name == "commandstats") {
        out.section("Commandstats");
        for (const auto& count : facts.command_counts) {
            const auto micros = static_cast<uint64_t>(count.spent.ns / 1000);
            out.line("cmdstat_" + Bytes(count.name),
                     "calls=" + std::to_string(count.calls) + ",usec=" + std::to_string(micros));
        }
    } else if (name == "cluster") {
        out.section("Cluster");
        out.line("cluster_enabled", 0);
    } else if (name == "keyspace") {
        out.section("Keyspace");
        if (facts.keys > 0)
            out.line("db0", "keys=" + std::to_string(facts.keys) + ",expires=" + std::to_string(facts.volatile_keys) +
                                ",avg_ttl=0");
    }
}

struct Section {
    std::string_view name;
    bool by_default;
};

constexpr Section kSections[] = {
    {"server", true},      {"clients", true},       {"memory", true},  {"persistence", true}, {"stats", true},
    {"replication", true}, {"commandstats", false}, {"cluster", true}, {"keyspace", true},
};

Reply info(ArgvView wanted, const ServerFacts& facts) {
    InfoText out;
    for (const Section& section : kSections) {
        const bool chosen = std::ranges::any_of(wanted, [&](ByteView word) {
            return is_word(word, section.name) || is_word(word, "all") || is_word(word, "everything") ||
                   (section.by_default && is_word(word, "default"));
        });
        if (chosen || (wanted.empty() && section.by_default)) info_section(out, facts, section.name);
    }
    return Reply::verbatim(out.take());
}

Reply auth(ArgvView argv) {
    if (argv.size() > 3) return Reply::error("ERR syntax error");
    if (argv.size() == 2)
        return Reply::error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?");
    // There is one user, without a password: as in a Redis without requirepass, any password will do.
    return argv[1] == "default" ? Reply::ok() : Reply::error("WRONGPASS invalid username-password pair or user is disabled.");
}

// There are no functions, so there is nothing to flush; harnesses ask for it before they begin.
Reply function_flush(ArgvView argv) {
    if (argv.size() > 3 || (argv.size() == 3 && !is_word(argv[2], "sync") && !is_word(argv[2], "async")))
        return Reply::error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    return Reply::ok();
}

Reply select(ByteView database) {
    const auto number = resp::parse_int64(database);
    if (!number) return Reply::error("ERR value is not an integer or out of range");
    return *number == 0 ? Reply::ok() : Reply::error("ERR DB index is out of range");
}

Reply time_of(WallTime wall) {
    const int64_t micros = wall.ns / 1000;
    return Reply::array({Reply::bulk(resp::int64_text(micros / 1'000'000)), Reply::bulk(resp::int64_text(micros % 1'000'000))});
}

}  // namespace

std::vector<std::pair<std::string, std::string>> fixed_configuration() {
    // Every acknowledged write is synced on a majority: the nearest words Redis has are appendonly yes, appendfsync always.
    return {
        {"appendfsync", "always"}, {"appendonly", "yes"},  {"cluster-enabled", "no"}, {"databases", "1"},
        {"maxmemory", "0"},        {"maxmemory-policy", "noeviction"}, {"save", ""},  {"timeout", "0"},
    };
}

Reply execute_local(ArgvView argv, ClientState& client, const ServerFacts& facts) {
    const CommandInfo* command = find_command(argv[0]);
    CHECK(command != nullptr && command->route == Route::Local);
    switch (command->id) {
        case CommandId::Auth: return auth(argv);
        case CommandId::Client: return client_command(argv, client, facts);
        case CommandId::Command: return command_command(argv);
        case CommandId::Config: return is_word(argv[1], "get") ? config_get(argv.subspan(2), facts) : config_set(argv.subspan(2), facts);
        case CommandId::Echo: return Reply::bulk(Bytes(argv[1]));
        case CommandId::Function: return function_flush(argv);
        case CommandId::Hello: return hello(argv, client, facts);
        case CommandId::Info: return info(argv.subspan(1), facts);
        case CommandId::Ping:
            if (argv.size() > 2) return Reply::error("ERR wrong number of arguments for 'ping' command");
            return argv.size() == 2 ? Reply::bulk(Bytes(argv[1])) : Reply::simple("PONG");
        case CommandId::Quit: client.closing = true; return Reply::ok();
        case CommandId::Select: return select(argv[1]);
        case CommandId::Time: return time_of(facts.wall);
        default: UNREACHABLE(command->name);
    }
}

}  // namespace orrery::kv
