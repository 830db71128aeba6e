#include "sim/check/list_checker.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

namespace {

Instant at(int64_t ms) { return Instant{} + Duration::millis(ms); }

/// Versions 10 at 1 s, 20 at 2 s, 30 at 3 s.
struct Lists {
    explicit Lists(int64_t slow_ppm = 0) : checker({.slow_ppm = slow_ppm}) {
        for (int64_t i = 1; i <= 3; ++i) checker.committed(LogIndex(static_cast<uint64_t>(i) * 10), at(i * 1000));
    }
    /// An answer that was asked for and had at these instants; sequence numbers are milliseconds.
    void answer(uint64_t master, uint64_t version, int64_t asked, int64_t answered, int64_t max_age, int64_t age, uint64_t at_least = 0) {
        checker.answered({.what = "c", .master = NodeId(master), .version = LogIndex(version), .age = Duration::millis(age), .max_age = Duration::millis(max_age),
                          .at_least = LogIndex(at_least), .asked = {at(asked), static_cast<uint64_t>(asked)}, .answered = {at(answered), static_cast<uint64_t>(answered)}});
    }
    std::string found() const {
        std::string out;
        for (const Violation& one : checker.violations()) out += (out.empty() ? "" : " ") + one.name;
        return out;
    }
    ListChecker checker;
};

}  // namespace

TEST_CASE("lists: what was committed when it was asked is owed, less the age that was allowed") {
    Lists lists;
    lists.answer(1, 30, 3001, 3100, 0, 0);
    lists.answer(2, 20, 3000, 3500, 0, 999);  // one instant: neither was first
    lists.answer(3, 20, 3500, 3600, 501, 501);
    CHECK_EQ(lists.found(), "");
    lists.answer(4, 20, 3001, 3100, 0, 1001);
    CHECK_EQ(lists.found(), "list.too-old");
}

TEST_CASE("lists: an age that is admitted must be true") {
    Lists lists;
    lists.answer(1, 20, 3500, 3600, 2000, 499);
    CHECK_EQ(lists.found(), "list.younger-than-true");
}

TEST_CASE("lists: clocks may be as wrong as the plan makes them") {
    Lists sharp, lenient(10'000);
    for (Lists* lists : {&sharp, &lenient}) lists->answer(1, 20, 3500, 3600, 2000, 497);
    CHECK_EQ(sharp.found(), "list.younger-than-true");
    CHECK_EQ(lenient.found(), "");
}

TEST_CASE("lists: a version that was asked for is owed") {
    Lists lists;
    lists.answer(1, 10, 1500, 1600, 0, 0, 10);
    CHECK_EQ(lists.found(), "");
    lists.answer(1, 10, 1700, 1800, 0, 0, 11);
    CHECK_EQ(lists.found(), "list.behind-token");
}

TEST_CASE("lists: one master never shows less than it had shown when it was asked; another may") {
    Lists lists;
    lists.answer(1, 25, 2500, 2600, 2000, 2000);
    lists.answer(2, 20, 2700, 2800, 2000, 2000);
    lists.answer(1, 22, 2550, 2900, 2000, 2000);  // asked before the first answer was there
    CHECK_EQ(lists.found(), "");
    lists.answer(1, 24, 2601, 3000, 2000, 2000);
    CHECK_EQ(lists.found(), "list.version-fell");
}

TEST_CASE("lists: what is not remembered is not called right") {
    ListChecker checker({.max_events = 2});
    for (uint64_t i = 1; i <= 2; ++i) checker.committed(LogIndex(i), at(0));
    CHECK_FALSE(checker.full());
    checker.committed(LogIndex(3), at(0));
    CHECK(checker.full());
}
