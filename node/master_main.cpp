// orrery-master: one of the masters of a cluster.
#include "node/daemon/replica_main.h"
#include "node/master/master_metrics.h"
#include "node/master/master_node.h"

namespace {

using namespace orrery;
using real::ConfigType;

void add_keys(real::ConfigSchema& schema) {
    schema.add({.name = "service.connections_max", .type = ConfigType::Integer, .by_default = "10000", .doc = "connections at once; more are refused", .low = 1, .high = 1'000'000});
    schema.add({.name = "master.request_limit", .type = ConfigType::Duration, .by_default = "10s", .doc = "time for one change or question, forwarding to the leader included", .low = 10'000'000});
    schema.add({.name = "master.node_silence", .type = ConfigType::Duration, .by_default = "30s", .doc = "a data node that is not heard of for so long is inactive: nothing new is placed there", .low = 1'000'000'000});
    schema.add({.name = "master.list_memory", .type = ConfigType::Size, .by_default = "256MiB", .doc = "lists of volumes kept in memory; the one asked for last is kept in any case", .low = 1 << 20});
    schema.add({.name = "master.lists_held_max", .type = ConfigType::Integer, .by_default = "20000", .doc = "questions for lists held back at once until there is something new; more are answered at once", .low = 0, .high = 1'000'000});
    schema.add({.name = "master.repair_after", .type = ConfigType::Duration, .by_default = "600s", .doc = "what is on a data node that is silent for so long is brought elsewhere", .low = 10'000'000'000});
    schema.add({.name = "master.tasks_max", .type = ConfigType::Integer, .by_default = "64", .doc = "moves and repairs at once in the cluster", .low = 1, .high = 10'000});
    schema.add({.name = "master.partition_size", .type = ConfigType::Size, .by_default = "120GiB", .doc = "what a partition is meant to hold: a volume whose partitions are nearly full gets more", .low = 1 << 20});
}

std::unique_ptr<Process> make_node(Env& env, const real::Config& config, const replica::ReplicaOptions& shared) {
    master::MasterNodeOptions options{shared};
    options.max_clients = static_cast<uint32_t>(config.integer("service.connections_max"));
    options.service.request_timeout = config.duration("master.request_limit");
    options.service.node_silence = config.duration("master.node_silence");
    options.service.lists.cache.bytes_max = config.size_bytes("master.list_memory");
    options.service.lists.held_max = static_cast<size_t>(config.integer("master.lists_held_max"));
    options.service.tasks.plan.repair_after = config.duration("master.repair_after");
    options.service.tasks.plan.tasks_max = static_cast<uint32_t>(config.integer("master.tasks_max"));
    options.service.tasks.plan.partition_bytes = config.size_bytes("master.partition_size");
    return std::make_unique<master::MasterNode>(env, options);
}

}  // namespace

int main(int argc, char** argv) {
    return daemon::replica_main(argc, argv, {.name = "orrery-master",
                                             .about = "keeps which nodes, disks, volumes and partitions a cluster has",
                                             .peer_listen = "127.0.0.1:7201",
                                             .service_prefix = "service",
                                             .service_listen = "127.0.0.1:7301",
                                             .service_doc = "where data nodes, clients and orreryctl connect",
                                             .metrics = master::master_metrics(),
                                             .add_keys = add_keys,
                                             .make = make_node});
}
