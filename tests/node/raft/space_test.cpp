// Space: of the node, of a majority, and of the log that members' claims keep. In a simulated world, in virtual time.
#include <algorithm>

#include "node/raft/pace.h"
#include "tests/node/raft/group_world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;
using wire::SpaceLevel;

namespace {

constexpr uint64_t kReserve = 256 << 10;

/// Holds senders of snapshots before each chunk, and counts events by name.
struct Watch : sim::TraceObserver {
    Duration hold_chunk{};
    std::map<std::string, int> seen;
    void on_event(sim::Host&, const TraceEvent& event) override {
        ++seen[std::string(event.name)];
    }
    Duration on_checkpoint(sim::Host&, const TraceEvent& event) override {
        return event.name == "raft.snapshot.send.chunk" ? hold_chunk : Duration{};
    }
};

struct SpaceWorld : GroupWorld {
    using GroupWorld::GroupWorld;
    std::vector<std::string> acknowledged;
    uint64_t next = 0;

    void run(Duration duration) { world.run_until(world.now() + duration); }
    void leave_room(size_t i, uint64_t bytes) { hosts[i]->disk().set_capacity(hosts[i]->disk().allocated_bytes() + bytes); }
    void give_room(size_t i) { hosts[i]->disk().set_capacity(sim::DiskOptions{}.capacity_bytes); }
    std::vector<size_t> followers() {
        std::vector<size_t> out;
        for (size_t i = 0; i < 3; ++i)
            if (i != *leader()) out.push_back(i);
        return out;
    }
    /// One proposal at the present leader.
    Result<raft::Committed> propose(const std::string& text, raft::SpaceUse use = raft::SpaceUse::Takes, Duration limit = Duration::seconds(5)) {
        auto out = std::make_shared<Result<raft::Committed>>(Code::Timeout);
        const Instant until = hosts[*leader()]->env()->now() + limit;  // clocks of nodes are apart
        on_node(*leader(), [=](Fiber& fiber, GroupNode& node) {
            *out = node.group()->propose(fiber, text, nullptr, until, use);
        });
        return *out;
    }
    static std::string text_of(const Result<raft::Committed>& outcome) { return outcome.ok() ? "ok" : outcome.error().text(); }
    void write(int count, size_t bytes = 500) {
        for (int i = 0; i < count; ++i) {
            acknowledged.push_back("-" + std::string(bytes, static_cast<char>('a' + i % 26)) + std::to_string(++next));
            REQUIRE_MESSAGE(put(acknowledged.back()), failure_text());
        }
    }
    void check_all_there() {
        for (size_t i = 0; i < 3; ++i) {
            std::map<uint64_t, Bytes> texts;
            REQUIRE(on_node(i, [&](Fiber& fiber, GroupNode& node) { texts = node.machine().texts(fiber).value(); }));
            for (const std::string& text : acknowledged)
                REQUIRE_MESSAGE(std::any_of(texts.begin(), texts.end(), [&](const auto& item) { return item.second == text; }), "node " << i + 1 << " lacks '" << text << "'");
        }
    }
};

GroupTuning with_reserve() { return {.reserve_bytes = kReserve}; }

}  // namespace

TEST_CASE("raft: a leader refuses as NoSpace when both followers are below their reserve, and goes on when space returns") {
    SpaceWorld group(1, 64 << 20, 32 << 20, with_reserve());
    group.write(5);
    const size_t leader = *group.leader();
    const std::vector<size_t> followers = group.followers();
    for (size_t i : followers) group.leave_room(i, kReserve / 2);
    group.run(Duration::millis(1200));
    for (size_t i : followers) REQUIRE(group.node(leader)->host()->peer_space(NodeId(i + 1)) == SpaceLevel::Low);
    Result<raft::Committed> refused = group.propose("refused");
    REQUIRE(refused.failed_with(Code::NoSpace));
    CHECK(refused.error().context == "no majority has disk space: node " + std::to_string(followers[0] + 1) + ", " + std::to_string(followers[1] + 1) + " is short of it");
    // What frees space may use the reserve, and nobody is a better leader.
    CHECK(group.text_of(group.propose("frees", raft::SpaceUse::Frees)) == "ok");
    group.run(Duration::seconds(15));
    CHECK(group.leader() == leader);
    CHECK(group.propose("refused").failed_with(Code::NoSpace));
    for (size_t i : followers) group.give_room(i);
    group.run(Duration::seconds(2));
    CHECK(group.node(leader)->host()->peer_space(NodeId(followers[0] + 1)) == SpaceLevel::Room);
    group.acknowledged.push_back("-after");
    CHECK(group.text_of(group.propose("-after")) == "ok");
    group.write(5);
    group.run(Duration::seconds(1));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    group.check_all_there();
    std::map<uint64_t, Bytes> texts;
    REQUIRE(group.on_node(leader, [&](Fiber& fiber, GroupNode& node) { texts = node.machine().texts(fiber).value(); }));
    CHECK(std::none_of(texts.begin(), texts.end(), [](const auto& item) { return item.second == "refused"; }));
}

