#include "plans.h"

#include "sim/scenario/scenario_toml.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

#include <fstream>

namespace orrery::sim {

rc::Gen<NodeName> node_name(const MemberNames& names) {
    return rc::gen::element<NodeName>(names.leader(), names.follower(0), names.follower(1), names.member(1), names.member(2), names.member(3));
}
rc::Gen<Duration> millis(int low, int high) {
    return rc::gen::map(rc::gen::inRange(low, high), [](int ms) { return Duration::millis(ms); });
}

rc::Gen<Fault> fault(const MemberNames& names) {
    auto crash = rc::gen::apply(
        [](NodeName node, bool power, int operation, bool unsynced, Duration down) {
            ProcCrash out;
            out.node = std::move(node);
            out.death = power ? CrashDeath::Power : CrashDeath::Kill;
            out.at_disk_operation = static_cast<uint64_t>(operation);
            out.when_unsynced = unsynced;
            out.restart_after = down;
            return Fault(out);
        },
        node_name(names), rc::gen::arbitrary<bool>(), rc::gen::inRange(0, 60),
        rc::gen::arbitrary<bool>(), millis(1, 2000));
    auto partition = rc::gen::apply(
        [](int shape, NodeName node, int direction, int split, bool clients, Duration lasts) {
            NetPartition out;
            out.shape = static_cast<PartitionShape>(shape);
            if (out.shape == PartitionShape::Isolate) out.node = std::move(node);
            out.direction = static_cast<Direction>(direction);
            out.split = static_cast<uint64_t>(split);
            out.clients = clients;
            out.for_time = lasts;
            return Fault(out);
        },
        rc::gen::inRange(0, 4), node_name(names), rc::gen::inRange(0, 3), rc::gen::inRange(0, 3),
        rc::gen::arbitrary<bool>(), millis(50, 3000));
    auto pause = rc::gen::apply(
        [](NodeName node, Duration lasts) {
            return Fault(ProcPause{std::move(node), lasts});
        },
        node_name(names), millis(20, 2500));
    auto reset = rc::gen::apply(
        [](NodeName node, bool keep) {
            return Fault(NetReset{std::move(node), {}, keep});
        },
        node_name(names), rc::gen::arbitrary<bool>());
    auto stall = rc::gen::apply(
        [](NodeName node, Duration lasts) {
            return Fault(DiskStall{std::move(node), lasts});
        },
        node_name(names), millis(20, 2000));
    auto storm = rc::gen::map(millis(1, 1000), [](Duration down) {
        ProcCrash out;
        out.node = "all";
        out.restart_after = down;
        return Fault(out);
    });
    auto transfer = rc::gen::map(
        node_name(names), [](NodeName node) { return Fault(AdminTransfer{std::move(node)}); });
    auto network = rc::gen::apply(
        [](int split, int corrupt, Duration mean) {
            NetChange out;
            out.split_p = split / 100.0;
            out.split_max_bytes = 64;
            out.corrupt_p = corrupt / 10'000.0;
            out.delay_mean = mean;
            return Fault(out);
        },
        rc::gen::inRange(0, 100), rc::gen::inRange(0, 10), millis(0, 20));
    return rc::gen::oneOf(crash, partition, pause, reset, stall, storm, transfer, network);
}

rc::Gen<Fault> member_fault() {
    const auto spare_or_founder = rc::gen::element<NodeName>("n1", "n2", "n3", "n4", "n5");
    auto add = rc::gen::apply([](NodeName node, bool learner) { return Fault(MemberAdd{.node = std::move(node), .learner = learner}); }, spare_or_founder, rc::gen::arbitrary<bool>());
    auto remove = rc::gen::map(spare_or_founder, [](NodeName node) { return Fault(MemberRemove{.node = std::move(node)}); });
    auto transfer = rc::gen::map(spare_or_founder, [](NodeName node) { return Fault(MemberTransfer{.node = std::move(node)}); });
    return rc::gen::weightedOneOf<Fault>({{3, add}, {2, remove}, {1, transfer}});
}

/// `holds` says what is wrong with a plan, or nothing. The last failing plan that is seen is the
/// shrunk one.
void for_all_plans(const std::string& name, int cases, const rc::Gen<Scenario>& plan, const std::function<std::string(const Scenario&)>& holds) {
    std::string why;
    Scenario smallest;
    rc::detail::TestParams params;
    params.maxSuccess = static_cast<int>(test::seeds(static_cast<uint64_t>(cases)));
    params.seed = hash_name(name);
    rc::detail::TestMetadata metadata;
    const auto result = rc::detail::checkTestable(
        [&]() {
            const Scenario one = *plan;
            const std::string wrong = holds(one);
            if (wrong.empty()) return;
            why = wrong;
            smallest = one;
            RC_FAIL(wrong);
        },
        metadata, params);
    if (result.is<rc::detail::SuccessResult>()) return;
    REQUIRE_MESSAGE(!why.empty(), "property '" << name << "': the generator gave up");
    const std::string file = "property-" + name + ".toml";
    smallest.name = "property-" + name;
    std::ofstream(file) << scenario_to_toml(smallest);
    std::string script;
    for (const std::string& line : smallest.workload.script) script += "\n    " + line;
    FAIL("property '" << name << "' does not hold (seed " << smallest.seed << "): " << why << (script.empty() ? script : "\nthe shrunk schedule:" + script)
                      << "\nthe shrunk plan: " << file << "; replay it with: orrery replay " << file);
}

bool some_plan_shows(const rc::Gen<Scenario>& plan, const std::string& defect, int cases) {
    RunOptions options;
    options.defects = {defect};
    bool found = false;
    rc::detail::TestParams params;
    params.maxSuccess = cases;
    params.seed = 1;
    params.disableShrinking = true;
    (void)rc::detail::checkTestable(
        [&]() {
            const Scenario one = *plan;
            found = run_in_child(one, options).outcome == check::Outcome::Violated;
            RC_ASSERT(!found);
        },
        rc::detail::TestMetadata(), params);
    return found;
}

std::string violation_of(const Scenario& plan, std::initializer_list<std::string_view> prefixes) {
    const ChildResult result = run_in_child(plan);
    if (result.died) return "the run died";
    for (std::string_view prefix : prefixes)
        if ((" " + result.names).find(" " + std::string(prefix)) != std::string::npos)
            return result.text;
    return {};
}

}  // namespace orrery::sim
