// For every invariant a sequence of events that breaks it, next to one that does not.
#include "sim/check/raft_invariants.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

namespace {

// Group 1; nodes, terms and indexes as plain numbers.
struct Watch {
    RaftInvariants raft;
    uint64_t sequence = 0;
    GroupId group{1};

    explicit Watch(RaftInvariantsOptions options = {}) : raft(options) {}
    Stamp now() { return {Instant{static_cast<int64_t>(++sequence)}, sequence}; }
    void elect(uint64_t node, uint64_t term) {
        raft.leader_elected(now(), group, NodeId(node), Term(term));
    }
    void append(uint64_t node, uint64_t index, uint64_t term, uint64_t hash = 0) {
        raft.append(now(), group, NodeId(node), LogIndex(index), Term(term),
                    hash ? hash : index * 100 + term);
    }
    void truncate(uint64_t node, uint64_t from) {
        raft.truncate(now(), group, NodeId(node), LogIndex(from));
    }
    void durable(uint64_t node, uint64_t index) {
        raft.durable(now(), group, NodeId(node), LogIndex(index));
    }
    void commit(uint64_t node, uint64_t index) {
        raft.commit(now(), group, NodeId(node), LogIndex(index));
    }
    void apply(uint64_t node, uint64_t index, uint64_t term, uint64_t hash = 0) {
        raft.apply(now(), group, NodeId(node), LogIndex(index), Term(term),
                   hash ? hash : index * 100 + term);
    }
    void restart(uint64_t node) {
        raft.crash(now(), NodeId(node));
        raft.restart(now(), NodeId(node));
    }
    void recovered(uint64_t node, uint64_t last, uint64_t last_term, uint64_t applied) {
        raft.recovered(now(), group, NodeId(node), LogIndex(last), Term(last_term),
                       LogIndex(applied));
    }
    void snapshot(uint64_t node, uint64_t index, uint64_t term) {
        raft.snapshot_installed(now(), group, NodeId(node), LogIndex(index), Term(term));
    }
    /// Appended, durable and committed on nodes 1 and 2 (leader 1, term 1), up to `index`.
    void replicate(uint64_t index) {
        elect(1, 1);
        for (uint64_t node : {1, 2}) {
            for (uint64_t i = 1; i <= index; ++i) append(node, i, 1);
            durable(node, index);
        }
        commit(1, index);
        commit(2, index);
    }
    std::string found() const {
        std::string out;
        for (const Violation& violation : raft.violations())
            out += (out.empty() ? "" : " ") + violation.name;
        return out;
    }
};

}  // namespace

TEST_CASE(
    "raft invariants: an ordinary life of a group is clean (elections, conflict, restart, "
    "snapshot, apply)") {
    Watch watch;
    watch.raft.voters(watch.group, {NodeId(1), NodeId(2), NodeId(3)});
    watch.replicate(3);
    for (uint64_t i = 1; i <= 3; ++i) watch.apply(1, i, 1), watch.apply(2, i, 1);
    watch.append(1, 4, 1);  // never replicated
    watch.durable(1, 4);
    watch.elect(2, 2);
    watch.append(2, 4, 2);
    watch.durable(2, 4);
    watch.truncate(1, 4);
    watch.append(1, 4, 2);
    watch.durable(1, 4);
    watch.commit(2, 4);
    watch.commit(1, 4);
    watch.apply(1, 4, 2);
    watch.restart(1);
    watch.recovered(1, 4, 2, 2);
    watch.commit(1, 4);
    watch.apply(1, 3, 1);
    watch.apply(1, 4, 2);
    watch.snapshot(3, 4, 2);
    watch.append(3, 5, 2);
    watch.durable(3, 5);
    watch.append(2, 5, 2);
    watch.durable(2, 5);
    watch.commit(2, 5);
    watch.commit(3, 5);
    watch.apply(3, 5, 2);
    watch.elect(3, 3);
    CHECK_EQ(watch.found(), "");
    CHECK_EQ(watch.raft.verdict().outcome, Outcome::Pass);
    CHECK_EQ(watch.raft.unverified(), 0);
    CHECK_EQ(RaftInvariants().verdict().outcome, Outcome::Inconclusive);
}

