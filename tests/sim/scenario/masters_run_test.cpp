// Runs of masters: the families pass, and each seeded defect of lists, installs and sessions is found by the checker it belongs to.
#include "tests/sim/scenario/in_child.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

TEST_CASE("masters: a quiet group passes every check, and twice the same") {
    Scenario plan;
    plan.name = "quiet";
    plan.cluster.kv = 0;
    plan.cluster.masters = 3;
    plan.workload = {.kind = "metadata", .clients = 4, .ops = 80, .keys = 5, .readers = 2};
    plan.workload.mix = {.get = 0.3, .set = 0.1, .del = 0.2, .cas = 0.4};
    plan.phases.chaos = Duration::seconds(2);
    const ChildResult first = run_in_child(plan), second = run_in_child(plan);
    CHECK_MESSAGE(first.outcome == check::Outcome::Pass, first.text);
    CHECK(first.ok >= 60);
    CHECK(first.lists > 100);
    CHECK(first.hash == second.hash);
}

TEST_CASE("masters: the families pass, and reach what they are for") {
    uint64_t installs = 0, restarts = 0, lists = 0;
    for (const char* name : {"masters-default", "masters-snapshot"}) {
        const Scenario family = scenario_of_file(std::string("scenarios/swarm/") + name + ".toml");
        for (uint64_t seed = 1; seed <= test::seeds(5); ++seed) {
            const ChildResult result = run_in_child(expand(family, seed));
            CHECK_MESSAGE(result.outcome == check::Outcome::Pass, std::string(name) << " seed " << seed << ": " << result.text);
            installs += result.installs;
            restarts += result.restarts;
            lists += result.lists;
        }
    }
    if (test::kSanitized) return;
    CHECK(installs > 3);
    CHECK(restarts > 10);
    CHECK(lists > 2000);
}

TEST_CASE("masters: each seeded defect is found, by what looks for it") {
    struct Planted {
        const char* family;
        const char* defect;
        const char* checker;  // any of those, separated by blanks
    };
    for (const Planted& planted : {Planted{"masters-default", "list_confirmed_by_anyone", "list.too-old list.younger-than-true"},
                                   {"masters-default", "list_without_round", "list.too-old list.younger-than-true"},
                                   {"masters-default", "list_stamped_on_receipt", "list.too-old list.younger-than-true"},
                                   {"masters-default", "list_served_before_applied", "list.too-old list.younger-than-true"},
                                   {"masters-default", "change_applied_again", "linearizability"},
                                   {"masters-default", "ids_given_again", "master.wrong-state"},
                                   {"masters-default", "redirect_keeps_target", "client.led-astray"},
                                   {"masters-members", "master_allocates_before_applied", "master.wrong-state"},
                                   {"masters-five", "list_torn_by_apply", "list.contradicts-itself list.wrong-content"},
                                   {"masters-snapshot", "sessions_not_loaded", "linearizability list.wrong-content"},
                                   {"masters-snapshot", "snapshot_merges", "list.wrong-content master.state-diverged"},
                                   {"masters-snapshot", "snapshot_end_exclusive", "master.state-diverged list.wrong-content"},
                                   {"masters-snapshot", "install_index_before_data", "list.wrong-content master.state-diverged"}}) {
        if (test::kSanitized && std::string(planted.defect) != "list_without_round") continue;
        const Scenario family = scenario_of_file(std::string("scenarios/swarm/") + planted.family + ".toml");
        RunOptions options;
        options.defects = {planted.defect};
        bool caught = false;
        std::string seen;
        for (uint64_t seed = 1; seed <= 40 && !caught; ++seed) {
            const ChildResult result = run_in_child(expand(family, seed), options);
            caught = !result.failure.empty() && std::string(planted.checker).find(result.failure) != std::string::npos;
            seen += result.names + "; ";
        }
        CHECK_MESSAGE(caught, std::string(planted.defect) << ": " << seen);
    }
}
