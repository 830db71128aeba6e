// Random schedules of the pure core: loss, duplication, reordering, held disks, crashes between writes, compaction and
// snapshots, changes of members, hand-over. The invariants are in tools/raft_script/invariants.cpp; what fails is shrunk
// and printed as a raft-script. The second half plants each seeded defect and demands that the same schedules find it,
// so that "no violation" means something, and that the printed script shows it again.
#include "runtime/base/defect.h"
#include "schedule.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <iostream>

namespace orrery::raft::script {
namespace {

constexpr std::string_view kMark = "as a raft-script:\n";

/// A schedule is shrunk by leaving actions out; the script is made shorter line by line afterwards.
rc::Gen<std::vector<Action>> schedules() {
    auto word = rc::gen::inRange<uint16_t>(0, 1000);
    auto action = rc::gen::noShrink(rc::gen::build<Action>(
        rc::gen::set(&Action::kind, word), rc::gen::set(&Action::a, word), rc::gen::set(&Action::b, word)));
    return rc::gen::resize(500, rc::gen::container<std::vector<Action>>(action));
}

rc::Gen<uint16_t> below(uint16_t end) {
    return rc::gen::resize(100, rc::gen::noShrink(rc::gen::inRange<uint16_t>(0, end)));
}

void check_one(Shape shape, Finish finish) {
    ScheduleRun run = run_schedule(shape, *schedules(), finish);
    if (!run.failure.empty()) RC_FAIL(run.failure + "\n" + std::string(kMark) + run.script);
}

/// The shrunk failure's script, made minimal; empty: there was no failure. Three or five voters that nothing protects: with
/// pre-vote and check-quorum the same takes many more cases.
std::string found_by_rapidcheck(int cases) {
    rc::detail::TestParams params;
    params.seed = 20;
    params.maxSuccess = cases;
    auto result = rc::detail::checkTestable(
        [] { check_one({*below(2), static_cast<uint16_t>(*below(32) << 2)}, Finish::AsItIs); },
        rc::detail::TestMetadata(), params);
    if (!result.is<rc::detail::FailureResult>()) return {};
    std::string text = result.get<rc::detail::FailureResult>().description;
    size_t at = text.find(kMark);
    REQUIRE(at != text.npos);
    std::string script = text.substr(at + kMark.size());
    return minimised(script.substr(0, script.rfind('\n') + 1));
}

std::vector<Action> drawn(uint64_t seed, size_t count) {
    RandomStream random(seed, "raft.core.schedule", 0);
    std::vector<Action> actions(count);
    auto word = [&] { return static_cast<uint16_t>(random.below(1000)); };
    for (Action& action : actions) action = {word(), word(), word()};
    return actions;
}

}  // namespace

TEST_CASE("raft core: random schedules keep every invariant and recover (shrinkable)") {
    bool held = rc::check("groups of one to five", [] { check_one({*below(6), *below(128)}, Finish::Recover); });
    CHECK_MESSAGE(held, "see the counterexample above");
}

TEST_CASE("raft core: random schedules keep every invariant and recover (long, many seeds)") {
    for (uint64_t seed = 1; seed <= test::seeds(3000); ++seed) {
        Shape shape{static_cast<uint16_t>(seed), static_cast<uint16_t>(seed / 6)};
        ScheduleRun run = run_schedule(shape, drawn(seed, 600), Finish::Recover);
        REQUIRE_MESSAGE(run.failure == "", "seed " << seed << ", " << kMark << run.script);
    }
}

TEST_CASE("raft core: a schedule does what its script does (same violation, same answers)") {
    set_defects(only(Defect::commit_old_term_by_count));
    size_t violations = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        ScheduleRun run = run_schedule({static_cast<uint16_t>(seed), static_cast<uint16_t>(seed)}, drawn(seed, 400), Finish::AsItIs);
        CHECK(run_script("script", run.script).violation == run.failure);
        violations += !run.failure.empty();
    }
    set_defects({});
    CHECK(violations > 0);
    CHECK(violations < 60);
}

TEST_CASE("raft core: each seeded defect is found by the random schedules, and the shrunk script shows it") {
    if (test::kSanitized) {
        MESSAGE("SKIPPED raft_core.defects the odds are the release build's matter");
        return;
    }
    for (Defect defect : {Defect::ack_before_sync, Defect::vote_not_durable, Defect::commit_old_term_by_count,
                          Defect::commit_not_capped, Defect::truncate_on_every_append, Defect::vote_ignores_last_term,
                          Defect::read_without_quorum, Defect::read_before_own_term}) {
        std::string_view name = kDefects[static_cast<size_t>(defect)].name;
        set_defects(only(defect));
        std::string script = found_by_rapidcheck(12'000);
        ScriptRun planted = run_script("script", script);
        set_defects({});
        ScriptRun without = run_script("script", script);
        REQUIRE_MESSAGE(!script.empty(), name << " was not found");
        MESSAGE(name << ": " << planted.violation << "\n" << script);
        CHECK(planted.ending == Ending::Failed);
        CHECK(planted.violation != "");
        CHECK(planted.output.find("\nVIOLATION " + planted.violation + "\n") != std::string::npos);
        CHECK(without.ending == Ending::Fine);
    }
}

}  // namespace orrery::raft::script