TEST_CASE("raft invariants: two leaders of one term") {
    Watch watch;
    watch.elect(1, 5);
    watch.elect(1, 5);
    watch.elect(2, 6);
    CHECK_EQ(watch.found(), "");
    watch.elect(3, 6);
    CHECK_EQ(watch.found(), "raft.election-safety");
    CHECK_EQ(watch.raft.violations()[0].signature(), "raft.election-safety@election");
    CHECK(watch.raft.violations()[0].text.find("leader is node 2 already") != std::string::npos);
}

TEST_CASE(
    "raft invariants: a term that goes back; a second vote in a term (across a restart, not a "
    "wipe)") {
    Watch watch;
    watch.raft.term(watch.now(), watch.group, NodeId(1), Term(4));
    watch.raft.voted(watch.now(), watch.group, NodeId(1), Term(4), NodeId(2));
    watch.restart(1);
    watch.raft.voted(watch.now(), watch.group, NodeId(1), Term(4), NodeId(2));
    CHECK_EQ(watch.found(), "");
    watch.raft.wipe(watch.now(), NodeId(1));
    watch.raft.voted(watch.now(), watch.group, NodeId(1), Term(4), NodeId(3));
    CHECK_EQ(watch.found(), "");
    watch.restart(1);
    watch.raft.voted(watch.now(), watch.group, NodeId(1), Term(4), NodeId(2));
    CHECK_EQ(watch.found(), "raft.vote-once");
    watch.raft.term(watch.now(), watch.group, NodeId(1), Term(3));
    CHECK_EQ(watch.found(), "raft.vote-once raft.monotone-term");
}

TEST_CASE("raft invariants: log matching (other entry, same entry behind other entries)") {
    Watch differs;
    differs.append(1, 1, 1, 7);
    differs.append(2, 1, 1, 7);
    CHECK_EQ(differs.found(), "");
    differs.append(3, 1, 1, 8);
    CHECK_EQ(differs.found(), "raft.log-matching");
    Watch prefix;
    prefix.append(1, 1, 1);
    prefix.append(1, 2, 3);
    prefix.append(2, 1, 2);
    prefix.append(2, 2, 3);
    CHECK_EQ(prefix.found(), "raft.log-matching");
    CHECK(prefix.raft.violations()[0].text.find("follows other entries") != std::string::npos);
}

TEST_CASE("raft invariants: a gap, a durable index beyond the log, a commit beyond the log") {
    Watch gap;
    gap.append(1, 1, 1);
    gap.append(1, 3, 1);
    CHECK_EQ(gap.found(), "raft.log-gap");
    Watch durable;
    durable.append(1, 1, 1);
    durable.durable(1, 2);
    CHECK_EQ(durable.found(), "raft.durable-beyond-log");
    Watch commit;
    commit.append(1, 1, 1);
    commit.commit(1, 2);
    CHECK_EQ(commit.found(), "raft.commit-beyond-log");
}

TEST_CASE("raft invariants: leader completeness (short log, other entry, stale leader excused)") {
    Watch shorter;
    shorter.replicate(3);
    shorter.append(3, 1, 1);
    shorter.elect(2, 2);
    CHECK_EQ(shorter.found(), "");
    shorter.elect(3, 3);
    CHECK_EQ(shorter.found(), "raft.leader-completeness");
    CHECK(shorter.raft.violations()[0].text.find(
              "ends at index 1, though index 3 was committed in term 1") != std::string::npos);
    Watch other;
    other.replicate(2);
    other.append(3, 1, 1);
    other.append(3, 2, 2);
    other.elect(3, 3);
    CHECK_EQ(other.found(), "raft.leader-completeness");
    // The votes of term 2 arrive when term 3 has committed already: no entry of a term before 2 is
    // missing.
    Watch stale;
    stale.elect(1, 3);
    for (uint64_t node : {1, 2}) stale.append(node, 1, 3), stale.durable(node, 1);
    stale.commit(1, 1);
    stale.elect(3, 2);
    CHECK_EQ(stale.found(), "");
}

