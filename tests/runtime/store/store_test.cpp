// The Store's contract without crashes, on RocksDB as the simulator links it.
#include "tests/runtime/store/model.h"

#include <malloc.h>

#include "runtime/store/damage.h"

#include <doctest/doctest.h>

namespace orrery::store::test {
namespace {

using sim::MemoryDisk;
using sim::SmallWorld;

/// Runs `body` in a fresh world on `disk`; an error it returns fails the test.
void run_on(MemoryDisk& disk, uint64_t seed, UniqueFunction<Result<void>(Fiber&, SmallWorld&)> body) {
    sim::reset_rocksdb_process_state(seed);
    SmallWorld world(disk, seed);
    Result<void> result;
    world.run([&](Fiber& fiber) { result = body(fiber, world); });
    INFO("seed " << seed);
    if (!result.ok()) FAIL(result.error().text());
}

TEST_CASE("store: batches take effect at once and survive close and open") {
    MemoryDisk disk;
    run_on(disk, 1, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Batch batch;
        batch.put("a", "1");
        batch.put("b", "2");
        batch.put("c", "3");
        batch.erase_range("b", "c");
        TRY(store->write(batch));
        TRY(auto b, store->get_cached("b"));
        CHECK(b.known);
        CHECK(!b.value.has_value());
        TRY(auto c, store->get_cached("c"));
        CHECK(c.value == "3");
        CHECK(store->unflushed_bytes() > 0);
        TRY(store->close(fiber));
        CHECK(store->write(batch).failed_with(Code::Cancelled));
        TRY(store->close(fiber));
        return {};
    });
    CHECK(disk.locks_held() == 0);
    run_on(disk, 2, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        TRY(auto content, read_all(fiber, *store, nullptr));
        CHECK(content == Content{{"a", "1"}, {"c", "3"}});
        TRY(auto second, store->get(fiber, "a"));
        CHECK(second == "1");
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: a second opener of the same directory is refused as Exists") {
    MemoryDisk disk;
    run_on(disk, 3, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Result<std::unique_ptr<Store>> other = Store::open(fiber, world.env(), tiny());
        CHECK(other.failed_with(Code::Exists));
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: options out of range are Invalid and touch no disk") {
    MemoryDisk disk;
    run_on(disk, 4, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        CHECK(Store::open(fiber, world.env(), {.memtable_bytes = 1}).failed_with(Code::Invalid));
        CHECK(Store::open(fiber, world.env(), {.path = ""}).failed_with(Code::Invalid));
        CHECK(Store::open(fiber, world.env(), {.memtables_max = 1}).failed_with(Code::Invalid));
        return {};
    });
    CHECK(disk.operations() == 0);
}

TEST_CASE("store: on_durable speaks of what a flush has completed for, subject by subject") {
    MemoryDisk disk;
    run_on(disk, 5, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        std::vector<std::pair<uint64_t, uint64_t>> told;
        store->set_on_durable([&](uint64_t subject, uint64_t value) { told.emplace_back(subject, value); });
        for (uint64_t i = 1; i <= 3; ++i) {
            Batch batch;
            batch.put("x", std::to_string(i));
            batch.mark(1, i);
            if (i == 2) batch.mark(2, 20);
            TRY(store->write(batch));
        }
        TRY(store->request_flush());
        CHECK(told.empty());
        CHECK(!store->durable_mark(1).has_value());
        Batch late;
        late.put("x", "4");
        late.mark(1, 4);
        TRY(store->write(late));  // after the request: not covered by it
        const uint64_t all = store->unflushed_bytes();
        while (told.empty()) TRY(fiber.yield());
        CHECK(told == std::vector<std::pair<uint64_t, uint64_t>>{{1, 3}, {2, 20}});
        CHECK(store->durable_mark(1) == 3);
        CHECK(store->unflushed_bytes() > 0);
        CHECK(store->unflushed_bytes() < all);
        TRY(store->flush(fiber));
        CHECK(store->durable_mark(1) == 4);
        CHECK(store->unflushed_bytes() == 0);
        store->forget_marks(1);
        CHECK(!store->durable_mark(1).has_value());
        TRY(store->flush(fiber));  // nothing to do: returns at once
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: a scan at a snapshot sees exactly one point while batches, flushes and compactions go on") {
    for (uint64_t seed = 10; seed < 22; ++seed) {
        MemoryDisk disk;
        uint64_t cached = 0, blocking = 0, compared = 0;
        run_on(disk, seed, [&](Fiber& fiber, SmallWorld& world) -> Result<void> {
            TRY(auto store, Store::open(fiber, world.env(), tiny()));
            RandomStream random(seed, "test", 0);
            Model model;
            bool writing = true;
            Result<void> written;
            world.env().spawn("writer", [&](Fiber& writer) {
                auto body = [&]() -> Result<void> {
                    for (int i = 0; i < 1500; ++i) {
                        Batch batch;
                        // The model shows a batch only once it is in the Store: this fiber may wait in between.
                        model.draw(random, batch);
                        TRY(store->write_when_possible(writer, batch));
                        model.accept();
                        if (random.chance(0.02)) TRY(store->request_flush());
                        if (random.chance(0.1)) TRY(writer.yield());
                    }
                    return {};
                };
                written = body();
                writing = false;
            });
            while (writing) {
                std::unique_ptr<Snapshot> at = store->snapshot();
                const Content expected = model.state_after(model.size());
                TRY(Content seen, read_all(fiber, *store, at.get(), 512 + random.below(8192)));
                CHECK(seen == expected);
                std::string key = "k" + std::to_string(100 + random.below(200));
                TRY(auto one, store->get(fiber, key, at.get()));
                CHECK(one.has_value() == expected.contains(key));
                if (one) CHECK(*one == expected.at(key));
                ++compared;
            }
            TRY(written);
            TRY(Content last, read_all(fiber, *store, nullptr));
            CHECK(last == model.state_after(model.size()));
            Stats stats = store->stats();
            cached = stats.reads_cached;
            blocking = stats.reads_blocking;
            CHECK(stats.flushes_completed > 3);
            CHECK(stats.snapshots == 0);
            TRY(store->close(fiber));
            return {};
        });
        CHECK(compared > 5);
        CHECK(cached > 0);
        CHECK(blocking > 0);
        CHECK(disk.locks_held() == 0);
    }
}

TEST_CASE("store: full memtables answer Overloaded, and the batch goes in after wait_writable") {
    MemoryDisk disk;
    run_on(disk, 30, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Result<void> result;
        Batch batch;
        uint64_t count = 0;
        while (result.ok() && count < 10'000) {  // no yield: no flush can run
            batch.clear();
            batch.put("key" + std::to_string(count++), std::string(1000, 'x'));
            result = store->write(batch);
        }
        CHECK(result.failed_with(Code::Overloaded));
        CHECK(store->wait_writable(fiber, world.env().now()).failed_with(Code::Timeout));
        CHECK(store->write(batch).failed_with(Code::Overloaded));
        TRY(store->write_when_possible(fiber, batch));
        CHECK(store->stats().writes_refused >= 2);
        TRY(auto last, store->get(fiber, "key" + std::to_string(count - 1)));
        CHECK(last.has_value());
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: a flush asked for while all memtables are full is begun when one of them has been flushed") {
    MemoryDisk disk;
    run_on(disk, 33, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Result<void> result;
        Batch batch;
        for (uint64_t count = 0; result.ok() && count < 10'000; ++count) {  // no yield: no flush can run
            batch.clear();
            batch.put("key" + std::to_string(count), std::string(1000, 'x'));
            result = store->write(batch);
        }
        REQUIRE(result.failed_with(Code::Overloaded));
        REQUIRE(store->unflushed_bytes() > 0);
        SUBCASE("in the background") {
            CHECK(store->request_flush().ok());
            CHECK(store->health() == Health::Writable);
            TRY(world.env().sleep(fiber, Duration::seconds(10)));
            CHECK(store->unflushed_bytes() == 0);
        }
        SUBCASE("and waited for") {
            CHECK(store->flush(fiber).ok());
            CHECK(store->unflushed_bytes() == 0);
        }
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: a miss of the cache is unknown to get_cached and found by get") {
    MemoryDisk disk;
    run_on(disk, 31, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        Options options = tiny();
        options.cache_bytes = 0;
        TRY(auto store, Store::open(fiber, world.env(), options));
        Batch batch;
        batch.put("there", "yes");
        TRY(store->write(batch));
        TRY(store->flush(fiber));
        TRY(auto cached, store->get_cached("there"));
        CHECK(!cached.known);
        TRY(auto found, store->get(fiber, "there"));
        CHECK(found == "yes");
        TRY(auto absent, store->get(fiber, "nowhere"));
        CHECK(!absent.has_value());
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: what was flushed, or read once, is known to get_cached, what a part of a long scan read is not") {
    MemoryDisk disk;
    run_on(disk, 35, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        Options options = tiny();
        options.cache_bytes = 1 << 20;
        for (int life = 0; life < 2; ++life) {
            TRY(auto store, Store::open(fiber, world.env(), options));
            if (life == 0) {
                Batch batch;
                for (int i = 0; i < 100; ++i) batch.put("key" + std::to_string(i), std::string(100, 'x'));
                TRY(store->write(batch));
                TRY(store->flush(fiber));
            } else {
                size_t pairs = 0;
                for (std::optional<Bytes> at = Bytes("key"); at;) {
                    TRY(at, store->scan_each(fiber, nullptr, *at, {}, {.bytes = 4 << 10, .once = true}, [&](ByteView, ByteView) { ++pairs; }));
                }
                CHECK(pairs == 100);
                TRY(auto cold, store->get_cached("key7"));
                CHECK(!cold.known);
                TRY(auto read, store->get(fiber, "key7"));
                CHECK(read.has_value());
            }
            TRY(auto warm, store->get_cached("key7"));
            CHECK(warm.known);
            CHECK(warm.value.has_value());
            TRY(store->close(fiber));
        }
        return {};
    });
}

TEST_CASE("store: a disk that is full when the MANIFEST is written gives up the reserve, and the next table makes it anew") {
    MemoryDisk disk;
    run_on(disk, 33, [&disk](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        auto reserve_is_there = [&] {
            const MemoryDisk::Section section(disk);
            return disk.stat(disk.adopt_blocking(), "store/RESERVE").ok();
        };
        CHECK(reserve_is_there());
        int refused = 0;
        bool room = false;
        disk.set_hook([&](MemoryDisk::Op op, std::string_view path, uint64_t) -> Result<void> {
            if (op == MemoryDisk::Op::Remove && path == "store/RESERVE") room = true;
            if (op != MemoryDisk::Op::Write || path.find("MANIFEST") == std::string_view::npos || room) return {};
            ++refused;
            return Code::NoSpace;
        });
        Batch batch;
        batch.put("key", "value");
        TRY(store->write(batch));
        TRY(store->flush(fiber));
        CHECK(refused == 1);
        CHECK(store->health() == Health::Writable);
        CHECK_FALSE(reserve_is_there());
        disk.set_hook({});
        batch.clear();
        batch.put("key", "other");
        TRY(store->write(batch));
        TRY(store->flush(fiber));
        CHECK(reserve_is_there());
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: reads take no memory that stays") {
    MemoryDisk disk;
    run_on(disk, 34, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Batch batch;
        for (int i = 0; i < 100; ++i) batch.put("key" + std::to_string(i), "value");
        TRY(store->write_when_possible(fiber, batch));
        auto read_all_often = [&]() -> Result<void> {
            for (int i = 0; i < 30'000; ++i) {
                TRY(const Store::Cached cached, store->get_cached("key" + std::to_string(i % 200)));
                CHECK(cached.value.has_value() == (i % 200 < 100));
            }
            return {};
        };
        TRY(read_all_often());
        const size_t before = mallinfo2().uordblks;  // 0 where a sanitizer has the heap
        TRY(read_all_often());
        CHECK(mallinfo2().uordblks < before + (64 << 10));
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: drop_range gives the space of an old generation back and leaves its neighbours") {
    MemoryDisk disk;
    run_on(disk, 32, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        for (int i = 0; i < 6000; ++i) {
            Batch batch;
            batch.put("g1/" + std::to_string(i), std::string(200, 'x'));
            batch.put("g2/" + std::to_string(i), "y");
            TRY(store->write_when_possible(fiber, batch));
        }
        TRY(store->flush(fiber));
        const uint64_t before = store->stats().table_files_bytes;
        TRY(store->drop_range(fiber, "g1/", "g10"));
        TRY(store->flush(fiber));
        for (int i = 0; i < 200; ++i) TRY(fiber.yield());
        TRY(Content rest, read_all(fiber, *store, nullptr));
        CHECK(rest.size() == 6000);
        CHECK(rest.begin()->first.starts_with("g2/"));
        CHECK(store->stats().table_files_bytes < before / 3);
        TRY(store->close(fiber));
        return {};
    });
}

TEST_CASE("store: snapshots may outlive the Store, closed or not") {
    for (bool close : {true, false}) {
        MemoryDisk disk;
        std::unique_ptr<Snapshot> at;
        run_on(disk, 33, [&](Fiber& fiber, SmallWorld& world) -> Result<void> {
            TRY(auto store, Store::open(fiber, world.env(), tiny()));
            at = store->snapshot();
            if (close) TRY(store->close(fiber));
            return {};
        });
        at.reset();
        CHECK(disk.locks_held() == 0);
    }
}

TEST_CASE("store: a damaged table is Corrupt, and the message names the file and what to do") {
    MemoryDisk disk;
    run_on(disk, 34, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        TRY(auto store, Store::open(fiber, world.env(), tiny()));
        Batch batch;
        batch.put("a", std::string(5000, 'x'));
        TRY(store->write(batch));
        TRY(store->close(fiber));
        std::string table;
        TRY(world.env().blocking(fiber, [&](Blocking& blocking) -> Result<void> {
            TRY(auto entries, world.disk().list(blocking, "store"));
            for (const auto& entry : entries)
                if (entry.name.ends_with(".sst")) table = entry.name;
            TRY(world.disk().remove(blocking, "store/" + table));
            return {};
        }));
        CHECK(!table.empty());
        auto reopened = Store::open(fiber, world.env(), tiny());
        CHECK(reopened.failed_with(Code::Corrupt));
        if (!reopened.ok()) {
            INFO(reopened.error().context);
            CHECK(reopened.error().context.find(table) != std::string::npos);
            CHECK(reopened.error().context.find("sets the directory 'store' aside") != std::string::npos);
        }
        return {};
    });
}

TEST_CASE("store: a read that meets a flipped bit gets an error and never other bytes, and the Store knows itself to be damaged") {
    MemoryDisk disk;
    run_on(disk, 35, [](Fiber& fiber, SmallWorld& world) -> Result<void> {
        Options options = tiny();
        options.cache_bytes = 0;
        TRY(auto store, Store::open(fiber, world.env(), options));
        Batch batch;
        for (char key = 'a'; key < 'q'; ++key) batch.put(std::string(1, key), std::string(6000, key));
        TRY(store->write(batch));
        TRY(store->flush(fiber));
        CHECK(store->damage() == std::nullopt);
        TRY(world.env().blocking(fiber, [&](Blocking& blocking) -> Result<void> {
            TRY(auto entries, world.disk().list(blocking, "store"));
            for (const auto& entry : entries) {
                if (!entry.name.ends_with(".sst")) continue;
                TRY(auto file, world.disk().open(blocking, "store/" + entry.name, OpenMode::ReadWrite));
                char byte = 0;
                TRY(file->pread(blocking, 9000, {&byte, 1}));
                byte = static_cast<char>(byte ^ 4);
                TRY(file->pwrite(blocking, 9000, {&byte, 1}));
            }
            return {};
        }));
        int refused = 0;
        for (char key = 'a'; key < 'q'; ++key) {
            auto value = store->get(fiber, std::string(1, key));
            if (value.ok())
                CHECK(**value == std::string(6000, key));
            else
                refused += value.failed_with(Code::Corrupt);
        }
        CHECK(refused > 0);
        CHECK(store->damage().has_value());
        CHECK(store->health() == Health::Failed);
        batch.clear();
        batch.put("z", "z");
        CHECK(store->write(batch).failed_with(Code::Io));
        // The mark is found before anything of the Store is opened. (That it is set aside: tests/kv/repair_sim_test.cpp.)
        CHECK(damage_mark(fiber, world.env(), options).value() == std::nullopt);
        TRY(mark_damaged(fiber, world.env(), options, *store->damage()));
        (void)store->close(fiber);
        store.reset();
        CHECK(damage_mark(fiber, world.env(), options).value().value().find("orruption") != std::string::npos);
        return {};
    });
}

}  // namespace
}  // namespace orrery::store::test
