// Figures of the runtime: fiber switches, creation, draws, checksums.
#include <algorithm>

#include "runtime/base/random.h"
#include "runtime/fiber/scheduler.h"
#include "runtime/fiber/switch.h"
#include "sim/clock/timeline.h"
#include "tools/bench/figures.h"

namespace orrery::bench {

namespace {

/// ns of one exchange of stacks, with no scheduler around it: there and back, halved.
double exchange_ns() {
    StackPool stacks;
    Stack stack = stacks.take();
    context::Context there = context::make(stack.top(), stack.size_bytes, [](context::Transfer back) {
        for (;;) back = context::jump(back.fctx, nullptr);
    });
    const double ns = ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) there = context::jump(there, nullptr).fctx;
    });
    stacks.give_back(stack);
    return ns / 2;
}

/// ns of one slice: into a fiber and back, by the scheduler. `burst` slices run between two returns
/// to the caller, as in the loop of a daemon; with 1 every slice returns, as in a simulated world.
double slice_ns(uint32_t burst) {
    SchedulerHooks hooks;
    StackPool stacks;
    Scheduler scheduler(hooks, stacks);
    for (int i = 0; i < 4; ++i)
        scheduler.spawn("switch", [](Fiber& fiber) {
            while (fiber.yield().ok()) {
            }
        });
    const double ns = ns_per_iteration([&](uint64_t iterations) {
        if (burst == 1) {
            for (uint64_t i = 0; i < iterations; ++i) scheduler.run_one();
        } else {
            for (uint64_t i = 0; i < iterations; i += burst)
                scheduler.run_ready(
                    static_cast<uint32_t>(std::min<uint64_t>(burst, iterations - i)));
        }
    });
    scheduler.cancel_all();
    while (scheduler.has_ready()) scheduler.run_one();
    return ns;
}

double fiber_life_ns() {
    SchedulerHooks hooks;
    StackPool stacks;
    Scheduler scheduler(hooks, stacks);
    uint64_t ran = 0;
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            scheduler.spawn("life", [&ran](Fiber&) { ++ran; });
            scheduler.run_one();
        }
        keep(ran);
    });
}

double trace_hash_ns() {
    sim::TraceHash hash;
    Instant at{};
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            at.ns += 1000;
            hash.add(sim::Step::NetDeliver, at, i & 63, i);
        }
        keep(hash);
    });
}

double draw_ns() {
    RandomStream draws(1, "bench", 7);
    uint64_t sum = 0;
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) sum += draws.next();
        keep(sum);
    });
}

}  // namespace

void add_runtime_figures(std::vector<Figure>& figures) {
    figures.push_back({"fiber.switch", "ns", Better::Lower, 10, exchange_ns});
    // A turn of the run queue, with two switches in it.
    figures.push_back({"scheduler.slice (loop)", "ns", Better::Lower, 0, [] { return slice_ns(1024); }});
    figures.push_back({"scheduler.slice (world)", "ns", Better::Lower, 0, [] { return slice_ns(1); }});
    figures.push_back({"fiber.create+run+destroy", "ns", Better::Lower, 100, fiber_life_ns});
    figures.push_back({"hash.event", "ns", Better::Lower, 25, trace_hash_ns});
    figures.push_back({"random.draw (addressed)", "ns", Better::Lower, 0, draw_ns});
}

}  // namespace orrery::bench
