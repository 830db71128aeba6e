// Random operations in overlapping bodies and random crashes against a model that only knows the
// contract: the list of all operations with their instants. After a crash, every sector must be a
// version that the contract allows.
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/sim/disk/disk_fixture.h"

namespace orrery::sim {
namespace {

constexpr uint64_t kSectors = 24;  // of the one file, which is written whole in advance

struct Written {
    Instant at;
    uint64_t first, count;
    char fill;
};

struct Model {
    std::vector<Written> writes;
    std::vector<Instant> syncs;

    /// What a sector may hold after a crash at T.
    std::set<char> allowed(uint64_t sector, Instant crash, CrashKind kind, char base) const {
        Instant covered{INT64_MIN};
        for (const Instant sync : syncs)
            if (sync <= crash) covered = std::max(covered, sync);
        std::set<char> out{base};
        for (const Written& write : writes) {
            if (write.at > crash || sector < write.first || sector >= write.first + write.count)
                continue;
            if (write.at < covered || kind == CrashKind::Kill)
                out.clear();  // nothing older can come back
            out.insert(write.fill);
        }
        return out;
    }
};

TEST_CASE("disk model: after any crash every sector holds a version that the contract allows") {
    const bool holds = rc::check([] {
        DiskOptions options;
        options.latency = {.read = {Duration::micros(1), Duration::micros(50)},
                           .write = {Duration::micros(1), Duration::micros(200)},
                           .sync = {Duration::micros(1), Duration::millis(1)}};
        options.power_loss.garbage = 0;
        DiskFixture at(*rc::gen::arbitrary<uint64_t>(), options);
        at.write_file("f", Bytes(kSectors * 512, '!'));
        Bytes base(kSectors, '!');
        char fill = '0';
        const int lives = *rc::gen::inRange(1, 5);
        for (int life = 0; life < lives; ++life) {
            Model model;
            std::unique_ptr<File> file;
            at.done([&](Blocking& blocking) {
                file = at.disk.open(blocking, "f", OpenMode::ReadWrite).value();
            });
            Instant last = at.timeline.now();
            Bytes visible = base;
            const int bodies = *rc::gen::inRange(1, 8);
            for (int body = 0; body < bodies; ++body) {
                // Bodies overlap in virtual time: the next may begin before this one has ended.
                const Instant end = at.body([&](Blocking& blocking) {
                    const int operations = *rc::gen::inRange(1, 6);
                    for (int i = 0; i < operations; ++i) {
                        if (*rc::gen::inRange(0, 3) == 0) {
                            file->sync(blocking).value();
                            model.syncs.push_back(static_cast<SimBlocking&>(blocking).cursor());
                            continue;
                        }
                        const auto first =
                            static_cast<uint64_t>(*rc::gen::inRange<int>(0, kSectors));
                        const auto count = static_cast<uint64_t>(
                            *rc::gen::inRange<int>(1, static_cast<int>(kSectors - first) + 1));
                        fill = fill == 'z' ? '0' : static_cast<char>(fill + 1);
                        file->pwrite(blocking, first * 512, Bytes(count * 512, fill)).value();
                        model.writes.push_back(
                            {static_cast<SimBlocking&>(blocking).cursor(), first, count, fill});
                        std::fill_n(visible.begin() + static_cast<ptrdiff_t>(first), count, fill);
                    }
                });
                last = std::max(last, end);
                at.timeline.advance_to(at.after(Duration::micros(*rc::gen::inRange(0, 300))));
            }
            const Bytes seen = at.disk.peek("f", SimDisk::View::Visible).value();
            for (uint64_t sector = 0; sector < kSectors; ++sector)
                RC_ASSERT(seen.substr(sector * 512, 512) == Bytes(512, visible[sector]));

            const auto kind =
                *rc::gen::element(CrashKind::Power, CrashKind::Power, CrashKind::Kill);
            if (*rc::gen::inRange(0, 2))
                at.timeline.advance_to(std::max(
                    at.timeline.now(), last - Duration::micros(*rc::gen::inRange(0, 300))));
            const Bytes promised = at.disk.peek("f", SimDisk::View::Durable).value();
            const Instant crash = at.timeline.now();
            at.crash_at(crash, kind);
            const Bytes found = at.disk.peek("f", SimDisk::View::Visible).value();
            RC_ASSERT(found.size() == kSectors * 512);
            for (uint64_t sector = 0; sector < kSectors; ++sector) {
                const Bytes bytes = found.substr(sector * 512, 512);
                RC_ASSERT(bytes == Bytes(512, bytes[0]));
                const std::set<char> allowed = model.allowed(sector, crash, kind, base[sector]);
                RC_ASSERT(allowed.contains(bytes[0]));
                // The promise is what the model has when every unsynced change is lost.
                const std::set<char> power =
                    model.allowed(sector, crash, CrashKind::Power, base[sector]);
                RC_ASSERT(power.contains(promised[sector * 512]));
                base[sector] = bytes[0];
            }
            if (kind == CrashKind::Power) {
                RC_ASSERT(!at.disk.has_unsynced());
            } else {
                // Settle what the kill left in the page cache, so that the next life starts from
                // durable bytes.
                at.done([&](Blocking& blocking) {
                    at.disk.open(blocking, "f", OpenMode::Read).value()->sync(blocking).value();
                });
            }
        }
    });
    CHECK(holds);
}

TEST_CASE("disk model: after any crash the names are those of some legal history") {
    // Each file holds its own birth number, synced at once; so its contents tell which creation a
    // name leads to.
    const bool holds = rc::check([] {
        DiskFixture at(*rc::gen::arbitrary<uint64_t>());
        at.done([&](Blocking& blocking) {
            at.disk.create_dir(blocking, "a").value();
            at.disk.create_dir(blocking, "b").value();
            at.disk.sync_dir(blocking, "").value();
        });
        using Names = std::map<std::string, std::string>;
        Names durable;
        Names visible;
        std::set<std::pair<std::string, std::string>>
            linked;                     // name and birth, at any time since the last sync
        std::set<std::string> ended;    // births removed or replaced since
        std::set<std::string> touched;  // names changed since
        int births = 0;
        const auto linked_now = [&](const std::string& name) {
            linked.emplace(name, visible.at(name));
            touched.insert(name);
        };
        const auto unlinked_now = [&](const std::string& name) {
            touched.insert(name);
            if (!visible.contains(name)) return;
            ended.insert(visible[name]);
            visible.erase(name);
        };
        const auto path = [] {
            return *rc::gen::element<std::string>("a/x", "a/y", "a/z", "b/x", "b/y");
        };
        const int operations = *rc::gen::inRange(1, 25);
        for (int i = 0; i < operations; ++i) {
            at.done([&](Blocking& blocking) {
                switch (*rc::gen::inRange(0, 5)) {
                    case 0:
                    case 1: {
                        const std::string name = path();
                        auto file = at.disk.open(blocking, name, OpenMode::CreateNew);
                        RC_ASSERT(file.ok() == !visible.contains(name));
                        if (!file.ok()) break;
                        const std::string birth = std::to_string(++births);
                        (*file)->pwrite(blocking, 0, birth).value();
                        (*file)->sync(blocking).value();
                        visible[name] = birth;
                        linked_now(name);
                        break;
                    }
                    case 2: {
                        const std::string from = path(), to = path();
                        const bool ok = at.disk.rename(blocking, from, to).ok();
                        RC_ASSERT(ok == visible.contains(from));
                        if (!ok || from == to) break;
                        unlinked_now(to);
                        visible[to] = visible[from];
                        visible.erase(from);
                        touched.insert(from);
                        linked_now(to);
                        break;
                    }
                    case 3: {
                        const std::string name = path();
                        RC_ASSERT(at.disk.remove(blocking, name).ok() == visible.contains(name));
                        unlinked_now(name);
                        break;
                    }
                    case 4:
                        at.disk.sync_dir(blocking, "a").value();
                        at.disk.sync_dir(blocking, "b").value();
                        durable = visible;
                        linked.clear();
                        ended.clear();
                        touched.clear();
                        linked.insert(durable.begin(), durable.end());
                        break;
                }
            });
        }
        const auto names_of = [&](SimDisk::View view) {
            Names out;
            for (const Disk::Entry& entry : at.disk.tree(view))
                if (!entry.is_dir) out[entry.name] = at.disk.peek(entry.name, view).value();
            return out;
        };
        RC_ASSERT(names_of(SimDisk::View::Visible) == visible);
        RC_ASSERT(names_of(SimDisk::View::Durable) == durable);
        at.crash_at(at.timeline.now());
        const Names found = names_of(SimDisk::View::Visible);
        std::set<std::string> inodes;
        for (const auto& [name, birth] : found) {
            RC_ASSERT(inodes.insert(birth).second);  // no file under two names
            RC_ASSERT(linked.contains({name, birth}));
        }
        for (const auto& [name, birth] : durable) {
            // A synced file can only go by being removed or replaced, never by a rename half done.
            RC_ASSERT(inodes.contains(birth) || ended.contains(birth));
            if (!touched.contains(name)) RC_ASSERT(found.at(name) == birth);
        }
        RC_ASSERT(names_of(SimDisk::View::Durable) == found);
        RC_ASSERT(at.disk.unsynced_changes() == 0);
    });
    CHECK(holds);
}

}  // namespace
}  // namespace orrery::sim
