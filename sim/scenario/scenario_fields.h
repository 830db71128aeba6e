// The keys of every table of a scenario file, named once: what the reader and the writer walk over.
// Same shape as sim/fault/fault_fields.h.
#pragma once

#include "sim/fault/fault_fields.h"
#include "sim/scenario/scenario.h"

namespace orrery::sim {

template <>
inline constexpr std::array<std::string_view, 3> kEnumWords<BudgetMode>{"atlas", "unlimited",
                                                                        "none"};
template <>
inline constexpr std::array<std::string_view, 2> kEnumWords<Expected>{"pass", "violation"};
template <>
inline constexpr std::array<std::string_view, 3> kEnumWords<SchedulePolicy>{"fifo", "random",
                                                                            "pct"};

template <typename T, typename Want>
concept Either = std::is_same_v<std::remove_const_t<T>, Want>;

void visit_table(Either<Origin> auto& t, auto&& v) {
    v("commit", t.commit), v("found_by", t.found_by), v("parent_seed", t.parent_seed);
    v("events_before", t.events_before), v("events_after", t.events_after);
}
void visit_table(Either<ClusterKnobs> auto& t, auto&& v) {
    v("election_timeout_min", t.election_timeout_min),
        v("election_timeout_max", t.election_timeout_max);
    v("heartbeat", t.heartbeat), v("retain_bytes", t.retain_bytes),
        v("flush_log_bytes", t.flush_log_bytes);
    v("retain_bytes_node", t.retain_bytes_node), v("snapshot_timeout", t.snapshot_timeout);
    v("slowed_bytes_per_second", t.slowed_bytes_per_second), v("reserve_bytes", t.reserve_bytes);
    v("snapshot_chunk_bytes", t.snapshot_chunk_bytes), v("log_segment_bytes", t.log_segment_bytes);
    v("log_batch_bytes", t.log_batch_bytes), v("memtable_bytes", t.memtable_bytes);
    v("apply_batch_entries", t.apply_batch_entries), v("request_timeout", t.request_timeout);
    v("check_quorum", t.check_quorum), v("lease_drift_ppm", t.lease_drift_ppm), v("node_silence", t.node_silence);
}
void visit_table(Either<WorkloadMix> auto& t, auto&& v) {
    v("get", t.get), v("set", t.set), v("append", t.append), v("incr", t.incr), v("del", t.del),
        v("cas", t.cas);
    v("wait", t.wait), v("waitall", t.waitall), v("expire", t.expire), v("txn", t.txn);
}
void visit_table(Either<WorkloadSpec> auto& t, auto&& v) {
    v("kind", t.kind), v("clients", t.clients), v("ops", t.ops), v("keys", t.keys),
        v("value_bytes", t.value_bytes);
    v("think", t.think), v("burst_p", t.burst_p), v("op_timeout", t.op_timeout),
        v("wait_timeout", t.wait_timeout);
    v("odd_waits_p", t.odd_waits_p);
    v("readers", t.readers), v("reader_think", t.reader_think);
    v("idle_tail", t.idle_tail), v("target", t.target), v("script", t.script);
}
void visit_table(Either<Limits> auto& t, auto&& v) {
    v("sim_time", t.sim_time), v("events", t.events), v("wall", t.wall);
}
void visit_table(Either<SwarmSpec> auto& t, auto&& v) {
    v("include", t.include), v("exclude", t.exclude), v("off_p", t.off_p),
        v("intensity", t.intensity), v("long_p", t.long_p), v("drift_ppm", t.drift_ppm);
}
void visit_table(Either<Budget> auto& t, auto&& v) {
    v("mode", t.mode);
}
void visit_table(Either<Checks> auto& t, auto&& v) {
    v("raft", t.raft), v("linearizable", t.linearizable), v("order", t.order), v("durability", t.durability),
        v("replicas", t.replicas);
    v("wait", t.wait), v("liveness", t.liveness), v("expiry", t.expiry), v("lists", t.lists), v("expect_errors", t.expect_errors),
        v("require_fired", t.require_fired);
}
void visit_table(Either<Expectation> auto& t, auto&& v) {
    v("result", t.result), v("checker", t.checker), v("signature", t.signature);
}

}  // namespace orrery::sim
