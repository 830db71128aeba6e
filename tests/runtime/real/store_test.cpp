// The Store on the real Env: its flushes and compactions run on threads beside the loop. Worth most under ThreadSanitizer.
#include "runtime/store/store.h"

#include "tests/runtime/real/harness.h"

namespace orrery::real::test {
namespace {

TEST_CASE("store: what was closed is there again, after flushes and compactions beside the loop") {
    TemporaryDirectory directory;
    const auto key = [](int i) { return "key" + std::to_string(10'000 + i % 3'000); };
    store::Options options = store::Options::small();
    run_real(directory.path(), [&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto store, store::Store::open(fiber, env, options));
        uint64_t durable = 0;
        store->set_on_durable([&](uint64_t, uint64_t value) { durable = value; });
        for (int i = 0; i < 12'000; ++i) {
            store::Batch batch;
            batch.put(key(i), std::string(100, static_cast<char>('a' + i % 26)) + std::to_string(i));
            batch.mark(1, static_cast<uint64_t>(i + 1));
            TRY(store->write_when_possible(fiber, batch, env.now() + Duration::seconds(30)));
            if (i % 1'000 == 0) {
                TRY(auto found, store->get(fiber, key(i)));
                CHECK(found.has_value());
                TRY(store->request_flush());
            }
        }
        TRY(store->flush(fiber, env.now() + Duration::seconds(30)));
        CHECK(durable == 12'000);
        TRY(store->close(fiber, env.now() + Duration::seconds(30)));
        return {};
    });
    run_real(directory.path(), [&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(auto store, store::Store::open(fiber, env, options));
        for (int i = 9'000; i < 12'000; i += 7) {
            TRY(auto found, store->get(fiber, key(i)));
            CHECK((found && found->ends_with(std::to_string(i))));
        }
        return {};  // dropped without close(), as when a daemon gives up draining
    });
}

}  // namespace
}  // namespace orrery::real::test
