// Crashes at every disk operation, with every kind of loss, also during recovery; the state that comes back must be
// that after some append at or behind the last one reported as synced.
#include "model.h"
#include "runtime/base/defect.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>

using namespace orrery;
using namespace orrery::log;
using namespace orrery::log::test;

namespace {

/// Empty when `found` is a state the life before may have left.
std::string judge(const Life& before, const Life& found) {
    if (!found.opened.ok()) return "refused: " + found.opened.error().text();
    if (before.digests.empty()) return found.digests.at(0) == Model().digest() ? "" : "a log that never opened has state";
    auto from = before.digests.begin() + static_cast<int64_t>(before.synced);
    if (std::find(from, before.digests.end(), found.digests.at(0)) == before.digests.end())
        return "not a state at or behind the last synced append (" + std::to_string(before.synced) + " of " +
               std::to_string(before.digests.size() - 1) + ", found " +
               std::to_string(std::find(before.digests.begin(), before.digests.end(), found.digests.at(0)) -
                              before.digests.begin()) +
               ", batches from " + std::to_string(found.report.last_good_batch) + ")\nfound\n" + Model::of(found.report).text() + "wanted at most\n" +
               before.last.text();
    return "";
}

/// Crashes a life at `at`, recovery once or twice more, and judges; then goes on and judges once more.
std::string crash_and_judge(uint64_t seed, int64_t at, const LifeOptions& base) {
    FakeDisk disk;
    RandomStream draws(seed, "loss", static_cast<uint64_t>(at));
    const double power = draws.chance(0.5) ? 0.8 : 0.4;  // kills make batches that only the page cache holds
    auto restart = [&] { disk.restart(draws.chance(power) ? FakeDisk::Loss::Power : FakeDisk::Loss::KillOnly, draws); };
    // A first, longer life makes recycled remains.
    LifeOptions first = base;
    first.seed = seed;
    Life before = live(disk, first);
    if (!before.opened.ok()) return "a new log does not open: " + before.opened.error().text();
    for (int round = 0; round < 2; ++round) {
        restart();
        LifeOptions second = base;
        second.seed = seed + 100 + static_cast<uint64_t>(round);
        second.crash_at = at;
        Life crashed = live(disk, second);
        // Recovery itself may have been the victim: then the life before is still what counts.
        if (!crashed.digests.empty()) {
            if (std::string wrong = judge(before, crashed); !wrong.empty()) return wrong;
            before = std::move(crashed);
        } else if (!disk.frozen) {
            return judge(before, crashed);
        }
        while (draws.chance(0.6)) {
            restart();
            LifeOptions again = base;
            again.seed = seed + 200 + draws.below(1000);
            again.appends = 0;
            again.crash_at = static_cast<int64_t>(draws.below(8));
            Life recovery = live(disk, again);
            if (recovery.digests.empty()) continue;
            if (std::string wrong = judge(before, recovery); !wrong.empty()) return wrong;
            before = std::move(recovery);
        }
    }
    restart();
    LifeOptions last = base;
    last.seed = seed + 5000;
    last.appends = 0;
    return judge(before, live(disk, last));
}

int64_t operations_of(uint64_t seed, const LifeOptions& base) {
    FakeDisk disk;
    LifeOptions options = base;
    options.seed = seed;
    RandomStream draws(seed, "loss", 0);
    live(disk, options);
    disk.restart(FakeDisk::Loss::Power, draws);
    options.seed = seed + 100;
    return live(disk, options).operations;
}

}  // namespace

TEST_CASE("log: what was synced comes back and nothing else (crash at every disk operation, twice, and in recovery)") {
    for (uint64_t seed = 1; seed <= orrery::test::seeds(15); ++seed) {
        LifeOptions base;
        base.appends = 50;
        int64_t operations = operations_of(seed * 1000, base);
        CHECK(operations > 30);
        for (int64_t at = 0; at <= operations; ++at) {
            std::string wrong = crash_and_judge(seed * 1000, at, base);
            REQUIRE_MESSAGE(wrong.empty(), "seed ", seed, " operation ", at, ": ", wrong);
        }
    }
}

TEST_CASE("log: any workload survives any crash (rapidcheck)") {
    bool held = rc::check("crash", [] {
        // Not sized: every run draws from the whole range.
        const uint64_t seed = *rc::gen::inRange<uint64_t>(0, 1 << 20);
        const int64_t at = *rc::gen::inRange<int64_t>(0, 250);
        const int shape = *rc::gen::inRange(0, 256);
        LifeOptions base;
        base.appends = 20 + shape;
        base.groups = 1 + static_cast<uint64_t>(shape) % 7;
        base.max_body = shape % 3 == 0 ? 7000 : shape % 3 == 1 ? 60 : 2000;
        base.tombstones = shape % 2 == 0;
        base.slow_slices = shape % 5;
        std::string wrong = crash_and_judge(100'000 + seed, at, base);
        RC_LOG() << wrong;
        RC_ASSERT(wrong.empty());
    });
    CHECK(held);
}

TEST_CASE("log: a torn tail is found by the crash test when it is refused (seeded defect torn_tail_is_corruption)") {
    set_defects(only(Defect::torn_tail_is_corruption));
    bool caught = false;
    LifeOptions base;
    base.appends = 50;
    for (int64_t at = 0; at < 200 && !caught; ++at) caught = crash_and_judge(1000, at, base).starts_with("refused: Corrupt");
    set_defects({});
    CHECK(caught);
}

TEST_CASE("log: a graceful stop leaves everything synced and a seal behind it") {
    FakeDisk disk;
    LifeOptions options;
    options.stop = true;
    Life life = live(disk, options);
    CHECK(life.stopped.ok());
    CHECK(life.synced + 1 == life.digests.size());
    CHECK(life.status.counters.seals >= 1);
    RandomStream draws(1, "loss", 0);
    disk.restart(FakeDisk::Loss::Power, draws);
    options.appends = 0;
    Life again = live(disk, options);
    CHECK(judge(life, again).empty());
    CHECK(again.report.epoch.value == life.report.epoch.value + 1);
}

TEST_CASE("log: a failed sync or write seals it, and what was synced before comes back") {
    int sealed = 0;
    for (int64_t at = 8; at < 60; ++at)
        for (bool sync : {true, false}) {
            FakeDisk disk;
            LifeOptions options;
            options.seed = static_cast<uint64_t>(at);
            (sync ? options.fail_sync_at : options.fail_write_at) = at;
            Life life = live(disk, options);
            if (!life.opened.ok() || (sync ? disk.syncs : disk.writes) <= at) continue;  // too early, or never reached
            ++sealed;
            REQUIRE(life.sealed.has_value());
            CHECK(life.sealed->code == Code::Io);
            CHECK(std::count(life.errors.begin(), life.errors.end(), "log.sealed") == 1);
            RandomStream draws(static_cast<uint64_t>(at), "loss", 0);
            // First killed: the page cache still shows the batch whose sync failed; then the power goes.
            disk.restart(FakeDisk::Loss::KillOnly, draws);
            LifeOptions again;
            again.seed = 77;
            again.appends = 3;
            Life second = live(disk, again);
            std::string wrong = judge(life, second);
            REQUIRE_MESSAGE(wrong.empty(), wrong);
            disk.restart(FakeDisk::Loss::Power, draws);
            again.seed = 78;
            wrong = judge(second, live(disk, again));
            REQUIRE_MESSAGE(wrong.empty(), wrong);
        }
    CHECK(sealed > 20);
}
