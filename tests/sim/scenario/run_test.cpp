#include "tests/sim/scenario/in_child.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

namespace {
Scenario quiet() {
    Scenario plan;
    plan.name = "quiet";
    plan.workload.clients = 2;
    plan.workload.ops = 60;
    plan.phases.chaos = Duration::seconds(2);
    return plan;
}
}  // namespace

TEST_CASE("scenario: a group without faults passes every check, and twice the same (three nodes)") {
    const Scenario plan = quiet();
    const ChildResult first = run_in_child(plan), second = run_in_child(plan);
    CHECK_MESSAGE(first.outcome == check::Outcome::Pass, first.text);
    CHECK(first.ok >= 50);
    CHECK(first.hash == second.hash);
    CHECK(first.steps == second.steps);
    Scenario other = plan;
    other.seed = 2;
    CHECK(run_in_child(other).hash != first.hash);
}

TEST_CASE("scenario: groups of one and of five run too") {
    for (uint64_t members : {1, 5}) {
        Scenario plan = quiet();
        plan.cluster.kv = members;
        const ChildResult result = run_in_child(plan);
        CHECK_MESSAGE(result.outcome == check::Outcome::Pass, result.text);
    }
}

TEST_CASE("scenario: a run without a successful operation is inconclusive, never a pass") {
    Scenario plan = quiet();
    plan.workload.ops = 0;
    CHECK(run_in_child(plan).outcome == check::Outcome::Inconclusive);
    plan = quiet();
    plan.check.require_fired = {"never"};
    plan.plan.events.push_back({"never", TriggerWhen{"no.such_point", "", 1, ""}, NetReset{}});
    const ChildResult result = run_in_child(plan);
    CHECK(result.outcome == check::Outcome::Inconclusive);
    CHECK(result.never_fired == 1);
    RunOptions options;
    options.until = Instant{} + Duration::millis(800);
    CHECK(run_in_child(quiet(), options).outcome == check::Outcome::Inconclusive);
}

TEST_CASE("scenario: a plan gives the hash of the scenario it was expanded from (swarm)") {
    const Scenario family = scenario_of_file("scenarios/swarm/kv-default.toml");
    for (uint64_t seed : {11, 12, 13}) {
        const Scenario plan = expand(family, seed);
        const ChildResult first = run_in_child(plan), again = run_in_child(expand(plan, seed));
        CHECK_MESSAGE(first.outcome == check::Outcome::Pass, first.text);
        CHECK(first.fired > 0);
        CHECK(first.hash == again.hash);
    }
}

TEST_CASE("scenario: watching does not change a run (sink, watched step)") {
    const Scenario plan = expand(scenario_of_file("scenarios/swarm/kv-default.toml"), 21);
    struct Silent : TraceSink {
        void on_event(uint64_t, Instant, std::string_view, const TraceEvent&) override {}
    } sink;
    RunOptions options;
    options.sink = &sink;
    options.watch_step = 5000;
    CHECK(run_in_child(plan, options).hash == run_in_child(plan).hash);
}

TEST_CASE("scenario: snapshots are installed under load (kv-snapshot)") {
    const Scenario family = scenario_of_file("scenarios/swarm/kv-snapshot.toml");
    uint64_t installs = 0, restarts = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        const ChildResult result = run_in_child(expand(family, seed));
        CHECK_MESSAGE(result.outcome == check::Outcome::Pass,
                      "seed " << seed << ": " << result.text);
        installs += result.installs;
        restarts += result.restarts;
        if (test::kSanitized && installs > 0 && restarts > 0) break;
    }
    CHECK(installs > 0);
    CHECK(restarts > 0);
}

TEST_CASE("scenario: the founding defects are caught as reported and pass as fixed") {
    for (const char* name :
         {"waitall-counts-connected", "ack-before-sync", "read-without-quorum"}) {
        const Scenario reported =
            scenario_of_file(std::string("scenarios/replay/") + name + ".toml");
        const ChildResult bad = run_in_child(reported);
        CHECK_MESSAGE((bad.names + " ").find(reported.expect.checker + " ") != std::string::npos,
                      std::string(name) << ": " << bad.text);
        const ChildResult good =
            run_in_child(scenario_of_file(std::string("scenarios/replay/") + name + "-fixed.toml"));
        CHECK_MESSAGE(good.outcome == check::Outcome::Pass, std::string(name) << ": " << good.text);
    }
}

