// The behaviours that any Raft must show, one situation each, on the harness of cluster.h.
#include "tools/raft_script/cluster.h"

#include <doctest/doctest.h>

#include <map>

namespace orrery::raft::script {
namespace {

Message say(uint64_t from, uint64_t to, uint64_t term, Message::Body body) {
    return {member(from), member(to), Term(term), std::move(body)};
}

/// Candidate requests reach a voter without pre-vote getting in the way; time does not matter for leaders heard.
Options plain() {
    Options options = default_options();
    options.pre_vote = options.check_quorum = false;
    return options;
}

Cluster three(Options options = default_options()) { return Cluster(3, voters({1, 2, 3}), options); }

Cluster led(Options options = default_options()) {
    Cluster c = three(options);
    c.timeout(1);
    c.settle();
    return c;
}

template <typename Body>
const Body* last_answer(Cluster& c, uint64_t from, uint64_t to) {
    const Body* found = nullptr;
    for (const Parcel& p : c.queue())
        if (p.message.from == member(from) && p.message.to == member(to))
            if (const auto* body = std::get_if<Body>(&p.message.body)) found = body;
    return found;
}

/// What node `to` answers to a vote request. Nothing: no answer.
std::optional<bool> ask_vote(Cluster& c, uint64_t from, uint64_t to, uint64_t term, LogPosition last) {
    c.drop_from_to(to, from);
    c[to].step(c.now(), say(from, to, term, Vote{last}));
    c.pump(to);
    const auto* reply = last_answer<VoteReply>(c, to, from);
    return reply ? std::optional(reply->granted) : std::nullopt;
}

LogPosition position(uint64_t term, uint64_t index) { return {LogIndex(index), Term(term)}; }

Entry entry(uint64_t term, uint64_t index, std::string text) {
    return {Term(term), LogIndex(index), EntryKind::Data, std::make_shared<const Bytes>(std::move(text))};
}

}  // namespace

TEST_CASE("raft core: one timeout makes a leader that all follow, at one commit (RB01)") {
    Cluster c = led();
    CHECK(c.violation() == "");
    CHECK(c[1].role() == Role::Leader);
    for (uint64_t id = 1; id <= 3; ++id) {
        CHECK(c[id].term() == Term(1));
        CHECK(c[id].leader() == member(1));
        CHECK(c[id].commit() == LogIndex(1));
        CHECK(c[id].applied_index() == LogIndex(1));
    }
}

TEST_CASE("raft core: a lone node leads without messages and commits after its own sync (RB02)") {
    Cluster c(1, voters({1}));
    c.timeout(1);
    CHECK(c[1].role() == Role::Leader);
    CHECK(c.queue().empty());
    c.hold(1);
    LogIndex index = c.propose(1, "a").value();
    CHECK(c[1].commit() < index);
    c.release(1);
    CHECK(c[1].commit() == index);
    REQUIRE(c.read(1, 5).ok());
    CHECK(c.at(1).reads_ready.size() == 1);
}

TEST_CASE("raft core: a lone node does not lead before its own vote is durable") {
    Cluster c(1, voters({1}));
    c.hold(1);
    c.timeout(1);
    CHECK(c[1].role() == Role::Candidate);
    c.release(1);
    CHECK(c[1].role() == Role::Leader);
}

TEST_CASE("raft core: of two candidates in one term the first asked wins (RB03)") {
    Cluster c = three(plain());
    c.timeout(1);
    c.timeout(2);
    c.settle();
    CHECK(c.violation() == "");
    CHECK((c[1].role() == Role::Leader) != (c[2].role() == Role::Leader));
    CHECK(c[3].leader() == member(c.leader()));
}

TEST_CASE("raft core: a vote outlives a power loss (RB04)") {
    Cluster c = three(plain());
    CHECK(ask_vote(c, 1, 3, 5, {}) == true);
    c.crash(3);
    c.restart(3);
    CHECK(ask_vote(c, 2, 3, 5, {}) == false);
    CHECK(ask_vote(c, 1, 3, 5, {}) == true);
}

TEST_CASE("raft core: a vote and an acknowledgement wait for the sync") {
    Cluster c = three(plain());
    c.hold(3);
    CHECK(ask_vote(c, 1, 3, 5, {}) == std::nullopt);
    c.sync_one(3);
    c.pump(3);
    CHECK(last_answer<VoteReply>(c, 3, 1)->granted);
    c.drop_all();
    c[3].step(c.now(), say(1, 3, 5, Append{{}, {entry(5, 1, "a")}, LogIndex(0), 0}));
    c.pump(3);
    CHECK(last_answer<AppendReply>(c, 3, 1) == nullptr);
    c.release(3);
    CHECK(last_answer<AppendReply>(c, 3, 1)->state.match == LogIndex(1));
}

TEST_CASE("raft core: a vote does not wait for entries whose attachments are not synced yet") {
    Cluster c = three(plain());
    c.hold(3);
    c[3].step(c.now(), say(1, 3, 1, Append{{}, {entry(1, 1, "a")}, LogIndex(0), 0}));
    c.pump(3);
    c[3].step(c.now(), say(2, 3, 2, Vote{position(1, 1)}));
    c.pump(3);
    CHECK(last_answer<VoteReply>(c, 3, 2) == nullptr);
    c[3].hard_state_persisted(c.now(), c.at(3).unsynced.back().sequence);
    c.pump(3);
    REQUIRE(last_answer<VoteReply>(c, 3, 2) != nullptr);
    CHECK(c[3].durable() == LogIndex(0));
}

TEST_CASE("raft core: votes go to logs that are up to date only (RB05)") {
    Cluster c = three(plain());
    c.preset(3, {Term(3), {}}, {{1, "a"}, {3, "b"}});
    CHECK(ask_vote(c, 1, 3, 4, position(2, 9)) == false);
    CHECK(ask_vote(c, 1, 3, 5, position(3, 1)) == false);
    CHECK(ask_vote(c, 1, 3, 6, position(3, 2)) == true);
}

TEST_CASE("raft core: votes of an earlier term and repeated votes are not counted (RB07)") {
    Cluster c(5, voters({1, 2, 3, 4, 5}), plain());
    c.timeout(1);
    c.timeout(1);
    CHECK(c[1].term() == Term(2));
    for (uint64_t from : {2, 3, 4}) c[1].step(c.now(), say(from, 1, 1, VoteReply{.granted = true}));
    CHECK(c[1].role() == Role::Candidate);
    for (int i = 0; i < 3; ++i) c[1].step(c.now(), say(2, 1, 2, VoteReply{.granted = true}));
    CHECK(c[1].role() == Role::Candidate);
    c[1].step(c.now(), say(3, 1, 2, VoteReply{.granted = true}));
    CHECK(c[1].role() == Role::Leader);
}

TEST_CASE("raft core: a node that was cut off comes back without disturbing anyone (RB09)") {
    Cluster c = led();
    c.cut_off(3);
    for (int i = 0; i < 10; ++i) c.timeout(3);
    c.run(Duration::seconds(2));
    CHECK(c[3].term() == Term(1));
    c.heal();
    c.run(Duration::seconds(3));
    CHECK(c[1].role() == Role::Leader);
    CHECK(c[1].term() == Term(1));
    CHECK(c[3].leader() == member(1));
}

TEST_CASE("raft core: a log that is behind wins no pre-vote (RB10)") {
    Cluster c = led();
    c.cut_off(2);
    c.propose(1, "a").value();
    c.settle();
    c.heal();
    c.timeout(2);
    c.settle();
    CHECK(c[2].term() == Term(1));
    CHECK(c[1].role() == Role::Leader);
}

TEST_CASE("raft core: a leader that restarts is not locked out by those who still believe in it") {
    Cluster c = led();
    c.crash(1);
    c.restart(1);
    c.timeout(1);
    c.settle();
    CHECK(c[1].role() == Role::Leader);
    CHECK(c[1].term() == Term(2));
}

TEST_CASE("raft core: nobody unseats a leader that is heard; silence does") {
    Cluster c = led();
    c.timeout(2);
    c.settle();
    CHECK(c[1].role() == Role::Leader);
    CHECK(c[2].term() == Term(1));
    CHECK(ask_vote(c, 2, 3, 9, position(9, 99)) == std::nullopt);
    CHECK(c[3].term() == Term(1));
}

TEST_CASE("raft core: a leader that hears nobody steps down in its own term (RB12)") {
    Cluster c = led();
    c.cut_off(1);
    CHECK(c.read(1, 1).ok());
    c.run(Duration::millis(1100));
    CHECK(c[1].role() != Role::Leader);
    CHECK(c[1].term() == Term(1));
    CHECK(c[1].propose(c.now(), nullptr).failed_with(Code::NotLeader));
    CHECK(c[1].read_index(c.now(), 2).failed_with(Code::NotLeader));
    REQUIRE(c.at(1).reads_failed.size() == 1);
    CHECK(c.at(1).reads_failed[0].code == Code::NotLeader);
}

TEST_CASE("raft core: learners, strangers and passive nodes never campaign (RB15)") {
    Cluster c(4, voters({1, 2}, {}, {3}));
    for (uint64_t id : {3, 4}) {
        c.timeout(id);
        CHECK(c[id].role() == Role::Follower);
        CHECK(c[id].next_deadline() == Instant::never());
    }
    c[2].set_campaign_allowed(c.now(), false);
    c.timeout(2);
    CHECK(c[2].role() == Role::Follower);
    c.timeout(1);
    c.settle();
    CHECK(c[1].role() == Role::Leader);  // it voted all the same
    c.propose(1, "a").value();
    c.settle();
    CHECK(c[3].applied_index() == LogIndex(2));
    REQUIRE(c[1].transfer(c.now(), NodeId(2)).ok());
    c.pump(1);
    c.settle();
    REQUIRE(c.at(2).refusals.size() == 1);
    CHECK(c.at(2).refusals[0].reason == RefusalReason::CampaignGate);
    CHECK(c[1].role() == Role::Leader);
}

TEST_CASE("raft core: logs of the paper's figure 7 become the leader's (RB16)") {
    using Log = std::vector<uint64_t>;
    const std::vector<Log> logs = {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6},
                                   {1, 1, 1, 4, 4, 5, 5, 6, 6},
                                   {1, 1, 1, 4},
                                   {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
                                   {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
                                   {1, 1, 1, 4, 4, 4, 4},
                                   {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}};
    Cluster c(7, voters({1, 2, 3, 4, 5, 6, 7}), plain());
    for (uint64_t id = 1; id <= 7; ++id) {
        std::vector<std::pair<uint64_t, std::string>> log;
        for (uint64_t term : logs[id - 1])
            log.push_back({term, std::to_string(term) + "@" + std::to_string(log.size())});
        c.preset(id, {Term(7), {}}, log, 3);
    }
    c.timeout(1);
    c.settle();
    CHECK(c.violation() == "");
    CHECK(c[1].role() == Role::Leader);
    for (uint64_t id = 2; id <= 7; ++id) CHECK(c.log_text(id) == c.log_text(1));
    CHECK(c[1].commit() == LogIndex(11));
}

TEST_CASE("raft core: an entry of an earlier term commits only under one of the own term (RB17)") {
    Options options = plain();
    options.max_append_entries = 1;
    Cluster c(5, voters({1, 2, 3, 4, 5}), options);
    c.preset(1, {Term(3), {}}, {{1, "a"}, {2, "b"}});
    c.preset(2, {Term(3), {}}, {{1, "a"}, {2, "b"}});
    for (uint64_t id : {3, 4}) c.preset(id, {Term(3), {}}, {{1, "a"}});
    c.preset(5, {Term(3), {}}, {{1, "a"}, {3, "x"}});
    c.cut_off(5);
    c.timeout(1);
    bool seen = false;  // the old entry on three disks, the leader's own on two
    while (!c.queue().empty()) {
        c.deliver(0);
        if (c[1].role() != Role::Leader) continue;
        auto members = c[1].status(c.now()).members;
        seen = seen || (members[2].match == LogIndex(2) && members[3].match < LogIndex(3));
        if (members[2].match < LogIndex(3)) CHECK(c[1].commit() == LogIndex(0));
    }
    CHECK(seen);
    CHECK(c.violation() == "");
    CHECK(c[1].commit() == LogIndex(3));
}

TEST_CASE("raft core: a delayed older append removes nothing (RB18)") {
    Cluster c = three(plain());
    std::vector<Entry> five;
    for (uint64_t i = 1; i <= 5; ++i) five.push_back(entry(1, i, std::to_string(i)));
    c[3].step(c.now(), say(1, 3, 1, Append{{}, five, LogIndex(0), 0}));
    c.pump(3);
    c[3].step(c.now(), say(1, 3, 1, Append{position(1, 1), {five[1]}, LogIndex(0), 0}));
    c.pump(3);
    CHECK(c[3].log().last() == position(1, 5));
    CHECK(c[3].durable() == LogIndex(5));
}

TEST_CASE("raft core: what a message does not vouch for is not committed") {
    Cluster c = three(plain());
    c.preset(3, {Term(2), {}}, {{1, "a"}, {1, "old"}, {1, "old"}});
    c[3].step(c.now(), say(1, 3, 3, Append{position(1, 1), {}, LogIndex(3), 0}));
    c.pump(3);
    CHECK(c[3].commit() == LogIndex(1));
}

TEST_CASE("raft core: a follower whose replies were lost learns the commit by heartbeats (RB20)") {
    Options options = default_options();
    options.eager_commit = false;
    Cluster c = led(options);
    c.propose(1, "a").value();
    for (int i = 0; i < 20 && !c.queue().empty(); ++i) {
        c.drop_from_to(3, 1);
        c.deliver(0);
    }
    c.drop_from_to(3, 1);
    CHECK(c[3].log().last().index == LogIndex(2));
    c.run(Duration::millis(250));  // two heartbeats
    CHECK(c[3].commit() == LogIndex(2));
}

TEST_CASE("raft core: commit waits for the second disk, and for any majority of disks (RB21)") {
    Cluster c = led();
    c.cut_off(3);
    c.hold(2);
    LogIndex index = c.propose(1, "a").value();
    c.settle();
    CHECK(c[1].commit() < index);
    c.release(2);
    c.settle();
    CHECK(c[1].commit() == index);
    c.heal();
    c.run(Duration::seconds(1));
    c.hold(1);  // the leader's own disk is not needed
    index = c.propose(1, "b").value();
    c.settle();
    CHECK(c[1].commit() == index);
    CHECK(c[1].applicable() < index);
    CHECK(c[2].applicable() == index);
}

TEST_CASE("raft core: a follower that lost appends is caught up by itself, in bounded memory (RB23)") {
    Options options = default_options();
    options.max_inflight_messages = 2;
    Cluster c = led(options);
    c.cut(1, 3);
    for (int i = 0; i < 3; ++i) {
        c.propose(1, "x").value();
        c.settle();
    }
    CHECK(c[1].status(c.now()).members[2].window_bytes <= 2 * 64);
    c.heal();
    c.run(Duration::millis(500));
    CHECK(c[3].applied_index() == LogIndex(4));
}

TEST_CASE("raft core: replication resumes after a reported break, without a proposal (RB25)") {
    Cluster c = led();
    c.cut(1, 3);
    c.propose(1, "x").value();
    c.settle();
    c[1].unreachable(NodeId(3));
    c.heal();
    c.run(Duration::millis(300));
    CHECK(c[1].status(c.now()).members[2].state == ProgressState::Replicate);
    CHECK(c[3].applied_index() == LogIndex(2));
}

TEST_CASE("raft core: a follower below the floor gets a snapshot and takes part at once (RB27, RB28)") {
    Cluster c = led();
    c.cut_off(3);
    for (int i = 0; i < 5; ++i) {
        c.propose(1, "x").value();
        c.settle();
    }
    CHECK(c[1].lowest_claim() <= LogIndex(1));
    c.compact(1, LogIndex(6));
    c.heal();
    c.run(Duration::millis(300));
    CHECK(c.violation() == "");
    CHECK(c[3].log().floor().index == LogIndex(6));
    c.cut_off(2);
    LogIndex index = c.propose(1, "y").value();
    c.settle();
    CHECK(c[1].commit() == index);
    CHECK(c[3].applied_index() == index);
}

TEST_CASE("raft core: what a member had received and lost with its memory is sent again in an idle group, though no link broke") {
    Cluster c = led();
    c.hold(3);
    const LogIndex index = c.propose(1, "x").value();
    c.settle();
    c.run(Duration::millis(100));  // its answers to heartbeats say that it has received the entry
    REQUIRE(c[1].commit() == index);
    REQUIRE(c[3].log().last().index == index);
    c.drop_all();
    c.crash(3);
    c.restart(3);
    REQUIRE(c[3].log().last().index < index);
    c.release(3);
    c.run(Duration::millis(300));
    CHECK(c[3].log().last().index == index);
    CHECK(c[3].applied_index() == index);
    CHECK(c[1].term() == Term(1));
    CHECK(c.violation() == "");
}

TEST_CASE("raft core: the index of the snapshot being served is the claim") {
    Cluster c = led();
    c.cut_off(3);
    for (int i = 0; i < 5; ++i) {
        c.propose(1, "x").value();
        c.settle();
    }
    c.run(Duration::millis(300));
    LogIndex before = c[1].lowest_claim();
    CHECK(before <= LogIndex(1));
    CHECK(c[2].lowest_claim() == before);
    c[1].revoke_claim(NodeId(3));
    CHECK(c[1].lowest_claim() == LogIndex(6));
    c.compact(1, LogIndex(6));
    c.propose(1, "y").value();
    c.settle();
    c.heal();
    c.cut(1, 3);
    c[1].step(c.now(), say(3, 1, 1, HeartbeatReply{1, {}}));
    c[1].take_output(c.now());
    // It may have restarted, with all of its log: it is asked first.
    CHECK(c[1].status(c.now()).members[2].state == ProgressState::Probe);
    const LogIndex asked = c[1].status(c.now()).members[2].next.previous();
    CHECK(asked >= LogIndex(6));
    c[1].step(c.now(), say(3, 1, 1, AppendReply{.accepted = false, .state = {}, .rejected_prev = asked}));
    c[1].take_output(c.now());
    CHECK(c[1].status(c.now()).members[2].state == ProgressState::Snapshot);
    c[1].snapshot_progress(c.now(), NodeId(3), LogIndex(6));
    CHECK(c[1].lowest_claim() == LogIndex(6));
    CHECK(c[1].claim_of(NodeId(3)) == LogIndex(6));
    // Behind the floor there is nothing left to claim.
    c[1].snapshot_progress(c.now(), NodeId(3), LogIndex(4));
    CHECK(c[1].lowest_claim() == LogIndex(7));
    CHECK_FALSE(c[1].claim_of(NodeId(3)).has_value());
    // One that has arrived stays the claim until the member has said so itself.
    c[1].snapshot_progress(c.now(), NodeId(3), LogIndex(6));
    c[1].snapshot_finished(c.now(), NodeId(3), LogIndex(6), Core::Transfer::Done);
    CHECK(c[1].lowest_claim() == LogIndex(6));
}

TEST_CASE("raft core: a slice of the log ends at its last entry, its bytes and its count, and has one entry at least") {
    LogView log(Floor{LogIndex(2), Term(1), {}});
    for (uint64_t i = 3; i <= 9; ++i) REQUIRE(log.append(entry(1, i, Bytes(i, 'x'))).ok());
    auto indices = [&](uint64_t from, uint64_t up_to, uint64_t bytes, size_t count) {
        std::vector<uint64_t> out;
        for (const Entry& one : log.slice(LogIndex(from), LogIndex(up_to), bytes, count)) out.push_back(one.index.value);
        return out;
    };
    using Indices = std::vector<uint64_t>;
    CHECK(indices(3, 99, UINT64_MAX, SIZE_MAX) == Indices{3, 4, 5, 6, 7, 8, 9});
    CHECK(indices(4, 6, UINT64_MAX, SIZE_MAX) == Indices{4, 5, 6});
    CHECK(indices(4, 3, UINT64_MAX, SIZE_MAX).empty());
    CHECK(indices(10, 99, UINT64_MAX, SIZE_MAX).empty());
    CHECK(indices(3, 99, UINT64_MAX, 2) == Indices{3, 4});
    const uint64_t two = log.at(LogIndex(3))->size_bytes() + log.at(LogIndex(4))->size_bytes();
    CHECK(indices(3, 99, two, SIZE_MAX) == Indices{3, 4});
    CHECK(indices(3, 99, two - 1, SIZE_MAX) == Indices{3});
    CHECK(indices(3, 99, 0, 0) == Indices{3});
}

TEST_CASE("raft core: the bytes of a range of the log are those of its entries, whatever was cut off at either end") {
    LogView log(Floor{LogIndex(0), Term(0), {}});
    auto add = [&](uint64_t index, uint64_t term, size_t bytes) { REQUIRE(log.append(entry(term, index, Bytes(bytes, 'x'))).ok()); };
    auto counted = [&](uint64_t low, uint64_t high) {
        uint64_t bytes = 0;
        for (uint64_t i = low + 1; i <= high; ++i)
            if (const Entry* one = log.at(LogIndex(i))) bytes += one->size_bytes();
        return bytes;
    };
    auto compare_all = [&] {
        for (uint64_t low = 0; low < 14; ++low)
            for (uint64_t high = 0; high < 14; ++high) CHECK(log.bytes_in(LogIndex(low), LogIndex(high)) == counted(low, high));
    };
    for (uint64_t i = 1; i <= 10; ++i) add(i, 1, i * 10);
    compare_all();
    log.truncate(LogIndex(8));
    add(8, 2, 3);
    compare_all();
    log.compact(LogIndex(4));
    add(9, 2, 77);
    compare_all();
    log.restore(Floor{LogIndex(8), Term(2), {}});
    compare_all();
    log.restore(Floor{LogIndex(11), Term(3), {}});
    add(12, 3, 5);
    compare_all();
}

TEST_CASE("raft core: a stale snapshot is ignored, a matching tail kept, another dropped (RB31)") {
    Cluster c = led();
    for (int i = 0; i < 4; ++i) {
        c.propose(1, "x").value();
        c.settle();
    }
    CHECK_FALSE(c[3].restore(c.now(), {LogIndex(2), Term(1), voters({1, 2, 3})}));
    CHECK(c[3].applied_index() == LogIndex(5));

    Cluster d = three(plain());
    d.preset(2, {Term(2), {}}, {{1, "a"}, {1, "b"}, {2, "c"}});
    CHECK(d[2].restore(d.now(), {LogIndex(2), Term(1), voters({1, 2, 3})}));
    CHECK(d[2].log().last() == position(2, 3));
    CHECK(d[2].applied_index() == LogIndex(2));
    d.preset(3, {Term(2), {}}, {{1, "a"}, {1, "b"}, {1, "c"}});
    CHECK(d[3].restore(d.now(), {LogIndex(2), Term(2), voters({1, 2, 3})}));
    CHECK(d[3].log().last() == position(2, 2));
    CHECK(d[3].durable() == LogIndex(2));
    // The next batch continues behind the snapshot.
    d[3].step(d.now(), say(1, 3, 3, Append{position(2, 2), {entry(3, 3, "n")}, LogIndex(3), 0}));
    Output out = d[3].take_output(d.now());
    REQUIRE(out.entries.size() == 1);
    CHECK(out.entries[0].index == LogIndex(3));
}

TEST_CASE("raft core: who installs a snapshot votes and does not campaign") {
    Cluster c = three(plain());
    c[2].set_installing(c.now(), true);
    c.timeout(2);
    CHECK(c[2].role() == Role::Follower);
    CHECK(ask_vote(c, 1, 2, 1, {}) == true);
    c[2].restore(c.now(), {LogIndex(9), Term(1), voters({1, 2, 3})});
    CHECK(ask_vote(c, 3, 2, 2, position(1, 8)) == false);
    c.timeout(2);
    CHECK(c[2].role() == Role::Candidate);
}

TEST_CASE("raft core: a leader that removes itself does not count itself, then steps down (RB34, RB35)") {
    Cluster c = led();
    c.cut_off(3);
    REQUIRE(c[1].propose_configuration(c.now(), voters({2, 3})).ok());
    c.pump(1);
    LogIndex behind = c.propose(1, "x").value();
    c.settle();
    CHECK(c[1].commit() < behind.previous());
    CHECK(c[1].propose_configuration(c.now(), voters({2, 3, 4})).failed_with(Code::NotReady));
    c.heal();
    c.run(Duration::millis(500));
    CHECK(c[2].commit() >= behind);  // its successor, called as it left, may have gone on already
    CHECK(c[1].role() == Role::Follower);
    c.timeout(1);
    CHECK(c[1].role() == Role::Follower);
    c.run(Duration::seconds(4));
    CHECK(c.leader() >= 2);
    CHECK(c.violation() == "");
}

TEST_CASE("raft core: a configuration entry counts from its append and goes with it (joint)") {
    Cluster c(4, voters({1, 2, 3}), plain());
    c.timeout(1);
    c.settle();
    c.cut_off(1);
    REQUIRE(c[1].propose_configuration(c.now(), voters({1, 4}, {1, 2, 3})).ok());
    c.pump(1);
    CHECK(c[1].log().configuration().joint());
    c.timeout(2);
    c.settle();
    c.heal();
    c.run(Duration::millis(500));
    CHECK_FALSE(c[1].log().configuration().joint());
    CHECK(c[1].log().configuration() == voters({1, 2, 3}));
    CHECK(c.violation() == "");
}

TEST_CASE("raft core: who has not applied a committed configuration does not campaign") {
    Cluster c = three(plain());
    Bytes body = voters({1, 2}).encode();
    Entry change{Term(1), LogIndex(1), EntryKind::Config, std::make_shared<const Bytes>(body)};
    c[3].step(c.now(), say(1, 3, 1, Append{{}, {change}, LogIndex(0), 0}));
    Entry back{Term(1), LogIndex(2), EntryKind::Config, std::make_shared<const Bytes>(voters({1, 2, 3}).encode())};
    c[3].step(c.now(), say(1, 3, 1, Append{position(1, 1), {back}, LogIndex(2), 0}));
    c[3].campaign(c.now());
    CHECK(c[3].role() == Role::Follower);
    c.pump(3);  // applies
    c.timeout(3);
    CHECK(c[3].role() == Role::Candidate);
}

TEST_CASE("raft core: a cut-off leader never answers a read (RB39)") {
    Cluster c = led();
    c.cut_off(1);
    c.run(Duration::millis(900));
    c.timeout(2);
    c.pass(Duration::millis(200));
    CHECK(c.read(1, 7).ok() == (c[1].role() == Role::Leader));
    c.run(Duration::seconds(3));
    REQUIRE(c.leader() >= 2);
    c.propose(c.leader(), "new").value();
    c.settle();
    c.run(Duration::seconds(1));
    CHECK(c.at(1).reads_ready.empty());
    CHECK(c.violation() == "");
}

TEST_CASE("raft core: a read waits for the own-term entry and for a round begun after it") {
    Cluster c = led();
    LogIndex index = c.propose(1, "a").value();
    c.settle();
    REQUIRE(c.read(1, 1).ok());
    CHECK(c.at(1).reads_ready.empty());
    // An answer to the round before says nothing.
    c[1].step(c.now(), say(2, 1, 1, HeartbeatReply{0, {index, index, index}}));
    c.pump(1);
    CHECK(c.at(1).reads_ready.empty());
    c.settle();
    REQUIRE(c.at(1).reads_ready.size() == 1);
    CHECK(c.at(1).reads_ready[0].index == index);

    c.hold(2);
    c.hold(3);
    c.timeout(2);
    c.run(Duration::millis(200));
    Cluster d = three(plain());
    d.hold(1);
    d.timeout(1);
    d.sync_one(1);
    d.pump(1);
    while (d[1].role() != Role::Leader && !d.queue().empty()) d.deliver(0);
    REQUIRE(d[1].role() == Role::Leader);
    REQUIRE(d.read(1, 9).ok());
    CHECK(d.at(1).reads_ready.empty());
    d.settle();
    d.run(Duration::millis(200));
    REQUIRE(d.at(1).reads_ready.size() == 1);
    CHECK(d.at(1).reads_ready[0].index == LogIndex(1));
}

TEST_CASE("raft core: another replica id is refused, as sender of an answer and as receiver") {
    Cluster c = led();
    Message wrong = say(2, 1, 9, HeartbeatReply{1, {}});
    wrong.from.replica = ReplicaId(77);
    c[1].step(c.now(), wrong);
    Message other = say(1, 2, 9, Append{});
    other.to.replica = ReplicaId(77);
    c[2].step(c.now(), other);
    c.pump(1);
    c.pump(2);
    REQUIRE(c.at(1).refusals.size() == 1);
    CHECK(c.at(1).refusals[0].reason == RefusalReason::WrongSender);
    CHECK(c[1].term() == Term(1));
    REQUIRE(c.at(2).refusals.size() == 1);
    CHECK(c.at(2).refusals[0].reason == RefusalReason::WrongReceiver);
    CHECK(c[2].status(c.now()).refused[0] == 1);
    CHECK(c[2].term() == Term(1));
}

TEST_CASE("raft core: a leader with a replica id that is new to us is followed, whoever told us of its term first") {
    // Node 3 was replaced while node 2 was away: node 2's log names the replica before it.
    Cluster c = led();
    Message vote = say(3, 2, 9, Vote{{LogIndex(100), Term(8)}, false});
    vote.from.replica = ReplicaId(77);
    c.cut_off(2);
    c.run(Duration::seconds(3));  // no leader is heard any more
    c[2].step(c.now(), vote);
    REQUIRE(c[2].term() == Term(9));
    Message beat = say(3, 2, 9, Heartbeat{1, LogIndex(0), LogIndex(0), false});
    beat.from.replica = ReplicaId(77);
    c[2].step(c.now(), beat);
    CHECK(c[2].leader() == beat.from);
    Message second = say(1, 2, 9, Heartbeat{1, LogIndex(0), LogIndex(0), false});
    second.from.replica = ReplicaId(78);  // a term has one leader
    c[2].step(c.now(), second);
    CHECK(c[2].leader() == beat.from);
    c.pump(2);
    REQUIRE(c.at(2).refusals.size() == 1);
    CHECK(c.at(2).refusals[0].reason == RefusalReason::WrongSender);
}

TEST_CASE("raft core: nothing a peer can say wraps an index or stops the node") {
    Cluster c = led();
    uint64_t huge = UINT64_MAX;
    std::vector<Message> bad = {
        say(1, 3, huge, Heartbeat{}),
        say(1, 3, 1, Append{position(1, huge), {}, LogIndex(huge), 0}),
        say(1, 3, 1, Append{position(1, 1), {entry(1, 3, "gap")}, LogIndex(0), 0}),
        say(1, 3, 2, Append{position(2, 1), {entry(1, 2, "falls")}, LogIndex(0), 0}),
        say(2, 3, 1, AppendReply{.state = {LogIndex(9), LogIndex(3), {}}}),
        say(1, 3, 1, Append{position(1, 1), {{Term(1), LogIndex(2), EntryKind::Config, nullptr}}, LogIndex(0), 0}),
    };
    for (Message& m : bad) c[3].step(c.now(), m);
    CHECK(c[3].status(c.now()).refused[static_cast<size_t>(RefusalReason::Malformed)] == bad.size());
    c[1].step(c.now(), say(2, 1, 1, HeartbeatReply{1, {LogIndex(50), LogIndex(50), LogIndex(50)}}));
    CHECK(c[1].commit() == LogIndex(1));
    c[3].step(c.now(), say(1, 3, 5, Append{position(0, 0), {entry(4, 1, "other")}, LogIndex(0), 0}));
    CHECK(c[3].status(c.now()).refused[static_cast<size_t>(RefusalReason::BelowCommit)] == 1);
}

TEST_CASE("raft core: leadership is handed over, and proposals wait meanwhile") {
    Cluster c = led();
    CHECK(c[1].transfer(c.now(), NodeId(1)).failed_with(Code::Invalid));
    c.cut(1, 2);
    c.propose(1, "a").value();
    c.settle();
    REQUIRE(c[1].transfer(c.now(), NodeId(2)).ok());
    CHECK(c[1].propose(c.now(), nullptr).failed_with(Code::NotReady));
    c.heal();
    c.run(Duration::millis(300));
    CHECK(c[2].role() == Role::Leader);
    CHECK(c[1].leader() == member(2));
    // A target that cannot: given up after a while.
    c.cut(2, 3);
    REQUIRE(c[2].transfer(c.now(), NodeId(3)).ok());
    c.run(Duration::millis(2200));
    CHECK(c[2].propose(c.now(), nullptr).ok());
}

TEST_CASE("raft core: a leader whose disk lags an election timeout behind hands over") {
    Cluster c = led();
    c.hold(1);
    c.propose(1, "a").value();
    c.settle();
    CHECK(c[1].role() == Role::Leader);
    c.run(Duration::millis(1500));
    CHECK(c.leader() >= 2);
    CHECK(c.violation() == "");
}

TEST_CASE("raft core: unfinished proposals are bounded, and travel before the own sync") {
    Options options = default_options();
    options.max_uncommitted_bytes = 1000;
    Cluster c = led(options);
    c.cut_off(1);
    c.hold(1);
    CHECK(c.propose(1, std::string(5000, 'x')).ok());
    CHECK(c[1].propose(c.now(), nullptr).failed_with(Code::Overloaded));
    c.heal();
    c.run(Duration::millis(400));
    CHECK(c[1].durable() == LogIndex(1));
    CHECK(c[1].commit() == LogIndex(2));
    CHECK(c[1].propose(c.now(), nullptr).ok());
}

TEST_CASE("raft core: a pushed commit reaches everybody and comes back applied (idle, no heartbeat)") {
    Options options = default_options();
    options.eager_commit = false;
    Cluster c = led(options);
    LogIndex index = c.propose(1, "a").value();
    c[1].push_commit(index);
    c.settle();
    for (const MemberStatus& m : c[1].status(c.now()).members) CHECK(m.applied == index);
}

TEST_CASE("raft core: a read's round and a pushed commit are one heartbeat a member") {
    Options options = default_options();
    options.eager_commit = false;
    Cluster c = led(options);
    const LogIndex index = c.propose(1, "a").value();
    c.settle();
    REQUIRE(c[1].commit() == index);
    REQUIRE(c[1].read_index(c.now(), 7).ok());
    c[1].push_commit(index);
    std::map<uint64_t, int> heartbeats;
    for (const Message& message : c[1].take_output(c.now()).messages) {
        const auto* heartbeat = std::get_if<Heartbeat>(&message.body);
        REQUIRE(heartbeat != nullptr);
        CHECK(heartbeat->push);
        CHECK(heartbeat->commit == index);
        ++heartbeats[message.to.node.value];
    }
    CHECK(heartbeats == std::map<uint64_t, int>{{2, 1}, {3, 1}});
}

TEST_CASE("raft core: nothing is due before next_deadline") {
    Cluster c = led();
    for (int i = 0; i < 200; ++i) {
        for (uint64_t id = 1; id <= 3; ++id) {
            Instant due = c[id].next_deadline();
            if (due <= c.now()) continue;
            c[id].tick(Instant{std::min(due.ns - 1, c.now().ns + 1'000'000'000)});
            CHECK(c[id].take_output(c.now()).empty());
        }
        c.pass(Duration::millis(37));
        c.settle();
    }
    CHECK(c[1].role() == Role::Leader);
}

TEST_CASE("raft core: recovered state that contradicts itself is refused") {
    Options options = default_options();
    options.self = member(1);
    RandomStream random(1, "x", 0);
    Floor floor{LogIndex(3), Term(2), voters({1})};
    auto made = [&](HardState hard, std::vector<Entry> entries, uint64_t applied) {
        return Core::create(Instant{1}, options, {hard, floor, std::move(entries), LogIndex(applied)}, random);
    };
    CHECK(made({Term(2), {}}, {}, 0).ok());
    CHECK(made({Term(1), {}}, {}, 0).failed_with(Code::Corrupt));
    CHECK(made({Term(2), {}}, {entry(2, 5, "gap")}, 0).failed_with(Code::Corrupt));
    CHECK(made({Term(2), {}}, {entry(3, 4, "newer")}, 0).failed_with(Code::Corrupt));
    CHECK(made({Term(2), {}}, {entry(2, 4, "x")}, 5).failed_with(Code::Corrupt));
    options.self.replica = ReplicaId(0);
    CHECK(made({Term(2), {}}, {}, 0).failed_with(Code::Invalid));
}

}  // namespace orrery::raft::script
