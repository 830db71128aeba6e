// Prints what a history of Stores did to its disk: for determinism_test.py, which runs it in different surroundings.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "tests/runtime/store/model.h"

using namespace orrery;

int main(int argc, char** argv) {
    const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
    if (Result<void> checked = sim::check_rocksdb_is_deterministic(seed); !checked.ok()) {
        std::fprintf(stderr, "%s\n", checked.error().text().c_str());
        return 1;
    }
    sim::MemoryDisk disk;
    Result<void> result;
    {
        sim::SmallWorld world(disk, seed);
        world.run([&](Fiber& fiber) {
            auto body = [&]() -> Result<void> {
                store::test::Model model;
                RandomStream random(seed, "digest", 0);
                for (int life = 0; life < 3; ++life) {
                    TRY(auto store, store::Store::open(fiber, world.env(), store::test::tiny()));
                    for (int i = 0; i < 1500; ++i) {
                        store::Batch batch;
                        model.draw(random, batch);
                        TRY(store->write_when_possible(fiber, batch));
                        model.accept();
                        if (random.chance(0.02)) TRY(store->request_flush());
                        if (random.chance(0.1)) TRY(fiber.yield());
                    }
                    TRY(store->close(fiber));
                }
                return {};
            };
            result = body();
        });
        world.settle();
    }
    if (!result.ok()) {
        std::fprintf(stderr, "%s\n", result.error().text().c_str());
        return 1;
    }
    std::printf("%" PRIu64 " %016" PRIx64 " %016" PRIx64 "\n", disk.operations(), disk.digest(), disk.content_digest());
    return 0;
}
