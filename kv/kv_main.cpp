// orrery-kv: one node of a KV cluster.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "kv/kv_metrics.h"
#include "kv/kv_node.h"
#include "runtime/real/daemon.h"

namespace {

using namespace orrery;
using real::ConfigType;

Result<kv::Acl> users_of(const real::Config& config) {
    std::string lines;
    for (const std::string& user : config.list("client.users")) lines += "user " + user + "\n";
    return kv::Acl::parse(lines);
}

real::ConfigSchema make_schema() {
    real::ConfigSchema schema;
    real::add_daemon_keys(schema);
    schema.add({.name = "node.id", .type = ConfigType::Integer, .doc = "number of this node, unique in its cluster for ever", .required = true, .low = 1});
    schema.add({.name = "peer.listen", .type = ConfigType::Address, .by_default = "127.0.0.1:7101", .doc = "where other nodes and orreryctl connect"});
    schema.add({.name = "peer.advertise", .type = ConfigType::Text, .doc = "HOST:PORT that other nodes use for it; empty: peer.listen"});
    schema.add({.name = "client.listen", .type = ConfigType::Address, .by_default = "127.0.0.1:6379", .doc = "where Redis clients connect"});
    schema.add({.name = "client.advertise", .type = ConfigType::Text, .doc = "HOST:PORT that clients use for it; empty: client.listen"});
    schema.add({.name = "admin.listen", .type = ConfigType::Text, .doc = "HOST:PORT of /livez, /readyz, /status and /metrics over HTTP; empty: none"});
    schema.add({.name = "client.connections_max", .type = ConfigType::Integer, .by_default = "10000", .doc = "clients at once; more are refused", .low = 1, .high = 1'000'000});
    schema.add({.name = "client.slow_limit", .type = ConfigType::Duration, .by_default = "60s", .doc = "a client that takes no reply for so long is disconnected", .low = 1'000'000'000});
    schema.add({.name = "client.idle_limit", .type = ConfigType::Duration, .by_default = "0s", .doc = "a client that sends nothing for so long is disconnected, unless it waits; 0: never", .low = 0});
    schema.add({.name = "client.output_hard_bytes", .type = ConfigType::Size, .by_default = "0", .doc = "replies held for a client above which it is disconnected at once; 0: what client.slow_limit bounds", .low = 0});
    schema.add({.name = "client.output_soft_bytes", .type = ConfigType::Size, .by_default = "0", .doc = "the same, after client.output_soft_limit above it; 0: none", .low = 0});
    schema.add({.name = "client.output_soft_limit", .type = ConfigType::Duration, .by_default = "60s", .doc = "see client.output_soft_bytes", .low = 1'000'000'000});
    schema.add({.name = "client.face", .type = ConfigType::Text, .by_default = "standalone", .doc = "standalone: every node takes every command; cluster: of a Redis cluster, followers send clients to the leader (-MOVED)", .choices = {"standalone", "cluster"}});
    schema.add({.name = "client.users", .type = ConfigType::TextList, .doc = "users, each `NAME RULE...` with the rules of Redis' ACLs; passwords best as #SHA256, since the configuration is shown; empty: one user, default, who needs no password"});
    schema.add({.name = "client.bulk_bytes_max", .type = ConfigType::Size, .by_default = "8MiB", .doc = "largest argument of a command; larger ones are refused before a byte is logged", .low = 1024, .high = 8 << 20});
    schema.add({.name = "kv.request_limit", .type = ConfigType::Duration, .by_default = "5s", .doc = "time for one command, forwarding to the leader included; then its outcome is unknown", .low = 10'000'000});
    schema.add({.name = "kv.wait_zero", .type = ConfigType::Text, .by_default = "redis", .doc = "what `WAIT 0` means: the present count at once, or every member", .choices = {"redis", "all"}});
    schema.add({.name = "raft.election_timeout_min", .type = ConfigType::Duration, .by_default = "1s", .doc = "silence of the leader after which a member may campaign; below 3 heartbeats one lost message costs a leader its place", .low = 10'000'000});
    schema.add({.name = "raft.election_timeout_max", .type = ConfigType::Duration, .by_default = "2s", .doc = "upper end of the drawn timeouts", .low = 20'000'000});
    schema.add({.name = "raft.heartbeat", .type = ConfigType::Duration, .by_default = "100ms", .doc = "period of the leader's heartbeats", .low = 1'000'000});
    schema.add({.name = "raft.retain_bytes", .type = ConfigType::Size, .by_default = "64MiB", .doc = "log kept for a member that lags; past it the member gets a snapshot", .low = 1 << 20});
    schema.add({.name = "raft.retain_bytes_node", .type = ConfigType::Size, .by_default = "256MiB", .doc = "the same for all groups of this node together", .low = 1 << 20});
    schema.add({.name = "raft.snapshot_limit", .type = ConfigType::Duration, .by_default = "60s", .doc = "a snapshot transfer that gets nowhere for so long no longer keeps log", .low = 1'000'000'000});
    schema.add({.name = "raft.slowed_bytes_per_second", .type = ConfigType::Size, .by_default = "16MiB", .doc = "writes taken once transfers keep twice raft.retain_bytes of log; halved with each quarter of it more", .low = 64 << 10});
    schema.add({.name = "raft.repair", .type = ConfigType::Text, .by_default = "automatic", .doc = "damage that other members can make good: a damaged store is set aside, a replica whose log lost its promises comes back as another one; off: such a start is refused", .choices = {"automatic", "off"}});
    schema.add({.name = "wal.segment_bytes", .type = ConfigType::Size, .by_default = "48MiB", .doc = "size of one log segment; counts for a new data directory only", .low = 48 << 20, .high = 1 << 30});
    schema.add({.name = "store.memtable_bytes", .type = ConfigType::Size, .by_default = "16MiB", .doc = "writes of the Store gathered in memory before a flush", .low = 64 << 10, .high = 1 << 30});
    schema.add({.name = "store.cache_bytes", .type = ConfigType::Size, .by_default = "64MiB", .doc = "blocks of the Store's files kept in memory", .low = 0, .high = int64_t{1} << 40});
    schema.add_rule([](const real::Config& config, std::vector<real::ConfigProblem>& problems) {
        if (config.duration("raft.election_timeout_max") <= config.duration("raft.election_timeout_min"))
            problems.push_back({config.where("raft.election_timeout_max"), "E0220", "raft.election_timeout_max must be above raft.election_timeout_min", "raise it, or members campaign at the same time for ever"});
        if (config.duration("raft.election_timeout_min") < config.duration("raft.heartbeat") * 3)
            problems.push_back({config.where("raft.election_timeout_min"), "E0221", "raft.election_timeout_min is below three heartbeats", "raise it, or lower raft.heartbeat"});
        if (config.size_bytes("raft.retain_bytes_node") < config.size_bytes("raft.retain_bytes"))
            problems.push_back({config.where("raft.retain_bytes_node"), "E0223", "raft.retain_bytes_node is below raft.retain_bytes", "raise it, or lower raft.retain_bytes"});
    });
    schema.add_rule([](const real::Config& config, std::vector<real::ConfigProblem>& problems) {
        if (Result<kv::Acl> users = users_of(config); !users.ok())
            problems.push_back({config.where("client.users"), "E0224", users.error().context, "write NAME RULE...; rules: on off nopass >password #sha256 ~pattern +command +@category ..."});
        for (const char* key : {"admin.listen", "peer.advertise", "client.advertise"}) {
            if (config.text(key).empty()) continue;
            if (Result<Address> address = Address::parse(config.text(key)); !address.ok())
                problems.push_back({config.where(key), "E0222", address.error().context, "write HOST:PORT, or leave it empty"});
        }
    });
    return schema;
}

kv::KvNodeOptions node_options(const real::Config& config) {
    kv::KvNodeOptions options;
    options.node = NodeId(static_cast<uint64_t>(config.integer("node.id")));
    options.peer_listen = Address::parse(config.text("peer.listen")).value();
    options.client_listen = Address::parse(config.text("client.listen")).value();
    if (!config.text("admin.listen").empty()) options.admin_listen = Address::parse(config.text("admin.listen")).value();
    options.peer_advertise = config.text("peer.advertise");
    options.client_advertise = config.text("client.advertise");
    options.max_clients = static_cast<uint32_t>(config.integer("client.connections_max"));
    options.slow_client_timeout = config.duration("client.slow_limit");
    options.client_idle_limit = config.duration("client.idle_limit");
    options.client_output = {config.size_bytes("client.output_hard_bytes"), config.size_bytes("client.output_soft_bytes"), config.duration("client.output_soft_limit")};
    options.face = config.text("client.face") == "cluster" ? kv::ClientFace::Cluster : kv::ClientFace::Standalone;
    options.acl = users_of(config).value();  // was right when the configuration was checked
    options.limits.bulk_bytes_max = config.size_bytes("client.bulk_bytes_max");
    options.drain_timeout = config.duration("stop.drain_limit");
    options.service.request_timeout = config.duration("kv.request_limit");
    options.service.wait_zero = config.text("kv.wait_zero") == "all" ? kv::WaitZero::All : kv::WaitZero::Redis;
    options.group.core.election_timeout_min = config.duration("raft.election_timeout_min");
    options.group.core.election_timeout_max = config.duration("raft.election_timeout_max");
    options.group.core.heartbeat = config.duration("raft.heartbeat");
    options.group.retain_bytes = config.size_bytes("raft.retain_bytes");
    options.host.retain_bytes_node = config.size_bytes("raft.retain_bytes_node");
    options.group.snapshot_timeout = config.duration("raft.snapshot_limit");
    options.group.slowed_bytes_per_second = config.size_bytes("raft.slowed_bytes_per_second");
    options.host.repair = config.text("raft.repair") == "off" ? raft::DamageRepair::Off : raft::DamageRepair::Automatic;
    options.host.log.segment_bytes = config.size_bytes("wal.segment_bytes");
    // One command with the largest argument fits one batch, and a batch fits a segment four times.
    options.host.log.batch_bytes = 12 << 20;
    options.host.log.queue_bytes = 24 << 20;
    options.host.store.memtable_bytes = config.size_bytes("store.memtable_bytes");
    options.host.store.cache_bytes = config.size_bytes("store.cache_bytes");
    // A memtable to be flushed, one to be compacted, and what comes in between two looks.
    options.host.reserve_bytes = 2 * options.host.store.memtable_bytes + (4 << 20);
    options.process_id = static_cast<uint64_t>(getpid());
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const real::ConfigSchema schema = make_schema();
    real::DaemonCommandLine line;
    CLI::App app("orrery-kv: a node of a replicated store that speaks the Redis protocol");
    app.set_version_flag("--version", "orrery-kv 0.1.0");
    std::string file;
    app.add_option("--config", file, "TOML file with the configuration");
    app.add_flag("--check-config", line.check_config, "say what is wrong with the configuration, start nothing");
    app.add_flag("--print-config", line.print_config, "print the configuration and where each value comes from, start nothing");
    app.add_flag("--list-config", line.list_config, "print every key with type, range, default and meaning");
    bool list_metrics = false;
    app.add_flag("--list-metrics", list_metrics, "print every metric with type and meaning");
    std::map<std::string, std::string> flags;
    for (const real::ConfigKey& key : schema.keys())
        app.add_option("--" + key.flag(), flags[key.name], key.doc)->group("configuration (also in the file and as " + std::string("ORRERY_...)"));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    if (list_metrics) {
        std::fputs(admin::list_metrics(kv::kv_metrics()).c_str(), stdout);
        return real::kExitFine;
    }
    if (!file.empty()) line.config_file = file;
    for (const auto& [key, text] : flags)
        if (app.count("--" + schema.find(key)->flag()) > 0) line.flags.emplace_back(key, text);

    auto prepared = real::prepare_daemon(schema, line);
    if (int* code = std::get_if<int>(&prepared)) return *code;
    const real::Config& config = std::get<real::Config>(prepared);
    const kv::KvNodeOptions options = node_options(config);
    return real::run_daemon(real::daemon_options("orrery-kv", config),
                            [&](Env& env) -> std::unique_ptr<Process> { return std::make_unique<kv::KvNode>(env, options); });
}
