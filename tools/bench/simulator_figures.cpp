// Figures of the simulator: trace hash, streams (PP3), worlds, disk.
#include <memory>
#include <string>

#include "runtime/base/check.h"
#include "sim/core/world.h"
#include "tools/bench/figures.h"
#include "tools/bench/pp3.h"

namespace orrery::bench {

namespace {

double pp3_rate(uint64_t window, uint64_t messages) {
    const Pp3Result result = run_pp3(1, window, messages);
    return static_cast<double>(result.delivered) / result.cpu_seconds;
}

/// Waits to be stopped; what a host costs without a node in it.
class Idle final : public Process {
 public:
    Result<void> run(Fiber& fiber) override { return stop_.wait(fiber); }
    void request_stop() override { stop_.set(); }

 private:
    Event stop_;
};

/// ms of one world with six hosts: made, started, run for a simulated millisecond, destroyed.
double world_ms() {
    return ns_per_iteration([](uint64_t iterations) {
               for (uint64_t i = 0; i < iterations; ++i) {
                   sim::World world({.seed = i + 1});
                   for (int host = 0; host < 6; ++host)
                       world.add_host("n" + std::to_string(host)).start([](Env&) {
                           return std::make_unique<Idle>();
                       });
                   CHECK(
                       world.run_until(Instant{Duration::millis(1).ns}) != sim::World::Stop::Failed,
                       world.failure()->text);
               }
           }) /
           1e6;
}

/// Appends `bytes` to a file of the simulated disk and syncs it, again and again.
class Appender final : public Process {
 public:
    Appender(Env& env, size_t bytes, uint64_t& done) : env_(env), block_(bytes, 'x'), done_(done) {}
    Result<void> run(Fiber& fiber) override {
        std::unique_ptr<File> file;
        TRY(env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
            TRY(file, env_.disk.open(blocking, "bench", OpenMode::Create));
            return {};
        }));
        constexpr uint64_t kFileBytes = 16 << 20;
        for (uint64_t at = 0;; at = (at + block_.size()) % kFileBytes) {
            TRY(env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
                TRY(file->pwrite(blocking, at, block_));
                return file->sync(blocking);
            }));
            ++done_;
        }
    }
    void request_stop() override {}

 private:
    Env& env_;
    Bytes block_;
    uint64_t& done_;
};

double disk_us() {
    sim::World world({.seed = 1});
    uint64_t done = 0;
    world.add_host("n").start(
        [&](Env& env) { return std::make_unique<Appender>(env, 4096, done); });
    CHECK(world.run_until(Instant{Duration::millis(10).ns}) == sim::World::Stop::Time,
          world.failure()->text);
    const uint64_t before = done;
    const int64_t begin = cpu_ns();
    while (cpu_ns() - begin < 100'000'000) {
        const auto stop = world.run_until(world.now() + Duration::millis(50));
        CHECK(stop == sim::World::Stop::Time, world.failure() ? world.failure()->text : "idle");
    }
    const int64_t took = cpu_ns() - begin;
    CHECK(done > before);
    return static_cast<double>(took) / static_cast<double>(done - before) / 1e3;
}

}  // namespace

void add_simulator_figures(std::vector<Figure>& figures) {
    figures.push_back({"sim.pp3 W=64 messages", "1/s", Better::Higher, 1e6,
                       [] { return pp3_rate(64, 200'000); }});
    figures.push_back(
        {"sim.pp3 W=8 messages", "1/s", Better::Higher, 0, [] { return pp3_rate(8, 100'000); }});
    figures.push_back(
        {"sim.pp3 W=1 messages", "1/s", Better::Higher, 0, [] { return pp3_rate(1, 100'000); }});
    figures.push_back({"sim.world set-up+tear-down", "ms", Better::Lower, 20, world_ms});
    figures.push_back({"sim.disk 4 KiB write+sync", "us", Better::Lower, 0, disk_us});
}

}  // namespace orrery::bench
