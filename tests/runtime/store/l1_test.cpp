// The deterministic link itself: the start-up check, and that nothing slips through the traps.
#include <thread>

#include "tests/runtime/store/model.h"

#include <doctest/doctest.h>

namespace orrery::store::test {
namespace {

TEST_CASE("rocksdb link: the start-up check passes, again and again") {
    for (int i = 0; i < 3; ++i) {
        Result<void> checked = sim::check_rocksdb_is_deterministic(static_cast<uint64_t>(i));
        if (!checked.ok()) FAIL(checked.error().text());
    }
    CHECK(sim::rocksdb_traps().timer_threads_parked > 0);
}

TEST_CASE("rocksdb link: one node's calls do not shift another's files (a second Store in the same process)") {
    auto digest_beside = [](int others) {
        sim::reset_rocksdb_process_state(9);
        sim::MemoryDisk disk;
        std::vector<std::unique_ptr<sim::MemoryDisk>> other_disks;
        for (int i = 0; i <= others; ++i) {
            const bool mine = i == others;
            if (!mine) other_disks.push_back(std::make_unique<sim::MemoryDisk>());
            sim::MemoryDisk& at = mine ? disk : *other_disks.back();
            sim::SmallWorld world(at, mine ? 5 : 77 + static_cast<uint64_t>(i));
            world.run([&](Fiber& fiber) {
                auto store = Store::open(fiber, world.env(), tiny());
                REQUIRE(store.ok());
                RandomStream random(3, "test", 0);
                Model model;
                for (int n = 0; n < 600; ++n) {
                    Batch batch;
                    model.draw(random, batch);
                    REQUIRE((*store)->write_when_possible(fiber, batch).ok());
                }
                REQUIRE((*store)->close(fiber).ok());
            });
        }
        return std::pair(disk.digest(), disk.content_digest());
    };
    auto alone = digest_beside(0);
    CHECK(digest_beside(1) == alone);
    CHECK(digest_beside(2) == alone);
}

TEST_CASE("rocksdb link: released, threads and waits are the originals again") {
    sim::reset_rocksdb_process_state(1);
    CHECK(std::thread::hardware_concurrency() == 1);
    sim::release_rocksdb_process_state();
    int ran = 0;
    std::thread thread([&] { ++ran; });
    thread.join();
    CHECK(ran == 1);
    CHECK(sim::check_rocksdb_is_deterministic(1).failed_with(Code::Unsupported));  // there was a second thread
    sim::release_rocksdb_process_state();
}

}  // namespace
}  // namespace orrery::store::test
