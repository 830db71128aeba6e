#include "sim/scenario/run.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace orrery;
using namespace orrery::sim;

namespace {
Scenario family() {
    Scenario scenario;
    scenario.name = "family";
    scenario.swarm.emplace();
    scenario.swarm->long_p = 0;
    return scenario;
}
std::vector<PlannedFault> of_kind(const Scenario& plan, std::string_view name) {
    std::vector<PlannedFault> out;
    for (PlannedFault event : plan.plan.events) {
        if (fault_name(event.fault) != name) continue;
        event.id.clear();
        out.push_back(event);
    }
    return out;
}
}  // namespace

TEST_CASE("expand: the same seed gives the same plan, another seed another") {
    CHECK(expand(family(), 5) == expand(family(), 5));
    CHECK(expand(family(), 5).plan.events != expand(family(), 6).plan.events);
    CHECK(expand(family(), 5).is_plan());
}

TEST_CASE("expand: taking a class out leaves every other fault where it was") {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        const Scenario all = expand(family(), seed);
        Scenario less = family();
        less.swarm->exclude = {"partition"};
        const Scenario without = expand(less, seed);
        CHECK(of_kind(without, "net.partition").empty());
        for (std::string_view kind :
             {"proc.crash", "net.clog", "net.reset", "net.change", "proc.pause", "disk.stall"})
            CHECK(of_kind(all, kind) == of_kind(without, kind));
    }
}

TEST_CASE("expand: a class is off in about three of ten seeds") {
    int on = 0;
    for (uint64_t seed = 1; seed <= 1000; ++seed) {
        const SwarmSpec spec;
        on += SwarmDraw(spec, seed).on("crash");
    }
    CHECK(on > 650);
    CHECK(on < 750);
}

TEST_CASE("expand: plans stay within the budget, and every default class strikes in some seed") {
    std::set<std::string_view> seen;
    Scenario scenario = family();
    for (uint64_t seed = 1; seed <= 400; ++seed) {
        const Scenario plan = expand(scenario, seed);
        CHECK(beyond_budget(plan.budget, plan.plan.events, plan.cluster.founders()).empty());
        for (const PlannedFault& event : plan.plan.events) {
            seen.insert(fault_name(event.fault));
            if (const auto* at = std::get_if<TriggerAt>(&event.trigger)) CHECK(at->at <= plan.phases.chaos);
        }
    }
    for (const FaultInfo& one : fault_catalogue()) {
        const bool drawn = one.name != "disk.write_failure" &&
                           one.name != "proc.restart" && !one.name.starts_with("member.") && one.budget_class != 'C';
        CHECK_MESSAGE(seen.contains(one.name) == drawn, one.name);
    }
    scenario.budget.mode = BudgetMode::None;
    for (uint64_t seed = 1; seed <= 200; ++seed)
        CHECK(of_kind(expand(scenario, seed), "disk.wipe").empty());
}

TEST_CASE("expand: waits draw groups of one to five, short and long times, idle tails, and faults at the turns of waits") {
    Scenario scenario = family();
    scenario.swarm->include = {"waits"};
    scenario.swarm->off_p = 0;
    std::set<uint64_t> sizes;
    std::set<std::string> points;
    int idle = 0;
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        const Scenario plan = expand(scenario, seed);
        sizes.insert(plan.cluster.kv);
        idle += plan.workload.idle_tail.ns > 0;
        CHECK(plan.workload.wait_timeout >= Duration::millis(60));
        CHECK(plan.workload.wait_timeout <= Duration::seconds(5));
        CHECK(beyond_budget(plan.budget, plan.plan.events, plan.cluster.founders()).empty());
        for (const PlannedFault& event : plan.plan.events) points.insert(std::get<TriggerWhen>(event.trigger).point);
    }
    CHECK((sizes == std::set<uint64_t>{1, 2, 3, 4, 5}));
    CHECK(idle > 300 * 3 / 10);
    for (const char* point : {"client.unblock", "kv.wait_begun", "kv.wait_ended", "raft.configuration", "raft.commit"}) CHECK(points.contains(point));
}

TEST_CASE("expand: leases draw slow leaders, hand-overs, lost touch with restarts, and cuts at candidacies, by name only") {
    Scenario scenario = family();
    scenario.swarm->include = {"leases"};
    scenario.swarm->off_p = 0;
    int slow = 0, handed = 0, clogged = 0, restarted = 0, at_candidacy = 0;
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        const Scenario plan = expand(scenario, seed);
        CHECK(beyond_budget(plan.budget, plan.plan.events, plan.cluster.founders()).empty());
        handed += !of_kind(plan, "admin.transfer").empty();
        clogged += !of_kind(plan, "net.clog").empty();
        restarted += !of_kind(plan, "proc.crash").empty();
        for (const PlannedFault& event : plan.plan.events) {
            if (const auto* drift = std::get_if<ClockDrift>(&event.fault)) {
                CHECK(drift->ppm == (drift->node == "leader(kv)" ? -500 : 500));  // the swarm's bound
                ++slow;
            }
            const auto* cut = std::get_if<NetPartition>(&event.fault);
            if (cut == nullptr) continue;
            CHECK(cut->node == "leader(kv)");
            CHECK_FALSE(cut->clients);  // who cuts the clients off sees no stale read
            at_candidacy += std::holds_alternative<TriggerWhen>(event.trigger);
        }
    }
    for (int count : {slow, handed, clogged, restarted, at_candidacy}) CHECK(count > 30);
    scenario.swarm->include.clear();
    for (const PlannedFault& event : expand(scenario, 1).plan.events)
        if (const auto* when = std::get_if<TriggerWhen>(&event.trigger)) CHECK(when->where.empty());
}
