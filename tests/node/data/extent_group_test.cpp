// A partition of three under crashes and cut links: what was acknowledged is there, what was removed is not, all replicas agree.
#include "tests/node/data/extent_chaos.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;

namespace {

void run_all(ChaosPlan plan, uint64_t count) {
    const uint64_t worlds = seeds(count);
    ChaosTotals totals;
    for (const uint64_t end = plan.seed + worlds; plan.seed < end; ++plan.seed) {
        Chaos chaos(plan, totals);
        const std::string wrong = chaos.run();
        REQUIRE_MESSAGE(wrong.empty(), "seed " << plan.seed << ": " << wrong);
    }
    MESSAGE("acknowledged " << totals.acknowledged << ", unknown " << totals.unknown << ", refused " << totals.refused << ", overwrites " << totals.overwrites
                            << ", reads " << totals.reads << ", removed " << totals.removed << ", crashes " << totals.crashes << ", superseded " << totals.superseded);
    CHECK(totals.acknowledged > 10 * worlds);
    CHECK(totals.unknown > 0);
    CHECK(totals.removed > 0);
}

}  // namespace

TEST_CASE("data: every acknowledged write of extents reads back on every replica (random writes, crashes at disk operations, cut links; 300 worlds)") {
    run_all({.seed = 1}, 300);
}

TEST_CASE("data: every acknowledged write of extents reads back on every replica (longer runs, a Store that is flushed often; 120 worlds)") {
    run_all({.seed = 10'000, .steps = 200, .flush_bytes = 4 << 10, .crash = 0.06}, 120);
}

TEST_CASE("data: every acknowledged write of extents reads back on every replica (a Store that is never flushed, links cut often; 120 worlds)") {
    run_all({.seed = 20'000, .steps = 150, .flush_bytes = 32 << 20, .crash = 0.05, .cut = 0.06}, 120);
}
