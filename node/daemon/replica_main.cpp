#include "node/daemon/replica_main.h"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace orrery::daemon {

namespace {

using real::ConfigType;

real::ConfigSchema schema_of(const ReplicaDaemon& daemon) {
    real::ConfigSchema schema;
    const std::string& service = daemon.service_prefix;
    real::add_daemon_keys(schema);
    schema.add({.name = "node.id", .type = ConfigType::Integer, .doc = "number of this node, unique in its cluster for ever", .required = true, .low = 1});
    schema.add({.name = "peer.listen", .type = ConfigType::Address, .by_default = daemon.peer_listen, .doc = "where other nodes and orreryctl connect"});
    schema.add({.name = "peer.advertise", .type = ConfigType::Text, .doc = "HOST:PORT that other nodes use for it; empty: peer.listen"});
    schema.add({.name = service + ".listen", .type = ConfigType::Address, .by_default = daemon.service_listen, .doc = daemon.service_doc});
    schema.add({.name = service + ".advertise", .type = ConfigType::Text, .doc = "HOST:PORT that clients use for it; empty: " + service + ".listen"});
    schema.add({.name = "admin.listen", .type = ConfigType::Text, .doc = "HOST:PORT of /livez, /readyz, /status and /metrics over HTTP; empty: none"});
    daemon.add_keys(schema);
    schema.add({.name = "raft.election_timeout_min", .type = ConfigType::Duration, .by_default = "1s", .doc = "silence of the leader after which a member may campaign; below 3 heartbeats one lost message costs a leader its place", .low = 10'000'000});
    schema.add({.name = "raft.election_timeout_max", .type = ConfigType::Duration, .by_default = "2s", .doc = "upper end of the drawn timeouts", .low = 20'000'000});
    schema.add({.name = "raft.heartbeat", .type = ConfigType::Duration, .by_default = "100ms", .doc = "period of the leader's heartbeats", .low = 1'000'000});
    schema.add({.name = "raft.retain_bytes", .type = ConfigType::Size, .by_default = "64MiB", .doc = "log kept for a member that lags; past it the member gets a snapshot", .low = 1 << 20});
    schema.add({.name = "raft.retain_bytes_node", .type = ConfigType::Size, .by_default = "256MiB", .doc = "the same for all groups of this node together", .low = 1 << 20});
    schema.add({.name = "raft.snapshot_limit", .type = ConfigType::Duration, .by_default = "60s", .doc = "a snapshot transfer that gets nowhere for so long no longer keeps log", .low = 1'000'000'000});
    schema.add({.name = "raft.snapshot_bytes_per_second", .type = ConfigType::Size, .by_default = "96MiB", .doc = "sent of snapshots by this node, less while processors are short, so that clients hardly notice; 0: no bound", .low = 0});
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
    schema.add_rule([service](const real::Config& config, std::vector<real::ConfigProblem>& problems) {
        for (const std::string& key : {std::string("admin.listen"), std::string("peer.advertise"), service + ".advertise"}) {
            if (config.text(key).empty()) continue;
            if (Result<Address> address = Address::parse(config.text(key)); !address.ok())
                problems.push_back({config.where(key), "E0222", address.error().context, "write HOST:PORT, or leave it empty"});
        }
    });
    return schema;
}

replica::ReplicaOptions options_of(const ReplicaDaemon& daemon, const real::Config& config) {
    replica::ReplicaOptions options;
    options.node = NodeId(static_cast<uint64_t>(config.integer("node.id")));
    options.peer_listen = Address::parse(config.text("peer.listen")).value();
    options.service_listen = Address::parse(config.text(daemon.service_prefix + ".listen")).value();
    if (!config.text("admin.listen").empty()) options.admin_listen = Address::parse(config.text("admin.listen")).value();
    options.peer_advertise = config.text("peer.advertise");
    options.service_advertise = config.text(daemon.service_prefix + ".advertise");
    options.drain_timeout = config.duration("stop.drain_limit");
    options.group.core.election_timeout_min = config.duration("raft.election_timeout_min");
    options.group.core.election_timeout_max = config.duration("raft.election_timeout_max");
    options.group.core.heartbeat = config.duration("raft.heartbeat");
    options.group.retain_bytes = config.size_bytes("raft.retain_bytes");
    options.host.retain_bytes_node = config.size_bytes("raft.retain_bytes_node");
    options.group.snapshot_timeout = config.duration("raft.snapshot_limit");
    options.host.snapshot_bytes_per_second = config.size_bytes("raft.snapshot_bytes_per_second");
    options.group.slowed_bytes_per_second = config.size_bytes("raft.slowed_bytes_per_second");
    options.host.repair = config.text("raft.repair") == "off" ? raft::DamageRepair::Off : raft::DamageRepair::Automatic;
    options.host.log.segment_bytes = config.size_bytes("wal.segment_bytes");
    // The largest entry fits one batch, and a batch fits a segment four times.
    options.host.log.batch_bytes = 12 << 20;
    options.host.log.queue_bytes = 24 << 20;
    options.host.store.memtable_bytes = config.size_bytes("store.memtable_bytes");
    options.host.store.cache_bytes = config.size_bytes("store.cache_bytes");
    // A memtable to be flushed, one to be compacted, and what comes in between two looks.
    options.host.reserve_bytes = 2 * options.host.store.memtable_bytes + (4 << 20);
    return options;
}

}  // namespace

int replica_main(int argc, char** argv, const ReplicaDaemon& daemon) {
    const real::ConfigSchema schema = schema_of(daemon);
    real::DaemonCommandLine line;
    CLI::App app(daemon.name + ": " + daemon.about);
    app.set_version_flag("--version", daemon.name + " " + replica::ReplicaOptions().version);
    std::string file;
    app.add_option("--config", file, "TOML file with the configuration");
    app.add_flag("--check-config", line.check_config, "say what is wrong with the configuration, start nothing");
    app.add_flag("--print-config", line.print_config, "print the configuration and where each value comes from, start nothing");
    app.add_flag("--list-config", line.list_config, "print every key with type, range, default and meaning");
    bool list_metrics = false;
    app.add_flag("--list-metrics", list_metrics, "print every metric with type and meaning");
    std::map<std::string, std::string> flags;
    for (const real::ConfigKey& key : schema.keys())
        app.add_option("--" + key.flag(), flags[key.name], key.doc)->group("configuration (also in the file and as ORRERY_...)");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    if (list_metrics) {
        std::fputs(admin::list_metrics(daemon.metrics).c_str(), stdout);
        return real::kExitFine;
    }
    if (!file.empty()) line.config_file = file;
    for (const auto& [key, text] : flags)
        if (app.count("--" + schema.find(key)->flag()) > 0) line.flags.emplace_back(key, text);

    auto prepared = real::prepare_daemon(schema, line);
    if (int* code = std::get_if<int>(&prepared)) return *code;
    const real::Config& config = std::get<real::Config>(prepared);
    const replica::ReplicaOptions options = options_of(daemon, config);
    return real::run_daemon(real::daemon_options(daemon.name, config), [&](Env& env) { return daemon.make(env, config, options); });
}

}  // namespace orrery::daemon
