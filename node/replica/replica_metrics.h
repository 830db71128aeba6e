// What /metrics shows of every daemon that keeps a replica of a group: the node, its group, its log and Store.
#pragma once

#include <algorithm>
#include <array>

#include "node/admin/metrics.h"

namespace orrery::replica {

class ReplicaProcess;

inline constexpr std::array kReplicaMetrics = std::to_array<admin::MetricInfo>({
    {"orrery_info", admin::MetricType::Gauge, "Always 1; the labels say who this is."},
    {"orrery_uptime_seconds", admin::MetricType::Gauge, "Since the process began."},
    {"orrery_serving", admin::MetricType::Gauge, "1 while clients are accepted and the group runs on this node."},
    {"orrery_raft_stopped", admin::MetricType::Gauge, "1 when the group has stopped on this node for good: see /status for why."},
    {"orrery_raft_leader", admin::MetricType::Gauge, "1 on the leader."},
    {"orrery_raft_leader_known", admin::MetricType::Gauge, "0 without a leader: nothing can be written or read."},
    {"orrery_raft_term", admin::MetricType::Gauge, "Raft term; each step is an election."},
    {"orrery_raft_commit_index", admin::MetricType::Gauge, "Highest log index known to be committed."},
    {"orrery_raft_applied_index", admin::MetricType::Gauge, "Highest log index that is part of this node's state."},
    {"orrery_raft_durable_index", admin::MetricType::Gauge, "Highest log index on this node's disk."},
    {"orrery_raft_log_holes", admin::MetricType::Gauge, "Entries whose bodies the disk lost and that are being fetched from other members."},
    {"orrery_raft_member_lag_entries", admin::MetricType::Gauge, "Leader only: entries that this member has not on its disk."},
    {"orrery_raft_member_in_touch", admin::MetricType::Gauge, "Leader only: 1 when heard from within an election timeout."},
    {"orrery_raft_pending_reads", admin::MetricType::Gauge, "Reads that wait for a majority to confirm the leader."},
    {"orrery_raft_lease_holds", admin::MetricType::Gauge, "Leader only, where leases are on: 1 while reads need no round."},
    {"orrery_raft_retained_bytes", admin::MetricType::Gauge, "Log that could be cut if no member needed it."},
    {"orrery_raft_snapshot_transfers", admin::MetricType::Gauge, "Snapshots on their way out, and members that catch up behind one."},
    {"orrery_raft_slowed_bytes_per_second", admin::MetricType::Gauge, "What proposals may bring in; 0: not slowed."},
    {"orrery_raft_slowed_proposals_total", admin::MetricType::Counter, "Proposals that waited because the log is kept for a transfer."},
    {"orrery_log_segments", admin::MetricType::Gauge, "Segment files of the log in use."},
    {"orrery_log_live_bytes", admin::MetricType::Gauge, "Bytes of the log that are still needed."},
    {"orrery_log_queued_bytes", admin::MetricType::Gauge, "Bytes handed to the log and not synced yet."},
    {"orrery_log_batches_total", admin::MetricType::Counter, "Batches of the log written, one sync each."},
    {"orrery_log_appends_total", admin::MetricType::Counter, "Appends that those batches held."},
    {"orrery_log_written_bytes_total", admin::MetricType::Counter, "Bytes written to the log, padding too."},
    {"orrery_log_refused_total", admin::MetricType::Counter, "Appends that the log did not take, by reason."},
    {"orrery_space_level", admin::MetricType::Gauge, "Of this node's disk: 0 room, 1 below its reserve, 2 full."},
    {"orrery_store_writable", admin::MetricType::Gauge, "0 when a background write of the Store failed: see /status."},
    {"orrery_store_memtable_bytes", admin::MetricType::Gauge, "Memory of writes not flushed yet."},
    {"orrery_store_table_files_bytes", admin::MetricType::Gauge, "Size of the Store's files."},
    {"orrery_store_cache_bytes", admin::MetricType::Gauge, "Memory of the Store's block cache."},
    {"orrery_store_compaction_pending_bytes", admin::MetricType::Gauge, "Estimate of what compaction has still to rewrite."},
    {"orrery_store_flushes_total", admin::MetricType::Counter, "Memtables written to files."},
    {"orrery_admin_requests_total", admin::MetricType::Counter, "HTTP requests answered."},
});

/// The table of a daemon: these, then its own.
template <size_t N>
constexpr std::array<admin::MetricInfo, kReplicaMetrics.size() + N> with_replica_metrics(const std::array<admin::MetricInfo, N>& own) {
    std::array<admin::MetricInfo, kReplicaMetrics.size() + N> all{};
    std::copy(own.begin(), own.end(), std::copy(kReplicaMetrics.begin(), kReplicaMetrics.end(), all.begin()));
    return all;
}

/// Adds the samples; what is not up yet has none. Requires: a page with these metrics. Atomic.
void add_replica_metrics(admin::MetricsPage& page, const ReplicaProcess& node);

}  // namespace orrery::replica
