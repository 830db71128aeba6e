// Each fault changes something that can be seen.
#include "tests/sim/disk/disk_fixture.h"

namespace orrery::sim {
namespace {

using View = SimDisk::View;

/// Rewrites the first 4 KiB of "f" with `fill`, syncing it; the result of the sync.
Result<void> rewrite(DiskFixture& at, char fill) {
    Result<void> out;
    at.done([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        file->pwrite(blocking, 0, Bytes(4096, fill)).value();
        out = file->sync(blocking);
    });
    return out;
}

TEST_CASE("disk faults: latencies follow their ranges, and the slow tail shows") {
    DiskOptions options;
    options.latency = {.read = {Duration::micros(20), Duration::micros(40)},
                       .write = {Duration::micros(50), Duration::micros(60)},
                       .sync = {Duration::millis(1), Duration::millis(2)}};
    for (const bool slow : {false, true}) {
        options.latency.slow_chance = slow ? 0.01 : 0;
        DiskFixture at(3, options);
        int tail = 0;
        at.body([&](Blocking& blocking) {
            auto file = at.disk.open(blocking, "f", OpenMode::Create).value();
            for (int i = 0; i < 2000; ++i) {
                const Instant before = static_cast<SimBlocking&>(blocking).cursor();
                file->pwrite(blocking, 0, "x").value();
                const Duration took = static_cast<SimBlocking&>(blocking).cursor() - before;
                CHECK(took >= Duration::micros(50));
                tail += took > Duration::micros(60);
                CHECK(took <= Duration::seconds(1));
            }
        });
        CHECK((tail > 5) == slow);
        CHECK(tail < 60);
    }
}

TEST_CASE("disk faults: a stall holds all operations until its end") {
    DiskFixture at;
    at.write_file("f", "x");
    const Instant until = at.after(Duration::seconds(10));
    at.disk.stall_until(until);
    CHECK(at.body([&](Blocking& blocking) { at.disk.stat(blocking, "f").value(); }) ==
          until + Duration::micros(10));
}

TEST_CASE("disk faults: a broken sector cannot be read until it is rewritten whole") {
    DiskFixture at;
    at.write_file("f", Bytes(8192, 'a'));
    CHECK(at.disk.break_sectors("f", 9000, 1).failed_with(Code::Invalid));
    CHECK(at.disk.break_sectors("f", 4096, 100).ok());
    at.done([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        Bytes into(4096, ' ');
        CHECK(file->pread(blocking, 0, into).ok());
        CHECK(file->pread(blocking, 4096, into).failed_with(Code::Io));
        CHECK(file->pread(blocking, 4608, std::span(into).first(100)).ok());
        CHECK(file->pwrite(blocking, 4100, "part").failed_with(Code::Io));
        CHECK(file->pwrite(blocking, 4096, Bytes(512, 'b')).ok());
        CHECK(file->pread(blocking, 4096, into).ok());
    });
    CHECK(at.disk.break_drawn_sector("g") == std::nullopt);
    CHECK(at.disk.break_drawn_sector("").has_value());
}

TEST_CASE("disk faults: the rate of read errors breaks pages that stay broken, in its zone only") {
    DiskFixture at;
    at.write_file("f", Bytes(1 << 20, 'a'));
    at.write_file("g", Bytes(1 << 20, 'a'));
    at.disk.faults.read_error = {.chance = 0.02, .zone = "f"};
    CHECK(at.read_file("f").failed_with(Code::Io));
    at.disk.faults.read_error.zone = "none";
    CHECK(at.read_file("f").failed_with(Code::Io));
    CHECK(at.read_file("g").ok());
    CHECK(at.disk.counters().read_errors == 2);
}

TEST_CASE(
    "disk faults: bit rot flips one bit of durable bytes, at a chosen place, at a drawn one, and "
    "by rate") {
    DiskFixture at;
    at.write_file("f", Bytes(8192, 'a'));
    auto differences = [&] {
        const Bytes bytes = at.disk.peek("f", View::Durable).value();
        int bits = 0;
        for (const char c : bytes) bits += __builtin_popcount(static_cast<unsigned char>(c ^ 'a'));
        return bits;
    };
    CHECK(at.disk.flip_bit({"f", 5000, 3}).ok());
    CHECK(at.read_file("f").value()[5000] == ('a' ^ 8));
    CHECK(differences() == 1);
    const auto place = at.disk.flip_drawn_bit("f");
    REQUIRE(place.has_value());
    CHECK(differences() == (place->offset == 5000 && place->bit == 3 ? 0 : 2));
    at.disk.faults.bit_rot = {.chance = 1};
    CHECK(at.read_file("f").ok());
    at.disk.faults.bit_rot = {};
    CHECK(at.disk.counters().bits_flipped == 4);
    // Sticky over a power loss.
    const Bytes rotten = at.read_file("f").value();
    at.crash_at(at.timeline.now());
    CHECK(at.read_file("f").value() == rotten);
    // Bytes that are not durable do not rot.
    at.write_file("f", Bytes(8192, 'b'), false);
    CHECK(at.disk.flip_bit({"f", 0, 0}).failed_with(Code::Invalid));
    CHECK(at.disk.flip_drawn_bit("f") == std::nullopt);
}

TEST_CASE("disk faults: drawn bits of rot strike bytes that say something (a mostly empty file)") {
    DiskFixture at;
    Bytes bytes(256 << 10, '\0');
    std::fill_n(bytes.begin() + (100 << 10), 16 << 10, 'x');
    at.write_file("f", bytes);
    int struck = 0;
    for (int i = 0; i < 50; ++i) {
        const auto place = at.disk.flip_drawn_bit("f");
        REQUIRE(place.has_value());
        struck += place->offset >= 100 << 10 && place->offset < 116 << 10;
    }
    CHECK(struck > 40);  // one in sixteen by chance
}

TEST_CASE(
    "disk faults: a failed sync drops the dirty pages: seen, called synced later, and lost by a "
    "power loss") {
    DiskFixture at;
    at.write_file("f", Bytes(4096, 'o'));
    at.disk.arm_sync_failure("f", 2);
    CHECK(rewrite(at, 'p').ok());
    CHECK(rewrite(at, 'q').failed_with(Code::Io));
    at.done([&](Blocking& blocking) {
        CHECK(at.disk.open(blocking, "f", OpenMode::Read).value()->sync(blocking).ok());
    });
    CHECK(at.read_file("f").value() == Bytes(4096, 'q'));
    CHECK(at.disk.peek("f", View::Durable) == Bytes(4096, 'p'));
    // A sector that is written again and synced is on the medium again; the others are not.
    at.done([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        file->pwrite(blocking, 512, Bytes(512, 'r')).value();
        file->sync(blocking).value();
    });
    at.crash_at(at.timeline.now());
    CHECK(at.read_file("f").value() == Bytes(512, 'p') + Bytes(512, 'r') + Bytes(3072, 'p'));
}

TEST_CASE("disk faults: two failed syncs leave the medium with what it had before the first") {
    DiskFixture at;
    at.write_file("f", Bytes(4096, 'o'));
    at.disk.faults.sync_failure = {.chance = 1};
    CHECK(rewrite(at, 'p').failed_with(Code::Io));
    CHECK(rewrite(at, 'q').failed_with(Code::Io));
    CHECK(at.disk.peek("f", View::Durable) == Bytes(4096, 'o'));
    CHECK(at.disk.flip_bit({"f", 0, 0}).failed_with(Code::Invalid));
    at.crash_at(at.timeline.now());
    CHECK(at.read_file("f").value() == Bytes(4096, 'o'));
}

TEST_CASE("disk faults: a failed sync that a crash undoes has dropped nothing") {
    DiskFixture at;
    at.write_file("f", Bytes(4096, 'o'));
    at.disk.arm_sync_failure("f");
    const Instant end = at.body([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        file->pwrite(blocking, 0, Bytes(4096, 'n')).value();
        CHECK(file->sync(blocking).failed_with(Code::Io));
    });
    at.crash_at(end - Duration::nanos(1), CrashKind::Kill);
    at.done([&](Blocking& blocking) {
        at.disk.open(blocking, "f", OpenMode::Read).value()->sync(blocking).value();
    });
    CHECK(at.disk.peek("f", View::Durable) == Bytes(4096, 'n'));
}

TEST_CASE("disk faults: the rates of failed syncs and failed writes strike") {
    DiskFixture at;
    at.write_file("f", Bytes(4096, 'o'));
    at.disk.faults.sync_failure = {.chance = 1};
    CHECK(rewrite(at, 'a').failed_with(Code::Io));
    at.disk.faults = {};
    CHECK(rewrite(at, 'a').ok());
    at.disk.faults.write_failure = {.chance = 1};
    at.done([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        CHECK(file->pwrite(blocking, 0, "zz").failed_with(Code::Io));
        at.disk.faults = {};
        at.disk.arm_write_failure("");
        CHECK(file->pwrite(blocking, 0, "zz").failed_with(Code::Io));
        CHECK(file->pwrite(blocking, 4096, "yy").ok());
    });
    CHECK(at.read_file("f").value() == Bytes(4096, 'a') + "yy");
}

TEST_CASE("disk faults: a lying sync says ok and a power loss takes the bytes (and the names)") {
    int lost = 0, names = 0;
    for (uint64_t seed = 0; seed < 100; ++seed) {
        DiskFixture at(seed);
        at.write_file("f", Bytes(4096, 'o'));
        at.disk.arm_lying_sync("f");
        CHECK(rewrite(at, 'n').ok());
        CHECK(at.disk.peek("f", View::Durable) == Bytes(4096, 'o'));
        at.disk.faults.lying_sync = {.chance = 1};
        at.done([&](Blocking& blocking) {
            at.disk.open(blocking, "g", OpenMode::Create).value();
            at.disk.sync_dir(blocking, "").value();
        });
        at.crash_at(at.timeline.now());
        lost += at.read_file("f").value() != Bytes(4096, 'n');
        names += !at.read_file("g").ok();
    }
    CHECK(lost > 0);
    CHECK(names > 0);
}

TEST_CASE(
    "disk faults: a full disk refuses creations and writes, counts zeros written in advance, and "
    "can be freed") {
    DiskFixture at;
    at.write_file("f", Bytes(64 << 10, '\0'));
    const uint64_t allocated = at.disk.allocated_bytes();
    CHECK(allocated == (64 << 10) + 2 * 4096);
    at.disk.set_capacity(allocated + 4096);
    at.done([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        CHECK(at.disk.space(blocking).value().free_bytes == 4096);
        CHECK(file->pwrite(blocking, 64 << 10, Bytes(8192, 'x')).failed_with(Code::NoSpace));
        CHECK(file->size(blocking).value() == (64 << 10) + 4096);  // a short write
        CHECK(at.disk.open(blocking, "g", OpenMode::Create).failed_with(Code::NoSpace));
        CHECK(at.disk.create_dir(blocking, "d").failed_with(Code::NoSpace));
        CHECK(file->pwrite(blocking, 0, Bytes(4096, 'y')).ok());  // in place
        at.disk.set_capacity(1 << 20);
        CHECK(file->pwrite(blocking, 64 << 10, Bytes(8192, 'x')).ok());
        CHECK(at.disk.open(blocking, "g", OpenMode::Create).ok());
    });
    CHECK(at.disk.counters().no_space == 3);
}

TEST_CASE("disk faults: a misdirected write lands at another place of its size in the same file") {
    for (const bool by_rate : {false, true}) {
        DiskFixture at;
        at.write_file("f", Bytes(64 << 10, 'o'));
        if (by_rate) {
            at.disk.faults.misdirect = {.chance = 1, .zone = "f"};
        } else {
            at.disk.arm_misdirected_write("f");
        }
        CHECK(rewrite(at, 'n').ok());
        const Bytes found = at.read_file("f").value();
        CHECK(found.substr(0, 4096) == Bytes(4096, 'o'));
        const size_t place = found.find('n');
        REQUIRE(place != Bytes::npos);
        CHECK(place % 4096 == 0);
        CHECK(found.substr(place, 4096) == Bytes(4096, 'n'));
        CHECK(at.disk.counters().misdirected == 1);
    }
}

TEST_CASE(
    "disk faults: a wiped disk is empty, a restored image brings back exactly what was durable "
    "then") {
    DiskFixture at;
    at.done([&](Blocking& blocking) {
        at.disk.create_dir(blocking, "d").value();
        at.disk.sync_dir(blocking, "").value();
    });
    at.write_file("d/f", "one");
    at.write_file("g", "volatile", false);
    const auto image = at.disk.durable_image();
    at.write_file("d/f", "two");
    at.disk.wipe();
    CHECK(at.disk.frozen());
    at.disk.thaw();
    CHECK(at.disk.tree(View::Visible).empty());
    CHECK(at.disk.allocated_bytes() == 4096);
    at.disk.restore(*image);
    at.disk.thaw();
    CHECK(at.read_file("d/f").value() == "one");
    CHECK_FALSE(at.read_file("g").ok());
    at.write_file("d/f", "three");  // must not reach the image
    at.disk.restore(*image);
    at.disk.thaw();
    CHECK(at.read_file("d/f").value() == "one");
}

}  // namespace
}  // namespace orrery::sim
