// What a seed makes of a scenario's ranges. Pure: every draw is addressed by (seed, class, number).
#include <algorithm>
#include <cmath>

#include "sim/scenario/run.h"

namespace orrery::sim {

namespace {

Duration drawn_duration(RandomStream& draws, double low_ms, double high_ms) {
    return Duration::micros(std::llround(draws.log_uniform(low_ms, high_ms) * 1000));
}

/// Each knob moves to an extreme with p 1/4, up or down.
void draw_knobs(const SwarmDraw& swarm, ClusterKnobs& knobs) {
    if (!swarm.on("knobs")) return;
    auto extreme = [&](std::string_view name, auto& value, auto low, auto high) {
        RandomStream draws = swarm.stream("knobs", hash_name(name));
        const bool moves = draws.chance(0.25), up = draws.chance(0.5);
        if (moves) value = up ? high : low;
    };
    extreme("election", knobs.election_timeout_min, Duration::millis(200), Duration::millis(1000));
    knobs.election_timeout_max = knobs.election_timeout_min * 2;
    extreme("heartbeat", knobs.heartbeat, Duration::millis(20), knobs.election_timeout_min / 4);
    extreme("retain", knobs.retain_bytes, uint64_t{2} << 10, uint64_t{4} << 20);
    extreme("flush", knobs.flush_log_bytes, uint64_t{8} << 10, uint64_t{2} << 20);
    extreme("node_retain", knobs.retain_bytes_node, uint64_t{4} << 10, uint64_t{64} << 10);
    extreme("slowed", knobs.slowed_bytes_per_second, uint64_t{256} << 10, uint64_t{64} << 20);
    extreme("transfer", knobs.snapshot_timeout, Duration::seconds(1), Duration::seconds(10));
    extreme("reserve", knobs.reserve_bytes, uint64_t{64} << 10, uint64_t{512} << 10);
    extreme("chunk", knobs.snapshot_chunk_bytes, uint64_t{512}, uint64_t{256} << 10);
    extreme("apply", knobs.apply_batch_entries, uint64_t{1}, uint64_t{1024});
    extreme("batch", knobs.log_batch_bytes, uint64_t{16} << 10, uint64_t{128} << 10);
    extreme("request", knobs.request_timeout, Duration::millis(500), Duration::seconds(5));
}

void draw_load(const SwarmDraw& swarm, const MemberNames& names, WorkloadSpec& workload) {
    if (!swarm.on("load")) return;
    RandomStream draws = swarm.stream("load");
    const bool hot = draws.chance(0.3), bursty = draws.chance(0.3), hasty = draws.chance(0.2),
               idle = draws.chance(0.3);
    const uint64_t hot_keys = 1 + draws.below(3), many_keys = 4 + draws.below(60);
    const double burst = draws.unit();
    const Duration think = drawn_duration(draws, 2, 60), tail = drawn_duration(draws, 300, 3000);
    const uint64_t bytes = draws.chance(0.2) ? 200 + draws.below(2000) : workload.value_bytes;
    workload.keys = hot ? hot_keys : many_keys;
    workload.value_bytes = bytes;
    workload.think = hasty ? Duration{} : think;
    if (bursty) workload.burst_p = std::round(burst * 1000) / 1000;
    if (idle) workload.idle_tail = tail;
    const bool at_leader = draws.chance(0.2);
    if (at_leader) workload.target = names.leader();
}

void draw_waits(const SwarmDraw& swarm, Scenario& plan) {
    if (!swarm.on("waits")) return;
    RandomStream draws = swarm.stream("waits");
    static constexpr uint64_t kSizes[] = {1, 2, 2, 3, 3, 3, 3, 5, 5, 4};
    plan.cluster.kv = kSizes[draws.below(std::size(kSizes))];
    plan.workload.wait_timeout = Duration::millis(std::llround(draws.log_uniform(60, 5000)));
    if (draws.chance(0.5)) plan.workload.idle_tail = drawn_duration(draws, 100, 2000);
}

}  // namespace

Scenario expand(const Scenario& scenario, uint64_t seed) {
    Scenario plan = scenario;
    plan.seed = seed;
    if (!scenario.swarm) return plan;
    plan.swarm.reset();
    const SwarmSpec& spec = *scenario.swarm;
    const SwarmDraw swarm(spec, seed);
    if (swarm.long_run()) {
        plan.workload.ops *= 6;
        plan.phases.chaos = plan.phases.chaos * 6;
        plan.limits.sim_time = plan.limits.sim_time * 4;
        plan.limits.wall = plan.limits.wall * 4;
    } else {
        // 1/2 to all of the time and the operations, so that runs differ in density.
        RandomStream draws = swarm.stream("length");
        plan.phases.chaos = Duration::millis(
            std::llround(plan.phases.chaos.as_seconds() * 1000 * (0.5 + draws.unit() / 2)));
        plan.workload.ops =
            std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(plan.workload.ops) *
                                                        (0.5 + draws.unit() / 2)));
    }
    draw_knobs(swarm, plan.cluster.knobs);
    draw_load(swarm, plan.cluster.names(), plan.workload);
    draw_waits(swarm, plan);
    std::vector<PlannedFault> drawn =
        draw_faults(spec, seed, plan.phases.chaos, plan.cluster.founders(), plan.budget, plan.cluster.spare, plan.cluster.names());
    plan.plan.events.insert(plan.plan.events.end(), std::make_move_iterator(drawn.begin()),
                            std::make_move_iterator(drawn.end()));
    const Pins pins = plan.plan.schedule.pins;
    plan.plan.schedule = draw_schedule(spec, seed);
    plan.plan.schedule.pins = pins;
    plan.origin.parent_seed = seed;
    return plan;
}

}  // namespace orrery::sim
