// A member that lacks appends, of leaders that have restarted and whose files are ahead of those entries.
#include "tests/node/data/extent_ledger.h"
#include "tests/node/data/extent_world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;

namespace {

const ExtentId kWritten{1}, kGone{2};

enum class Flush { No, AfterAppends, AtTheEnd };

void catch_up(Flush flush, bool third_returns) {
    ExtentWorld world(31);
    const size_t at = world.leader().value(), away = (at + 1) % 3, other = (at + 2) % 3;
    world.crash(away, sim::Host::Death::Power);
    auto flush_both = [&] {
        for (size_t i : {at, other}) {
            (void)world.on_node(i, [](Fiber& fiber, ExtentNode& node) { (void)node.host()->store().flush(fiber); });
        }
    };
    Bytes content = bytes_of(1, 200'000);
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        for (ExtentId id : {kWritten, kGone}) {
            CHECK(node.writer().create(fiber, id, world.soon(at)).ok());
            CHECK(node.writer().append(fiber, id, std::make_shared<const Bytes>(content), world.soon(at)).ok());
        }
    }));
    world.world.run_until(world.world.now() + Duration::millis(200));
    if (flush == Flush::AfterAppends) flush_both();
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        for (uint64_t i = 0; i < 4; ++i) {
            const Bytes bytes = bytes_of(10 + i, 5000);
            CHECK(node.writer().overwrite(fiber, kWritten, 3000 + i * 45'000, bytes, world.soon(at)).ok());
            content.replace(3000 + i * 45'000, bytes.size(), bytes);
        }
        CHECK(node.writer().overwrite(fiber, kWritten, 3000, "twice", world.soon(at)).ok());
        content.replace(3000, 5, "twice");
        CHECK(node.writer().append_small(fiber, kWritten, "at the end", world.soon(at)).ok());
        content += "at the end";
        CHECK(node.writer().remove(fiber, kGone, world.soon(at)).ok());
    }));
    world.world.run_until(world.world.now() + Duration::millis(200));
    if (flush == Flush::AtTheEnd) flush_both();
    world.world.run_until(world.world.now() + Duration::millis(500));
    for (size_t i : {at, other}) world.crash(i, sim::Host::Death::Power);
    world.start(at);
    world.start(away);
    if (third_returns) world.start(other);
    world.world.run_until(world.world.now() + Duration::seconds(10));
    REQUIRE_MESSAGE(!world.world.failure(), world.failure_text());
    REQUIRE(world.damage.seen.empty());
    for (size_t i : {at, away}) {
        REQUIRE(world.on_node(i, [&](Fiber& fiber, ExtentNode& node) {
            const auto got = node.machine().read(fiber, kWritten, 0, content.size());
            CHECK_MESSAGE(got.ok(), "node " << i + 1 << ": " << (got.ok() ? "" : got.error().text()) << world.state_text());
            if (got.ok()) CHECK((*got == content));
            CHECK(node.machine().read(fiber, kGone, 0, 1).failed_with(Code::NotFound));
        }));
    }
    CHECK(world.records(at) == world.records(away));
    uint64_t superseded = 0;
    for (size_t i : {at, other})
        if (world.node(i) != nullptr) superseded += world.node(i)->machine().counters().superseded_sent;
    CHECK(superseded > 0);
}

}  // namespace

TEST_CASE("data: a member gets appends whose bytes were changed since, of leaders that have restarted (flushed: never, in between, at the end; two or three up)") {
    for (Flush flush : {Flush::No, Flush::AfterAppends, Flush::AtTheEnd})
        for (bool third_returns : {false, true}) {
            CAPTURE(static_cast<int>(flush));
            CAPTURE(third_returns);
            catch_up(flush, third_returns);
        }
}
