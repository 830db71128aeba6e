// The checker of expiry: each rule is shown to hold its tongue and to speak.
#include "sim/check/expiry.h"

#include <doctest/doctest.h>

namespace orrery::check {
namespace {

struct Story {
    ExpiryChecker checker;
    uint64_t sequence = 1;

    explicit Story(int64_t rate_ppb = 0) : checker({.slack = Duration::millis(500), .rate_ppb = rate_ppb}) {}
    static Instant at(double seconds) { return {static_cast<int64_t>(seconds * 1e9)}; }
    ExpiryChecker::OpId begin(double called, ExpiryKind kind, Duration ttl = {}, Value value = {}) {
        return *checker.call({.kind = kind, .key = "k", .value = std::move(value), .ttl = ttl, .called = {at(called), sequence++}});
    }
    void end(ExpiryChecker::OpId id, double answered, int64_t number, Value value = {}, Duration ttl = {}, OpStatus status = OpStatus::Ok) {
        checker.answer(id, status, std::move(value), number, ttl, {at(answered), sequence++});
    }
    void set(double from, double to, int64_t ttl_ms) { end(begin(from, ExpiryKind::Set, Duration::millis(ttl_ms), "v"), to, 0); }
    void get(double from, double to, bool there) { end(begin(from, ExpiryKind::Get), to, 0, there ? Value("v") : Value()); }
    void expire(double from, double to, int64_t ttl_ms, bool took) { end(begin(from, ExpiryKind::Expire, Duration::millis(ttl_ms)), to, took); }
    void persist(double from, double to, bool took) { end(begin(from, ExpiryKind::Persist), to, took); }
    void left(double from, double to, int64_t number, int64_t ttl_ms = 0) {
        end(begin(from, ExpiryKind::TimeToLive), to, number, {}, Duration::millis(ttl_ms));
    }
    std::string verdict() {
        const Verdict verdict = checker.judge();
        if (verdict.outcome == Outcome::Violated) return verdict.violations.front().name;
        return std::string(outcome_name(verdict.outcome));
    }
};

const std::string kPass(outcome_name(Outcome::Pass));

TEST_CASE("expiry: a key that is there for its TTL and gone behind it passes; nothing judged is inconclusive") {
    Story story;
    story.set(1, 1.1, 2000);
    story.get(1.2, 1.3, true);
    story.left(2, 2.1, 0, 1050);
    story.get(3.2, 3.3, false);
    story.left(3.4, 3.5, -2);
    story.expire(3.6, 3.7, 100, false);
    story.persist(3.8, 3.9, false);
    CHECK(story.verdict() == kPass);
    CHECK(Story().verdict() == outcome_name(Outcome::Inconclusive));
}

TEST_CASE("expiry: gone before the TTL less the bound is found, inside the bound it is not") {
    Story early, fair;
    early.set(1, 1.1, 2000);
    early.get(2.3, 2.4, false);
    CHECK(early.verdict() == "expiry.too-early");
    fair.set(1, 1.1, 2000);
    fair.get(2.3, 2.6, false);
    CHECK(fair.verdict() == kPass);
}

TEST_CASE("expiry: readable behind the TTL and the bound is found, also by what a write of it finds") {
    Story late, fair, written;
    late.set(1, 1.1, 2000);
    late.get(3.7, 3.8, true);
    CHECK(late.verdict() == "expiry.too-late");
    fair.set(1, 1.1, 2000);
    fair.get(3.5, 9, true);
    CHECK(fair.verdict() == kPass);
    written.set(1, 1.1, 2000);
    written.expire(3.7, 3.8, 5000, true);
    CHECK(written.verdict() == "expiry.too-late");
}

TEST_CASE("expiry: the bound grows with the time since the TTL began") {
    Story strict, drifting(10'000'000);  // a percent
    for (Story* story : {&strict, &drifting}) {
        story->set(0, 0.1, 100'000);
        story->get(101, 101.1, true);
    }
    CHECK(strict.verdict() == "expiry.too-late");
    CHECK(drifting.verdict() == kPass);
}

TEST_CASE("expiry: a key that was seen gone does not come back without a write") {
    Story back, written, together;
    back.set(1, 1.1, 2000);
    back.get(3.0, 3.1, false);
    back.get(3.2, 3.3, true);
    CHECK(back.verdict() == "expiry.came-back");
    written.set(1, 1.1, 2000);
    written.get(3.0, 3.1, false);
    written.set(3.15, 3.18, 2000);
    written.get(3.2, 3.3, true);
    CHECK(written.verdict() == kPass);
    together.set(1, 1.1, 2000);
    const auto first = together.begin(3.0, ExpiryKind::Get), second = together.begin(3.0, ExpiryKind::Get);
    together.end(first, 3.1, 0);
    together.end(second, 3.2, 0, "v");
    CHECK(together.verdict() == kPass);
}

TEST_CASE("expiry: a key without expiry stays, and a new expiry replaces the old") {
    Story lost, moved, shorter;
    lost.set(1, 1.1, 1000);
    lost.persist(1.2, 1.3, true);
    lost.get(9, 9.1, true);
    lost.left(9.2, 9.3, -1);
    lost.get(9.4, 9.5, false);
    CHECK(lost.verdict() == "expiry.too-early");
    moved.set(1, 1.1, 1000);
    moved.expire(1.2, 1.3, 5000, true);
    moved.get(4, 4.1, true);
    CHECK(moved.verdict() == kPass);
    shorter.set(1, 1.1, 9000);
    shorter.expire(1.2, 1.3, 100, true);
    shorter.get(4, 4.1, true);
    CHECK(shorter.verdict() == "expiry.too-late");
}

TEST_CASE("expiry: a TTL that is told is that of the key") {
    for (const int64_t told : {50, 4000}) {
        Story story;
        story.set(1, 1.1, 2000);
        story.left(2, 2.1, 0, told);
        CHECK(story.verdict() == "expiry.wrong-time");
    }
    Story none;
    none.set(1, 1.1, 2000);
    none.left(2, 2.1, -1);
    CHECK(none.verdict() == "expiry.wrong-time");
}

TEST_CASE("expiry: a read that overlaps a write may fit either side; behind an unknown outcome nothing is judged") {
    Story story;
    story.set(1, 1.1, 500);
    const auto read = story.begin(5, ExpiryKind::Get);
    story.set(5.1, 5.2, 500);
    story.end(read, 5.3, 0, "v");
    CHECK(story.verdict() == kPass);
    Story unknown;
    unknown.set(1, 1.1, 500);
    unknown.end(unknown.begin(1.2, ExpiryKind::Expire, Duration::millis(9000)), 2, 0, {}, {}, OpStatus::Unknown);
    unknown.get(5, 5.1, true);
    CHECK(unknown.verdict() == kPass);
    Story other;
    other.set(1, 1.1, 5000);
    other.end(other.begin(1.2, ExpiryKind::Get), 1.3, 0, "w");
    CHECK(other.verdict() == "expiry.wrong-value");
}

TEST_CASE("expiry: an outage excuses as much as a clock moved while its estimates grew, and no more") {
    const auto story = [](double moved_at, Duration by) {
        Story story;
        story.checker.time_stored(NodeId(1), 77, Story::at(1));
        story.set(2, 2.1, 3000);
        story.checker.time_found(NodeId(1), 77);
        story.checker.time_begun(true, Story::at(4));
        story.checker.wall_moved(NodeId(1), by, Story::at(moved_at));
        story.get(12, 12.1, true);
        return story.verdict();
    };
    CHECK(story(3, Duration::seconds(-8)) == kPass);
    CHECK(story(3, Duration::seconds(-5)) == "expiry.too-late");
    CHECK(story(0.5, Duration::seconds(-8)) == "expiry.too-late");  // before it was stored
    CHECK(story(5, Duration::seconds(-8)) == "expiry.too-late");    // behind the outage
}

TEST_CASE("expiry: across a beginning from a wall clock nothing is judged, but what was gone stays gone") {
    Story story;
    story.set(2, 2.1, 3000);
    story.checker.time_begun(false, Story::at(4));
    story.get(9, 9.1, true);
    CHECK(story.verdict() == kPass);
    Story back;
    back.set(2, 2.1, 3000);
    back.checker.time_begun(false, Story::at(4));
    back.get(9, 9.1, false);
    back.get(9.2, 9.3, true);
    CHECK(back.verdict() == "expiry.came-back");
}

}  // namespace
}  // namespace orrery::check