TEST_CASE("scenario: WAIT that counts, requires, aims, waits or forgets wrongly is caught by its own invariant (kv-wait)") {
    if (test::kSanitized) return;
    const Scenario family = scenario_of_file("scenarios/swarm/kv-wait.toml");
    for (auto [defect, checker] : {std::pair("waitall_counts_connected", "wait.wrong-members"),
                                   {"wait_counts_received", "wait.overcount"},
                                   {"wait_counts_last_index", "wait.overcount"},
                                   {"wait_counts_sent", "wait.overcount"},
                                   {"wait_counts_unapplied", "wait.all-not-held"},
                                   {"wait_members_shrink_on_silence", "wait.wrong-members"},
                                   {"wait_target_global", "wait.foreign-target"},
                                   {"wait_without_push", "wait.stalled"},
                                   {"wait_leaks_waiter", "wait.leaked"},
                                   {"wait_more_than_members_hangs", "wait.hung"}}) {
        RunOptions options;
        options.defects = {defect};
        bool caught = false;
        std::string seen;
        for (uint64_t seed = 1; seed <= 12 && !caught; ++seed) {
            const ChildResult result = run_in_child(expand(family, seed), options);
            caught = (result.names + " ").find(std::string(checker) + " ") != std::string::npos;
            seen += result.names + "; ";
        }
        CHECK_MESSAGE(caught, std::string(defect) << ": " << seen);
    }
}

TEST_CASE("scenario: readers have no share of the operations and read until the chaos phase ends") {
    Scenario plan = quiet();
    plan.workload.clients = 4;
    plan.workload.readers = 3;
    plan.workload.ops = 10;
    const ChildResult result = run_in_child(plan);
    CHECK_MESSAGE(result.outcome == check::Outcome::Pass, result.text);
    // 10 of the writer; 3 x 2 s / (20 ms and the round trip) of the readers.
    CHECK(result.ok > 110);
    CHECK(result.ok < 10 + 3 * 100 + 40);
    plan.workload.readers = 0;
    CHECK(run_in_child(plan).ok < 30);
}

TEST_CASE("scenario: leases that are kept wrongly let a reader see the past, and clean ones do not (kv-leases, kv-promises)") {
    if (test::kSanitized) return;
    for (auto [name, defect] : {std::pair("kv-leases", "lease_ignores_drift"), {"kv-promises", "lease_kept_on_transfer"}, {"kv-promises", "lease_promise_broken"}, {"kv-promises", "lease_promise_forgotten"}}) {
        const Scenario family = scenario_of_file(std::string("scenarios/swarm/") + name + ".toml");
        RunOptions options;
        options.defects = {defect};
        bool caught = false;
        for (uint64_t seed = 1; seed <= 150 && !caught; ++seed) {
            const ChildResult result = run_in_child(expand(family, seed), options);
            if (result.outcome != check::Outcome::Violated) continue;
            CHECK(result.names.find("linearizability") != std::string::npos);
            caught = true;
            const ChildResult clean = run_in_child(expand(family, seed));
            CHECK_MESSAGE(clean.outcome == check::Outcome::Pass, clean.text);
        }
        CHECK_MESSAGE(caught, defect);
    }
}

TEST_CASE("scenario: the demo passes, and names the invariant of each defect its head names") {
    const Scenario demo = scenario_of_file("scenarios/demo.toml");
    CHECK(run_in_child(demo).outcome == check::Outcome::Pass);
    for (auto [defect, checker] : {std::pair("waitall_counts_connected", "wait.wrong-members"),
                                   {"ack_before_sync", "raft.durable-lost"}}) {
        RunOptions options;
        options.defects = {defect};
        CHECK(run_in_child(demo, options).failure == checker);
    }
}

TEST_CASE("scenario: an unknown defect is refused") {
    RunOptions options;
    options.defects = {"no_such_defect"};
    const ChildResult result = run_in_child(quiet(), options);
    CHECK(result.outcome == check::Outcome::Inconclusive);
    CHECK(result.text.find("no_such_defect") != std::string::npos);
}
