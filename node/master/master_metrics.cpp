#include "node/master/master_metrics.h"

#include "node/master/master_node.h"
#include "node/replica/replica_metrics.h"

namespace orrery::master {

namespace {

using admin::MetricType;

constexpr auto kMetrics = replica::with_replica_metrics(std::to_array<admin::MetricInfo>({
    {"orrery_master_nodes", MetricType::Gauge, "Data nodes that are registered."},
    {"orrery_master_volumes", MetricType::Gauge, "Volumes."},
    {"orrery_master_partitions", MetricType::Gauge, "Partitions of all volumes."},
    {"orrery_master_tasks", MetricType::Gauge, "Moves and repairs that are under way."},
    {"orrery_master_members_waiting", MetricType::Gauge, "Members that should be elsewhere and are not on their way, by this leader's last plan."},
    {"orrery_master_tasks_started_total", MetricType::Counter, "Moves and repairs that this master as leader began."},
    {"orrery_master_tasks_done_total", MetricType::Counter, "Moves and repairs that this master as leader brought to their end."},
    {"orrery_master_tasks_failed_total", MetricType::Counter, "Moves and repairs that this master as leader gave up, or that were not wanted any more."},
    {"orrery_master_orders_total", MetricType::Counter, "Orders to data nodes."},
    {"orrery_master_orders_failed_total", MetricType::Counter, "Orders to data nodes that were refused or not answered; they are repeated."},
    {"orrery_master_version", MetricType::Gauge, "Index of the last change that is part of this master's state."},
    {"orrery_master_sessions", MetricType::Gauge, "Connections of data nodes, clients and operators."},
    {"orrery_master_age_seconds", MetricType::Gauge, "Of this master's state, at most: since when a confirmed leader has vouched for it."},
    {"orrery_master_changes_total", MetricType::Counter, "Changes that this master as leader had committed, refused ones too."},
    {"orrery_master_forwarded_total", MetricType::Counter, "Changes sent on to the leader."},
    {"orrery_master_queries_total", MetricType::Counter, "Questions that this master answered."},
    {"orrery_master_redirected_total", MetricType::Counter, "Questions and lists not answered from here, by reason: no_leader, too_old, behind_token, not_serving."},
    {"orrery_master_confirmations_total", MetricType::Counter, "Times that a leader has vouched for this master's state."},
    {"orrery_master_confirmed_total", MetricType::Counter, "Times that this master as leader has vouched for another's."},
    {"orrery_master_peer_sent_bytes_total", MetricType::Counter, "Written to the other masters, frames' headers included."},
    {"orrery_master_heartbeats_total", MetricType::Counter, "Heartbeats of data nodes that this master took as leader."},
    {"orrery_master_list_answers_total", MetricType::Counter, "Lists answered, by kind: unchanged, delta, full."},
    {"orrery_master_list_bytes_total", MetricType::Counter, "Of those answers, without frames' headers."},
    {"orrery_master_list_held", MetricType::Gauge, "Questions that are held back until there is something new."},
    {"orrery_master_list_not_held_total", MetricType::Counter, "Questions answered at once because too many were held back already."},
    {"orrery_master_list_encodings_total", MetricType::Counter, "Pages of lists, and deltas, that were encoded anew."},
    {"orrery_master_list_cache_bytes", MetricType::Gauge, "Lists and volumes in memory."},
    {"orrery_master_list_fills_total", MetricType::Counter, "Lists that were read from the Store."},
    {"orrery_master_unknown_outcomes_total", MetricType::Counter, "Changes whose outcome this master could not tell."},
}));

}  // namespace

std::span<const admin::MetricInfo> master_metrics() { return kMetrics; }

std::string master_metrics_page(MasterNode& node) {
    admin::MetricsPage page(kMetrics);
    replica::add_replica_metrics(page, node);
    if (const MasterService* service = node.service()) {
        const wire::MasterCounters& counts = service->machine().counters();
        page.add("orrery_master_nodes", counts.nodes);
        page.add("orrery_master_volumes", counts.volumes);
        page.add("orrery_master_partitions", counts.partitions);
        page.add("orrery_master_version", counts.applied.value);
        page.add("orrery_master_sessions", uint64_t{node.sessions()});
        page.add("orrery_master_tasks", counts.tasks);
        const TaskDriver::Counters& tasks = service->task_counters();
        page.add("orrery_master_members_waiting", tasks.waiting);
        page.add("orrery_master_tasks_started_total", tasks.started);
        page.add("orrery_master_tasks_done_total", tasks.done);
        page.add("orrery_master_tasks_failed_total", tasks.failed);
        page.add("orrery_master_orders_total", tasks.orders);
        page.add("orrery_master_orders_failed_total", tasks.orders_failed);
        const MasterService::Counters& counters = service->counters();
        page.add("orrery_master_changes_total", counters.changes);
        page.add("orrery_master_queries_total", counters.queries);
        for (const auto& [reason, count] : {std::pair("no_leader", counters.redirected.no_leader), std::pair("too_old", counters.redirected.too_old),
                                           std::pair("behind_token", counters.redirected.behind_token), std::pair("not_serving", counters.redirected.not_serving)})
            page.add("orrery_master_redirected_total", count, {{"reason", reason}});
        page.add("orrery_master_confirmations_total", counters.confirmations);
        page.add("orrery_master_confirmed_total", counters.confirmed);
        if (const std::optional<Duration> age = service->age()) page.add("orrery_master_age_seconds", age->as_seconds());
        page.add("orrery_master_forwarded_total", counters.forwarded);
        page.add("orrery_master_peer_sent_bytes_total", node.host()->peers().bytes_sent());
        page.add("orrery_master_heartbeats_total", counters.heartbeats);
        const ListService::Counters& lists = service->lists().counters();
        for (const auto& [kind, count] : {std::pair("unchanged", lists.unchanged), std::pair("delta", lists.delta), std::pair("full", lists.full)})
            page.add("orrery_master_list_answers_total", count, {{"kind", kind}});
        page.add("orrery_master_list_bytes_total", lists.bytes);
        page.add("orrery_master_list_held", uint64_t{service->lists().held()});
        page.add("orrery_master_list_not_held_total", lists.not_held);
        page.add("orrery_master_list_encodings_total", service->machine().lists().counters().encodings);
        page.add("orrery_master_list_cache_bytes", service->machine().lists().bytes());
        page.add("orrery_master_list_fills_total", service->machine().lists().counters().fills);
        page.add("orrery_master_unknown_outcomes_total", counters.unknown);
    }
    return page.text();
}

}  // namespace orrery::master
