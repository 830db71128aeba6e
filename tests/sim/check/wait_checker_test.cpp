// For every WAIT invariant a reply that breaks it, next to one that does not.
#include "sim/check/wait_checker.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

namespace {

const std::vector<NodeId> kAll = {NodeId(1), NodeId(2), NodeId(3)};

Stamp at_ms(int64_t ms) {
    return {Instant{ms * 1'000'000}, static_cast<uint64_t>(ms)};
}

WaitTruth truth(std::vector<NodeId> holders, std::vector<NodeId> required = kAll,
                bool quorum = true) {
    return {.leader = NodeId(1),
            .required = std::move(required),
            .holders = std::move(holders),
            .quorum_since_call = quorum};
}

struct Case {
    WaitCall call{.kind = WaitCall::Kind::Wait,
                  .members = 2,
                  .timeout = Duration::millis(500),
                  .target = LogIndex(7),
                  .called = at_ms(0)};
    WaitReply reply{.acked = 2, .answered = at_ms(10)};
    WaitTruth now = truth(kAll);

    std::string found() const {
        WaitChecker checker;
        checker.answered(checker.called(call), reply, now);
        std::string out;
        for (const Violation& violation : checker.violations())
            out += (out.empty() ? "" : " ") + violation.name;
        return out;
    }
};

Case wait_all() {
    Case all;
    all.call.kind = WaitCall::Kind::WaitAll;
    all.reply.acked = all.reply.required = 3;
    return all;
}

}  // namespace

TEST_CASE(
    "wait: a true count in time is clean; one too many, and more than the members, are found (W1, "
    "W11)") {
    CHECK_EQ(Case{}.found(), "");
    Case over;
    over.now = truth({NodeId(1), NodeId(2)});
    CHECK_EQ(over.found(), "wait.overcount");
    Case learner;  // a node outside R holds it and was counted
    learner.now = truth({NodeId(1), NodeId(2), NodeId(9)});
    CHECK_EQ(learner.found(), "wait.overcount");
    Case more;
    more.reply.acked = 3;
    CHECK_EQ(more.found(), "wait.wrong-members");
    Case leader_only;  // the leader itself never counts
    leader_only.call.members = 1;
    leader_only.reply.acked = 1;
    leader_only.now = truth({NodeId(1)});
    CHECK_EQ(leader_only.found(), "wait.overcount");
}

TEST_CASE(
    "wait: too few before the timeout is early, unless all, unblocked, refused or in MULTI (W4)") {
    Case early;
    early.reply.acked = 1;
    CHECK_EQ(early.found(), "wait.early");
    Case timed_out = early;
    timed_out.reply.answered = at_ms(501);
    CHECK_EQ(timed_out.found(), "");
    Case multi = early;
    multi.call.may_block = false;
    CHECK_EQ(multi.found(), "");
    Case unblocked = early;
    unblocked.reply.ending = WaitReply::Ending::Unblocked;
    CHECK_EQ(unblocked.found(), "");
    Case above;  // n above the configured number means all
    above.call.members = 9;
    CHECK_EQ(above.found(), "");
}

TEST_CASE("wait: the time limit holds, and none means none (W6)") {
    Case late;
    late.reply.answered = at_ms(600);
    CHECK_EQ(late.found(), "wait.late");
    Case forever;
    forever.call.timeout = Duration();
    forever.reply.answered = at_ms(100'000);
    CHECK_EQ(forever.found(), "");
    forever.reply.acked = 1;
    CHECK_EQ(forever.found(), "wait.ended-by-time");
    Case multi;
    multi.call.may_block = false;
    multi.reply.answered = at_ms(100);
    CHECK_EQ(multi.found(), "wait.late");
}

TEST_CASE("wait: a target beyond the connection's own is another client's (W7)") {
    Case own;
    own.reply.target = LogIndex(7);
    CHECK_EQ(own.found(), "");
    own.reply.target = LogIndex(8);
    CHECK_EQ(own.found(), "wait.foreign-target");
}

TEST_CASE("waitall: success means all of R at one instant of the window (W2)") {
    CHECK_EQ(wait_all().found(), "");
    Case no_leader = wait_all();
    no_leader.now = truth({NodeId(2), NodeId(3)});
    CHECK_EQ(no_leader.found(), "wait.all-not-held");
    Case promoted = wait_all();  // R grew; the reply did not
    promoted.now = truth(kAll, {NodeId(1), NodeId(2), NodeId(3), NodeId(4)});
    CHECK_EQ(promoted.found(), "wait.wrong-members wait.all-not-held");
    // Held once, then a disk was lost before the answer.
    WaitChecker checker;
    auto waiter = checker.called(wait_all().call);
    checker.observe(waiter, truth(kAll));
    checker.answered(waiter, wait_all().reply, truth({NodeId(1), NodeId(2)}));
    CHECK_EQ(checker.verdict().outcome, Outcome::Pass);
}

TEST_CASE(
    "waitall: success without a word from a majority is vacuous, but for a group of one (W5)") {
    Case cut_off = wait_all();
    cut_off.now = truth(kAll, kAll, false);
    CHECK_EQ(cut_off.found(), "wait.vacuous");
    Case single = wait_all();
    single.reply.acked = single.reply.required = 1;
    single.now = truth({NodeId(1)}, {NodeId(1)}, false);
    CHECK_EQ(single.found(), "");
}

TEST_CASE("waitall: missing is exact (W10) and of members only (W11)") {
    Case partial = wait_all();
    partial.reply.answered = at_ms(500);
    partial.reply.acked = 2;
    partial.reply.missing = {NodeId(3)};
    partial.now = truth({NodeId(1), NodeId(2)});
    CHECK_EQ(partial.found(), "");
    Case sum = partial;
    sum.reply.acked = 1;
    CHECK_EQ(sum.found(), "wait.missing-inexact");
    Case unnamed = partial;
    unnamed.reply.missing = {NodeId(2)};
    CHECK_EQ(unnamed.found(), "wait.missing-inexact");
    Case foreign = partial;
    foreign.reply.missing = {NodeId(9)};
    CHECK_EQ(foreign.found(), "wait.wrong-members wait.missing-inexact");
    Case skipped = wait_all();  // R shrunk to the reachable
    skipped.reply.acked = skipped.reply.required = 2;
    skipped.now = truth({NodeId(1), NodeId(2)});
    CHECK_EQ(skipped.found(), "wait.wrong-members wait.all-not-held");
    Case early = partial;
    early.reply.answered = at_ms(10);
    CHECK_EQ(early.found(), "wait.early");
}

TEST_CASE("wait: one answer each, none forgotten, nothing checked is inconclusive (W13)") {
    WaitChecker checker;
    CHECK_EQ(checker.verdict().outcome, Outcome::Inconclusive);
    Case usual;
    auto waiter = checker.called(usual.call);
    checker.answered(waiter, usual.reply, usual.now);
    CHECK_EQ(checker.verdict().outcome, Outcome::Pass);
    checker.answered(waiter, usual.reply, usual.now);
    CHECK_EQ(checker.violations().back().name, "wait.replied-twice");
    checker.called(usual.call);
    checker.finish(at_ms(900));
    CHECK_EQ(checker.violations().back().name, "wait.leaked");
    CHECK_EQ(checker.open_count(), 0);
    WaitChecker bounded({.max_open = 1});
    auto first = bounded.called(usual.call);
    CHECK_EQ(bounded.called(usual.call), 0);
    bounded.answered(first, usual.reply, usual.now);
    CHECK_EQ(bounded.verdict().outcome, Outcome::Inconclusive);
}
