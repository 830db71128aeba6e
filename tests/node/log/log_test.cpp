// The running log: recycling, full disk, back-pressure, reading back, tickets.
#include "model.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::log;
using namespace orrery::log::test;

namespace {

/// Runs `body` with an open, started log; checks that it ended.
template <typename Body>
void with_log(FakeDisk& disk, const Options& options, Body body) {
    std::unique_ptr<SegmentedLog> log;
    FakeWorld world(disk, 7, Instant{});
    bool ended = world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(
            fiber, world.env, options, [](GroupId) { return DurableApplied{}; }, nullptr);
        REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().text()));
        log = std::move(opened).value();
        log->start();
        body(fiber, world, *log);
        CHECK(log->stop(fiber).ok());
    });
    CHECK(ended);
}

Batch one_entry(uint64_t index, ByteView body) {
    Batch batch;
    batch.entry({LogIndex(index), Term(1), 0, false, body});
    return batch;
}

/// Appends until it is taken, waiting while the log asks for it.
Result<Ticket> append_patiently(Fiber& fiber, FakeWorld& world, SegmentedLog& log, GroupId group, const Batch& batch) {
    for (;;) {
        Result<Ticket> ticket = log.append(group, batch);
        if (!ticket.failed_with(Code::Overloaded)) return ticket;
        TRY(world.env.sleep(fiber, Duration::micros(100)));
    }
}

}  // namespace

TEST_CASE("log: segments are recycled for ever, and idle groups are carried along (many segments)") {
    FakeDisk disk;
    with_log(disk, small_options(), [](Fiber& fiber, FakeWorld& world, SegmentedLog& log) {
        const Bytes idle(3000, 'i');
        const Bytes busy(2000, 'b');
        Batch hard;
        hard.hard_state(Term(4), ReplicaId(2), "opaque");
        for (uint64_t i = 1; i <= 5; ++i) REQUIRE(log.append(GroupId(1), one_entry(i, idle)).ok());
        REQUIRE(log.append(GroupId(1), hard).ok());
        for (uint64_t i = 1; i <= 3000; ++i) {
            REQUIRE(append_patiently(fiber, world, log, GroupId(2), one_entry(i, busy)).ok());
            if (i > 10) REQUIRE(log.set_floor(GroupId(2), LogIndex(i - 10), Term(1)).ok());
            if (i % 3 == 0) REQUIRE(log.wait_synced(fiber, log.appended()).ok());
        }
        Status status = log.status();
        CHECK(status.segments < 12);
        CHECK(status.counters.segments_recycled > 50);
        CHECK(status.counters.copies > 20);
        // Idle records are copied only when garbage outweighs what is live.
        CHECK(status.counters.copied_bytes < status.counters.written_bytes / 2);
        auto back = log.read(fiber, GroupId(1), LogIndex(1), LogIndex(5), 1 << 20);
        REQUIRE(back.ok());
        REQUIRE(back->size() == 5);
        for (const Entry& entry : *back) CHECK(entry.body == idle);
    });
    RandomStream draws(1, "loss", 0);
    disk.restart(FakeDisk::Loss::Power, draws);
    LifeOptions again;
    again.appends = 0;
    Life life = live(disk, again);
    REQUIRE(life.opened.ok());
    CHECK(life.report.groups[GroupId(1)].entries.size() == 5);
    CHECK(life.report.groups[GroupId(1)].hard_state->term == Term(4));
    CHECK(life.report.groups[GroupId(2)].entries.size() == 10);
    CHECK(life.report.groups[GroupId(2)].floor == Floor{LogIndex(2990), Term(1)});
}

TEST_CASE("log: opening reads segments, not one batch at a time, and a bad sector costs few more reads") {
    FakeDisk disk;
    const Bytes body(3000, 'b');  // most of a block: batches whose blocks are mostly empty are copied together
    with_log(disk, small_options(), [&](Fiber& fiber, FakeWorld&, SegmentedLog& log) {
        for (uint64_t i = 1; i <= 400; ++i) {
            REQUIRE(log.append(GroupId(1), one_entry(i, body)).ok());
            REQUIRE(log.wait_synced(fiber, log.appended()).ok());
        }
    });
    RandomStream draws(1, "loss", 0);
    LifeOptions again;
    again.appends = 0;
    const auto reads_of_open = [&] {
        disk.restart(FakeDisk::Loss::Power, draws);
        const Life life = live(disk, again);
        REQUIRE(life.opened.ok());
        REQUIRE(life.report.batches >= 400);
        REQUIRE(life.report.groups.at(GroupId(1)).entries.size() == 400);
        REQUIRE(life.status.segments < 40);
        // To find the batches, to follow them, to load what is live; and the two copies of the identity.
        CHECK(disk.reads <= 3 * static_cast<int64_t>(life.status.segments) + 4);
        return disk.reads;
    };
    const int64_t sound = reads_of_open();
    disk.restart(FakeDisk::Loss::Power, draws);
    disk.unreadable.emplace_back("log/segment-0000000002", 8192);
    const Life damaged = live(disk, again);
    CHECK(damaged.opened.failed_with(Code::Corrupt));
    CHECK(disk.reads > sound);
    CHECK(disk.reads < 2 * sound);
}

