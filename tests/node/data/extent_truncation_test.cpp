// When entries replace others, the bytes of the new ones lie where those of the old ones did: no crash leaves an entry in a log whose
// bytes are another's.
#include "sim/core/defects.h"
#include "tests/node/data/extent_ledger.h"
#include "tests/node/data/extent_world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;

namespace {

const ExtentId kReplaced{1};

struct Found {
    uint64_t operations = 0;  // of the victim's disk while the entries were replaced
    uint64_t replaced = 0;    // crash points after which the log had the new entries
    uint64_t kept = 0;        // after which it had the old ones
    uint64_t untrue = 0;      // after which one of its entries had other bytes
};

void append(ExtentWorld& world, size_t at, uint64_t operation, size_t length, Duration wait) {
    (void)world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        (void)node.writer().append(fiber, kReplaced, std::make_shared<const Bytes>(bytes_of(operation, length)), world.soon(at, wait));
    });
}

/// Entries of a leader that is cut off are replaced by those of the next one; the disk of the first stops at operation `nth` from then on.
void replace(uint64_t seed, uint64_t nth, sim::Host::Death death, Found& found) {
    ExtentWorld world(seed);
    const size_t old = world.leader().value();
    REQUIRE(world.on_node(old, [&](Fiber& fiber, ExtentNode& node) { CHECK(node.writer().create(fiber, kReplaced, world.soon(old)).ok()); }));
    append(world, old, 1, 5000, Duration::seconds(5));
    REQUIRE(world.settle());
    sim::SimNet& net = world.world.net();
    for (size_t i = 0; i < 3; ++i) {
        if (i == old) continue;
        net.cut(world.hosts[old]->endpoint(), world.hosts[i]->endpoint());
        net.cut(world.hosts[i]->endpoint(), world.hosts[old]->endpoint());
    }
    for (uint64_t i = 0; i < 3; ++i) append(world, old, 10 + i, 9000, Duration::millis(30));
    world.world.run_until(world.world.now() + Duration::seconds(2));
    const std::optional<size_t> next = world.leader();
    REQUIRE((next && *next != old));
    for (uint64_t i = 0; i < 3; ++i) append(world, *next, 20 + i, 9000, Duration::seconds(5));
    const uint64_t before = world.hosts[old]->disk().operation_number();
    if (nth > 0) world.crash_at(old, nth, death);
    net.heal_all();
    world.world.run_until(world.world.now() + Duration::seconds(3));
    REQUIRE_MESSAGE(!world.world.failure(), world.failure_text());
    found.operations = world.hosts[old]->disk().operation_number() - before;
    if (nth == 0) return;
    world.crash(old, sim::Host::Death::Power);
    for (size_t i = 0; i < 3; ++i) {  // alone, so that its log is what it was
        if (i == old) continue;
        net.cut(world.hosts[old]->endpoint(), world.hosts[i]->endpoint());
        net.cut(world.hosts[i]->endpoint(), world.hosts[old]->endpoint());
    }
    world.start(old);
    world.world.run_until(world.world.now() + Duration::seconds(1));
    REQUIRE_MESSAGE(!world.world.failure(), world.failure_text());
    bool untrue = false, has_new = false, has_old = false;
    REQUIRE(world.on_node(old, [&](Fiber& fiber, ExtentNode& node) {
        for (const raft::Entry& entry : node.machine().entries) {
            if (!entry.has_attachment) continue;
            const auto command = wire::decode_extent_command(entry.body_view()).value();
            const auto bytes = node.machine().files().read(fiber, kReplaced, command.offset, command.length);
            untrue |= !bytes.ok() || wire::append_command(kReplaced, command.offset, *bytes).checksum != command.checksum;
            for (uint64_t i = 0; i < 3; ++i) {
                has_old |= command.checksum == wire::append_command(kReplaced, 0, bytes_of(10 + i, 9000)).checksum;
                has_new |= command.checksum == wire::append_command(kReplaced, 0, bytes_of(20 + i, 9000)).checksum;
            }
        }
    }));
    found.untrue += untrue;
    found.kept += has_old;
    found.replaced += has_new;
}

Found replace_everywhere() {
    Found found;
    for (uint64_t seed : {11, 12, 13}) {
        replace(seed, 0, sim::Host::Death::Power, found);
        const uint64_t operations = found.operations;
        for (uint64_t nth = 1; nth <= operations; ++nth) replace(seed, nth, nth % 3 == 0 ? sim::Host::Death::Kill : sim::Host::Death::Power, found);
    }
    return found;
}

}  // namespace

TEST_CASE("data: an entry in the log has its own bytes, also while others take its place (power loss at each disk operation)") {
    const Found right = replace_everywhere();
    MESSAGE("disk operations " << right.operations << ", old entries left " << right.kept << " times, new ones there " << right.replaced << " times");
    CHECK(right.untrue == 0);
    CHECK(right.kept > 2);
    CHECK(right.replaced > 2);
    // Bytes first, as it was: found.
    sim::set_defects(only(Defect::attachment_before_truncation));
    const Found wrong = replace_everywhere();
    sim::set_defects({});
    MESSAGE("with the bytes before the truncation: " << wrong.untrue << " times untrue");
    CHECK(wrong.untrue > 0);
}