TEST_CASE("raft: one follower below its reserve stops nothing, unless the other is out of touch") {
    SpaceWorld group(2, 64 << 20, 32 << 20, with_reserve());
    group.write(3);
    const std::vector<size_t> followers = group.followers();
    group.leave_room(followers[0], kReserve / 2);
    group.run(Duration::millis(1200));
    REQUIRE(group.node(*group.leader())->host()->peer_space(NodeId(followers[0] + 1)) == SpaceLevel::Low);
    for (int i = 0; i < 5; ++i) {
        group.acknowledged.push_back("-one low" + std::to_string(i));
        CHECK(group.text_of(group.propose(group.acknowledged.back())) == "ok");
    }
    group.hosts[followers[1]]->crash(sim::Host::Death::Power);
    group.run(Duration::seconds(1));
    Result<raft::Committed> refused = group.propose("refused");
    REQUIRE(refused.failed_with(Code::NoSpace));
    CHECK(refused.error().context == "no majority has disk space: node " + std::to_string(followers[0] + 1) + " is short of it, node " + std::to_string(followers[1] + 1) + " is out of touch");
    group.start(followers[1]);
    group.run(Duration::seconds(2));
    group.write(3);
    group.run(Duration::seconds(1));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    group.check_all_there();
}

TEST_CASE("raft: a leader below its reserve hands over to a voter with room, and stays when a majority is as low") {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        SpaceWorld group(seed, 64 << 20, 32 << 20, with_reserve());
        group.write(3);
        const size_t first = *group.leader();
        group.leave_room(first, kReserve / 2);
        group.run(Duration::seconds(3));
        REQUIRE(group.leader());
        CHECK(*group.leader() != first);
        group.write(3);
        // Now the second as well: the third alone could not write either, so nobody moves.
        const size_t second = *group.leader();
        group.leave_room(second, kReserve / 2);
        group.run(Duration::seconds(12));
        CHECK(group.leader() == second);
        CHECK(group.propose("refused").failed_with(Code::NoSpace));
        group.give_room(first);
        group.give_room(second);
        group.run(Duration::seconds(2));
        group.write(3);
        group.run(Duration::seconds(1));
        REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
        group.check_all_there();
    }
}

TEST_CASE("raft: whoever hands over for another reason prefers a voter with room, and takes one without if there is no other") {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        SpaceWorld group(seed, 64 << 20, 32 << 20, with_reserve());
        group.write(3);
        const std::vector<size_t> followers = group.followers();
        group.leave_room(followers[0], kReserve / 2);
        group.run(Duration::millis(1200));
        CHECK(group.group(*group.leader())->hand_over(raft::Successor::Any));
        group.run(Duration::seconds(1));
        CHECK(group.leader() == followers[1]);
        REQUIRE(group.leader());
        const size_t third = 3 - *group.leader() - followers[0];
        group.hosts[third]->crash(sim::Host::Death::Power);
        group.run(Duration::seconds(1));
        CHECK_FALSE(group.group(*group.leader())->hand_over(raft::Successor::WithRoom));
        CHECK(group.group(*group.leader())->hand_over(raft::Successor::Any));
        group.run(Duration::seconds(1));
        CHECK(group.leader().value_or(9) == followers[0]);
    }
}

