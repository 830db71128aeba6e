// Bits that change at rest: every flip is harmless, named, or refused; none gives a state that never was.
#include "model.h"
#include "runtime/base/defect.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace orrery;
using namespace orrery::log;
using namespace orrery::log::test;

namespace {

struct Reopened {
    Result<void> opened;
    RecoveryReport report;
    std::vector<std::string> errors;
    Model after;  // of a second, undisturbed start
    bool second_ok = false;
};

Reopened reopen(FakeDisk& disk, const SegmentedLog::DurableAppliedLookup& applied, const HolesLookup& fetchable = {}) {
    Reopened out;
    out.opened = Error(Code::Cancelled, "did not end");
    std::unique_ptr<SegmentedLog> log;
    FakeWorld world(disk, 99, Instant{5'000});
    world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(fiber, world.env, small_options(), applied, &out.report, fetchable);
        out.opened = opened.ok() ? Result<void>() : Result<void>(opened.error());
        if (!opened.ok()) return;
        log = std::move(opened).value();
        RecoveryReport again;
        auto second = SegmentedLog::open(fiber, world.env, small_options(), applied, &again, fetchable);
        out.second_ok = second.ok();
        out.after = Model::of(again);
    });
    out.errors = world.tracer.errors;
    return out;
}

Reopened reopen(FakeDisk& disk) {
    return reopen(disk, [](GroupId) { return DurableApplied{}; });
}

/// Holes and damage must name only what the life before really had; the rest must be as it was.
std::string judge_refusal(const Reopened& found, const Model& truth) {
    if (!found.opened.failed_with(Code::Corrupt)) return "not refused as Corrupt: " + found.opened.error().text();
    if (!found.report.refused({})) return "refused without a report";
    if (found.opened.error().context.find("log/segment-") == std::string::npos &&
        found.opened.error().context.find("log/identity") == std::string::npos)
        return "no file named: " + found.opened.error().text();
    for (const auto& [id, group] : found.report.groups) {
        for (const Hole& hole : group.holes) {
            auto known = truth.groups.find(id);
            if (known == truth.groups.end()) return "a hole in an unknown group";
            const auto& entries = known->second.entries;
            if (std::none_of(entries.begin(), entries.end(),
                             [&](const Entry& entry) { return entry.index == hole.index && entry.term == hole.term; }))
                return "a hole that names no entry";
        }
        bool unnamed = !group.unnamed_damage.empty() || !found.report.node_damage.empty();
        if (unnamed) continue;
        const GroupModel& known = truth.groups.at(id);
        if (group.entries.size() != known.entries.size()) return "other entries are gone too";
        for (size_t i = 0; i < known.entries.size(); ++i) {
            bool hole = std::any_of(group.holes.begin(), group.holes.end(),
                                    [&](const Hole& each) { return each.index == known.entries[i].index; });
            if (!hole && !(group.entries[i] == known.entries[i])) return "an entry that is not a hole has changed";
        }
    }
    return "";
}

struct Written {
    FakeDisk disk;
    Life life;
};

void write_log(Written& out, uint64_t seed, bool sealed) {
    LifeOptions options;
    options.seed = seed;
    options.appends = 90;
    options.max_body = 1200;
    options.stop = sealed;
    do {  // an unsealed log whose last appends are all synced
        FakeDisk fresh;
        out.life = live(fresh, options);
        out.disk.copy_from(fresh);
        options.seed += 1000;
    } while (out.life.synced + 1 != out.life.digests.size());
}

/// Flips one bit of a file at a time; returns the first wrong outcome.
std::string flip_everywhere(uint64_t seed, bool sealed, int flips, int* refused, int* unsealed_losses) {
    Written written;
    write_log(written, seed, sealed);
    RandomStream draws(seed, "flip", 0);
    std::vector<std::string> paths = written.disk.paths();
    for (int i = 0; i < flips; ++i) {
        FakeDisk disk;
        disk.copy_from(written.disk);
        const std::string path = paths[draws.below(paths.size())];
        Inode& inode = disk.inode(path);
        uint64_t at = draws.below(inode.seen.size());
        // Most blocks of a segment are free space: prefer bytes that say something.
        for (int tries = 0; tries < 50 && inode.seen[at] == 0; ++tries) at = draws.below(inode.seen.size());
        char bit = static_cast<char>(1 << draws.below(8));
        inode.seen[at] = static_cast<char>(inode.seen[at] ^ bit);
        inode.durable = inode.seen;
        Reopened found = reopen(disk);
        std::string where = path + " at " + std::to_string(at) + ": ";
        if (!found.opened.ok()) {
            ++*refused;
            if (std::string wrong = judge_refusal(found, written.life.last); !wrong.empty()) return where + wrong;
            continue;
        }
        if (!found.second_ok) return where + "the second start failed";
        uint64_t digest = Model::of(found.report).digest();
        if (digest != found.after.digest()) return where + "two starts differ";
        if (digest == written.life.digests.back()) continue;
        // Class N: the newest batch, with no seal behind it, looks torn.
        bool earlier = std::find(written.life.digests.begin(), written.life.digests.end(), digest) != written.life.digests.end();
        // Without its magic a block does not even look like a torn batch.
        bool seen = found.report.torn_tail || at % 4096 < 8;
        if (sealed || !earlier || !seen) return where + "silently another state";
        ++*unsealed_losses;
    }
    return "";
}

}  // namespace

