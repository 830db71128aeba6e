#include "sim/check/member_log.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::check;

namespace {

/// Entries 1 to `last`, all of term 1.
MemberLog of(uint64_t last) {
    MemberLog log;
    for (uint64_t i = 1; i <= last; ++i) log.append(LogIndex(i), Term(1));
    return log;
}

}  // namespace

TEST_CASE("member log: an append voids what stood there and behind") {
    MemberLog log = of(5);
    log.append(LogIndex(4), Term(2));
    CHECK_EQ(log.last(), LogIndex(4));
    CHECK_FALSE(log.has_other(LogIndex(3), Term(1)));
    CHECK(log.has_other(LogIndex(4), Term(1)));
    CHECK_FALSE(log.has_other(LogIndex(5), Term(3)));
}

TEST_CASE("member log: what was cut off or not found again is not there") {
    MemberLog log = of(9);
    log.truncate(LogIndex(7));
    CHECK_EQ(log.last(), LogIndex(6));
    log.recovered(LogIndex(4));
    CHECK_EQ(log.last(), LogIndex(4));
    CHECK_FALSE(log.has_other(LogIndex(5), Term(2)));
    CHECK(log.has_other(LogIndex(4), Term(2)));
}

TEST_CASE("member log: a snapshot over a conflicting tail leaves nothing of it") {
    MemberLog log = of(8);  // of a leader that was deposed; the group's entries 5 and on are of term 3
    log.installed(LogIndex(6), Term(3));
    CHECK_FALSE(log.has_other(LogIndex(5), Term(3)));
    CHECK_FALSE(log.has_other(LogIndex(6), Term(3)));
    CHECK_FALSE(log.has_other(LogIndex(7), Term(3)));
    CHECK_EQ(log.last(), LogIndex(6));
}

TEST_CASE("member log: a snapshot keeps the tail that goes on from its last entry, and one beyond the log keeps nothing") {
    MemberLog log = of(8);
    log.installed(LogIndex(6), Term(1));
    CHECK_EQ(log.last(), LogIndex(8));
    CHECK(log.has_other(LogIndex(7), Term(2)));
    CHECK_FALSE(log.has_other(LogIndex(6), Term(2)));
    log.installed(LogIndex(20), Term(2));
    CHECK_EQ(log.last(), LogIndex(20));
    CHECK_FALSE(log.has_other(LogIndex(8), Term(2)));
}
