#include "sim/check/verdict.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

TEST_CASE("verdict: a signature keeps the name and the site, not the numbers and texts") {
    Violation a{.name = "raft.log-matching",
                .text = "x",
                .at = {},
                .sequence = 1,
                .site = "append of node 3 key 'a 1'"};
    Violation b{.name = "raft.log-matching",
                .text = "y",
                .at = {},
                .sequence = 9,
                .site = "append  of node 12 key 'b'"};
    CHECK_EQ(a.signature(), "raft.log-matching@append of node # key *");
    CHECK_EQ(a.signature(), b.signature());
    b.site = "election";
    CHECK_NE(a.signature(), b.signature());
    CHECK_EQ(Violation{.name = "n"}.signature(), "n");
    CHECK_EQ(normalise_site("don't"), "don't");
}

TEST_CASE("verdict: nothing checked is inconclusive, one violation outweighs all") {
    CHECK_EQ(combine({}).exit_code(), 3);
    CHECK_EQ(Verdict().exit_code(), 3);
    Verdict pass{.outcome = Outcome::Pass},
        unsure{.outcome = Outcome::Inconclusive, .violations = {}, .reason = "gave up"};
    Verdict bad{.outcome = Outcome::Violated, .violations = {{.name = "a.b", .text = "t"}}};
    CHECK_EQ(combine({pass, pass}).exit_code(), 0);
    CHECK_EQ(combine({pass, unsure}).exit_code(), 3);
    CHECK_EQ(combine({pass, unsure}).reason, "gave up");
    CHECK_EQ(combine({bad, unsure}).exit_code(), 1);
    CHECK_EQ(combine({unsure, bad}).violations.size(), 1);
    CHECK_EQ(combine({bad}).text(), "a.b: t");
}

TEST_CASE("verdict: violations beyond the limit are counted") {
    Violations violations(2);
    for (int i = 0; i < 5; ++i) violations.add("n", "s", {}, "t");
    CHECK_EQ(violations.list().size(), 2);
    CHECK_EQ(violations.total(), 5);
}