TEST_CASE("log: a full disk is said before anything is written, the reserve serves, and space that returns is used") {
    FakeDisk disk;
    disk.capacity_bytes = 6 * (64 << 10) + 4096;
    with_log(disk, small_options(), [&](Fiber& fiber, FakeWorld& world, SegmentedLog& log) {
        const Bytes body(3000, 'x');
        uint64_t index = 1;
        Result<Ticket> ticket = Ticket{};
        while ((ticket = append_patiently(fiber, world, log, GroupId(1), one_entry(index, body))).ok()) {
            ++index;
            REQUIRE(log.wait_synced(fiber, *ticket).ok());
            REQUIRE(index < 1000);
        }
        CHECK(ticket.failed_with(Code::NoSpace));
        CHECK(log.no_space());
        CHECK(index > 40);
        CHECK(log.status().free_segments >= 2);
        CHECK_FALSE(log.sealed_error().has_value());
        // Deletes and the like go on.
        Batch hard;
        hard.hard_state(Term(9), ReplicaId(1));
        auto reserve = log.append(GroupId(1), hard, Use::Reserve);
        REQUIRE(reserve.ok());
        CHECK(log.wait_synced(fiber, *reserve).ok());
        SUBCASE("a floor frees segments without any help of the disk") {
            auto floor = log.set_floor(GroupId(1), LogIndex(index - 3), Term(1));
            REQUIRE(floor.ok());
            REQUIRE(log.wait_synced(fiber, *floor).ok());
        }
        SUBCASE("the disk grows") { disk.capacity_bytes *= 2; }
        REQUIRE(world.env.sleep(fiber, Duration::seconds(2)).ok());
        for (int i = 0; i < 20; ++i, ++index) {
            auto more = append_patiently(fiber, world, log, GroupId(1), one_entry(index, body));
            REQUIRE(more.ok());
            REQUIRE(log.wait_synced(fiber, *more).ok());
        }
        CHECK_FALSE(log.no_space());
    });
}

TEST_CASE("log: what queues while a sync is under way shares the next one") {
    FakeDisk disk;
    const Bytes body(3000, 'b');  // most of a block: batches whose blocks are mostly empty are copied together
    with_log(disk, small_options(), [&](Fiber& fiber, FakeWorld&, SegmentedLog& log) {
        uint64_t calls = 0;
        log.on_synced([&] { ++calls; });
        uint64_t before = log.status().counters.batches;
        for (uint64_t i = 1; i <= 50; ++i) REQUIRE(log.append(GroupId(i), one_entry(1, "body")).ok());
        CHECK(log.synced().sequence == 0);
        REQUIRE(log.wait_synced(fiber, log.appended()).ok());
        CHECK(log.synced() == log.appended());
        CHECK(log.status().counters.batches - before == 1);
        CHECK(calls == 1);
        log.on_synced({});
    });
}

TEST_CASE("log: an append that can not be is refused and changes nothing") {
    FakeDisk disk;
    const Bytes body(3000, 'b');  // most of a block: batches whose blocks are mostly empty are copied together
    with_log(disk, small_options(), [&](Fiber& fiber, FakeWorld&, SegmentedLog& log) {
        CHECK(log.append(GroupId(1), one_entry(2, "gap")).failed_with(Code::Invalid));
        CHECK(log.append(GroupId(1), one_entry(0, "index 0")).failed_with(Code::Invalid));
        REQUIRE(log.append(GroupId(1), one_entry(1, "a")).ok());
        REQUIRE(log.append(GroupId(1), one_entry(2, "b")).ok());
        REQUIRE(log.set_floor(GroupId(1), LogIndex(1), Term(1)).ok());
        CHECK(log.append(GroupId(1), one_entry(1, "below the floor")).failed_with(Code::Invalid));
        CHECK(log.set_floor(GroupId(1), LogIndex(0), Term(1)).failed_with(Code::Invalid));
        Batch half;
        half.entry({LogIndex(3), Term(1), 0, false, "would be fine"});
        half.truncate(LogIndex(1));
        CHECK(log.append(GroupId(1), half).failed_with(Code::Invalid));
        CHECK(log.append(GroupId(1), one_entry(3, Bytes(17 << 10, 'x'))).failed_with(Code::Invalid));
        const Bytes large(15 << 10, 'q');
        REQUIRE(log.append(GroupId(2), one_entry(1, large)).ok());
        REQUIRE(log.append(GroupId(2), one_entry(2, large)).ok());
        CHECK(log.append(GroupId(2), one_entry(3, large)).failed_with(Code::Overloaded));
        REQUIRE(log.wait_synced(fiber, log.appended()).ok());
        auto back = log.read(fiber, GroupId(1), LogIndex(2), LogIndex(9), 1 << 20);
        REQUIRE(back.ok());
        CHECK(back->size() == 1);
        CHECK(log.read(fiber, GroupId(1), LogIndex(1), LogIndex(1), 1).failed_with(Code::NotFound));
        CHECK(log.live_bytes(GroupId(2)) > 2 * large.size());
    });
}

TEST_CASE("log: options that can not work are refused by name") {
    FakeDisk disk;
    FakeWorld world(disk, 1, Instant{});
    world.run([&](Fiber& fiber) {
        Options options = small_options();
        options.reserve_segments = 1;
        auto opened = SegmentedLog::open(
            fiber, world.env, options, [](GroupId) { return DurableApplied{}; }, nullptr);
        REQUIRE(opened.failed_with(Code::Invalid));
        CHECK(opened.error().context.find("reserve_segments") != std::string::npos);
    });
}
