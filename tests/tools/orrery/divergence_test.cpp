// Finding the first step that differs.
#include "tools/orrery/divergence.h"

#include "runtime/base/hash.h"
#include "sim/clock/timeline.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>


using namespace orrery;
using namespace orrery::cli;

namespace {

// A run of `steps` steps whose step `odd` (0: none) is another than that of the plain run.
RunRecord run_of(uint64_t steps, uint64_t odd, uint64_t watch = 0) {
    sim::TraceHash hash;
    hash.watch_step(watch);
    for (uint64_t step = 1; step <= steps; ++step) hash.add(sim::Step::Event, Instant{static_cast<int64_t>(step)}, 1, step == odd ? 7 : 8);
    RunRecord record;
    record.hash = hash.value();
    record.steps = hash.steps();
    record.checkpoints = hash.checkpoints();
    record.watched_value = hash.watched_value();
    return record;
}

}  // namespace

TEST_CASE("divergence: equal runs have no difference") { CHECK_FALSE(first_difference(run_of(10'000, 0), run_of(10'000, 0)).has_value()); }

TEST_CASE("divergence: the step that was planted is found (property)") {
    CHECK(rc::check([] {
        const uint64_t steps = *rc::gen::inRange<uint64_t>(1, 20'000);
        const uint64_t odd = *rc::gen::inRange<uint64_t>(1, steps + 1);
        const std::optional<StepRange> range = first_difference(run_of(steps, 0), run_of(steps, odd));
        RC_ASSERT(range.has_value());
        RC_ASSERT(range->after < odd && odd <= range->upto);
        RC_ASSERT(range->upto - range->after <= sim::TraceHash::kEvery);
        const Result<uint64_t> found = narrow(*range, [&](uint64_t step) -> Result<bool> {
            return run_of(steps, 0, step).watched_value == run_of(steps, odd, step).watched_value;
        });
        RC_ASSERT(found.ok() && *found == odd);
    }));
}

TEST_CASE("divergence: a run that goes on longer differs in its next step") {
    const std::optional<StepRange> range = first_difference(run_of(5000, 0), run_of(5003, 0));
    REQUIRE(range.has_value());
    CHECK((*range == StepRange{4096, 5001}));
}