TEST_CASE("log: a flipped bit is harmless or refused with its place (sealed log, anywhere)") {
    int refused = 0;
    int losses = 0;
    for (uint64_t seed = 1; seed <= orrery::test::seeds(40); ++seed) {
        std::string wrong = flip_everywhere(seed, true, 60, &refused, &losses);
        REQUIRE_MESSAGE(wrong.empty(), "seed ", seed, " ", wrong);
    }
    CHECK(refused > (orrery::test::kSanitized ? 6 : 50));
    CHECK(losses == 0);
}

TEST_CASE("log: only the newest batch can be lost to a flipped bit unseen (no seal: class N)") {
    int refused = 0;
    int losses = 0;
    for (uint64_t seed = 1; seed <= orrery::test::seeds(40); ++seed) {
        std::string wrong = flip_everywhere(seed, false, 60, &refused, &losses);
        REQUIRE_MESSAGE(wrong.empty(), "seed ", seed, " ", wrong);
    }
    CHECK(refused > (orrery::test::kSanitized ? 6 : 50));
}

TEST_CASE("log: the flip test finds damage that is cut like a torn tail (seeded defect damage_is_torn_tail)") {
    set_defects(only(Defect::damage_is_torn_tail));
    int refused = 0;
    int losses = 0;
    bool caught = false;
    for (uint64_t seed = 1; seed <= 12 && !caught; ++seed) {
        std::string wrong = flip_everywhere(seed, true, 60, &refused, &losses);
        caught = wrong.find("silently another state") != std::string::npos;
    }
    set_defects({});
    CHECK(caught);
}

namespace {

/// A log of one group with entries 1..20, sealed; the place of the body of entry `index` on disk.
void twenty_entries(FakeDisk& disk) {
    std::unique_ptr<SegmentedLog> log;
    FakeWorld world(disk, 3, Instant{});
    world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(
            fiber, world.env, small_options(), [](GroupId) { return DurableApplied{}; }, nullptr);
        log = std::move(opened).value();
        log->start();
        for (uint64_t i = 1; i <= 20; ++i) {
            Batch batch;
            Bytes body = "the body of entry " + std::to_string(i) + ".";
            batch.entry({LogIndex(i), Term(2), 0, false, body});
            if (i == 4) batch.hard_state(Term(2), ReplicaId(1), "only hard state");
            REQUIRE(log->append(GroupId(5), batch).ok());
            REQUIRE(log->wait_synced(fiber, log->appended()).ok());
        }
        REQUIRE(log->stop(fiber).ok());
    });
}

void spoil(FakeDisk& disk, const std::string& text) {
    for (const std::string& path : disk.paths()) {
        Inode& inode = disk.inode(path);
        size_t at = inode.seen.find(text);
        if (at == Bytes::npos) continue;
        inode.seen[at] ^= 1;
        inode.durable = inode.seen;
        return;
    }
    FAIL("not found: ", text);
}

}  // namespace

TEST_CASE("log: a damaged body is a hole of known index and term") {
    FakeDisk disk;
    twenty_entries(disk);
    spoil(disk, "the body of entry 7.");
    Reopened found = reopen(disk);
    REQUIRE(found.opened.failed_with(Code::Corrupt));
    GroupReport& group = found.report.groups[GroupId(5)];
    REQUIRE(group.holes.size() == 1);
    CHECK(group.holes[0].index == LogIndex(7));
    CHECK(group.holes[0].term == Term(2));
    CHECK(group.entries.size() == 20);
    CHECK(group.hard_state.has_value());
    CHECK(std::count(found.errors.begin(), found.errors.end(), "log.damaged") == 1);
    CHECK(found.opened.error().context.find("entry 7 of term 2") != std::string::npos);
}

