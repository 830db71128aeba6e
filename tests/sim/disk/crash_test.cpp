// What survives which crash.
#include <map>
#include <set>

#include "tests/sim/disk/disk_fixture.h"

namespace orrery::sim {
namespace {

using View = SimDisk::View;
constexpr uint64_t kSeeds = 200;

TEST_CASE("crash: bytes whose sync takes 5 ms can be lost at 3 ms and never at 5 ms") {
    std::map<std::string, int> fates;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        for (const bool late : {false, true}) {
            DiskFixture at(seed);
            at.write_file("f", Bytes(4096, 'o'));
            const Instant submit = at.timeline.now();
            const Instant end = at.body([&](Blocking& blocking) {
                auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
                file->pwrite(blocking, 0, Bytes(4096, 'n')).value();
                file->sync(blocking).value();
            });
            const Bytes promised = at.disk.peek("f", View::Durable).value();
            CHECK(promised == Bytes(4096, 'o'));
            CHECK(at.disk.peek("f", View::Visible) == Bytes(4096, 'n'));
            CHECK(at.disk.has_unsynced());
            at.crash_at(late ? end : submit + Duration::millis(3));
            const Bytes found = at.read_file("f").value();
            REQUIRE(found.size() == 4096);
            if (late) {
                CHECK(found == Bytes(4096, 'n'));
                continue;
            }
            bool fresh = false, old = false, garbage = false;
            for (size_t sector = 0; sector < 8; ++sector) {
                const Bytes bytes = found.substr(sector * 512, 512);
                if (bytes == Bytes(512, 'n')) {
                    fresh = true;
                } else if (bytes == Bytes(512, 'o')) {
                    old = true;
                } else {
                    // Nothing is torn inside a sector: either whole, or nothing like it.
                    CHECK(bytes.find(Bytes(16, 'n')) == Bytes::npos);
                    CHECK(bytes.find(Bytes(16, 'o')) == Bytes::npos);
                    garbage = true;
                }
            }
            ++fates[garbage ? "garbage" : fresh && old ? "torn" : fresh ? "kept" : "lost"];
        }
    }
    for (const char* fate : {"kept", "lost", "torn", "garbage"}) {
        INFO(fate);
        CHECK(fates[fate] > 0);
    }
}

TEST_CASE(
    "crash: an operation whose instant lies after the crash never happened, not even for a killed "
    "process") {
    DiskFixture at;
    at.write_file("f", "old");
    Instant first_write{};
    at.body([&](Blocking& blocking) {
        auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
        file->pwrite(blocking, 0, "mid").value();
        first_write = static_cast<SimBlocking&>(blocking).cursor();
        file->pwrite(blocking, 0, "new").value();
        at.disk.rename(blocking, "f", "g").value();
        at.disk.open(blocking, "h", OpenMode::Create).value();
    });
    CHECK(at.crash_at(first_write, CrashKind::Kill).undone == 3);
    CHECK(at.read_file("f").value() == "mid");
    CHECK(at.disk.tree(View::Visible).size() == 1);
    CHECK(at.disk.unsynced_bytes() == 3);
}

TEST_CASE(
    "crash: a sync covers earlier instants only (a write after it, a sync that had not ended)") {
    std::set<Bytes> seen;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        at.write_file("f", Bytes(1024, 'o'));
        at.done([&](Blocking& blocking) {
            auto file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
            file->pwrite(blocking, 0, Bytes(512, 'a')).value();
            file->sync(blocking).value();
            file->pwrite(blocking, 512, Bytes(512, 'b')).value();
        });
        at.crash_at(at.timeline.now());
        const Bytes found = at.read_file("f").value();
        CHECK(found.substr(0, 512) == Bytes(512, 'a'));
        seen.insert(found.substr(512));
    }
    CHECK(seen.contains(Bytes(512, 'b')));
    CHECK(seen.contains(Bytes(512, 'o')));
}

TEST_CASE("crash: a kill keeps the page cache, and keeps it unsynced for the next power loss") {
    int lost = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        at.write_file("f", "durable");
        at.write_file("g", "volatile", false);
        at.crash_at(at.timeline.now(), CrashKind::Kill);
        CHECK(at.read_file("g").value() == "volatile");
        CHECK_FALSE(at.disk.peek("g", View::Durable).has_value());
        at.crash_at(at.timeline.now(), CrashKind::Power);
        CHECK(at.read_file("f").value() == "durable");
        lost += !at.read_file("g").ok();
    }
    CHECK(lost > 0);
    CHECK(lost < static_cast<int>(kSeeds));
}

