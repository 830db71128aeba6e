#include "tests/conformance/harness.h"

namespace orrery::conformance {
namespace {

/// A case that is all disk work.
void run_disk_case(const std::function<Result<void>(Blocking&, Disk&)>& body) {
    run_case([&](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        return env.blocking(fiber, [&](Blocking& blocking) { return body(blocking, env.disk); });
    });
}

Result<Bytes> contents(Blocking& blocking, Disk& disk, std::string_view path) {
    TRY(auto file, disk.open(blocking, path, OpenMode::Read));
    TRY(uint64_t size, file->size(blocking));
    Bytes out(size, '\0');
    TRY(size_t got, file->pread(blocking, 0, out));
    out.resize(got);
    return out;
}

Result<void> put(Blocking& blocking, Disk& disk, std::string_view path, ByteView bytes) {
    TRY(auto file, disk.open(blocking, path, OpenMode::CreateTruncate));
    return file->pwrite(blocking, 0, bytes);
}

TEST_CASE("files: open modes") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        CHECK(disk.open(blocking, "a", OpenMode::Read).failed_with(Code::NotFound));
        CHECK(disk.open(blocking, "a", OpenMode::ReadWrite).failed_with(Code::NotFound));
        CHECK(disk.open(blocking, "no/a", OpenMode::Create).failed_with(Code::NotFound));
        TRY(put(blocking, disk, "a", "one"));
        CHECK(disk.open(blocking, "a", OpenMode::CreateNew).failed_with(Code::Exists));
        {
            TRY(auto kept, disk.open(blocking, "a", OpenMode::Create));
            TRY(uint64_t size, kept->size(blocking));
            CHECK(size == 3);
        }
        {
            TRY(auto reader, disk.open(blocking, "a", OpenMode::Read));
            CHECK(reader->pwrite(blocking, 0, "x").failed_with(Code::Invalid));
        }
        TRY(auto emptied, disk.open(blocking, "a", OpenMode::CreateTruncate));
        TRY(uint64_t size, emptied->size(blocking));
        CHECK(size == 0);
        TRY(disk.create_dir(blocking, "d"));
        CHECK(disk.open(blocking, "d", OpenMode::Read).failed_with(Code::Invalid));
        CHECK(disk.open(blocking, "d", OpenMode::ReadWrite).failed_with(Code::Invalid));
        return {};
    });
}

TEST_CASE("files: one that bypasses the cache reads as any other, in whole blocks and in parts of them, also to who opens it anew") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(auto file, disk.open(blocking, "f", OpenMode::CreateNew));
        file->bypass_cache(blocking);
        Bytes expected;
        uint64_t state = 17;
        auto draw = [&](uint64_t below) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            return (state >> 33) % below;
        };
        for (int i = 0; i < 200; ++i) {
            const bool blocks = draw(3) != 0;
            const uint64_t at = blocks ? 4096 * draw(150) : draw(600'000), count = blocks ? 4096 * (1 + draw(90)) : 1 + draw(9000);
            const Bytes bytes(count, static_cast<char>('a' + i % 26));
            TRY(file->pwrite(blocking, at, bytes));
            if (expected.size() < at + count) expected.resize(at + count, '\0');
            expected.replace(at, count, bytes);
            if (i % 10 == 9) TRY(file->sync(blocking));
            Bytes some(8192, '?');
            const uint64_t from = draw(expected.size());
            TRY(const size_t got, file->pread(blocking, from, some));
            CHECK(got == std::min<size_t>(some.size(), expected.size() - from));
            CHECK(ByteView(some).substr(0, got) == ByteView(expected).substr(from, got));
        }
        TRY(const Bytes all, contents(blocking, disk, "f"));
        CHECK(all == expected);
        return {};
    });
}

