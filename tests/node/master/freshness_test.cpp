#include "node/master/freshness.h"

#include <map>

#include "runtime/base/random.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

Instant at(int64_t ms) { return Instant{} + Duration::millis(ms); }

TEST_CASE("what is vouched for counts from the question, once it is applied") {
    Freshness fresh;
    CHECK(!fresh.as_of());
    fresh.confirmed(LogIndex(5), at(100));
    CHECK(!fresh.as_of());
    fresh.applied(LogIndex(4));
    CHECK(!fresh.as_of());
    fresh.applied(LogIndex(5));
    CHECK(fresh.as_of() == at(100));
    fresh.confirmed(LogIndex(3), at(50));  // late
    CHECK(fresh.as_of() == at(100));
    fresh.confirmed(LogIndex(5), at(200));  // nothing new: only younger
    CHECK(fresh.as_of() == at(200));
}

TEST_CASE("a leader that commits without end does not keep an older word from counting") {
    Freshness fresh;
    for (uint64_t i = 1; i <= 1000; ++i) {
        fresh.confirmed(LogIndex(i * 10), at(static_cast<int64_t>(i)));
        if (i > 5) {
            fresh.applied(LogIndex((i - 5) * 10));
            CHECK(fresh.as_of() == at(static_cast<int64_t>(i) - 5));
        }
    }
}

TEST_CASE("against all that was ever said: never younger than the truth, and no older while little waits") {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        RandomStream draw(seed, "freshness", 0);
        Freshness fresh;
        std::multimap<uint64_t, int64_t> said;  // version -> stamp
        uint64_t applied = 0;
        for (int step = 0; step < 40; ++step) {
            if (draw.chance(0.6)) {
                const uint64_t version = draw.below(50);
                const auto stamp = static_cast<int64_t>(draw.below(1000));
                said.emplace(version, stamp);
                fresh.confirmed(LogIndex(version), at(stamp));
            } else {
                applied = std::max(applied, draw.below(50));
                fresh.applied(LogIndex(applied));
            }
            std::optional<Instant> truth;
            for (const auto& [version, stamp] : said)
                if (version <= applied && (!truth || at(stamp) > *truth)) truth = at(stamp);
            REQUIRE(fresh.as_of() == truth);
        }
    }
}

}  // namespace
}  // namespace orrery::master