TEST_CASE("log: a log with holes opens for a group that can fetch them, and stays without their bodies until they are filled") {
    FakeDisk disk;
    twenty_entries(disk);
    spoil(disk, "the body of entry 7.");
    spoil(disk, "the body of entry 19.");
    auto nothing_applied = [](GroupId) { return DurableApplied{}; };
    auto fetchable = [](GroupId id, const GroupReport& report) { return id == GroupId(5) && report.holes.size() == 2; };
    // The second start of reopen() finds the records that the first wrote for the holes.
    Reopened found = reopen(disk, nothing_applied, fetchable);
    REQUIRE(found.opened.ok());
    REQUIRE(found.second_ok);
    CHECK(found.errors.empty());

    std::unique_ptr<SegmentedLog> log;
    RecoveryReport report;
    FakeWorld world(disk, 7, Instant{9'000});
    world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(fiber, world.env, small_options(), nothing_applied, &report, fetchable);
        REQUIRE(opened.ok());
        const GroupReport& group = report.groups.at(GroupId(5));
        REQUIRE(group.holes.size() == 2);
        CHECK(group.holes[0].index == LogIndex(7));
        CHECK(group.holes[1].index == LogIndex(19));
        REQUIRE(group.entries.size() == 20);
        CHECK(group.entries[6].term == Term(2));
        CHECK(group.entries[6].body.empty());
        CHECK(group.entries[7].body == "the body of entry 8.");
        log = std::move(opened).value();
        log->start();
        CHECK(log->read(fiber, GroupId(5), LogIndex(7), LogIndex(7), 1000).failed_with(Code::NotFound));
        Batch beyond;
        beyond.fill({LogIndex(21), Term(2), 0, false, "no"});
        CHECK(log->append(GroupId(5), beyond).failed_with(Code::Invalid));
        Batch batch;
        batch.fill({LogIndex(7), Term(2), 0, false, "the body of entry 7."});
        batch.entry({LogIndex(21), Term(2), 0, false, "the body of entry 21."});
        REQUIRE(log->append(GroupId(5), batch).ok());
        REQUIRE(log->wait_synced(fiber, log->appended()).ok());
        // Recycling takes holes and what filled them along.
        const Bytes body(3000, 'b');
        for (uint64_t i = 1; i < 400; ++i) {
            Batch other;
            other.entry({LogIndex(i), Term(1), 0, false, body});
            if (i > 2) other.floor(LogIndex(i - 2), Term(1));
            Result<Ticket> ticket = log->append(GroupId(2), other);
            if (ticket.failed_with(Code::Overloaded)) --i;
            if (!world.env.sleep(fiber, Duration::micros(100)).ok()) return;
        }
        CHECK(log->status().counters.segments_recycled > 4);
        REQUIRE(log->stop(fiber).ok());
    });
    auto one_hole = [](GroupId, const GroupReport& group) { return group.holes.size() == 1 && group.holes[0].index == LogIndex(19); };
    Reopened after = reopen(disk, nothing_applied, one_hole);
    REQUIRE_MESSAGE(after.opened.ok(), after.opened.error().text());
    const GroupReport& group = after.report.groups.at(GroupId(5));
    REQUIRE(group.entries.size() == 21);
    CHECK(group.entries[6].body == "the body of entry 7.");
    CHECK(group.entries[18].body.empty());
    CHECK(group.entries[20].body == "the body of entry 21.");
    CHECK(reopen(disk).opened.failed_with(Code::Corrupt));  // alone, a group refuses
}

TEST_CASE("log: damage at or below durable_applied is not missed, the floor moves above it") {
    FakeDisk disk;
    twenty_entries(disk);
    spoil(disk, "the body of entry 7.");
    auto applied = [](GroupId) { return DurableApplied{LogIndex(9), Term(2)}; };
    Reopened found = reopen(disk, applied);
    REQUIRE(found.opened.ok());
    CHECK(found.report.not_missed.size() == 1);
    CHECK(found.report.groups[GroupId(5)].floor == Floor{LogIndex(7), Term(2)});
    CHECK(found.report.groups[GroupId(5)].entries.front().index == LogIndex(8));
    // The new floor was synced with the epoch's first batch.
    CHECK(found.second_ok);
    CHECK(found.after.groups[GroupId(5)].floor == Floor{LogIndex(7), Term(2)});
    REQUIRE(reopen(disk).opened.ok());
}