TEST_CASE(
    "raft invariants: committing an entry of an earlier term by count (figure 8) is seen at once, and "
    "when it is lost") {
    Watch watch;
    for (uint64_t node : {1, 2, 5}) watch.append(node, 1, 1);
    watch.elect(1, 2);
    watch.append(1, 2, 2);
    watch.append(2, 2, 2);
    watch.elect(5, 3);
    watch.append(5, 2, 3);
    watch.elect(1, 4);
    watch.append(3, 1, 1);
    watch.append(3, 2, 2);
    watch.commit(1, 2);
    CHECK_EQ(watch.found(), "raft.commit-old-term");
    watch.elect(5, 5);
    CHECK_EQ(watch.found(), "raft.commit-old-term raft.leader-completeness");
}

TEST_CASE("raft invariants: a commit index goes back within a life, not over a restart") {
    Watch watch;
    watch.replicate(3);
    watch.restart(2);
    watch.recovered(2, 3, 1, 0);
    watch.commit(2, 2);
    CHECK_EQ(watch.found(), "");
    watch.commit(2, 1);
    CHECK_EQ(watch.found(), "raft.monotone-commit");
}

TEST_CASE("raft invariants: a leader that commits an entry of an earlier term by counting replicas") {
    Watch watch;
    watch.replicate(1);
    for (uint64_t node : {1, 2}) {
        watch.append(node, 2, 1);
        watch.durable(node, 2);
    }
    watch.elect(2, 3);
    watch.append(2, 3, 3);
    watch.commit(2, 2);
    CHECK_EQ(watch.found(), "raft.commit-old-term");
    Watch together;  // with an entry of its own term it is right
    together.replicate(1);
    for (uint64_t node : {1, 2}) {
        together.append(node, 2, 1);
        together.durable(node, 2);
    }
    together.elect(2, 3);
    for (uint64_t node : {1, 2}) {
        together.append(node, 3, 3);
        together.durable(node, 3);
    }
    together.commit(2, 3);
    CHECK_EQ(together.found(), "");
}

TEST_CASE("raft invariants: two entries committed at one index, and a committed entry cut away") {
    Watch watch;
    watch.replicate(2);
    watch.append(3, 1, 1);
    watch.append(3, 2, 2);
    watch.commit(3, 2);
    CHECK_EQ(watch.found(), "raft.commit-safety");
    Watch beyond;  // higher than what is committed, on top of another entry
    beyond.replicate(2);
    beyond.append(3, 1, 1);
    beyond.append(3, 2, 2);
    beyond.append(3, 3, 2);
    beyond.commit(3, 3);
    CHECK_EQ(beyond.found(), "raft.commit-safety");
    Watch cut;
    cut.replicate(2);
    cut.append(1, 3, 1);
    cut.truncate(1, 3);
    CHECK_EQ(cut.found(), "");
    cut.truncate(1, 2);
    CHECK_EQ(cut.found(), "raft.truncated-committed");
    Watch overwritten;
    overwritten.replicate(2);
    overwritten.append(2, 2, 2);
    CHECK_EQ(overwritten.found(), "raft.truncated-committed");
}

