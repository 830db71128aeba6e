#include "kv/info.h"

#include <algorithm>

#include "kv/text_case.h"

namespace orrery::kv {
namespace {

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
    out.line("redis_mode", facts.cluster_face ? "cluster" : "standalone");
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
    if (!facts.leader) {
        out.line("master_host", facts.leader_host);
        out.line("master_port", facts.leader_port);
        out.line("master_link_status", facts.leader_node.value != 0 ? "up" : "down");
        out.line("slave_repl_offset", facts.applied_index.value);
        out.line("slave_read_only", 1);
    }
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
        const NodeCounters& counters = facts.counters;
        out.line("total_connections_received", counters.connections_received);
        out.line("total_commands_processed", counters.commands_processed);
        out.line("total_net_input_bytes", counters.input_bytes);
        out.line("total_net_output_bytes", counters.output_bytes);
        out.line("rejected_connections", counters.connections_rejected);
        out.line("expired_keys", facts.expired_keys);
        out.line("evicted_keys", 0);
        out.line("keyspace_hits", facts.hits);
        out.line("keyspace_misses", facts.misses);
        out.line("client_output_buffer_limit_disconnections", counters.output_limit_disconnections);
        out.line("client_idle_disconnections", counters.idle_disconnections);
        out.line("clients_killed", counters.clients_killed);
        out.line("acl_access_denied_auth", counters.auth_denied);
        out.line("acl_access_denied_cmd", counters.commands_denied);
        out.line("moved_replies", counters.moved_replies);
        out.line("stale_reads", counters.stale_reads);
    } else if (name == "replication") {
        info_replication(out, facts);
    } else if (name == "commandstats") {
        out.section("Commandstats");
        // Without times: what a command takes here is mostly the commit that it shares with others.
        for (const CommandInfo& command : command_table()) {
            const uint64_t calls = facts.counters.calls[static_cast<size_t>(command.id)];
            const uint64_t rejected = facts.counters.rejected[static_cast<size_t>(command.id)];
            if (calls + rejected > 0)
                out.line("cmdstat_" + Bytes(command.name), "calls=" + std::to_string(calls) + ",rejected_calls=" + std::to_string(rejected));
        }
    } else if (name == "cluster") {
        out.section("Cluster");
        out.line("cluster_enabled", facts.cluster_face ? 1 : 0);
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

}  // namespace

Reply info_command(ArgvView wanted, const ServerFacts& facts) {
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

}  // namespace orrery::kv
