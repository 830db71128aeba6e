// The arithmetic of campaigns.
#include "tools/orrery/campaign.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <set>

using namespace orrery;
using namespace orrery::cli;

namespace {

RunRecord failing_run(const std::string& signature, uint64_t seed, uint64_t events) {
    RunRecord record{.scenario = "kv", .seed = seed, .outcome = check::Outcome::Violated, .findings = {{"p", "text", signature, {}}}};
    record.planned_events = events;
    return record;
}

}  // namespace

TEST_CASE("campaign: the union of the shards is the whole sequence, for every number of shards (property)") {
    CHECK(rc::check([] {
        const uint64_t count = *rc::gen::inRange<uint64_t>(1, 9), seeds = *rc::gen::inRange<uint64_t>(1, 200);
        std::set<uint64_t> all;
        for (uint64_t index = 0; index < count; ++index) {
            SeedSequence sequence({index, count}, {.seeds = seeds});
            while (const std::optional<uint64_t> k = sequence.next({}, {})) RC_ASSERT(all.insert(*k).second);
        }
        RC_ASSERT(all.size() == seeds);
        RC_ASSERT(*all.begin() == 0u && *all.rbegin() == seeds - 1);
    }));
}

TEST_CASE("campaign: the budget that is spent first ends it") {
    const Budget budget{.wall = Duration::seconds(10), .seeds = 5, .simulated = Duration::seconds(100)};
    CHECK(SeedSequence({}, budget).next(Duration::seconds(9), Duration::seconds(99)).has_value());
    CHECK_FALSE(SeedSequence({}, budget).next(Duration::seconds(10), {}).has_value());
    CHECK_FALSE(SeedSequence({}, budget).next({}, Duration::seconds(100)).has_value());
}

TEST_CASE("campaign: every twentieth seed of a shard is run twice, the first one too") {
    SeedSequence sequence({1, 3}, {.seeds = 3 * 41});
    uint64_t twice = 0, all = 0;
    while (sequence.next({}, {})) ++all, twice += sequence.twice();
    CHECK(all == 41);
    CHECK(twice == 3);
}

TEST_CASE("campaign: every shard meets every scenario, and each block has each scenario once") {
    constexpr size_t kScenarios = 4;
    for (uint64_t shard = 0; shard < 4; ++shard) {
        std::set<size_t> met;
        for (uint64_t k = shard; k < 400; k += 4) met.insert(campaign_scenario(99, k, kScenarios));
        CHECK(met.size() == kScenarios);
    }
    for (uint64_t block = 0; block < 50; ++block) {
        std::set<size_t> met;
        for (uint64_t i = 0; i < kScenarios; ++i) met.insert(campaign_scenario(99, block * kScenarios + i, kScenarios));
        CHECK(met.size() == kScenarios);
    }
}

TEST_CASE("campaign: seeds have 53 bits and depend on base and number") {
    std::set<uint64_t> seeds;
    for (uint64_t base = 0; base < 10; ++base)
        for (uint64_t k = 0; k < 1000; ++k) {
            CHECK(campaign_seed(base, k) < (uint64_t{1} << 53));
            seeds.insert(campaign_seed(base, k));
        }
    CHECK(seeds.size() == 10'000);
    CHECK(campaign_seed(1, 2) == campaign_seed(1, 2));
    CHECK(default_base("a", {"x"}) != default_base("b", {"x"}));
    CHECK(default_base("a", {"x"}) != default_base("a", {"y"}));
}

TEST_CASE("campaign: failures of one signature are one, and the smallest plan is kept") {
    KnownFailures known;
    CHECK(known.add("f", failing_run("a@x", 1, 10), 500));
    CHECK_FALSE(known.add("f", failing_run("a@x", 2, 11), 400));
    CHECK(known.add("f", failing_run("a@x", 3, 4), 900));
    CHECK(known.add("f", failing_run("b@x", 4, 40), 900));
    REQUIRE(known.size() == 2);
    CHECK(known.total() == 4);
    CHECK(known.list()[0]->seed == 3);
    CHECK(known.list()[0]->count == 3);
    CHECK(known.list()[0]->events == 4);
    known.set_place("kv", 3, "runs/kv/3");
    CHECK(known.list()[0]->place == "runs/kv/3");
    CHECK(known.list()[1]->place.empty());
}

TEST_CASE("campaign: beyond the bound failures are counted, not kept") {
    KnownFailures known;
    for (uint64_t i = 0; i < KnownFailures::kMax + 5; ++i) known.add("f", failing_run("s" + std::to_string(i), i, 1), 1);
    CHECK(known.size() == KnownFailures::kMax);
    CHECK(known.not_kept() == 5);
}
