// Random schedules of the pure core: loss, duplication, reordering, held disks, crashes between writes, compaction,
// hand-over. The invariants are in cluster.cpp. The second half plants each seeded defect and demands that the same
// schedules find it, so that "no violation" means something.
#include "cluster.h"
#include "runtime/base/defect.h"

#undef CHECK  // doctest's from here on
#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace rc {
template <>
struct Arbitrary<orrery::raft::test::Action> {
    static Gen<orrery::raft::test::Action> arbitrary() {
        using orrery::raft::test::Action;
        auto word = gen::inRange<uint16_t>(0, 1000);
        return gen::build<Action>(gen::set(&Action::kind, word), gen::set(&Action::a, word),
                                  gen::set(&Action::b, word));
    }
};
}  // namespace rc

namespace orrery::raft::test {

std::ostream& operator<<(std::ostream& out, const Action& action) {
    return out << "{" << action.kind << "," << action.a << "," << action.b << "}";
}

namespace {

std::vector<Action> drawn(uint64_t seed, size_t count) {
    RandomStream random(seed, "raft.core.schedule", 0);
    std::vector<Action> actions(count);
    for (Action& action : actions)
        action = {static_cast<uint16_t>(random.below(1000)), static_cast<uint16_t>(random.below(1000)),
                  static_cast<uint16_t>(random.below(1000))};
    return actions;
}

constexpr uint64_t kMostCases = 3000;

/// Cases until the defect shows; 0: it did not.
uint64_t cases_until_found(Defect defect, std::string& violation) {
    set_defects(uint64_t{1} << static_cast<unsigned>(defect));
    uint64_t found = 0;
    for (uint64_t seed = 1; seed <= kMostCases && found == 0; ++seed) {
        violation = run_schedule(seed % 2 ? 3 : 5, drawn(seed, 600), false);
        if (!violation.empty()) found = seed;
    }
    set_defects(0);
    return found;
}

}  // namespace

TEST_CASE("raft core: random schedules keep every invariant and converge (shrinkable)") {
    bool held = rc::check("three and five nodes", [] {
        auto actions = *rc::gen::resize(500, rc::gen::arbitrary<std::vector<Action>>());
        size_t nodes = *rc::gen::element<size_t>(3, 5);
        std::string violation = run_schedule(nodes, actions);
        RC_ASSERT(violation == "");
    });
    CHECK_MESSAGE(held, "see the counterexample above");
}

TEST_CASE("raft core: random schedules keep every invariant and converge (long, many seeds)") {
    for (uint64_t seed = 1; seed <= 6000; ++seed) {
        std::string violation = run_schedule(seed % 2 ? 3 : 5, drawn(seed, 600));
        REQUIRE_MESSAGE(violation == "", "seed " << seed);
    }
}

TEST_CASE("raft core: each seeded defect is found by the random schedules") {
    for (Defect defect : {Defect::ack_before_sync, Defect::vote_not_durable,
                          Defect::commit_old_term_by_count, Defect::commit_not_capped,
                          Defect::truncate_on_every_append, Defect::vote_ignores_last_term,
                          Defect::read_without_quorum, Defect::read_before_own_term}) {
        std::string violation;
        uint64_t cases = cases_until_found(defect, violation);
        MESSAGE(kDefects[static_cast<size_t>(defect)].name << ": " << cases << " cases: " << violation);
        CHECK(cases > 0);
    }
}

}  // namespace orrery::raft::test