TEST_CASE("raft: a node says that it is short of space also when none of its groups has an answer") {
    SpaceWorld group(3, 64 << 20, 32 << 20, with_reserve());
    group.write(3);
    const size_t leader = *group.leader(), follower = group.followers()[0];
    // A failed sync seals its log: the group stops and answers nothing any more.
    group.hosts[follower]->expect_error("log.sealed");
    group.hosts[follower]->expect_error("raft.group_stopped");
    group.hosts[follower]->disk().arm_sync_failure("log");
    group.write(3);
    group.run(Duration::seconds(1));
    REQUIRE(group.group(follower)->stopped());
    CHECK(group.node(leader)->host()->peer_space(NodeId(follower + 1)) == SpaceLevel::Room);
    group.leave_room(follower, kReserve / 2);
    group.run(Duration::millis(1100));
    REQUIRE(group.node(follower)->host()->space_level() == SpaceLevel::Low);
    CHECK(group.node(leader)->host()->peer_space(NodeId(follower + 1)) == SpaceLevel::Low);
    group.give_room(follower);
    group.run(Duration::millis(1100));
    CHECK(group.node(leader)->host()->peer_space(NodeId(follower + 1)) == SpaceLevel::Room);
    // What was said is forgotten with the link.
    group.leave_room(follower, kReserve / 2);
    group.run(Duration::millis(1100));
    REQUIRE(group.node(leader)->host()->peer_space(NodeId(follower + 1)) == SpaceLevel::Low);
    group.hosts[follower]->crash(sim::Host::Death::Kill);
    group.run(Duration::millis(100));
    CHECK(group.node(leader)->host()->peer_space(NodeId(follower + 1)) == SpaceLevel::Room);
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
}

// ---- the log that claims keep -----------------------------------------------------------------------------------

TEST_CASE("raft: past the node's bound the member that keeps most of the log loses its claim, others keep theirs") {
    // Two groups; a follower is down. One group gets much, the other little: only the first may lose a claim.
    SpaceWorld group(4, 64 << 20, 4 << 10, {.retain_bytes_node = 24 << 10, .groups = 2});
    const GroupId small(kGroup.value + 1);
    auto in_small = [&](const std::string& text) {
        for (int i = 0; i < 3; ++i) {
            raft::Group* at = group.group(i) == nullptr ? nullptr : group.node(i)->host()->find(small);
            if (at == nullptr || !at->leads()) continue;
            bool ok = false;
            group.on_node(i, [&](Fiber& fiber, GroupNode&) { ok = at->propose(fiber, text, nullptr, Instant::never()).ok(); });
            return ok;
        }
        return false;
    };
    // Both groups are led by one node, so that it can weigh them against each other.
    const size_t leader = *group.leader();
    for (size_t i = 0; i < 3; ++i)
        if (raft::Group* at = group.node(i)->host()->find(small); at->leads() && i != leader) REQUIRE(at->transfer(NodeId(leader + 1)).ok());
    group.run(Duration::seconds(1));
    REQUIRE(group.leader() == leader);
    REQUIRE(group.node(leader)->host()->find(small)->leads());
    group.write(2);
    REQUIRE(in_small("-first"));
    group.hosts[group.followers()[0]]->crash(sim::Host::Death::Power);
    for (int i = 0; i < 60; ++i) {
        group.write(1);
        if (i % 6 == 0) REQUIRE(in_small("-" + std::string(200, 'z') + std::to_string(i)));
    }
    group.run(Duration::seconds(1));
    raft::GroupHost& host = *group.node(leader)->host();
    CHECK(host.find(kGroup)->core().log().floor().index > LogIndex(30));
    CHECK(host.find(small)->core().log().floor().index <= LogIndex(3));
    CHECK(host.find(small)->retention().retained_bytes > 0);
    CHECK(host.retained_bytes() <= uint64_t{24} << 10);
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
}

namespace {

constexpr uint64_t kRetain = 4 << 10;

/// A follower is behind the floor and is being sent a snapshot, each chunk held for `hold`; writers go on at the leader, 64
/// at a time, each with `limit`.
struct Watched {  // a base, so that it outlives the world, which speaks to it to the end
    Watch watch;
};
struct SlowWorld : Watched, SpaceWorld {
    size_t victim = 0;
    std::shared_ptr<std::vector<Result<raft::Committed>>> outcomes = std::make_shared<std::vector<Result<raft::Committed>>>();
    uint64_t most_retained = 0;

