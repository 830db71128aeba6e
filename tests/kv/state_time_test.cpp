// State-machine time through elections and outages, one rule at a time.
#include "kv/state_time.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "tests/kv/hooks.h"

namespace orrery::kv {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
LogTime log_s(double s) { return {static_cast<int64_t>(s * 1e9)}; }
Instant at_s(double s) { return {static_cast<int64_t>(s * 1e9)}; }
WallTime wall_s(double s) { return {static_cast<int64_t>(s * 1e9)}; }
constexpr NodeId n2{2}, n3{3};
constexpr TimeTag kFirst{Term(1), Term(1)};  // the first leader's own count
constexpr TimeTag kSecondLeader{Term(4), Term(1)};  // a later one that went on with it

/// A member that stored (1000, 1000) before its start.
StateTime restarted(TimeTag tag = kFirst) {
    StateTime time;
    time.floor({log_s(990), tag});
    time.restore({log_s(1000), wall_s(1000), tag.leader, tag.epoch});
    return time;
}

/// The second of two heartbeats, in time: it counts.
void hears(StateTime& time, LogTime value, Instant now, TimeTag tag = kFirst) {
    time.follow({value.ns - kSecond / 20}, tag, now - Duration::millis(50));
    time.follow(value, tag, now);
}

StateTime::Offer estimate(LogTime value, Instant heard, TimeTag tag = kFirst) { return {value, tag, true, heard}; }
StateTime::Offer running(LogTime value, Instant heard, TimeTag tag = kFirst) { return {value, tag, false, heard}; }

TEST_CASE("state time: what a restarted member hears first does not count before a second heartbeat agrees (held back by a partition)") {
    StateTime time = restarted();
    time.follow(log_s(1005), kFirst, at_s(9));
    CHECK_FALSE(time.running());
    // The rest of what was held back comes at once.
    for (int i = 1; i <= 40; ++i) time.follow(log_s(1005 + i * 0.05), kFirst, at_s(9 + i * 0.0002));
    CHECK_FALSE(time.running());
    CHECK(time.estimate(wall_s(1009)) == log_s(1009));
    time.follow(log_s(1009.1), kFirst, at_s(9.1));  // a live leader's: the held ones are left behind
    CHECK_FALSE(time.running());
    time.follow(log_s(1009.15), kFirst, at_s(9.15));
    CHECK(time.running());
    CHECK(time.at(at_s(9.15)) == log_s(1009.15));
}

TEST_CASE("state time: a member that has just started offers what it stored and its wall clock's difference, never less") {
    StateTime time = restarted();
    CHECK_FALSE(time.running());
    CHECK(time.origin() == TimeOrigin::Estimate);
    CHECK(time.estimate(wall_s(1060)) == log_s(1060));
    CHECK(time.estimate(wall_s(400)) == log_s(1000));  // its clock went back in the outage
    time.floor({log_s(1200), kFirst});                          // an entry says that it is at least so late
    CHECK(time.estimate(wall_s(1060)) == log_s(1200));
    CHECK_FALSE(StateTime().estimate(wall_s(1060)).has_value());
    CHECK(StateTime().origin() == TimeOrigin::None);
}

TEST_CASE("state time: after an outage of all the smallest estimate of the quorum counts (one clock jumped by an hour)") {
    StateTime leader = restarted();
    leader.offer(n2, Term(5), estimate(log_s(1030), at_s(7)));
    leader.lead(Term(5), {}, at_s(7), wall_s(1030 + 3600));
    CHECK(leader.at(at_s(7)) == log_s(1030));
    CHECK(leader.origin() == TimeOrigin::Estimate);
    StateTime other = restarted();
    other.offer(n2, Term(5), estimate(log_s(1030 + 3600), at_s(7)));
    other.lead(Term(5), {}, at_s(7), wall_s(1030));
    CHECK(other.at(at_s(7)) == log_s(1030));
}

TEST_CASE("state time: the estimates of an earlier candidacy do not count, and those of this one run on until the election") {
    StateTime leader = restarted();
    leader.offer(n2, Term(5), estimate(log_s(1010), at_s(1)));
    leader.offer(n3, Term(6), estimate(log_s(1040), at_s(20)));
    leader.offer(n2, Term(5), estimate(log_s(1011), at_s(20.5)));  // late
    leader.lead(Term(6), {}, at_s(21), wall_s(1100));
    CHECK(leader.at(at_s(21)) == log_s(1041));
    StateTime later = restarted();
    later.offer(n2, Term(5), estimate(log_s(1005), at_s(1)));
    later.lead(Term(6), {}, at_s(21), wall_s(1030));  // its voters knew nothing
    CHECK(later.at(at_s(21)) == log_s(1030));
}

TEST_CASE("state time: a running value of anybody beats all estimates; the greatest of them counts") {
    StateTime leader = restarted();
    leader.offer(n2, Term(5), estimate(log_s(1030), at_s(7)));
    leader.offer(n3, Term(5), running(log_s(2000), at_s(7)));
    leader.offer(NodeId(4), Term(5), running(log_s(1999), at_s(7)));
    leader.lead(Term(5), {}, at_s(7), wall_s(1030));
    CHECK(leader.at(at_s(8)) == log_s(2001));
    CHECK(leader.origin() == TimeOrigin::Running);
}

TEST_CASE("state time: the last stamp in the log is a lower bound of what a leader begins with") {
    StateTime leader = restarted();
    leader.offer(n2, Term(5), estimate(log_s(1030), at_s(7)));
    leader.lead(Term(5), StateTime::Floor{log_s(1500), kFirst}, at_s(7), wall_s(1100));
    CHECK(leader.stamp(at_s(7), wall_s(1100)) == log_s(1500));
    StateTime applied = restarted();
    applied.floor({log_s(1400), kFirst});
    applied.lead(Term(5), {}, at_s(7), wall_s(1100));
    CHECK(applied.stamp(at_s(7), wall_s(1100)) == log_s(1400));
}

TEST_CASE("state time: a fresh member takes the others' estimates, and a group of fresh ones the leader's wall clock") {
    StateTime fresh;
    fresh.offer(n2, Term(5), estimate(log_s(1030), at_s(7)));
    fresh.lead(Term(5), {}, at_s(7), wall_s(5000));
    CHECK(fresh.at(at_s(7)) == log_s(1030));
    StateTime founding;
    founding.lead(Term(5), {}, at_s(7), wall_s(5000));
    CHECK(founding.at(at_s(7)) == log_s(5000));
    CHECK(founding.origin() == TimeOrigin::Wall);
    StateTime alone = restarted();  // the only member of its group
    alone.lead(Term(5), {}, at_s(7), wall_s(1030));
    CHECK(alone.at(at_s(7)) == log_s(1030));
}

TEST_CASE("state time: a heartbeat that was long on its way does not set a follower back, a faster clock is held back slowly") {
    StateTime follower;
    hears(follower, log_s(100), at_s(0));
    follower.follow(log_s(101), kFirst, at_s(5));  // four seconds late
    CHECK(follower.at(at_s(5)) >= log_s(104.98));
    CHECK(follower.at(at_s(5)) < log_s(105));
    follower.follow(log_s(106), kFirst, at_s(5.5));
    CHECK(follower.at(at_s(5.5)) == log_s(106));
    // Its clock is 1000 ppm faster than the leader's: it stays at the leader's value.
    for (int i = 1; i <= 36'000; ++i) follower.follow(log_s(106 + i * 0.1), kFirst, at_s(5.5 + i * 0.1001));
    CHECK(follower.at(at_s(5.5 + 3603.6)).ns - log_s(106 + 3600).ns < kSecond / 1000);
}

TEST_CASE("state time: who lived on cut off takes over the count that a new leader began from estimates, down to what is applied") {
    StateTime cut_off;
    hears(cut_off, log_s(1000), at_s(0));
    const TimeTag begun{Term(7), Term(7)};
    cut_off.follow(log_s(1055), begun, at_s(60));  // five seconds behind ours; one heartbeat alone may be old
    CHECK(cut_off.at(at_s(60)) == log_s(1060));
    CHECK(cut_off.tag() == kFirst);
    cut_off.follow(log_s(1055.25), begun, at_s(60.25));
    CHECK(cut_off.at(at_s(60.25)) == log_s(1055.25));
    CHECK(cut_off.tag() == begun);
    cut_off.follow(log_s(1061), kFirst, at_s(60.5));  // held back since then
    CHECK(cut_off.at(at_s(60.5)) == log_s(1055.5));
    cut_off.floor({log_s(1056), begun});
    CHECK(cut_off.at(at_s(60.5)) == log_s(1056));
}

TEST_CASE("state time: a leader goes on with the newest leader's count and leaves a running value of an older one aside") {
    const TimeTag begun{Term(7), Term(7)};
    SUBCASE("its own") {
        StateTime cut_off;
        hears(cut_off, log_s(1000), at_s(0));
        cut_off.offer(n2, Term(9), running(log_s(1055), at_s(60), begun));
        cut_off.lead(Term(9), {}, at_s(60), wall_s(1060));
        CHECK(cut_off.at(at_s(60)) == log_s(1055));
        CHECK(cut_off.tag() == TimeTag{Term(9), Term(7)});
    }
    SUBCASE("a voter's") {
        StateTime leader;
        hears(leader, log_s(1055), at_s(60), begun);
        leader.offer(n2, Term(9), running(log_s(1060), at_s(60)));
        leader.lead(Term(9), {}, at_s(60), wall_s(1060));
        CHECK(leader.at(at_s(60)) == log_s(1055));
    }
    SUBCASE("its own, when a voter has an estimate of the newer count: a new count begins") {
        StateTime cut_off;
        hears(cut_off, log_s(1000), at_s(0));
        cut_off.offer(n2, Term(9), estimate(log_s(1054), at_s(60), begun));
        cut_off.lead(Term(9), {}, at_s(60), wall_s(1060));
        CHECK(cut_off.at(at_s(60)) == log_s(1054));
        CHECK(cut_off.origin() == TimeOrigin::Estimate);
        CHECK(cut_off.tag() == TimeTag{Term(9), Term(9)});
    }
    SUBCASE("when only the log knows of the newer count: a new one, by the smallest that is known") {
        StateTime cut_off;
        hears(cut_off, log_s(1000), at_s(0));
        cut_off.offer(n2, Term(9), estimate(log_s(1058), at_s(60)));
        cut_off.lead(Term(9), StateTime::Floor{log_s(1050), begun}, at_s(60), wall_s(1060));
        CHECK(cut_off.at(at_s(60)) == log_s(1058));
        CHECK(cut_off.tag() == TimeTag{Term(9), Term(9)});
    }
}

TEST_CASE("state time: a change of leader leaves the count; a count that nobody followed is left aside") {
    StateTime leader;
    hears(leader, log_s(1000), at_s(0));
    leader.lead(Term(4), {}, at_s(1), wall_s(1001));
    CHECK(leader.tag() == kSecondLeader);
    // Began its own count in term 2, and was deposed before it had a follower.
    StateTime deposed = restarted();
    deposed.lead(Term(2), {}, at_s(0), wall_s(900));
    CHECK(deposed.tag() == TimeTag{Term(2), Term(2)});
    hears(deposed, log_s(1002), at_s(2), kSecondLeader);
    CHECK(deposed.at(at_s(2)) == log_s(1002));
    CHECK(deposed.tag() == kSecondLeader);
}

TEST_CASE("state time: a change by an operator moves running values forward, and what was stored before it") {
    StateTime runs;
    hears(runs, log_s(100), at_s(0));
    runs.moved(log_s(101), log_s(200), at_s(1));
    CHECK(runs.at(at_s(2)) == log_s(201));
    runs.moved(log_s(101), log_s(150), at_s(2));  // never back
    CHECK(runs.at(at_s(2)) == log_s(201));
    StateTime replays = restarted();
    replays.moved(log_s(1001), log_s(2001), at_s(1));
    CHECK(replays.estimate(wall_s(1060)) == log_s(2060));
}

TEST_CASE("state time: a leader's stamps never go back and are slewed by at most 500 ppm (any wall clock)") {
    CHECK(rc::check([] {
        StateTime leader;
        Instant now = at_s(10);
        leader.lead(Term(5), {}, now, wall_s(1000));
        LogTime last = leader.stamp(now, wall_s(1000));
        for (int i = 0; i < 20; ++i) {
            const int64_t step = *rc::gen::inRange<int64_t>(0, 100 * kSecond);
            now = now + Duration::nanos(step);
            const LogTime stamp = leader.stamp(now, {*rc::gen::inRange<int64_t>(0, 3000 * kSecond)});
            RC_ASSERT(stamp.ns - last.ns >= step - step / 2000 - 1);
            RC_ASSERT(stamp.ns - last.ns <= step + step / 2000 + 1);
            last = stamp;
        }
    }));
}

TEST_CASE("state time: the pair is stored once a second and when the wall clock steps, and only with a running value") {
    StateTime time = restarted();
    CHECK_FALSE(time.store_due(at_s(100), wall_s(2000)));
    hears(time, log_s(1030), at_s(100));
    REQUIRE(time.store_due(at_s(100), wall_s(1030)));
    time.stored({log_s(1030), wall_s(1030), kFirst.leader, kFirst.epoch}, at_s(100));
    CHECK_FALSE(time.store_due(at_s(100.9), wall_s(1030.9)));
    StateTime other_count = time;
    hears(other_count, log_s(1030.5), at_s(100.5), {Term(7), Term(7)});
    CHECK(other_count.store_due(at_s(100.5), wall_s(1030.5)));
    CHECK(time.store_due(at_s(100.9), wall_s(1031.1)));
    CHECK(time.store_due(at_s(101), wall_s(1031)));
}

TEST_CASE("state time: the seeded defect goes by the leader's wall clock after an outage") {
    const test::DefectScope defect(Defect::outage_time_by_leader_clock);
    StateTime leader = restarted();
    leader.offer(n2, Term(5), estimate(log_s(1030), at_s(7)));
    leader.lead(Term(5), {}, at_s(7), wall_s(4630));
    CHECK(leader.at(at_s(7)) == log_s(4630));
}

}  // namespace
}  // namespace orrery::kv
