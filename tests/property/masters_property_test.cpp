// Properties of a group of masters under generated fault plans and workloads: metadata, lists, and what they have agreed on. As
// kv_property_test: rapidcheck generates and shrinks, each case runs in a world of its own, a failure writes its plan.
#include "plans.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::sim;

namespace {


rc::Gen<Scenario> plan() {
    const ClusterSpec masters{.kv = 0, .masters = 3};
    auto events = rc::gen::scale(
        0.12, rc::gen::container<std::vector<PlannedFault>>(rc::gen::apply(
                  [](Duration at, Fault one) { return PlannedFault{"", TriggerAt{at}, std::move(one)}; }, millis(0, 4000), fault(masters.names()))));
    return rc::gen::apply(
        [masters](std::vector<PlannedFault> faults, int seed, int clients, int readers, int ops, int keys, int think, int retain, int data) {
            Scenario out;
            out.name = "property";
            out.seed = static_cast<uint64_t>(seed);
            out.cluster = masters;
            out.cluster.data = static_cast<uint64_t>(data);
            out.cluster.knobs.retain_bytes = static_cast<uint64_t>(retain);
            out.cluster.knobs.flush_log_bytes = static_cast<uint64_t>(retain);
            out.cluster.knobs.snapshot_chunk_bytes = 512;
            out.workload.kind = "metadata";
            out.workload.readers = static_cast<uint64_t>(readers);
            out.workload.clients = static_cast<uint64_t>(clients + readers);
            out.workload.ops = static_cast<uint64_t>(ops);
            out.workload.keys = static_cast<uint64_t>(keys);
            out.workload.think = Duration::millis(think);
            out.workload.mix = {.get = 0.3, .set = 0.1, .append = 0, .incr = 0, .del = 0.2, .cas = 0.4, .wait = 0, .waitall = 0};
            out.phases.chaos = Duration::seconds(4);
            out.plan.events = std::move(faults);
            return out;
        },
        events, rc::gen::inRange(1, 1 << 20), rc::gen::inRange(1, 5), rc::gen::inRange(0, 4), rc::gen::inRange(20, 160), rc::gen::inRange(1, 10),
        rc::gen::inRange(1, 40), rc::gen::element(512, 8 << 10, 1 << 20), rc::gen::inRange(1, 7));
}

}  // namespace

TEST_CASE("property: volumes are created, deleted and read as by one, once, and none that was acknowledged is lost (any plan)") {
    for_all_plans("masters-linearizable", 25, plan(), [](const Scenario& plan) { return violation_of(plan, {"linearizability", "durability.", "died"}); });
}

TEST_CASE("property: no list is older than it may be, falls behind, or is of two moments (any plan)") {
    for_all_plans("masters-lists", 25, plan(), [](const Scenario& plan) {
        Scenario reading = plan;
        reading.workload.clients += 3 - reading.workload.readers;
        reading.workload.readers = 3;
        return violation_of(reading, {"list.", "died"});
    });
}

TEST_CASE("property: all masters hold what their log says, its ids are new and its counts right (any plan)") {
    for_all_plans("masters-state", 25, plan(), [](const Scenario& plan) { return violation_of(plan, {"master.", "replica.", "raft.", "event.error", "check.failed"}); });
}

TEST_CASE("property: after heal the masters converge, and every question ends (any plan)") {
    for_all_plans("masters-converge", 25, plan(), [](const Scenario& plan) { return violation_of(plan, {"replica.", "liveness.", "run.", "world.", "host.", "master.left-waiting"}); });
}

TEST_CASE("property: the generator finds planted bugs of lists and of installs") {
    for (const char* defect : {"list_without_round", "snapshot_end_exclusive", "change_applied_again"}) {
        if (test::kSanitized) continue;
        CHECK_MESSAGE(some_plan_shows(plan(), defect, 250), std::string(defect));
    }
}