    SlowWorld(uint64_t seed, Duration hold, GroupTuning the_tuning) : SpaceWorld(seed, kRetain, 2 << 10, the_tuning) {
        world.add_observer(watch, false);
        watch.hold_chunk = hold;
        write(3);
        victim = followers()[0];
        hosts[victim]->crash(sim::Host::Death::Power);
        write(60);
        run(Duration::seconds(2));
        REQUIRE(group(*leader())->core().log().floor().index > LogIndex(20));
        start(victim);
        world.run_until(world.now() + Duration::seconds(5), [&] { return group(*leader())->retention().transfers > 0; });
        REQUIRE(group(*leader())->retention().transfers == 1);
    }
    void spawn_writers(int writers, int each, Duration limit) {
        for (int w = 0; w < writers; ++w)
            hosts[*leader()]->env()->spawn("test.writer", [this, w, each, limit, node = node(*leader()), env = hosts[*leader()]->env(), out = outcomes](Fiber& fiber) {
                for (int i = 0; i < each; ++i) {
                    const std::string text = "-writer " + std::to_string(w) + "." + std::to_string(i) + std::string(300, '.');
                    Result<raft::Committed> done = node->group()->propose(fiber, text, nullptr, env->now() + limit);
                    if (done.ok()) acknowledged.push_back(text);
                    out->push_back(std::move(done));
                }
            });
    }
    void run_writers(size_t count, Duration limit) {
        world.run_until(world.now() + limit, [&] {
            if (leader()) most_retained = std::max(most_retained, group(*leader())->retention().retained_bytes);
            return outcomes->size() >= count;
        });
    }
};

}  // namespace

TEST_CASE("raft: past twice the bound proposals wait while a transfer gets on, none is refused, and the transfer ends well") {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        SlowWorld group(seed, Duration::millis(200), {.slowed_bytes_per_second = 16 << 10});
        const size_t leader = *group.leader();
        group.spawn_writers(8, 20, Duration::seconds(60));
        group.run_writers(160, Duration::seconds(120));
        REQUIRE(group.outcomes->size() == 160);
        for (const Result<raft::Committed>& done : *group.outcomes) CHECK_MESSAGE(done.ok(), (done.ok() ? "" : done.error().text()));
        group.watch.hold_chunk = {};
        group.run(Duration::seconds(5));
        REQUIRE(group.leader() == leader);
        const raft::Group::Retention after = group.group(leader)->retention();
        CHECK(after.slow.periods >= 1);
        CHECK(after.slow.waited > 0);
        CHECK(after.slow.refused == 0);
        CHECK_FALSE(group.group(leader)->slowed());
        CHECK(after.transfers == 0);
        // Once only: what came in meanwhile was kept for it.
        CHECK(group.watch.seen["raft.snapshot.sent"] == 1);
        CHECK(group.watch.seen["raft.claim_revoked"] == 1);  // of the member that was down
        CHECK(group.watch.seen["raft.slowed"] == group.watch.seen["raft.slowed_ends"]);
        CHECK(group.most_retained > 2 * kRetain);
        CHECK(group.most_retained < 8 * kRetain);  // the log is cut behind flushes, each of them two syncs and more
        CHECK(group.group(group.victim)->applied() == group.group(leader)->applied());
        REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
        group.check_all_there();
    }
}

TEST_CASE("raft: a slowed proposal ends as Overloaded at its deadline and has no effect") {
    SlowWorld group(7, Duration::seconds(5), {.slowed_bytes_per_second = 1 << 10});
    group.spawn_writers(16, 8, Duration::seconds(1));
    group.run_writers(128, Duration::seconds(60));
    REQUIRE(group.outcomes->size() == 128);
    size_t done = 0, overloaded = 0;
    for (const Result<raft::Committed>& outcome : *group.outcomes) {
        done += outcome.ok();
        overloaded += outcome.failed_with(Code::Overloaded);
    }
    CHECK(done > 0);
    CHECK(overloaded > 0);
    CHECK(done + overloaded == 128);
    const size_t leader = *group.leader();
    CHECK(group.group(leader)->retention().slow.refused == overloaded);
    std::map<uint64_t, Bytes> texts;
    REQUIRE(group.on_node(leader, [&](Fiber& fiber, GroupNode& node) { texts = node.machine().texts(fiber).value(); }));
    CHECK(static_cast<size_t>(std::count_if(texts.begin(), texts.end(), [](const auto& item) { return item.second.starts_with("-writer"); })) == done);
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
}