TEST_CASE(
    "crash: creations, renames and removals may be lost until their directory is synced, and never "
    "after") {
    for (const bool synced : {false, true}) {
        std::map<std::string, int> fates;
        for (uint64_t seed = 0; seed < kSeeds; ++seed) {
            DiskFixture at(seed);
            at.write_file("moved", "m");
            at.write_file("target", "t");
            at.write_file("removed", "r");
            at.done([&](Blocking& blocking) {
                at.disk.open(blocking, "created", OpenMode::CreateNew)
                    .value()
                    ->sync(blocking)
                    .value();
                at.disk.rename(blocking, "moved", "target").value();
                at.disk.remove(blocking, "removed").value();
                if (synced) at.disk.sync_dir(blocking, "").value();
            });
            at.crash_at(at.timeline.now());
            const bool created = at.read_file("created").ok(),
                       removed = !at.read_file("removed").ok();
            const bool moved = !at.read_file("moved").ok();
            // A rename is atomic: exactly one of the two, and the target is never missing.
            CHECK(at.read_file("target").value() == (moved ? "m" : "t"));
            fates["created"] += created;
            fates["moved"] += moved;
            fates["removed"] += removed;
            fates["mixed"] += created != removed || created != moved;
        }
        for (const char* what : {"created", "moved", "removed"}) {
            INFO(what);
            CHECK(fates[what] > 0);
            CHECK((fates[what] == static_cast<int>(kSeeds)) == synced);
        }
        CHECK((fates["mixed"] > 0) == !synced);
    }
}

TEST_CASE("crash: a rename across directories needs both synced") {
    int lost = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        for (const bool both : {false, true}) {
            DiskFixture at(seed);
            at.done([&](Blocking& blocking) {
                at.disk.create_dir(blocking, "d").value();
                at.disk.sync_dir(blocking, "").value();
            });
            at.write_file("f", "x");
            at.done([&](Blocking& blocking) {
                at.disk.rename(blocking, "f", "d/f").value();
                at.disk.sync_dir(blocking, "d").value();
                if (both) at.disk.sync_dir(blocking, "").value();
            });
            at.crash_at(at.timeline.now());
            const bool moved = at.read_file("d/f").ok();
            CHECK(moved != at.read_file("f").ok());
            if (both) CHECK(moved);
            lost += !moved;
        }
    }
    CHECK(lost > 0);
}

TEST_CASE("crash: a file renamed twice has exactly one name (both unsynced)") {
    std::set<std::string> seen;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        at.write_file("f", "x");
        at.done([&](Blocking& blocking) {
            at.disk.rename(blocking, "f", "g").value();
            at.disk.rename(blocking, "g", "h").value();
        });
        at.crash_at(at.timeline.now());
        const auto tree = at.disk.tree(View::Visible);
        REQUIRE(tree.size() == 1);
        seen.insert(tree[0].name);
    }
    CHECK(seen == std::set<std::string>{"f", "g", "h"});
}

TEST_CASE(
    "crash: what a durable change of names builds on is durable with it (directory of the first "
    "half unsynced)") {
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        at.done([&](Blocking& blocking) {
            at.disk.create_dir(blocking, "d").value();
            at.disk.create_dir(blocking, "e").value();
            at.disk.sync_dir(blocking, "").value();
        });
        at.write_file("d/f", "x");
        at.done([&](Blocking& blocking) {
            at.disk.rename(blocking, "d/f", "e/f").value();
            at.disk.rename(blocking, "e/f", "e/g").value();
            at.disk.sync_dir(blocking, "e").value();
        });
        at.crash_at(at.timeline.now());
        CHECK(at.read_file("e/g").ok());
        CHECK(at.disk.tree(View::Visible).size() == 3);
    }
}

TEST_CASE(
    "crash: a sync of a directory that had not ended covers nothing, in this crash or a later "
    "one") {
    int lost = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        const Instant end = at.body([&](Blocking& blocking) {
            at.disk.open(blocking, "f", OpenMode::Create).value();
            at.disk.sync_dir(blocking, "").value();
        });
        at.crash_at(end - Duration::nanos(1), CrashKind::Kill);
        at.timeline.advance_to(end + Duration::seconds(1));
        CHECK(at.disk.unsynced_changes() == 1);
        at.crash_at(at.timeline.now());
        lost += !at.read_file("f").ok();
    }
    CHECK(lost > 0);
}

TEST_CASE(
    "crash: every single operation can be struck, just before and at its instant (operation n of a "
    "fixed body)") {
    std::set<std::pair<std::string, Bytes>> states;
    for (uint64_t n = 1; n <= 6; ++n) {
        for (const int64_t before_ns : {1, 0}) {
            DiskFixture at;
            Instant struck{};
            at.disk.crash_at_operation(n, [&](const DiskOperation& operation) {
                struck = operation.at - Duration::nanos(before_ns);
            });
            at.body([&](Blocking& blocking) {
                auto file = at.disk.open(blocking, "f", OpenMode::Create).value();
                file->pwrite(blocking, 0, "one").value();
                file->truncate(blocking, 2).value();
                at.disk.rename(blocking, "f", "g").value();
                at.disk.create_dir(blocking, "d").value();
                at.disk.remove(blocking, "g").value();
            });
            at.crash_at(struck, CrashKind::Kill);
            std::string names;
            for (const auto& entry : at.disk.tree(View::Visible)) names += entry.name;
            states.emplace(names, at.disk.peek("f", View::Visible).value_or("-"));
        }
    }
    CHECK(states == std::set<std::pair<std::string, Bytes>>{{"", "-"},
                                                            {"f", ""},
                                                            {"f", "one"},
                                                            {"f", "on"},
                                                            {"g", "-"},
                                                            {"d/g", "-"},
                                                            {"d/", "-"}});
}

