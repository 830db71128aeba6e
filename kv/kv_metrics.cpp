#include "kv/kv_metrics.h"

#include "kv/kv_node.h"
#include "node/replica/replica_metrics.h"

namespace orrery::kv {

namespace {

using admin::MetricType;

constexpr auto kMetrics = replica::with_replica_metrics(std::to_array<admin::MetricInfo>({
    {"orrery_kv_keys", MetricType::Gauge, "Keys, expired ones that are not purged yet too."},
    {"orrery_kv_volatile_keys", MetricType::Gauge, "Keys with an expiry."},
    {"orrery_kv_clients", MetricType::Gauge, "Open client connections."},
    {"orrery_kv_clients_blocked", MetricType::Gauge, "Clients inside a WAIT, WAITALL or WAITAOF."},
    {"orrery_kv_connections_total", MetricType::Counter, "Client connections accepted."},
    {"orrery_kv_connections_rejected_total", MetricType::Counter, "Client connections refused at the limit."},
    {"orrery_kv_commands_total", MetricType::Counter, "Commands of clients of this node."},
    {"orrery_kv_writes_total", MetricType::Counter, "Writes answered by this node as leader."},
    {"orrery_kv_reads_total", MetricType::Counter, "Reads answered by this node as leader."},
    {"orrery_kv_lease_reads_total", MetricType::Counter, "Of those, the ones that needed no round."},
    {"orrery_kv_stale_reads_total", MetricType::Counter, "Reads answered from this node's own state, for READONLY connections."},
    {"orrery_kv_forwarded_total", MetricType::Counter, "Commands sent on to the leader."},
    {"orrery_kv_unknown_outcomes_total", MetricType::Counter, "Writes answered with an unknown outcome."},
    {"orrery_kv_purged_keys_total", MetricType::Counter, "Expired keys that this node as leader had removed."},
    {"orrery_kv_keyspace_hits_total", MetricType::Counter, "Reads that found their key."},
    {"orrery_kv_keyspace_misses_total", MetricType::Counter, "Reads that did not."},
    {"orrery_kv_write_seconds", MetricType::Histogram, "From a write's proposal until it is committed and applied, on the leader."},
    {"orrery_kv_read_seconds", MetricType::Histogram, "From a read's arrival until its value is known to be current, on the leader."},
    {"orrery_kv_state_time_ahead_seconds", MetricType::Gauge, "By how much state-machine time is ahead of this node's wall clock."},
}));

void add_service(admin::MetricsPage& page, KvService& service) {
    const KvService::Counters& counters = service.counters();
    page.add("orrery_kv_keys", service.machine().metadata().keys);
    page.add("orrery_kv_volatile_keys", service.machine().metadata().volatile_keys);
    page.add("orrery_kv_writes_total", counters.writes);
    page.add("orrery_kv_reads_total", counters.reads);
    page.add("orrery_kv_lease_reads_total", counters.lease_reads);
    page.add("orrery_kv_stale_reads_total", counters.stale_reads);
    page.add("orrery_kv_forwarded_total", counters.forwarded);
    page.add("orrery_kv_unknown_outcomes_total", counters.unknown);
    page.add("orrery_kv_purged_keys_total", counters.purged);
    page.add("orrery_kv_keyspace_hits_total", service.machine().hits());
    page.add("orrery_kv_keyspace_misses_total", service.machine().misses());
    page.add("orrery_kv_write_seconds", counters.write_time);
    page.add("orrery_kv_read_seconds", counters.read_time);
    page.add("orrery_kv_state_time_ahead_seconds", service.machine().time_view().ahead().as_seconds());
}

}  // namespace

std::span<const admin::MetricInfo> kv_metrics() { return kMetrics; }

std::string kv_metrics_page(KvNode& node) {
    admin::MetricsPage page(kMetrics);
    const KvNode::Traffic traffic = node.traffic();
    replica::add_replica_metrics(page, node);
    page.add("orrery_kv_clients", traffic.clients);
    page.add("orrery_kv_clients_blocked", traffic.blocked);
    page.add("orrery_kv_connections_total", traffic.connections);
    page.add("orrery_kv_connections_rejected_total", traffic.rejected);
    page.add("orrery_kv_commands_total", traffic.commands);
    if (node.service() != nullptr) add_service(page, *node.service());
    return page.text();
}

}  // namespace orrery::kv
