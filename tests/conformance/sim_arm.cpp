// The arm in a simulated world: each case under every policy, with splitting links, over several seeds.
#include "sim/core/world.h"
#include "tests/conformance/harness.h"

namespace orrery::conformance {

void run_case(const Body& body) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        const double extra_yield_p = seed % 2 == 0 ? 0.3 : 0.02;
        sim::World world({.seed = seed,
                          .policy = seed == 1   ? sim::SchedulePolicy::Fifo
                                    : seed > 6 ? sim::SchedulePolicy::Pct
                                               : sim::SchedulePolicy::Random,
                          .extra_yield_p = extra_yield_p,
                          .net = {.split_p = seed % 3 == 0 ? 0.3 : 0.0}});
        sim::Host& host = world.add_host("here");
        const Place place{.host = "here", .extra_yield_p = extra_yield_p};
        host.start([&](Env& env) { return std::make_unique<BodyProcess>(env, body, place); });
        world.run_until(Instant{} + Duration::seconds(300), [&] { return !host.up(); });
        INFO("seed " << seed);
        if (world.failure()) FAIL_CHECK(world.failure()->name << ": " << world.failure()->text);
        if (!host.exit_result()) {
            FAIL_CHECK("the body has not returned");
            return;
        }
        if (!host.exit_result()->ok()) FAIL_CHECK(host.exit_result()->error().text());
    }
}

}  // namespace orrery::conformance
