#include "kv/kv_metrics.h"

#include "kv/kv_node.h"

namespace orrery::kv {

namespace {

using admin::MetricType;

constexpr admin::MetricInfo kMetrics[] = {
    {"orrery_info", MetricType::Gauge, "Always 1; the labels say who this is."},
    {"orrery_uptime_seconds", MetricType::Gauge, "Since the process began."},
    {"orrery_serving", MetricType::Gauge, "1 while clients are accepted and the group runs on this node."},
    {"orrery_raft_stopped", MetricType::Gauge, "1 when the group has stopped on this node for good: see /status for why."},
    {"orrery_raft_leader", MetricType::Gauge, "1 on the leader."},
    {"orrery_raft_leader_known", MetricType::Gauge, "0 without a leader: nothing can be written or read."},
    {"orrery_raft_term", MetricType::Gauge, "Raft term; each step is an election."},
    {"orrery_raft_commit_index", MetricType::Gauge, "Highest log index known to be committed."},
    {"orrery_raft_applied_index", MetricType::Gauge, "Highest log index that is part of this node's state."},
    {"orrery_raft_durable_index", MetricType::Gauge, "Highest log index on this node's disk."},
    {"orrery_raft_log_holes", MetricType::Gauge, "Entries whose bodies the disk lost and that are being fetched from other members."},
    {"orrery_raft_member_lag_entries", MetricType::Gauge, "Leader only: entries that this member has not on its disk."},
    {"orrery_raft_member_in_touch", MetricType::Gauge, "Leader only: 1 when heard from within an election timeout."},
    {"orrery_raft_pending_reads", MetricType::Gauge, "Reads that wait for a majority to confirm the leader."},
    {"orrery_raft_lease_holds", MetricType::Gauge, "Leader only, where leases are on: 1 while reads need no round."},
    {"orrery_raft_retained_bytes", MetricType::Gauge, "Log that could be cut if no member needed it."},
    {"orrery_raft_snapshot_transfers", MetricType::Gauge, "Snapshots on their way out, and members that catch up behind one."},
    {"orrery_raft_slowed_bytes_per_second", MetricType::Gauge, "What proposals may bring in; 0: not slowed."},
    {"orrery_raft_slowed_proposals_total", MetricType::Counter, "Proposals that waited because the log is kept for a transfer."},
    {"orrery_log_segments", MetricType::Gauge, "Segment files of the log in use."},
    {"orrery_log_live_bytes", MetricType::Gauge, "Bytes of the log that are still needed."},
    {"orrery_log_queued_bytes", MetricType::Gauge, "Bytes handed to the log and not synced yet."},
    {"orrery_log_batches_total", MetricType::Counter, "Batches of the log written, one sync each."},
    {"orrery_log_appends_total", MetricType::Counter, "Appends that those batches held."},
    {"orrery_log_written_bytes_total", MetricType::Counter, "Bytes written to the log, padding too."},
    {"orrery_log_refused_total", MetricType::Counter, "Appends that the log did not take, by reason."},
    {"orrery_space_level", MetricType::Gauge, "Of this node's disk: 0 room, 1 below its reserve, 2 full."},
    {"orrery_store_writable", MetricType::Gauge, "0 when a background write of the Store failed: see /status."},
    {"orrery_store_memtable_bytes", MetricType::Gauge, "Memory of writes not flushed yet."},
    {"orrery_store_table_files_bytes", MetricType::Gauge, "Size of the Store's files."},
    {"orrery_store_cache_bytes", MetricType::Gauge, "Memory of the Store's block cache."},
    {"orrery_store_compaction_pending_bytes", MetricType::Gauge, "Estimate of what compaction has still to rewrite."},
    {"orrery_store_flushes_total", MetricType::Counter, "Memtables written to files."},
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
    {"orrery_admin_requests_total", MetricType::Counter, "HTTP requests answered."},
};

void add_group(admin::MetricsPage& page, raft::Group& group) {
    const raft::Status status = group.status();
    const bool leads = group.leads();
    page.add("orrery_raft_stopped", group.stopped().has_value());
    page.add("orrery_raft_leader", leads);
    page.add("orrery_raft_leader_known", static_cast<bool>(group.leader()));
    page.add("orrery_raft_term", status.hard_state.term.value);
    page.add("orrery_raft_commit_index", status.commit.value);
    page.add("orrery_raft_applied_index", group.applied().value);
    page.add("orrery_raft_durable_index", status.durable.value);
    page.add("orrery_raft_log_holes", uint64_t{status.holes});
    page.add("orrery_raft_pending_reads", uint64_t{status.pending_reads});
    if (leads && status.configuration.lease().on()) page.add("orrery_raft_lease_holds", status.lease_holds);
    for (const raft::MemberStatus& member : status.members) {
        if (!leads || member.member == status.self) continue;
        const admin::MetricsPage::Labels who{{"node", std::to_string(member.member.node.value)}};
        page.add("orrery_raft_member_lag_entries", status.last.index.value - std::min(status.last.index, member.match).value, who);
        page.add("orrery_raft_member_in_touch", member.active, who);
    }
    const raft::Group::Retention retention = group.retention();
    page.add("orrery_raft_retained_bytes", retention.retained_bytes);
    page.add("orrery_raft_snapshot_transfers", uint64_t{retention.transfers});
    page.add("orrery_raft_slowed_bytes_per_second", retention.slowed_to_bytes_per_second);
    page.add("orrery_raft_slowed_proposals_total", retention.slow.waited);
}

void add_disks(admin::MetricsPage& page, raft::GroupHost& host) {
    const log::Status log = host.log().status();
    page.add("orrery_log_segments", log.segments);
    page.add("orrery_log_live_bytes", log.live_bytes);
    page.add("orrery_log_queued_bytes", log.queued_bytes);
    page.add("orrery_log_batches_total", log.counters.batches);
    page.add("orrery_log_appends_total", log.counters.appends);
    page.add("orrery_log_written_bytes_total", log.counters.written_bytes);
    page.add("orrery_log_refused_total", log.counters.refused_overloaded, {{"reason", "overloaded"}});
    page.add("orrery_log_refused_total", log.counters.refused_no_space, {{"reason", "no_space"}});
    page.add("orrery_space_level", static_cast<uint64_t>(host.space_level()));
    const store::Stats store = host.store().stats();
    page.add("orrery_store_writable", host.store().health() == store::Health::Writable);
    page.add("orrery_store_memtable_bytes", store.memtable_bytes);
    page.add("orrery_store_table_files_bytes", store.table_files_bytes);
    page.add("orrery_store_cache_bytes", store.cache_used_bytes);
    page.add("orrery_store_compaction_pending_bytes", store.compaction_pending_bytes);
    page.add("orrery_store_flushes_total", store.flushes_completed);
}

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
    page.add("orrery_info", uint64_t{1}, {{"version", traffic.version}, {"node", std::to_string(traffic.node.value)}});
    page.add("orrery_uptime_seconds", traffic.uptime.as_seconds());
    page.add("orrery_serving", node.serving());
    if (node.group() != nullptr) add_group(page, *node.group());
    if (node.host() != nullptr) add_disks(page, *node.host());
    page.add("orrery_kv_clients", traffic.clients);
    page.add("orrery_kv_clients_blocked", traffic.blocked);
    page.add("orrery_kv_connections_total", traffic.connections);
    page.add("orrery_kv_connections_rejected_total", traffic.rejected);
    page.add("orrery_kv_commands_total", traffic.commands);
    if (node.service() != nullptr) add_service(page, *node.service());
    page.add("orrery_admin_requests_total", traffic.admin_requests);
    return page.text();
}

}  // namespace orrery::kv