TEST_CASE(
    "raft invariants: a commit that is not durable on a majority (also of the outgoing half)") {
    auto prepared = [](uint64_t durable_on_2) {
        Watch watch;
        watch.raft.voters(watch.group, {NodeId(1), NodeId(2), NodeId(3)});
        for (uint64_t node : {1, 2}) watch.append(node, 1, 1);
        watch.durable(1, 1);
        if (durable_on_2) watch.durable(2, 1);
        return watch;
    };
    Watch good = prepared(1);
    good.commit(1, 1);
    CHECK_EQ(good.found(), "");
    Watch bad = prepared(0);
    bad.commit(1, 1);
    CHECK_EQ(bad.found(), "raft.commit-without-quorum");
    Watch joint = prepared(1);
    joint.raft.voters(joint.group, {NodeId(1), NodeId(2), NodeId(3)},
                      {NodeId(1), NodeId(4), NodeId(5)});
    joint.commit(1, 1);
    CHECK_EQ(joint.found(), "raft.commit-without-quorum");
}

TEST_CASE("raft invariants: a commit is judged by the leader's own configuration, and by lives of its voters") {
    using Voter = RaftInvariants::Voter;
    auto life = [](uint64_t node, uint64_t replica) { return Voter{NodeId(node), ReplicaId(replica)}; };
    auto prepared = [&](std::vector<uint64_t> durable_on) {
        Watch watch;
        for (uint64_t node : {1, 2, 3, 4}) {
            watch.raft.replica_is(watch.group, NodeId(node), ReplicaId(10 + node));
            watch.raft.configuration(watch.group, NodeId(node), {life(1, 11), life(2, 12), life(3, 13)}, {});
        }
        watch.elect(1, 1);
        for (uint64_t node : {1, 2, 3, 4}) watch.append(node, 1, 1);
        for (uint64_t node : durable_on) watch.durable(node, 1);
        return watch;
    };
    Watch learner = prepared({1, 4});  // node 4 holds it, and is no voter
    learner.commit(1, 1);
    CHECK_EQ(learner.found(), "raft.commit-without-quorum");
    Watch joint = prepared({1, 4});  // a majority of the new half only
    joint.raft.configuration(joint.group, NodeId(1), {life(1, 11), life(4, 14)}, {life(1, 11), life(2, 12), life(3, 13)});
    joint.commit(1, 1);
    CHECK_EQ(joint.found(), "raft.commit-without-quorum");
    Watch left = prepared({1, 4});  // the leader has left the joint one; a follower that still is in it decides nothing
    left.raft.configuration(left.group, NodeId(4), {life(1, 11), life(4, 14)}, {life(1, 11), life(2, 12), life(3, 13)});
    left.commit(4, 1);
    left.raft.configuration(left.group, NodeId(1), {life(1, 11), life(4, 14)}, {});
    left.commit(1, 1);
    CHECK_EQ(left.found(), "");
    Watch replaced = prepared({1, 2});  // what node 2 held is gone with its old life
    replaced.raft.configuration(replaced.group, NodeId(1), {life(1, 11), life(2, 92), life(3, 13)}, {});
    replaced.commit(1, 1);
    CHECK_EQ(replaced.found(), "raft.commit-without-quorum");
}

TEST_CASE("raft invariants: applied in order, committed, durable, and the same everywhere") {
    Watch order;
    order.replicate(3);
    order.apply(1, 1, 1);
    order.apply(1, 2, 1);
    CHECK_EQ(order.found(), "");
    order.apply(1, 2, 1);
    CHECK_EQ(order.found(), "raft.monotone-applied");
    Watch early;
    early.replicate(1);
    early.append(1, 2, 1);
    early.durable(1, 2);
    early.apply(1, 1, 1);
    early.apply(1, 2, 1);
    CHECK_EQ(early.found(), "raft.applied-beyond-commit");
    Watch unsynced;
    unsynced.append(1, 1, 1);
    unsynced.commit(1, 1);
    unsynced.apply(1, 1, 1);
    CHECK_EQ(unsynced.found(), "raft.applied-beyond-durable");
    Watch differs;
    differs.replicate(1);
    differs.apply(1, 1, 1);
    differs.apply(2, 1, 1, 999);
    CHECK_EQ(differs.found(),
             "raft.state-machine-safety raft.state-machine-safety");  // its log's, and node 1's
}

