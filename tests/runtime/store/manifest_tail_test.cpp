// The torn tail of a MANIFEST is cut; damage in its middle is left for RocksDB to refuse.
#include "runtime/store/manifest_tail.h"

#include "runtime/base/crc32c.h"
#include "runtime/store/file_system.h"
#include "runtime/store/rocks_env.h"
#include "sim/rocksdb/memory_disk.h"

#include <doctest/doctest.h>

using namespace orrery;

namespace {

Bytes record(const Bytes& payload) {
    const Bytes body = Bytes(1, '\1') + payload;  // a full record
    const uint32_t crc = crc32c(body);
    Bytes out;
    put_le<uint32_t>(out, ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
    put_le<uint16_t>(out, static_cast<uint16_t>(payload.size()));
    return out + body;
}

/// What is left of the MANIFEST.
Bytes after_cut(const Bytes& manifest) {
    sim::MemoryDisk disk;
    sim::MemoryDisk::Section section(disk);
    REQUIRE(disk.create_dir(section, "store").ok());
    for (const auto& [name, bytes] : {std::pair<std::string, Bytes>("store/CURRENT", "MANIFEST-000005\n"), {"store/MANIFEST-000005", manifest}}) {
        auto file = disk.open(section, name, OpenMode::CreateNew);
        REQUIRE(file.ok());
        REQUIRE((*file)->pwrite(section, 0, bytes).ok());
    }
    REQUIRE(store::cut_torn_manifest_tail(section, disk, "store").ok());
    auto file = disk.open(section, "store/MANIFEST-000005", OpenMode::Read);
    Bytes left((*file)->size(section).value(), '\0');
    REQUIRE((*file)->pread(section, 0, left).ok());
    return left;
}

}  // namespace

TEST_CASE("store: a MANIFEST that ends with a whole record stays as it is") {
    const Bytes whole = record("first") + record("second");
    CHECK(after_cut(whole) == whole);
}

TEST_CASE("store: a torn last record is cut, wherever it is torn") {
    const Bytes kept = record("first") + record("second");
    const Bytes last = record(Bytes(1500, 'x'));
    for (size_t length = 1; length < last.size(); length += 37) CHECK(after_cut(kept + last.substr(0, length)) == kept);
    for (size_t at = 0; at < last.size(); at += 41) {
        Bytes torn = last;
        for (size_t i = at; i < std::min(at + 512, torn.size()); ++i) torn[i] = static_cast<char>(torn[i] ^ 0x5a);
        CHECK(after_cut(kept + torn) == kept);
    }
    CHECK(after_cut(kept + Bytes(600, '\0')) == kept);
}

TEST_CASE("store: of a torn last record that spans blocks later pieces may be whole") {
    const Bytes kept = record("first");
    const size_t room = 32 * 1024 - kept.size() - 7;
    auto piece = [](char type, const Bytes& payload) {
        const Bytes body = Bytes(1, type) + payload;
        const uint32_t crc = crc32c(body);
        Bytes out;
        put_le<uint32_t>(out, ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
        put_le<uint16_t>(out, static_cast<uint16_t>(payload.size()));
        return out + body;
    };
    const Bytes last = piece('\2', Bytes(room, 'a')) + piece('\4', Bytes(900, 'b'));
    CHECK(after_cut(kept + last) == kept + last);
    Bytes torn = last;
    for (size_t i = 1024; i < 1536; ++i) torn[i] = '\0';
    CHECK(after_cut(kept + torn) == kept);
}

TEST_CASE("store: of a MANIFEST no more than one record is ever not synced") {
    sim::MemoryDisk disk;
    sim::MemoryDisk::Section section(disk);
    REQUIRE(disk.create_dir(section, "store").ok());
    std::string done;
    disk.set_hook([&](sim::MemoryDisk::Op op, std::string_view, uint64_t) -> Result<void> {
        if (op == sim::MemoryDisk::Op::Write) done += 'w';
        if (op == sim::MemoryDisk::Op::Sync) done += 's';
        return {};
    });
    store::DiskFileSystem files(disk, "store", std::make_shared<store::ThreadClock>(), std::make_shared<store::RecentLog>());
    auto write = [&](const std::string& path) {
        std::unique_ptr<rocksdb::FSWritableFile> file;
        REQUIRE(files.NewWritableFile(path, rocksdb::FileOptions(), &file, nullptr).ok());
        done.clear();
        auto append = [&](int records) {
            for (int i = 0; i < records; ++i) REQUIRE(file->Append("record", rocksdb::IOOptions(), nullptr).ok());
            REQUIRE(file->Sync(rocksdb::IOOptions(), nullptr).ok());
        };
        append(3);  // a new one: nobody names it yet
        append(3);
        append(1);
        return done;
    };
    CHECK(write("/store/MANIFEST-000007") == "wwws" "wswsws" "ws");
    CHECK(write("/store/000008.sst") == "wwws" "wwws" "ws");
}

TEST_CASE("store: a bad record with a whole one behind it is damage and is not cut") {
    Bytes bad = record("second");
    bad[9] = static_cast<char>(bad[9] ^ 1);
    const Bytes damaged = record("first") + bad + record("third");
    CHECK(after_cut(damaged) == damaged);
    Bytes none = record("first");
    none[8] = static_cast<char>(none[8] ^ 1);
    CHECK(after_cut(none) == none);  // nothing whole at all: not ours to judge
}
