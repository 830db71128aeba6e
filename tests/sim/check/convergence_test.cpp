#include "sim/check/convergence.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

namespace {

Stamp at_s(int64_t seconds) {
    return {Instant{} + Duration::seconds(seconds), static_cast<uint64_t>(seconds)};
}

ReplicaState state(uint64_t node, uint64_t applied, uint64_t digest) {
    return {NodeId(node), LogIndex(applied), digest};
}

}  // namespace

TEST_CASE("replica equality: equal index, equal digest (while running)") {
    ReplicaEquality equality;
    equality.digest(at_s(1), GroupId(1), state(1, 10, 77));
    CHECK_EQ(equality.verdict().outcome, Outcome::Inconclusive);
    equality.digest(at_s(2), GroupId(1), state(2, 11, 78));
    equality.digest(at_s(2), GroupId(2), state(2, 10, 99));
    equality.digest(at_s(3), GroupId(1), state(2, 10, 77));
    CHECK_EQ(equality.verdict().outcome, Outcome::Pass);
    equality.digest(at_s(4), GroupId(1), state(3, 11, 79));
    REQUIRE_EQ(equality.violations().size(), 1);
    CHECK_EQ(equality.violations()[0].name, "replica.digest-differs");
}

TEST_CASE("replica equality: at rest all are at one index with one digest") {
    ReplicaEquality rest;
    rest.at_rest(at_s(1), GroupId(1), {state(1, 10, 7), state(2, 10, 7), state(3, 10, 7)});
    CHECK_EQ(rest.verdict().outcome, Outcome::Pass);
    rest.at_rest(at_s(1), GroupId(2), {state(1, 10, 7), state(2, 9, 6)});
    CHECK_EQ(rest.violations().back().name, "replica.not-converged");
    rest.at_rest(at_s(1), GroupId(3), {state(1, 10, 7), state(2, 10, 8)});
    CHECK_EQ(rest.violations().back().name, "replica.digest-differs");
}

TEST_CASE("liveness: what is pending beyond the bound after heal is found once, with its name") {
    Liveness liveness({.bound = Duration::seconds(10)});
    liveness.started(1, "client 4 set 'k'", at_s(1));
    liveness.check(at_s(100));  // not healed: nothing is owed
    CHECK(liveness.violations().empty());
    CHECK_EQ(liveness.verdict().outcome, Outcome::Inconclusive);
    liveness.healed(at_s(100).at);
    liveness.check(at_s(110));
    CHECK(liveness.violations().empty());
    CHECK_EQ(liveness.verdict().outcome, Outcome::Pass);
    liveness.check(at_s(111));
    liveness.check(at_s(112));
    REQUIRE_EQ(liveness.violations().size(), 1);
    CHECK_EQ(liveness.violations()[0].name, "liveness.pending-operation");
    CHECK(liveness.violations()[0].text.find("client 4 set 'k'") == 0);
    liveness.finished(1, at_s(113));
    CHECK_EQ(liveness.violations().size(), 1);
    CHECK_EQ(liveness.open_count(), 0);
}

TEST_CASE(
    "liveness: an operation called after heal has the bound from its call; a late end counts; "
    "faults excuse") {
    Liveness liveness({.bound = Duration::seconds(10)});
    liveness.healed(at_s(0).at);
    liveness.started(1, "a", at_s(50));
    liveness.started(2, "b", at_s(50));
    liveness.check(at_s(59));
    liveness.finished(1, at_s(60));
    CHECK(liveness.violations().empty());
    liveness.finished(2, at_s(61));
    CHECK_EQ(liveness.violations().size(), 1);
    Liveness faulted({.bound = Duration::seconds(10)});
    faulted.started(1, "a", at_s(0));
    faulted.healed(at_s(0).at);
    faulted.faulted();
    faulted.check(at_s(100));
    CHECK(faulted.violations().empty());
}