TEST_CASE("files: reads and writes at offsets, holes, ends, truncation") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(auto file, disk.open(blocking, "f", OpenMode::CreateNew));
        TRY(file->pwrite(blocking, 10'000, "tail"));
        TRY(file->pwrite(blocking, 0, "head"));
        TRY(uint64_t size, file->size(blocking));
        CHECK(size == 10'004);
        char buffer[16] = {};
        TRY(size_t hole, file->pread(blocking, 5'000, buffer));
        CHECK(hole == 16);
        CHECK(Bytes(buffer, 16) == Bytes(16, '\0'));
        TRY(size_t end, file->pread(blocking, 10'002, buffer));
        CHECK(Bytes(buffer, end) == "il");
        TRY(size_t past, file->pread(blocking, 20'000, buffer));
        CHECK(past == 0);
        TRY(file->truncate(blocking, 2));
        TRY(file->truncate(blocking, 4));
        TRY(Bytes cut, contents(blocking, disk, "f"));
        CHECK(cut == Bytes("he\0\0", 4));
        TRY(file->sync(blocking));
        return disk.sync_dir(blocking, "");
    });
}

TEST_CASE("files: a model of random writes and the file agree") {
    run_case([](Fiber& fiber, Env& env, const Place&) -> Result<void> {
        RandomStream draws = env.random.stream("test.files");
        return env.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
            TRY(auto file, env.disk.open(blocking, "model", OpenMode::CreateNew));
            Bytes model;
            for (int i = 0; i < 150; ++i) {
                const uint64_t at = draws.below(30'000);
                if (draws.chance(0.1)) {
                    TRY(file->truncate(blocking, at));
                    model.resize(at, '\0');
                    continue;
                }
                const Bytes bytes(1 + draws.below(6'000), static_cast<char>('a' + i % 26));
                TRY(file->pwrite(blocking, at, bytes));
                if (model.size() < at + bytes.size()) model.resize(at + bytes.size(), '\0');
                model.replace(at, bytes.size(), bytes);
                if (draws.chance(0.1)) TRY(file->sync(blocking));
            }
            TRY(Bytes found, contents(blocking, env.disk, "model"));
            CHECK(found == model);
            return {};
        });
    });
}

TEST_CASE("files: rename replaces, also across directories") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(disk.create_dir(blocking, "d"));
        TRY(put(blocking, disk, "new", "new"));
        TRY(put(blocking, disk, "d/old", "old"));
        TRY(disk.rename(blocking, "new", "d/old"));
        TRY(Bytes now, contents(blocking, disk, "d/old"));
        CHECK(now == "new");
        CHECK(disk.stat(blocking, "new").failed_with(Code::NotFound));
        CHECK(disk.rename(blocking, "new", "other").failed_with(Code::NotFound));
        TRY(disk.sync_dir(blocking, ""));
        return disk.sync_dir(blocking, "d");
    });
}

TEST_CASE("files: a removed file lives on for who has it open") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(put(blocking, disk, "f", "first"));
        TRY(auto file, disk.open(blocking, "f", OpenMode::ReadWrite));
        TRY(disk.remove(blocking, "f"));
        CHECK(disk.remove(blocking, "f").failed_with(Code::NotFound));
        TRY(put(blocking, disk, "f", "second"));
        char buffer[16];
        TRY(size_t got, file->pread(blocking, 0, buffer));
        CHECK(Bytes(buffer, got) == "first");
        TRY(file->pwrite(blocking, 0, "FIRST"));
        TRY(Bytes named, contents(blocking, disk, "f"));
        CHECK(named == "second");
        return {};
    });
}

TEST_CASE("files: directories are listed in order, and removed only when empty") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(disk.create_dir(blocking, "d"));
        CHECK(disk.create_dir(blocking, "d").failed_with(Code::Exists));
        CHECK(disk.create_dir(blocking, "no/d").failed_with(Code::NotFound));
        for (const char* name : {"d/zeta", "d/alpha", "d/Mid"}) TRY(put(blocking, disk, name, name));
        TRY(disk.create_dir(blocking, "d/inner"));
        TRY(auto entries, disk.list(blocking, "d"));
        std::string names;
        for (const Disk::Entry& entry : entries) names += entry.name + (entry.is_dir ? "/ " : " ");
        CHECK(names == "Mid alpha inner/ zeta ");
        CHECK(entries[0].size_bytes == 5);
        TRY(auto zeta, disk.stat(blocking, "d/zeta"));
        CHECK(zeta.name == "zeta");
        CHECK(zeta.size_bytes == 6);
        CHECK(!zeta.is_dir);
        CHECK(disk.remove_dir(blocking, "d").failed_with(Code::Invalid));
        CHECK(disk.remove_dir(blocking, "none").failed_with(Code::NotFound));
        TRY(disk.remove_dir(blocking, "d/inner"));
        for (const char* name : {"d/zeta", "d/alpha", "d/Mid"}) TRY(disk.remove(blocking, name));
        TRY(disk.remove_dir(blocking, "d"));
        CHECK(disk.list(blocking, "d").failed_with(Code::NotFound));
        CHECK(disk.sync_dir(blocking, "d").failed_with(Code::NotFound));
        TRY(auto top, disk.list(blocking, ""));
        CHECK(top.empty());
        return {};
    });
}

TEST_CASE("files: nothing outside the data directory has a name") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        for (const char* path : {"../x", "/tmp/x", "a/../../x", ".", "a//b", "a/", ""}) {
            INFO(path);
            CHECK(disk.open(blocking, path, OpenMode::Create).failed_with(Code::Invalid));
        }
        return {};
    });
}

TEST_CASE("files: a directory lock is exclusive until it is dropped") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(disk.create_dir(blocking, "d"));
        TRY(auto held, disk.lock(blocking, "d"));
        CHECK(disk.lock(blocking, "d").failed_with(Code::Exists));
        held.reset();
        TRY(auto again, disk.lock(blocking, "d"));
        TRY(auto entries, disk.list(blocking, "d"));
        CHECK(entries.empty());
        return {};
    });
}

TEST_CASE("files: space is told, and adopt_blocking is there inside a body") {
    run_disk_case([](Blocking& blocking, Disk& disk) -> Result<void> {
        TRY(Disk::Space space, disk.space(blocking));
        CHECK(space.total_bytes > 0);
        CHECK(space.free_bytes <= space.total_bytes);
        return put(disk.adopt_blocking(), disk, "adopted", "x");
    });
}

}  // namespace
}  // namespace orrery::conformance
