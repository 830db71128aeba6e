// What disks do to extents, and what readers get then; the ends of single operations.
#include "sim/core/defects.h"
#include "tests/node/data/extent_ledger.h"
#include "tests/node/data/extent_world.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;
using wire::kCheckedBytes;
using wire::kImageBytes;

namespace {

const ExtentId kExtent{0xabc};

/// An extent of 300,000 bytes on every replica.
Bytes fill(ExtentWorld& world) {
    Bytes bytes = bytes_of(1, 300'000);
    const size_t at = world.leader().value();
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        CHECK(node.writer().create(fiber, kExtent, world.soon(at)).ok());
        CHECK(node.writer().append(fiber, kExtent, std::make_shared<const Bytes>(bytes), world.soon(at)).ok());
    }));
    REQUIRE(world.settle());
    return bytes;
}

Result<Bytes> read(ExtentWorld& world, size_t at, uint64_t offset, uint64_t length) {
    Result<Bytes> out(Code::Cancelled);
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) { out = node.machine().read(fiber, kExtent, offset, length); }));
    return out;
}

}  // namespace

TEST_CASE("data: a flipped bit is Corrupt, named and counted; other blocks are served; unchecked it would be served (seeded defect)") {
    for (bool unchecked : {false, true}) {
        ExtentWorld world(3);
        const Bytes bytes = fill(world);
        REQUIRE(world.hosts[1]->disk().flip_bit({world.extent_path(1, kExtent), kCheckedBytes + 5000, 3}).ok());
        if (unchecked) sim::set_defects(only(Defect::block_crc_unchecked));
        const Result<Bytes> bad = read(world, 1, kCheckedBytes + 4990, 20);
        sim::set_defects({});
        if (unchecked) {
            REQUIRE(bad.ok());
            CHECK(*bad != bytes.substr(kCheckedBytes + 4990, 20));
            continue;
        }
        REQUIRE(bad.failed_with(Code::Corrupt));
        CHECK(bad.error().context.find("extent 2748") != std::string::npos);
        CHECK(bad.error().context.find("offset 131072") != std::string::npos);
        CHECK(read(world, 1, 100, 5000).value() == bytes.substr(100, 5000));
        CHECK(read(world, 1, 2 * kCheckedBytes, 1000).value() == bytes.substr(2 * kCheckedBytes, 1000));
        CHECK(read(world, 0, kCheckedBytes + 4990, 20).value() == bytes.substr(kCheckedBytes + 4990, 20));
        const data::ExtentMachine& machine = world.node(1)->machine();
        CHECK(machine.counters().corrupt_reads == 1);
        REQUIRE(machine.damaged().contains(kExtent));
        CHECK(world.node(0)->machine().damaged().empty());
        // A broken sector is an error too, and no other bytes.
        REQUIRE(world.hosts[2]->disk().break_sectors(world.extent_path(2, kExtent), 4096, 512).ok());
        CHECK(read(world, 2, 0, 10).failed_with(Code::Io));
        CHECK(world.node(2)->machine().damaged().contains(kExtent));
    }
}

