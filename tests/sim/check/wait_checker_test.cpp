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

namespace {

// A leader's answer about index 7 of three members, of whom all hold it, and what a checker finds in it.
struct LeaderCase {
    LeaderAnswer answer{.members = 2, .target = LogIndex(7), .count = 2, .at = at_ms(10)};
    LeaderTruth now{.leader = NodeId(1),
                    .required = {{NodeId(1), ReplicaId(11), true}, {NodeId(2), ReplicaId(22), true}, {NodeId(3), ReplicaId(33), true}}};

    std::string found() const {
        WaitChecker checker;
        checker.leader_answered(answer, now);
        CHECK_EQ(checker.leader_answers(), 1);
        std::string out;
        for (const Violation& violation : checker.violations()) out += (out.empty() ? "" : " ") + violation.name;
        return out;
    }
};

LeaderCase leader_all() {
    LeaderCase all;
    all.answer.kind = LeaderAnswer::Kind::WaitAll;
    all.answer.members = all.answer.count = 0;
    all.answer.acked = all.answer.required = 3;
    return all;
}

std::string names_in(const WaitChecker& checker) {
    std::string out;
    for (const Violation& violation : checker.violations()) out += (out.empty() ? "" : " ") + violation.name;
    return out;
}

}  // namespace

TEST_CASE("leader's wait: no more than truly hold it, no more than there are, the leader never among them (W1, W11)") {
    CHECK_EQ(LeaderCase{}.found(), "");
    LeaderCase lacking;
    lacking.now.required[2].holds = false;
    CHECK_EQ(lacking.found(), "wait.overcount");
    lacking.answer.count = 1;
    lacking.answer.members = 1;
    CHECK_EQ(lacking.found(), "");
    LeaderCase more;
    more.answer.count = 3;
    CHECK_EQ(more.found(), "wait.wrong-members");
    // A node whose old replica held it and whose new one does not.
    LeaderCase replaced;
    replaced.now.required.push_back({NodeId(3), ReplicaId(34), false});
    replaced.answer.members = replaced.answer.count = 3;
    CHECK_EQ(replaced.found(), "wait.overcount");
}

TEST_CASE("leader's wait: not before it is so, and not held until the time is up when it is so (W4, W9)") {
    LeaderCase early;
    early.answer.count = 1;
    CHECK_EQ(early.found(), "wait.early");
    early.answer.timed_out = true;
    CHECK_EQ(early.found(), "");
    LeaderCase hung;  // also: more than there are means all
    hung.answer.members = 5;
    CHECK_EQ(hung.found(), "");
    hung.answer.timed_out = true;
    CHECK_EQ(hung.found(), "wait.hung");
    hung.now.own_term_committed = false;  // then it may not say more yet
    CHECK_EQ(hung.found(), "");
}

TEST_CASE("leader's waitaof: its own sync counts apart, and only when it is so") {
    LeaderCase aof;
    aof.answer.kind = LeaderAnswer::Kind::WaitAof;
    aof.answer.local = aof.answer.local_synced = true;
    CHECK_EQ(aof.found(), "");
    LeaderCase unsynced = aof;
    unsynced.now.required[0].holds = false;
    CHECK_EQ(unsynced.found(), "wait.overcount");
    LeaderCase early = aof;
    early.answer.local_synced = false;
    CHECK_EQ(early.found(), "wait.early");
    early.answer.timed_out = true;
    CHECK_EQ(early.found(), "");
}

TEST_CASE("leader's waitall: exactly R, replica by replica, each named that does not hold it (W2, W10, W11)") {
    CHECK_EQ(leader_all().found(), "");
    LeaderCase unheld = leader_all();
    unheld.now.required[0].holds = false;  // the leader itself
    CHECK_EQ(unheld.found(), "wait.all-not-held");
    LeaderCase grown = leader_all();
    grown.now.required.push_back({NodeId(4), ReplicaId(44), true});
    CHECK_EQ(grown.found(), "wait.wrong-members");
    LeaderCase shrunk = leader_all();
    shrunk.now.required.pop_back();
    CHECK_EQ(shrunk.found(), "wait.wrong-members");
    LeaderCase partial = leader_all();
    partial.answer.timed_out = true;
    partial.answer.acked = 2;
    partial.answer.missing = {NodeId(3)};
    partial.now.required[2].holds = false;
    CHECK_EQ(partial.found(), "");
    LeaderCase other = partial;
    other.answer.missing = {NodeId(2)};
    CHECK_EQ(other.found(), "wait.missing-inexact");
    LeaderCase nobody = partial;
    nobody.answer.missing = {NodeId(9)};
    CHECK_EQ(nobody.found(), "wait.wrong-members wait.missing-inexact");
    LeaderCase sum = partial;
    sum.answer.acked = 1;
    CHECK_EQ(sum.found(), "wait.missing-inexact");
    LeaderCase early = partial;
    early.answer.timed_out = false;
    CHECK_EQ(early.found(), "wait.early");
    // Two replicas of one node are required while it is replaced: one missing is not both.
    LeaderCase both = partial;
    both.now.required.push_back({NodeId(3), ReplicaId(34), false});
    both.answer.required = 4;
    both.answer.missing = {NodeId(3)};
    both.answer.acked = 3;
    CHECK_EQ(both.found(), "wait.missing-inexact");
    both.answer.missing = {NodeId(3), NodeId(3)};
    both.answer.acked = 2;
    CHECK_EQ(both.found(), "");
}

TEST_CASE("leader's waitall: success of a leader that heard nobody is vacuous, but in a group of one (W5, W12)") {
    LeaderCase alone = leader_all();
    alone.now.heard_since_call = false;
    CHECK_EQ(alone.found(), "wait.vacuous");
    LeaderCase one = leader_all();
    one.now.heard_since_call = false;
    one.now.required.resize(1);
    one.answer.acked = one.answer.required = 1;
    CHECK_EQ(one.found(), "");
}

TEST_CASE("wait: what a server owes beside the numbers: time (W6), order (W8), progress (W9), one answer and no leftovers (W13)") {
    WaitChecker checker;
    checker.took(at_ms(600), Duration::millis(500), Duration::millis(550), Duration::millis(50));
    checker.took(at_ms(600), Duration(), Duration::seconds(900), Duration::millis(50));  // no limit in time
    checker.idle_round(at_ms(700), Duration::millis(20), Duration::millis(100));
    checker.left_over(at_ms(700), NodeId(2), 0);
    CHECK_EQ(names_in(checker), "");
    checker.took(at_ms(700), Duration::millis(500), Duration::millis(560), Duration::millis(50));
    CHECK_EQ(names_in(checker), "wait.late");
    checker.idle_round(at_ms(700), Duration::millis(101), Duration::millis(100));
    CHECK_EQ(names_in(checker), "wait.late wait.stalled");
    checker.left_over(at_ms(700), NodeId(2), 1);
    CHECK_EQ(names_in(checker), "wait.late wait.stalled wait.leaked");
    checker.twice(at_ms(700), 8);
    checker.overtaken(at_ms(700), "a write");
    CHECK_EQ(names_in(checker), "wait.late wait.stalled wait.leaked wait.replied-twice wait.overtaken");
    WaitChecker slow({.slow_ppm = 100'000});  // 500 ms of such a clock are 556 ms
    slow.took(at_ms(700), Duration::millis(500), Duration::millis(605), Duration::millis(50));
    CHECK_EQ(names_in(slow), "");
    slow.took(at_ms(700), Duration::millis(500), Duration::millis(607), Duration::millis(50));
    CHECK_EQ(names_in(slow), "wait.late");
}