TEST_CASE(
    "raft invariants: recovery keeps what was durable, and may bring an unsynced cut's tail back") {
    Watch lost;
    lost.append(1, 1, 1);
    lost.append(1, 2, 1);
    lost.durable(1, 1);
    lost.restart(1);
    lost.recovered(1, 1, 1, 0);
    CHECK_EQ(lost.found(), "");
    lost.append(1, 2, 1);
    lost.durable(1, 2);
    lost.restart(1);
    lost.recovered(1, 1, 1, 0);
    CHECK_EQ(lost.found(), "raft.durable-lost");

    auto cut = [](bool cut_is_durable) {
        Watch watch;
        for (uint64_t i = 1; i <= 3; ++i) watch.append(1, i, 1);
        watch.durable(1, 3);
        watch.truncate(1, 2);
        watch.append(1, 2, 2);
        if (cut_is_durable) watch.durable(1, 2);
        watch.restart(1);
        watch.recovered(1, 3, 1, 0);
        return watch;
    };
    Watch back = cut(false);
    back.append(1, 4, 3);
    CHECK_EQ(back.found(), "");
    CHECK_EQ(cut(true).found(), "raft.durable-lost");
    Watch never;
    never.append(1, 1, 1);
    never.restart(1);
    never.recovered(1, 1, 9, 0);
    CHECK_EQ(never.found(), "raft.durable-lost");
}

TEST_CASE(
    "raft invariants: a snapshot of what is not committed, of another term, or older than the "
    "state") {
    Watch good;
    good.replicate(3);
    good.snapshot(3, 2, 1);
    CHECK_EQ(good.found(), "");
    good.snapshot(3, 1, 1);
    CHECK_EQ(good.found(), "raft.monotone-applied");
    Watch uncommitted;
    uncommitted.replicate(1);
    uncommitted.snapshot(3, 2, 1);
    CHECK_EQ(uncommitted.found(), "raft.snapshot-uncommitted");
    Watch other;
    other.replicate(2);
    other.snapshot(3, 2, 7);
    CHECK_EQ(other.found(), "raft.snapshot-uncommitted");
}

TEST_CASE(
    "raft invariants: memory stays bounded (all applied; one replica stays behind) and checks go "
    "on") {
    Watch applied({.keep_entries = 100, .max_entries = 10'000});
    applied.elect(1, 1);
    for (uint64_t i = 1; i <= 20'000; ++i)
        for (uint64_t node : {1, 2, 3}) {
            applied.append(node, i, 1);
            applied.durable(node, i);
            applied.commit(node, i);
            applied.apply(node, i, 1);
        }
    CHECK_EQ(applied.found(), "");
    CHECK(applied.raft.entries_held() < 3'000);
    CHECK_EQ(applied.raft.unverified(), 0);
    applied.append(1, 20'001, 1, 5);
    applied.append(2, 20'001, 1, 6);
    applied.elect(9, 2);
    CHECK_EQ(applied.found(), "raft.log-matching raft.leader-completeness");

    Watch behind({.keep_entries = 100, .max_entries = 1'000});
    behind.append(3, 1, 1);  // and never again
    for (uint64_t i = 1; i <= 20'000; ++i) {
        behind.append(1, i, 1);
        behind.durable(1, i);
        behind.commit(1, i);
        behind.apply(1, i, 1);
    }
    CHECK_EQ(behind.found(), "");
    CHECK(behind.raft.entries_held() < 5'000);
}

TEST_CASE("raft invariants: groups are apart") {
    Watch watch;
    watch.elect(1, 1);
    watch.group = GroupId(2);
    watch.elect(2, 1);
    watch.append(2, 1, 1, 5);
    CHECK_EQ(watch.found(), "");
}