TEST_CASE("log: a lost hard state is named, a lost batch names its groups by its successor") {
    FakeDisk disk;
    twenty_entries(disk);
    FakeDisk second;
    second.copy_from(disk);
    spoil(disk, "only hard state");
    Reopened named = reopen(disk);
    REQUIRE(named.opened.failed_with(Code::Corrupt));
    CHECK(named.report.groups[GroupId(5)].named_damage.size() == 1);
    CHECK(named.report.groups[GroupId(5)].holes.empty());

    // The header of the batch in the middle: the block in front of the body of entry 12.
    for (const std::string& path : second.paths()) {
        Inode& inode = second.inode(path);
        size_t at = inode.seen.find("the body of entry 12.");
        if (at == Bytes::npos) continue;
        inode.seen[at / 4096 * 4096 + 40] ^= 4;
    }
    Reopened unnamed = reopen(second, [](GroupId) { return DurableApplied{LogIndex(20), Term(2)}; });
    REQUIRE(unnamed.opened.failed_with(Code::Corrupt));
    CHECK(unnamed.report.groups[GroupId(5)].unnamed_damage.size() == 1);
    CHECK(unnamed.report.node_damage.empty());
    CHECK(unnamed.report.groups[GroupId(5)].entries.size() == 19);
}

TEST_CASE("log: a missing segment, an unreadable block and a lost identity are refused, and an unreadable free block is not") {
    FakeDisk disk;
    twenty_entries(disk);
    FakeDisk gone;
    gone.copy_from(disk);
    REQUIRE(gone.remove(gone.permission, "log/segment-0000000001").ok());
    CHECK(reopen(gone).opened.failed_with(Code::Corrupt));
    FakeDisk nameless;
    nameless.copy_from(disk);
    REQUIRE(nameless.remove(nameless.permission, "log/identity").ok());
    CHECK(reopen(nameless).opened.failed_with(Code::Corrupt));
    FakeDisk sector;
    sector.copy_from(disk);
    sector.unreadable.emplace_back("log/segment-0000000001", 8192);
    Reopened found = reopen(sector);
    CHECK(found.opened.failed_with(Code::Corrupt));
    CHECK(found.report.refused({}));
    FakeDisk fine;
    fine.copy_from(disk);
    fine.unreadable.emplace_back("log/segment-0000000003", 8192);
    CHECK(reopen(fine).opened.ok());
}

TEST_CASE("log: damage met while recycling seals the log instead of losing a live record") {
    FakeDisk disk;
    std::unique_ptr<SegmentedLog> log;
    FakeWorld world(disk, 3, Instant{});
    bool sealed = false;
    world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(
            fiber, world.env, small_options(), [](GroupId) { return DurableApplied{}; }, nullptr);
        log = std::move(opened).value();
        log->start();
        Batch keep;
        keep.entry({LogIndex(1), Term(1), 0, false, "an idle entry that stays live"});
        REQUIRE(log->append(GroupId(1), keep).ok());
        REQUIRE(log->wait_synced(fiber, log->appended()).ok());
        spoil(disk, "an idle entry");
        const Bytes body(3000, 'b');
        for (uint64_t i = 1; i < 2000 && !sealed; ++i) {
            Batch batch;
            batch.entry({LogIndex(i), Term(1), 0, false, body});
            if (i > 2) batch.floor(LogIndex(i - 2), Term(1));
            Result<Ticket> ticket = log->append(GroupId(2), batch);
            if (ticket.failed_with(Code::Overloaded)) {
                --i;
                if (!world.env.sleep(fiber, Duration::micros(100)).ok()) return;
            }
            if (ticket.ok()) (void)log->wait_synced(fiber, *ticket);
            sealed = log->sealed_error().has_value();
        }
    });
    REQUIRE(sealed);
    CHECK(log->sealed_error()->code == Code::Corrupt);
    CHECK(std::count(world.tracer.errors.begin(), world.tracer.errors.end(), "log.sealed") == 1);
}
