// orrery-kv: one node of a KV cluster.
#include <unistd.h>

#include "kv/kv_metrics.h"
#include "kv/kv_node.h"
#include "node/daemon/replica_main.h"

namespace {

using namespace orrery;
using real::ConfigType;

Result<kv::Acl> users_of(const real::Config& config) {
    std::string lines;
    for (const std::string& user : config.list("client.users")) lines += "user " + user + "\n";
    return kv::Acl::parse(lines);
}

void add_keys(real::ConfigSchema& schema) {
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
    schema.add_rule([](const real::Config& config, std::vector<real::ConfigProblem>& problems) {
        if (Result<kv::Acl> users = users_of(config); !users.ok())
            problems.push_back({config.where("client.users"), "E0224", users.error().context, "write NAME RULE...; rules: on off nopass >password #sha256 ~pattern +command +@category ..."});
    });
}

std::unique_ptr<Process> make_node(Env& env, const real::Config& config, const replica::ReplicaOptions& shared) {
    kv::KvNodeOptions options{shared};
    options.max_clients = static_cast<uint32_t>(config.integer("client.connections_max"));
    options.slow_client_timeout = config.duration("client.slow_limit");
    options.client_idle_limit = config.duration("client.idle_limit");
    options.client_output = {config.size_bytes("client.output_hard_bytes"), config.size_bytes("client.output_soft_bytes"), config.duration("client.output_soft_limit")};
    options.face = config.text("client.face") == "cluster" ? kv::ClientFace::Cluster : kv::ClientFace::Standalone;
    options.acl = users_of(config).value();  // was right when the configuration was checked
    options.limits.bulk_bytes_max = config.size_bytes("client.bulk_bytes_max");
    options.service.request_timeout = config.duration("kv.request_limit");
    options.service.wait_zero = config.text("kv.wait_zero") == "all" ? kv::WaitZero::All : kv::WaitZero::Redis;
    options.process_id = static_cast<uint64_t>(getpid());
    return std::make_unique<kv::KvNode>(env, options);
}

}  // namespace

int main(int argc, char** argv) {
    return daemon::replica_main(argc, argv, {.name = "orrery-kv",
                                             .about = "a node of a replicated store that speaks the Redis protocol",
                                             .peer_listen = "127.0.0.1:7101",
                                             .service_prefix = "client",
                                             .service_listen = "127.0.0.1:6379",
                                             .service_doc = "where Redis clients connect",
                                             .metrics = kv::kv_metrics(),
                                             .add_keys = add_keys,
                                             .make = make_node});
}
