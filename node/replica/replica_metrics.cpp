#include "node/replica/replica_metrics.h"

#include <algorithm>

#include "node/replica/replica_process.h"

namespace orrery::replica {

namespace {

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

}  // namespace

void add_replica_metrics(admin::MetricsPage& page, const ReplicaProcess& node) {
    page.add("orrery_info", uint64_t{1}, {{"version", node.options().version}, {"node", std::to_string(node.options().node.value)}});
    page.add("orrery_uptime_seconds", node.uptime().as_seconds());
    page.add("orrery_serving", node.serving());
    if (node.group() != nullptr) add_group(page, *node.group());
    if (node.host() != nullptr) add_disks(page, *node.host());
    page.add("orrery_admin_requests_total", node.admin_requests());
}

}  // namespace orrery::replica
