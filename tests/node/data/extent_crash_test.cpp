// One history of an extent, and a replica that is cut down at each changing operation of its disk in turn.
#include "tests/node/data/extent_ledger.h"
#include "tests/node/data/extent_world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;

namespace {

const ExtentId kKept{1}, kRemoved{2}, kFirst{3};

/// What the kept extent has in the end.
Bytes expected() {
    Bytes out = bytes_of(1, 140'000);
    out.replace(4000, 9000, bytes_of(2, 9000));
    out.replace(4000, 300, bytes_of(3, 300));
    out += bytes_of(4, 500);                       // small: right behind
    out.resize(data::whole_images(out.size()), '\0');
    out += bytes_of(5, 700);
    out.replace(139'900, 200, bytes_of(6, 200));   // over the end of the first append
    return out;
}

/// Runs the history at the leader; false: it did not get through. `victim` restarts as soon as it is down, half a second later.
bool write_all(ExtentWorld& world, size_t victim) {
    using Step = std::function<bool(Fiber&, data::ExtentWriter&, Instant)>;
    auto shared = [](uint64_t operation, size_t length) { return std::make_shared<const Bytes>(bytes_of(operation, length)); };
    auto fine = [](const Result<data::Written>& done) { return done.ok(); };
    const std::vector<Step> steps = {
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.create(f, kKept, t)) && fine(w.append(f, kKept, shared(1, 140'000), t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.create(f, kRemoved, t)) && fine(w.append(f, kRemoved, shared(7, 20'000), t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.overwrite(f, kKept, 4000, bytes_of(2, 9000), t)) && fine(w.overwrite(f, kKept, 4000, bytes_of(3, 300), t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.overwrite(f, kRemoved, 100, bytes_of(8, 5000), t)) && fine(w.append_small(f, kKept, bytes_of(4, 500), t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.append(f, kKept, shared(5, 700), t)) && fine(w.remove(f, kRemoved, t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.overwrite(f, kKept, 139'900, bytes_of(6, 200), t)); },
        [&](Fiber& f, data::ExtentWriter& w, Instant t) { return fine(w.create(f, kFirst, t)) && fine(w.append_small(f, kFirst, bytes_of(9, 50), t)); },
    };
    for (const Step& step : steps) {
        const size_t at = world.leader().value();
        auto done = std::make_shared<bool>(false);
        if (!world.on_node(at, [&step, done, at, &world](Fiber& fiber, ExtentNode& node) { *done = step(fiber, node.writer(), world.soon(at)); }) || !*done) return false;
        (void)world.on_node(at, [](Fiber& fiber, ExtentNode& node) { (void)node.host()->store().flush(fiber); });
        world.world.run_until(world.world.now() + Duration::millis(40));
        if (!world.hosts[victim]->up()) world.start(victim);
    }
    return true;
}

}  // namespace

TEST_CASE("data: a replica that goes down at any operation of its disk has every byte in the end, and no file of what was removed (each operation)") {
    uint64_t operations = 0, crashes = 0;
    for (uint64_t nth = 0; nth <= operations; ++nth) {
        CAPTURE(nth);
        ExtentWorld world(21, {.flush_bytes = 2 << 10, .writer = {}});
        const size_t victim = (world.leader().value() + 1) % 3;
        const uint64_t before = world.hosts[victim]->disk().operation_number(), life = world.hosts[victim]->life();
        if (nth > 0) world.crash_at(victim, nth, nth % 3 == 0 ? sim::Host::Death::Kill : sim::Host::Death::Power);
        REQUIRE(write_all(world, victim));
        if (nth == 0) operations = world.hosts[victim]->disk().operation_number() - before;
        REQUIRE(world.settle());
        for (size_t i = 0; i < 3; ++i) {
            (void)world.on_node(i, [](Fiber& fiber, ExtentNode& node) { (void)node.host()->store().flush(fiber); });
        }
        world.world.run_until(world.world.now() + Duration::seconds(1));
        crashes += world.hosts[victim]->life() > life;
        REQUIRE_MESSAGE(!world.world.failure(), world.failure_text());
        REQUIRE(world.damage.seen.empty());
        const Bytes content = expected();
        const std::map<Bytes, Bytes> records = world.records(0);
        for (size_t i = 0; i < 3; ++i) {
            REQUIRE(world.records(i) == records);
            REQUIRE(world.on_node(i, [&](Fiber& fiber, ExtentNode& node) {
                CHECK(node.machine().read(fiber, kKept, 0, content.size()).value() == content);
                CHECK(node.machine().read(fiber, kFirst, 0, 50).value() == bytes_of(9, 50));
                CHECK(node.machine().read(fiber, kRemoved, 0, 1).failed_with(Code::NotFound));
            }));
            CHECK_FALSE(world.hosts[i]->disk().peek(world.extent_path(i, kRemoved), sim::SimDisk::View::Durable));
        }
    }
    MESSAGE("operations " << operations << ", crashes " << crashes);
    CHECK(crashes > operations * 9 / 10);
}
