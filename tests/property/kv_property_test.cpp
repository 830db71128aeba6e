// Properties of the KV group under generated fault plans and workloads. rapidcheck generates and
// shrinks; each case runs in a world of its own, in a child process. A failure writes the shrunk
// plan as a scenario file, for `orrery replay`.
#include "plans.h"
#include "sim/scenario/scenario_toml.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::sim;

namespace {

/// Ten seconds at most, up to a dozen faults: shrinking takes faults away and moves them to the
/// front.
rc::Gen<Scenario> plan() {
    auto events =
        rc::gen::scale(0.12, rc::gen::container<std::vector<PlannedFault>>(rc::gen::apply(
                                 [](Duration at, Fault one) {
                                     return PlannedFault{"", TriggerAt{at}, std::move(one)};
                                 },
                                 millis(0, 4000), fault())));
    return rc::gen::apply(
        [](std::vector<PlannedFault> faults, int seed, int clients, int ops, int keys, int think,
           int waits, int retain) {
            Scenario out;
            out.name = "property";
            out.seed = static_cast<uint64_t>(seed);
            out.workload.clients = static_cast<uint64_t>(clients);
            out.workload.ops = static_cast<uint64_t>(ops);
            out.workload.keys = static_cast<uint64_t>(keys);
            out.workload.think = Duration::millis(think);
            out.workload.mix.wait = out.workload.mix.waitall = waits / 10.0;
            out.workload.wait_timeout = Duration::millis(300);
            out.cluster.knobs.retain_bytes = static_cast<uint64_t>(retain);
            out.cluster.knobs.flush_log_bytes = 16 << 10;
            out.phases.chaos = Duration::seconds(4);
            out.plan.events = std::move(faults);
            return out;
        },
        events, rc::gen::inRange(1, 1 << 20), rc::gen::inRange(1, 6), rc::gen::inRange(20, 160),
        rc::gen::inRange(1, 12), rc::gen::inRange(1, 40), rc::gen::inRange(1, 5),
        rc::gen::element(1 << 10, 1 << 20));
}

}  // namespace

TEST_CASE("property: the clients' history is linearizable (any plan)") {
    for_all_plans("linearizable", 25, plan(), [](const Scenario& plan) {
        return violation_of(plan, {"linearizability", "resp.", "died"});
    });
}

TEST_CASE("property: no acknowledged write is lost (any plan)") {
    for_all_plans("durable", 25, plan(), [](const Scenario& plan) {
        return violation_of(plan, {"durability.", "raft.durable-lost", "raft.leader-completeness"});
    });
}

TEST_CASE("property: after heal the members converge, and every operation ends (any plan)") {
    for_all_plans("converges", 25, plan(), [](const Scenario& plan) {
        return violation_of(plan, {"replica.", "liveness.", "run.", "world.", "host."});
    });
}

TEST_CASE("property: what WAIT and WAITALL answer is true (any plan)") {
    for_all_plans("wait", 25, plan(), [](const Scenario& plan) {
        Scenario waiting = plan;
        waiting.workload.mix.wait = waiting.workload.mix.waitall = 0.4;
        return violation_of(waiting, {"wait."});
    });
}

TEST_CASE(
    "property: Raft's invariants hold at every event, and nobody reports an error (any plan)") {
    for_all_plans("raft", 25, plan(), [](const Scenario& plan) {
        return violation_of(plan, {"raft.", "event.error", "check.failed"});
    });
}

TEST_CASE("property: a plan that is written and read back replays bit for bit (any plan)") {
    for_all_plans("replay", 15, plan(), [](const Scenario& plan) -> std::string {
        const Loaded loaded = load_scenario(scenario_to_toml(plan), "property.toml");
        if (!loaded.ok()) return loaded.problems.front().line();
        if (!(loaded.scenario == plan)) return "the plan that is read back is another one";
        const ChildResult first = run_in_child(plan), second = run_in_child(loaded.scenario);
        return first.hash == second.hash && first.steps == second.steps
                   ? ""
                   : "two runs of one plan differ";
    });
}

TEST_CASE("property: a group that restarts as a whole holds what it held (any plan)") {
    for_all_plans("restart", 15, plan(), [](const Scenario& plan) {
        Scenario twice = plan;
        for (int ms : {3990, 4400}) {
            ProcCrash all;
            all.node = "all(kv)";
            all.restart_after = Duration::millis(50);
            twice.plan.events.push_back({"", TriggerAt{Duration::millis(ms)}, Fault(all)});
        }
        return violation_of(twice,
                            {"durability.", "replica.", "raft.", "liveness.", "event.error"});
    });
}

TEST_CASE("property: the generator finds a planted bug and shrinks its plan (ack_before_sync)") {
    if (test::kSanitized) return;
    // The generator itself is on trial here: among its plans one must show the defect.
    CHECK(some_plan_shows(plan(), "ack_before_sync", 60));
}
