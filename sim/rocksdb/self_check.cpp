// The start-up check: one small history twice, every file operation and byte compared, the traps counted.
#include <sys/single_threaded.h>

#include <memory>
#include <string>

#include "runtime/store/store.h"
#include "runtime/store/version.h"
#include "sim/rocksdb/l1.h"
#include "sim/rocksdb/memory_disk.h"
#include "sim/rocksdb/small_world.h"

namespace orrery::sim {

namespace {

constexpr std::string_view kVersion = "7.8.3";  // whose symbols wrap.cpp names

#if defined(__SANITIZE_THREAD__)
constexpr bool kMayHaveThreads = true;  // the sanitizer's own
#else
constexpr bool kMayHaveThreads = false;
#endif

struct Outcome {
    Result<void> result;
    uint64_t operations = 0;
    uint64_t operations_digest = 0;
    uint64_t content_digest = 0;
};

/// A database that flushes, compacts, closes and opens again.
Outcome run_once(uint64_t seed) {
    MemoryDisk disk;
    Outcome outcome;
    SmallWorld world(disk, seed);
    auto body = [&](Fiber& fiber) -> Result<void> {
        store::Options options = store::Options::small();
        options.memtable_bytes = 64 << 10;
        for (int life = 0; life < 2; ++life) {
            TRY(std::unique_ptr<store::Store> store, store::Store::open(fiber, world.env(), options));
            RandomStream draws = world.env().random.stream("self_check", static_cast<uint64_t>(life));
            const std::string value(100, 'v');
            for (int i = 0; i < 400; ++i) {
                store::Batch batch;
                for (int j = 0; j < 3; ++j) batch.put("key" + std::to_string(draws.below(1000)), value);
                if (i % 50 == 49) batch.erase_range("key5", "key51");  // kept in a skip list, whose heights RocksDB draws
                TRY(store->write_when_possible(fiber, batch));
                if (i % 100 == 99) TRY(store->request_flush());
                if (i % 10 == 9) TRY(fiber.yield());
            }
            TRY(store->close(fiber));
        }
        return {};
    };
    world.run([&](Fiber& fiber) { outcome.result = body(fiber); });
    outcome.operations = disk.operations();
    outcome.operations_digest = disk.digest();
    outcome.content_digest = disk.content_digest();
    return outcome;
}

}  // namespace

Result<void> check_rocksdb_is_deterministic(uint64_t seed) {
    auto refuse = [](std::string why) { return Error(Code::Unsupported, "RocksDB is not deterministic here: " + why); };
    if (store::rocksdb_version() != kVersion)
        return refuse("the link was made for " + std::string(kVersion) + ", this is " + store::rocksdb_version());
    if (store::rocksdb_header_version() != kVersion)
        return refuse("built with the headers of " + store::rocksdb_header_version());

    reset_rocksdb_process_state(seed);
    const Outcome first = run_once(seed);
    TRY(first.result);
    const RocksdbTraps traps = rocksdb_traps();
    if (traps.timer_threads_parked == 0) return refuse("std::thread is not wrapped: RocksDB's timer got a thread");
    if (traps.random_draw_calls == 0) return refuse("Random::GetTLSInstance is not wrapped");
    if (traps.ids_pinned == 0) return refuse("SemiStructuredUniqueIdGen::GenerateNext is not wrapped");
    if (traps.processor_questions == 0) return refuse("std::thread::hardware_concurrency is not wrapped");
    if (!kMayHaveThreads && !__libc_single_threaded) return refuse("the process has, or had, a second thread");

    reset_rocksdb_process_state(seed);
    const Outcome second = run_once(seed);
    TRY(second.result);
    if (first.operations != second.operations || first.operations_digest != second.operations_digest)
        return refuse("two runs of one seed differ in their file operations (" + std::to_string(first.operations) + " and " +
                      std::to_string(second.operations) + ")");
    if (first.content_digest != second.content_digest) return refuse("two runs of one seed left different files");
    reset_rocksdb_process_state(seed);
    return {};
}

}  // namespace orrery::sim
