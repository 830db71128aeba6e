// Power loss and disk faults at every file operation. What holds: after a crash the Store is a prefix of the batches that
// covers everything on_durable had reported; a disk error is a state of the Store and never an abort.
#include "tests/runtime/store/model.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

namespace orrery::store::test {
namespace {

using sim::MemoryDisk;
using sim::SmallWorld;
using Op = MemoryDisk::Op;

/// What a life of the Store did, up to its end or its crash.
struct Life {
    Result<void> result;
    uint64_t reported_durable = 0;  // by on_durable, before the crash
    uint64_t operations = 0;
};

/// Opens, checks what is there, writes `batches` more with flushes and reads in between, closes.
Result<void> live(Fiber& fiber, SmallWorld& world, Model& model, RandomStream& random, Life& life, int batches,
                  const bool& crashed) {
    TRY(std::unique_ptr<Store> store, Store::open(fiber, world.env(), tiny()));
    store->set_on_durable([&](uint64_t subject, uint64_t value) {
        if (crashed) return;  // a crashed node reports nothing
        CHECK(subject == kSubject);
        CHECK(value > life.reported_durable);
        life.reported_durable = value;
    });
    TRY(Content found, read_all(fiber, *store, nullptr));
    const uint64_t applied = applied_in(found);
    CHECK(applied >= life.reported_durable);
    REQUIRE(applied <= model.size());
    CHECK(found == model.state_after(applied));
    model.cut_to(applied);
    life.reported_durable = std::min(life.reported_durable, applied);
    for (int i = 0; i < batches && !crashed; ++i) {
        Batch batch;
        model.draw(random, batch);
        // Part of the model before it is part of the Store: a crash may come while the write waits.
        model.accept();
        Result<void> written = store->write_when_possible(fiber, batch);
        if (!written.ok()) {
            model.cut_to(model.size() - 1);
            return written;
        }
        if (random.chance(0.03)) TRY(store->request_flush());
        if (random.chance(0.2)) TRY(fiber.yield());
        if (random.chance(0.01)) TRY(read_all(fiber, *store, nullptr));
    }
    return store->close(fiber);
}

/// One life on `disk`; from changing operation `crash_at` on (0: never) the power is gone, and `image` is what is left.
Life run_life(MemoryDisk& disk, uint64_t seed, Model& model, uint64_t reported_before, int batches, uint64_t crash_at,
              MemoryDisk::DirectoryOrder order, std::unique_ptr<MemoryDisk>& image) {
    sim::reset_rocksdb_process_state(seed);
    Life life;
    life.reported_durable = reported_before;
    bool crashed = false;
    uint64_t changing = 0;
    RandomStream losses(seed, "test.power_loss", crash_at);
    disk.set_hook([&](Op op, std::string_view, uint64_t) -> Result<void> {
        if (crashed) return Error(Code::Io, "the power is gone");
        if (MemoryDisk::changes(op) && ++changing == crash_at) {
            image = disk.power_loss(losses, order);
            crashed = true;
            return Error(Code::Io, "the power is gone");
        }
        return {};
    });
    {
        SmallWorld world(disk, seed);
        RandomStream random(seed, "test.life", 0);
        world.run([&](Fiber& fiber) { life.result = live(fiber, world, model, random, life, batches, crashed); });
        world.settle();  // turns of the executor that outlived the Store find their jobs gone
        CHECK(world.jobs_queued() == 0);
    }
    CHECK(disk.locks_held() == 0);
    disk.set_hook({});
    life.operations = changing;
    return life;
}

void crash_at_every_operation(MemoryDisk::DirectoryOrder order, uint64_t seed) {
    std::unique_ptr<MemoryDisk> none;
    uint64_t first_operations = 0;
    {
        MemoryDisk disk;
        Model model;
        Life whole = run_life(disk, seed, model, 0, 500, 0, order, none);
        REQUIRE(whole.result.ok());
        CHECK(whole.reported_durable == model.size());
        first_operations = whole.operations;
    }
    REQUIRE(first_operations > 100);
    uint64_t partial = 0;
    for (uint64_t at = 1; at <= first_operations; ++at) {
        INFO("seed " << seed << ", power loss at operation " << at << " of " << first_operations);
        MemoryDisk disk;
        Model model;
        std::unique_ptr<MemoryDisk> image;
        Life cut = run_life(disk, seed, model, 0, 500, at, order, image);
        REQUIRE(image);
        const uint64_t written = model.size();
        // Crash again during recovery now and then, then live to the end.
        if (at % 3 == 0) {
            std::unique_ptr<MemoryDisk> second;
            Life again = run_life(*image, seed + 1, model, cut.reported_durable, 20, 1 + at % 25, order, second);
            cut.reported_durable = again.reported_durable;
            if (second) image = std::move(second);
        }
        Life after = run_life(*image, seed + 2, model, cut.reported_durable, 5, 0, order, none);
        if (!after.result.ok()) FAIL(after.result.error().text());
        if (model.size() < written + 5) ++partial;
    }
    CHECK(partial > 0);
}

TEST_CASE("store: a power loss at any file operation leaves a prefix with all that was reported durable (ordered directories)") {
    crash_at_every_operation(MemoryDisk::DirectoryOrder::Prefix, 100);
}

TEST_CASE("store: a power loss at any file operation leaves a prefix with all that was reported durable (unordered directories)") {
    crash_at_every_operation(MemoryDisk::DirectoryOrder::AnySubset, 200);
}

TEST_CASE("store: random lives with power losses, each on what the last one left") {
    for (uint64_t seed = 300; seed < 300 + orrery::test::seeds(20); ++seed) {
        auto disk = std::make_unique<MemoryDisk>();
        Model model;
        RandomStream random(seed, "test.lives", 0);
        uint64_t reported = 0;
        for (int life_number = 0; life_number < 12; ++life_number) {
            INFO("seed " << seed << ", life " << life_number);
            std::unique_ptr<MemoryDisk> image;
            Life life = run_life(*disk, seed * 1000 + static_cast<uint64_t>(life_number), model, reported,
                                 static_cast<int>(random.below(400)), random.below(4) == 0 ? 0 : 1 + random.below(150),
                                 MemoryDisk::DirectoryOrder::AnySubset, image);
            if (!image && !life.result.ok()) FAIL(life.result.error().text());
            reported = life.reported_durable;
            if (image) disk = std::move(image);
        }
    }
}

/// A life with one fault; whatever happens, the next life finds a prefix with all that was reported durable.
void faults_at_every_operation(uint64_t seed, Code code, uint64_t length) {
    std::unique_ptr<MemoryDisk> none;
    uint64_t operations = 0;
    {
        MemoryDisk disk;
        Model model;
        operations = run_life(disk, seed, model, 0, 150, 0, MemoryDisk::DirectoryOrder::Prefix, none).operations;
    }
    uint64_t refused = 0, resumed = 0;
    for (uint64_t at = 1; at <= operations; ++at) {
        INFO("seed " << seed << ", fault at operation " << at << " of " << operations);
        MemoryDisk disk;
        Model model;
        uint64_t reported = 0;
        {
            sim::reset_rocksdb_process_state(seed);
            uint64_t changing = 0;
            disk.set_hook([&](Op op, std::string_view path, uint64_t) -> Result<void> {
                if (!MemoryDisk::changes(op)) return {};
                ++changing;
                // A full disk refuses growth only; a broken one anything.
                if (code == Code::NoSpace && op != Op::Write && op != Op::Open && op != Op::Rename && op != Op::CreateDir)
                    return {};
                if (changing >= at && changing < at + length) return Error(code, "fault at " + std::string(path));
                return {};
            });
            SmallWorld world(disk, seed);
            RandomStream random(seed, "test.life", 0);
            world.run([&](Fiber& fiber) {
                Result<std::unique_ptr<Store>> opened = Store::open(fiber, world.env(), tiny());
                if (!opened.ok()) {
                    CHECK((opened.failed_with(code) || opened.failed_with(Code::Io)));
                    ++refused;
                    return;
                }
                Store& store = **opened;
                store.set_on_durable([&](uint64_t, uint64_t value) { reported = value; });
                for (int i = 0; i < 150; ++i) {
                    Batch batch;
                    model.draw(random, batch);
                    Result<void> written = store.write_when_possible(fiber, batch);
                    if (written.ok()) {
                        model.accept();
                    } else {
                        ++refused;
                        const bool failed = store.health() == Health::Failed;
                        // A full disk that hits the MANIFEST counts as a failed one.
                        CHECK((failed ? written.failed_with(Code::Io) : written.failed_with(Code::NoSpace)));
                        CHECK(!store.health_text().empty());
                        // Reads serve the last applied batch.
                        Result<Content> content = read_all(fiber, store, nullptr);
                        REQUIRE(content.ok());
                        CHECK(*content == model.state_after(model.size()));
                        Result<void> back = store.try_resume(fiber);
                        for (int tries = 0; tries < 200 && back.failed_with(Code::NoSpace); ++tries) back = store.try_resume(fiber);
                        if (failed) CHECK(back.failed_with(Code::Io));
                        if (!back.ok()) break;
                        ++resumed;
                        CHECK(store.health() == Health::Writable);
                    }
                    if (random.chance(0.05)) (void)store.request_flush().ok();
                    if (random.chance(0.2)) (void)fiber.yield().ok();
                }
                (void)store.close(fiber).ok();
            });
            world.settle();
        }
        disk.set_hook({});
        Life after = run_life(disk, seed + 1, model, reported, 5, 0, MemoryDisk::DirectoryOrder::Prefix, none);
        if (!after.result.ok()) FAIL(after.result.error().text());
    }
    CHECK(refused > operations / 10);
    if (code == Code::NoSpace) CHECK(resumed > 0);
}

TEST_CASE("store: a full disk is a state that try_resume leaves again (at every operation, for 1 and for 40 operations)") {
    faults_at_every_operation(400, Code::NoSpace, 1);
    faults_at_every_operation(401, Code::NoSpace, 40);
}

TEST_CASE("store: a failed write or sync stops writes for good and nothing reported is lost (at every operation)") {
    faults_at_every_operation(402, Code::Io, 1);
    faults_at_every_operation(403, Code::Io, 1'000'000);
}

}  // namespace
}  // namespace orrery::store::test