TEST_CASE("raft: a transfer that gets nowhere for snapshot_timeout loses its claim, and nobody is slowed for it any more") {
    SlowWorld group(8, Duration::seconds(60), {.slowed_bytes_per_second = 1 << 10, .snapshot_timeout = Duration::seconds(4)});
    const size_t leader = *group.leader();
    group.spawn_writers(16, 4, Duration::seconds(30));
    group.world.run_until(group.world.now() + Duration::seconds(3), [&] { return group.group(leader)->slowed(); });
    REQUIRE(group.group(leader)->slowed());
    const LogIndex floor = group.group(leader)->core().log().floor().index;
    group.run(Duration::seconds(7));
    CHECK_FALSE(group.group(leader)->slowed());
    CHECK(group.watch.seen["raft.claim_revoked"] == 2);
    const Instant before = group.world.now();
    group.write(20);
    CHECK(group.world.now() - before < Duration::seconds(2));
    group.run_writers(64, Duration::seconds(1));
    REQUIRE(group.outcomes->size() == 64);
    for (const Result<raft::Committed>& outcome : *group.outcomes) CHECK(outcome.ok());
    CHECK_FALSE(group.group(leader)->slowed());
    CHECK(group.group(leader)->retention().retained_bytes <= 2 * kRetain);
    CHECK(group.group(leader)->core().log().floor().index > floor);
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    // And in the end it gets there.
    group.watch.hold_chunk = {};
    group.run(Duration::seconds(75));
    CHECK(group.group(group.victim)->applied() == group.group(*group.leader())->applied());
    group.check_all_there();
}

TEST_CASE("raft: transfers give way in steps while the loop is crowded out, and come back") {
    raft::GiveWay transfers;
    Instant now{};
    Duration waited{};
    auto after = [&](Duration passed, int64_t percent_waited) {
        now = now + passed;
        waited = waited + passed / 100 * percent_waited;
        return transfers.halvings(now, waited);
    };
    const Duration look = Duration::millis(200), moment = Duration::millis(40);
    CHECK(after(look, 8) == 0);
    CHECK(after(look, 9) == 2);
    CHECK(after(moment, 100) == 2);
    CHECK(after(moment * 4, 0) == 4);  // a fifth of both
    CHECK(after(look, 8) == 3);
    CHECK(after(look, 0) == 2);
    CHECK(after(look, 0) == 1);
    CHECK(after(look, 50) == 3);
    CHECK(after(look, 50) == 4);
    CHECK(after(look, 100) == 4);
    CHECK(after(look, 0) == 3);
    CHECK(after(Duration::seconds(60), 100) == 0);
    CHECK(after(look, 0) == 0);
}

TEST_CASE("raft: the pace is halved with each quarter of the bound in excess, and a debt is paid at the pace of its time") {
    CHECK(raft::slowed_rate(1024, 200, 100) == 0);
    CHECK(raft::slowed_rate(1024, 201, 100) == 1024);
    CHECK(raft::slowed_rate(1024, 224, 100) == 1024);
    CHECK(raft::slowed_rate(1024, 225, 100) == 512);
    CHECK(raft::slowed_rate(1024, 300, 100) == 64);
    CHECK(raft::slowed_rate(1024, 100'000, 100) == 1);
    CHECK(raft::slowed_rate(1, UINT64_MAX, 1) == 1);
    CHECK(raft::slowed_rate(1024, UINT64_MAX, 0) == 0);
    CHECK(raft::slowed_rate(1024, UINT64_MAX, UINT64_MAX) == 0);

    raft::Pace pace;
    const Instant start{5};
    CHECK(pace.due(start) == start);
    pace.take(start, 1000);
    CHECK(pace.due(start) == start);
    pace.set_rate(start, 100);
    CHECK(pace.due(start) == start);
    pace.take(start, 1000);
    CHECK(pace.due(start) == start + Duration::seconds(10));
    pace.set_rate(start + Duration::seconds(5), 50);
    CHECK(pace.due(start + Duration::seconds(5)) == start + Duration::seconds(15));
    pace.set_rate(start + Duration::seconds(6), 0);
    CHECK(pace.due(start + Duration::seconds(6)) == start + Duration::seconds(6));
    pace.set_rate(start, 1);
    pace.take(start, UINT64_MAX);
    CHECK(pace.due(start) == Instant::never());

    // A little late each time: the next is due as if it had come in time; far too late: as if it had been so little late.
    raft::Pace patient(Duration::seconds(2));
    patient.set_rate(start, 100);
    patient.take(start, 1000);
    patient.take(start + Duration::seconds(11), 1000);
    CHECK(patient.due(start + Duration::seconds(11)) == start + Duration::seconds(20));
    patient.take(start + Duration::seconds(30), 1000);
    CHECK(patient.due(start + Duration::seconds(30)) == start + Duration::seconds(38));
    patient.take(start + Duration::seconds(30), 100);
    CHECK(patient.due(start + Duration::seconds(30)) == start + Duration::seconds(39));
}