TEST_CASE("crash: an unsynced change of size may be lost, and what was cut comes back then") {
    std::set<size_t> cut, grown;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        DiskFixture at(seed);
        at.write_file("cut", Bytes(6000, 'c'));
        at.write_file("grown", Bytes(1000, 'g'));
        at.done([&](Blocking& blocking) {
            at.disk.open(blocking, "cut", OpenMode::ReadWrite)
                .value()
                ->truncate(blocking, 100)
                .value();
            at.disk.open(blocking, "grown", OpenMode::ReadWrite)
                .value()
                ->pwrite(blocking, 1000, Bytes(5000, 'h'))
                .value();
        });
        at.crash_at(at.timeline.now());
        const Bytes one = at.read_file("cut").value(), two = at.read_file("grown").value();
        cut.insert(one.size());
        grown.insert(two.size());
        CHECK(one == Bytes(one.size(), 'c'));
    }
    CHECK(cut == std::set<size_t>{100, 6000});
    CHECK(grown == std::set<size_t>{1000, 6000});
}

TEST_CASE(
    "crash: garbage takes a whole sector that an unsynced write touched, synced bytes beside it included, unless the file "
    "is spared (appended within a sector, rewritten in the middle of one)") {
    struct Case {
        uint64_t offset, length;
    };
    for (const double prefix : {0.0, 1.0}) {
        for (const Case& write : {Case{1124, 200}, Case{600, 50}}) {
            int struck = 0;
            std::map<std::string, int> synced_bytes_gone;
            for (uint64_t seed = 0; seed < kSeeds; ++seed) {
                DiskOptions options = DiskFixture::fixed_options();
                options.power_loss = {.keep_all = 0, .lose_all = 0, .prefix = prefix, .garbage = 1};
                options.power_loss.garbage_spares_synced = {"other/", "spared/"};
                DiskFixture at(seed, options);
                for (const std::string dir : {"log", "spared"}) {
                    at.done([&](Blocking& blocking) {
                        at.disk.create_dir(blocking, dir).value();
                        at.disk.sync_dir(blocking, "").value();
                    });
                    at.write_file(dir + "/f", Bytes(1124, 'o'));
                    at.done([&](Blocking& blocking) {
                        auto file = at.disk.open(blocking, dir + "/f", OpenMode::ReadWrite).value();
                        file->pwrite(blocking, write.offset, Bytes(write.length, 'n')).value();
                    });
                }
                struck += at.crash_at(at.timeline.now()).sectors_garbage > 0;
                for (const std::string dir : {"log", "spared"}) {
                    const Bytes found = at.read_file(dir + "/f").value();
                    REQUIRE(found.size() >= 1124);
                    // Never a sector that no unsynced write touched.
                    const uint64_t first = write.offset / 512 * 512;
                    CHECK(found.substr(0, first) == Bytes(first, 'o'));
                    if (first == 512) CHECK(found.substr(1024, 100) == Bytes(100, 'o'));
                    synced_bytes_gone[dir] +=
                        found.substr(first, write.offset - first) != Bytes(write.offset - first, 'o');
                }
            }
            CHECK(struck > static_cast<int>(kSeeds) / 4);
            CHECK(synced_bytes_gone["log"] > static_cast<int>(kSeeds) / 8);
            CHECK(synced_bytes_gone["spared"] == 0);
        }
    }
}

TEST_CASE("crash: records of a segment that is rewritten and synced for ever are dropped") {
    DiskFixture at;
    at.write_file("log", Bytes(65536, '\0'));
    std::unique_ptr<File> file;
    at.done([&](Blocking& blocking) {
        file = at.disk.open(blocking, "log", OpenMode::ReadWrite).value();
    });
    for (int i = 0; i < 1000; ++i)
        at.done([&](Blocking& blocking) {
            file->pwrite(blocking, static_cast<uint64_t>(i) % 16 * 4096,
                         Bytes(4096, static_cast<char>(i)))
                .value();
            file->sync(blocking).value();
        });
    CHECK_FALSE(at.disk.has_unsynced());
    CHECK(at.disk.dump().find("records") == std::string::npos);
}

TEST_CASE("crash: a file that nobody ever syncs keeps a bounded number of records") {
    DiskFixture at;
    std::unique_ptr<File> file;
    at.done(
        [&](Blocking& blocking) { file = at.disk.open(blocking, "f", OpenMode::Create).value(); });
    for (uint64_t i = 0; i < 20'000; ++i)
        at.done([&](Blocking& blocking) { file->pwrite(blocking, i, "x").value(); });
    CHECK(at.disk.unsynced_bytes() <= 8192);
    CHECK(at.disk.unsynced_bytes() >= 4096);
}

}  // namespace
}  // namespace orrery::sim
