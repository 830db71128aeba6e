// Names, locks, lives, instants and the hash.
#include "sim/disk/sim_disk.h"


#include "tests/sim/disk/disk_fixture.h"

namespace orrery::sim {
namespace {

using View = SimDisk::View;

TEST_CASE("sim disk: open modes, directories and lists keep their contract") {
    DiskFixture at;
    SimDisk& disk = at.disk;
    at.done([&](Blocking& blocking) {
        CHECK(disk.open(blocking, "a", OpenMode::ReadWrite).failed_with(Code::NotFound));
        CHECK(disk.open(blocking, "d/a", OpenMode::Create).failed_with(Code::NotFound));
        CHECK(disk.open(blocking, "../a", OpenMode::Create).failed_with(Code::Invalid));
        CHECK(disk.create_dir(blocking, "d").ok());
        CHECK(disk.create_dir(blocking, "d").failed_with(Code::Exists));
        CHECK(disk.create_dir(blocking, "x/y").failed_with(Code::NotFound));
        auto file = disk.open(blocking, "d/b", OpenMode::CreateNew).value();
        CHECK(disk.open(blocking, "d/b", OpenMode::CreateNew).failed_with(Code::Exists));
        CHECK(disk.open(blocking, "d", OpenMode::Read).failed_with(Code::Invalid));
        CHECK(file->pwrite(blocking, 3, "abc").ok());
        CHECK(file->size(blocking).value() == 6);
        char into[10];
        CHECK(file->pread(blocking, 2, into).value() == 4);
        CHECK(ByteView(into, 4) == ByteView("\0abc", 4));
        CHECK(disk.open(blocking, "d/b", OpenMode::Read)
                  .value()
                  ->pwrite(blocking, 0, "x")
                  .failed_with(Code::Invalid));
        disk.open(blocking, "d/a", OpenMode::Create).value();
        disk.create_dir(blocking, "d/c").value();
        const auto entries = disk.list(blocking, "d").value();
        REQUIRE(entries.size() == 3);
        CHECK(entries[0].name == "a");
        CHECK(entries[1].name == "b");
        CHECK(entries[1].size_bytes == 6);
        CHECK(entries[2].is_dir);
        CHECK(disk.remove_dir(blocking, "d").failed_with(Code::Invalid));
        CHECK(disk.remove(blocking, "d/c").failed_with(Code::Invalid));
        CHECK(disk.rename(blocking, "d", "d/c/d").failed_with(Code::Invalid));
        CHECK(disk.rename(blocking, "d/b", "d/a").ok());
        CHECK(disk.stat(blocking, "d/a").value().size_bytes == 6);
        CHECK(disk.stat(blocking, "d/b").failed_with(Code::NotFound));
        // Removed while open: the contents stay until the last File dies.
        CHECK(disk.remove(blocking, "d/a").ok());
        CHECK(file->pread(blocking, 3, std::span(into, 3)).value() == 3);
        CHECK(file->pwrite(blocking, 0, Bytes(8192, 'x')).ok());
        const uint64_t allocated = disk.allocated_bytes();
        file.reset();
        CHECK(disk.allocated_bytes() == allocated - 3 * 4096);
        CHECK(disk.remove_dir(blocking, "d/c").ok());
        CHECK(disk.remove_dir(blocking, "d").ok());
        CHECK(disk.list(blocking, "").value().empty());
        CHECK(disk.allocated_bytes() == 4096);
    });
}

TEST_CASE(
    "sim disk: changing calls of one directory are laid end to end, reads and other directories "
    "overlap") {
    DiskFixture at;
    SimDisk& disk = at.disk;
    std::unique_ptr<File> a, b, c;
    at.done([&](Blocking& blocking) {
        disk.create_dir(blocking, "one").value();
        disk.create_dir(blocking, "two").value();
        a = disk.open(blocking, "one/a", OpenMode::Create).value();
        b = disk.open(blocking, "one/b", OpenMode::Create).value();
        c = disk.open(blocking, "two/c", OpenMode::Create).value();
    });
    const Instant start = at.timeline.now();
    const Duration write = Duration::micros(10), sync = Duration::millis(5);
    CHECK(at.body([&](Blocking& blocking) {
        a->pwrite(blocking, 0, "x").value();
        a->sync(blocking).value();
    }) == start + write + sync);
    CHECK(at.body([&](Blocking& blocking) { b->pwrite(blocking, 0, "x").value(); }) ==
          start + write + sync + write);
    CHECK(at.body([&](Blocking& blocking) { c->pwrite(blocking, 0, "x").value(); }) ==
          start + write);
    char byte;
    // A read comes after the change that it sees, not after the sync.
    CHECK(at.body([&](Blocking& blocking) {
        a->pread(blocking, 0, {&byte, 1}).value();
    }) == start + write + write);
}

TEST_CASE("sim disk: each file is a domain of its own below the directory set for that") {
    DiskOptions options = DiskFixture::fixed_options();
    options.per_file_domain_dir = "extents";
    DiskFixture at(1, options);
    std::unique_ptr<File> a, b;
    at.done([&](Blocking& blocking) {
        at.disk.create_dir(blocking, "extents").value();
        a = at.disk.open(blocking, "extents/a", OpenMode::Create).value();
        b = at.disk.open(blocking, "extents/b", OpenMode::Create).value();
    });
    const Instant start = at.timeline.now();
    at.body([&](Blocking& blocking) { a->sync(blocking).value(); });
    CHECK(at.body([&](Blocking& blocking) { b->pwrite(blocking, 0, "x").value(); }) ==
          start + Duration::micros(10));
}

TEST_CASE(
    "sim disk: a frozen disk refuses everything, and Files and locks of an earlier life stay "
    "dead") {
    DiskFixture at;
    SimDisk& disk = at.disk;
    at.write_file("a", "abc");
    std::unique_ptr<File> file;
    std::unique_ptr<DirLock> lock;
    at.done([&](Blocking& blocking) {
        file = disk.open(blocking, "a", OpenMode::ReadWrite).value();
        lock = disk.lock(blocking, "").value();
        CHECK(disk.lock(blocking, "").failed_with(Code::Exists));
    });
    disk.crash(CrashKind::Kill);
    CHECK(disk.frozen());
    Blocking& late = disk.adopt_blocking();  // a destructor of the dead node, outside any body
    char byte;
    CHECK(file->pread(late, 0, {&byte, 1}).failed_with(Code::Cancelled));
    CHECK(file->pwrite(late, 0, "x").failed_with(Code::Cancelled));
    CHECK(file->sync(late).failed_with(Code::Cancelled));
    CHECK(file->truncate(late, 0).failed_with(Code::Cancelled));
    CHECK(file->size(late).failed_with(Code::Cancelled));
    CHECK(disk.open(late, "a", OpenMode::Read).failed_with(Code::Cancelled));
    CHECK(disk.rename(late, "a", "b").failed_with(Code::Cancelled));
    CHECK(disk.remove(late, "a").failed_with(Code::Cancelled));
    CHECK(disk.list(late, "").failed_with(Code::Cancelled));
    CHECK(disk.stat(late, "a").failed_with(Code::NotFound));
    disk.thaw();
    std::unique_ptr<DirLock> mine;
    at.done([&](Blocking& blocking) {
        CHECK(file->pwrite(blocking, 0, "x").failed_with(Code::Cancelled));
        mine = disk.lock(blocking, "").value();
        lock.reset();  // must not release the lock of the new life
        CHECK(disk.lock(blocking, "").failed_with(Code::Exists));
        file.reset();
    });
    CHECK(at.read_file("a").value() == "abc");
}

TEST_CASE(
    "sim disk: numbered operations are announced before they take effect, one can be picked for a "
    "crash") {
    DiskFixture at;
    std::vector<std::string> seen;
    at.disk.set_operation_hook([&](const DiskOperation& operation) {
        CHECK(operation.at > at.timeline.now());
        seen.push_back(std::string(disk_op_name(operation.kind)) + " " +
                       std::string(operation.path) + " " + std::to_string(operation.number) +
                       (at.disk.peek("a", View::Visible).value_or("-")));
    });
    Instant third{};
    at.disk.crash_at_operation(3, [&](const DiskOperation& operation) { third = operation.at; });
    Instant end{};
    SimBlocking& blocking = at.disk.begin(at.timeline.now());
    auto file = at.disk.open(blocking, "a", OpenMode::Create).value();
    file->pwrite(blocking, 0, "b").value();
    file->sync(blocking).value();
    end = at.disk.end(blocking);
    CHECK(seen == std::vector<std::string>{"create a 1-", "write a 2", "sync a 3b"});
    CHECK(third == end);
}

TEST_CASE(
    "sim disk: equal seeds give equal hashes, and an operation elsewhere moves no draw of this "
    "disk") {
    struct Run {
        uint64_t hash;
        std::vector<Instant> ends;
        Bytes survivor;
    };
    auto run = [](uint64_t seed, bool other_works) {
        Timeline timeline(seed);
        SimDisk disk(timeline, 1), other(timeline, 2);
        Run out{};
        auto step = [&](SimDisk& on, uint64_t i) {
            SimBlocking& blocking = on.begin(timeline.now());
            auto file = on.open(blocking, "f", OpenMode::Create).value();
            file->pwrite(blocking, i * 100, Bytes(700, static_cast<char>('a' + i))).value();
            if (i % 4 == 0) {
                file->sync(blocking).value();
                on.sync_dir(blocking, "").value();
            }
            return on.end(blocking);
        };
        for (uint64_t i = 0; i < 20; ++i) {
            if (other_works) step(other, i);
            out.ends.push_back(step(disk, i));
        }
        timeline.advance_to(out.ends.back());
        disk.crash(CrashKind::Power);
        out.survivor = disk.peek("f", View::Visible).value_or("none");
        out.hash = timeline.hash().value();
        return out;
    };
    const Run one = run(1, true), same = run(1, true), alone = run(1, false),
              another = run(2, true);
    CHECK(one.hash == same.hash);
    CHECK(one.hash != another.hash);
    CHECK(one.hash != alone.hash);
    CHECK(one.ends == alone.ends);
    CHECK(one.survivor == alone.survivor);
}

TEST_CASE("sim disk: the hash tells one changed byte, one changed offset, one changed path") {
    auto hash = [](const char* path, uint64_t offset, const char* bytes) {
        DiskFixture at;
        at.done([&](Blocking& blocking) {
            at.disk.open(blocking, path, OpenMode::Create)
                .value()
                ->pwrite(blocking, offset, bytes)
                .value();
        });
        return at.timeline.hash().value();
    };
    CHECK(hash("a", 0, "x") == hash("a", 0, "x"));
    CHECK(hash("a", 0, "x") != hash("a", 0, "y"));
    CHECK(hash("a", 0, "x") != hash("a", 1, "x"));
    CHECK(hash("a", 0, "x") != hash("b", 0, "x"));
}

TEST_CASE("sim disk: a segment that is rewritten for ever leaves nothing behind (what it costs is in tools/bench)") {
    DiskFixture at;
    const uint64_t segment = 64 << 20;
    std::unique_ptr<File> file;
    at.done([&](Blocking& blocking) {
        file = at.disk.open(blocking, "log", OpenMode::Create).value();
        const Bytes zeros(1 << 20, '\0');
        for (uint64_t offset = 0; offset < segment; offset += zeros.size())
            file->pwrite(blocking, offset, zeros).value();
        file->sync(blocking).value();
    });
    Bytes block(4096, 'x');
    const uint64_t allocated = at.disk.allocated_bytes();
    const int rounds = 40'000;
    for (int i = 0; i < rounds; ++i) {
        block[static_cast<size_t>(i) % 4096] ^= 1;
        at.done([&](Blocking& blocking) {
            file->pwrite(blocking, static_cast<uint64_t>(i) * 4096 % segment, block).value();
            file->sync(blocking).value();
        });
    }
    CHECK(at.disk.unsynced_bytes() == 0);
    CHECK(at.disk.allocated_bytes() == allocated);
}

}  // namespace
}  // namespace orrery::sim