TEST_CASE("data: reads end where the extent does; gaps are zeros; freed blocks are not served") {
    ExtentWorld world(4);
    const Bytes bytes = fill(world);
    const size_t at = world.leader().value();
    CHECK(read(world, at, 0, 300'000).value() == bytes);
    CHECK(read(world, at, 299'999, 1).value() == bytes.substr(299'999));
    CHECK(read(world, at, 299'999, 2).failed_with(Code::Invalid));
    CHECK(read(world, at, 300'000, 1).failed_with(Code::Invalid));
    CHECK(read(world, at, 0, 0).failed_with(Code::Invalid));
    CHECK(read(world, at, UINT64_MAX, 2).failed_with(Code::Invalid));
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        data::ExtentWriter& writer = node.writer();
        const Instant until = world.soon(at, Duration::seconds(10));
        CHECK(writer.create(fiber, kExtent, until).failed_with(Code::Exists));
        CHECK(writer.append(fiber, ExtentId(5), std::make_shared<const Bytes>("x"), until).failed_with(Code::NotFound));
        // Behind 300,000: 303,104 is the next block.
        CHECK(writer.append(fiber, kExtent, std::make_shared<const Bytes>("behind"), until).value().offset == 303'104);
        CHECK(writer.append_small(fiber, kExtent, " it", until).value().offset == 303'110);
        CHECK(node.machine().read(fiber, kExtent, 300'000, 3113).value() == Bytes(3104, '\0') + "behind it");
        CHECK(writer.overwrite(fiber, kExtent, 303'110, "xyzt", until).failed_with(Code::Invalid));
        CHECK(writer.overwrite(fiber, kExtent, 303'108, "XYZ", until).ok());
        CHECK(node.machine().read(fiber, kExtent, 303'104, 9).value() == "behiXYZit");
        CHECK(writer.punch(fiber, kExtent, kImageBytes, 100, until).failed_with(Code::Invalid));
        CHECK(writer.punch(fiber, kExtent, kImageBytes, 100 * kImageBytes, until).failed_with(Code::Invalid));
        CHECK(writer.punch(fiber, kExtent, kImageBytes, 2 * kImageBytes, until).ok());
        CHECK(node.machine().read(fiber, kExtent, 0, kImageBytes).ok());
        CHECK(node.machine().read(fiber, kExtent, 0, kImageBytes + 1).failed_with(Code::NotFound));
        CHECK(node.machine().read(fiber, kExtent, 3 * kImageBytes, 7).value() == bytes.substr(3 * kImageBytes, 7));
        CHECK(writer.overwrite(fiber, kExtent, 2 * kImageBytes, "no", until).failed_with(Code::NotFound));
        CHECK(writer.remove(fiber, kExtent, until).ok());
        CHECK(node.machine().read(fiber, kExtent, 0, 1).failed_with(Code::NotFound));
        CHECK(writer.remove(fiber, kExtent, until).failed_with(Code::NotFound));
        CHECK(writer.create(fiber, kExtent, until).failed_with(Code::Exists));
    }));
    CHECK(world.damage.seen.empty());
}

TEST_CASE("data: writes of one extent that are under way at once keep their places, and each other's bytes") {
    ExtentWorld world(5, {.writer = {.tails_max = 4}});
    const size_t at = world.leader().value();
    Env& env = *world.hosts[at]->env();
    std::map<uint64_t, Bytes> appended;
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        for (uint64_t id = 1; id <= 5; ++id) CHECK(node.writer().create(fiber, ExtentId(id), world.soon(at)).ok());
    }));
    size_t done = 0;
    for (uint64_t i = 0; i < 40; ++i)
        env.spawn("test", [&, i, node = world.node(at)](Fiber& fiber) {
            const Bytes bytes = bytes_of(i, 1 + i * 333);
            for (Result<data::Written> written(Code::Overloaded); written.failed_with(Code::Overloaded) && env.sleep(fiber, Duration::millis(5)).ok();) {
                written = i % 3 == 0 ? node->writer().append_small(fiber, ExtentId(1), bytes, world.soon(at)) : node->writer().append(fiber, ExtentId(1), std::make_shared<const Bytes>(bytes), world.soon(at));
                if (written.ok()) appended[written->offset] = bytes;
            }
            (void)node->writer().append(fiber, ExtentId(2 + i % 4), std::make_shared<const Bytes>(bytes), world.soon(at));
            ++done;
        });
    world.world.run_until(world.world.now() + Duration::seconds(20), [&] { return done == 40; });
    REQUIRE(done == 40);
    REQUIRE(appended.size() == 40);
    // 60 overwrites of pieces of one block by three hundred bytes each, at once: none undoes another.
    done = 0;
    Bytes whole;
    REQUIRE(world.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
        const uint64_t size = node.machine().extent(fiber, ExtentId(1)).value()->size_bytes;
        whole = node.machine().read(fiber, ExtentId(1), 0, size).value();
    }));
    for (const auto& [offset, bytes] : appended) CHECK(whole.substr(offset, bytes.size()) == bytes);
    for (uint64_t i = 0; i < 60; ++i)
        env.spawn("test", [&, i, node = world.node(at)](Fiber& fiber) {
            const Bytes bytes = bytes_of(1000 + i, 300);
            for (int tries = 0; tries < 20; ++tries)
                if (node->writer().overwrite(fiber, ExtentId(1), 100 + i * 300, bytes, world.soon(at)).ok()) break;
            ++done;
        });
    for (uint64_t i = 0; i < 60; ++i) whole.replace(100 + i * 300, 300, bytes_of(1000 + i, 300));
    world.world.run_until(world.world.now() + Duration::seconds(20), [&] { return done == 60; });
    REQUIRE(done == 60);
    REQUIRE(world.settle());
    for (size_t i = 0; i < 3; ++i) {
        REQUIRE(world.on_node(i, [&](Fiber& fiber, ExtentNode& node) { CHECK(node.machine().read(fiber, ExtentId(1), 0, whole.size()).value() == whole); }));
    }
}
