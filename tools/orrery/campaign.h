// The arithmetic of a fuzz campaign: which seed comes next, when it is over, which failures are the same one.
//
// Seed k is mix(base, k); shard I of N takes k = I mod N; so the union over the shards of any N is the same sequence of
// (scenario, seed). Nothing here starts a process, reads a clock or writes a file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/orrery/quantity.h"
#include "tools/orrery/record.h"

namespace orrery::cli {

/// 53 bits, so that JSON readers and TOML keep every digit.
uint64_t campaign_seed(uint64_t base, uint64_t k);
/// Of `scenarios`: each once in every `scenarios` consecutive k, in an order that differs from block to block, so that
/// every shard meets every scenario.
size_t campaign_scenario(uint64_t base, uint64_t k, size_t scenarios);
/// The base when none is given: the same commit and scenarios, the same seeds.
uint64_t default_base(const std::string& commit, const std::vector<std::string>& scenario_texts);

/// Every so many seeds of a shard one is run twice.
inline constexpr uint64_t kTwiceEvery = 20;

class SeedSequence {
 public:
    SeedSequence(Shard shard, Budget budget) : shard_(shard), budget_(budget) {}
    /// The next k; nullopt when the budget is spent. `elapsed` and `simulated` are what was used so far. A budget of seeds
    /// counts the whole campaign: k stays below it in every shard.
    std::optional<uint64_t> next(Duration elapsed, Duration simulated);
    /// These k were run before: next() leaves them out.
    void leave_out(std::map<uint64_t, bool> finished) { finished_ = std::move(finished); }
    uint64_t taken() const { return taken_; }
    /// Whether the seed that next() gave last is one to run twice.
    bool twice() const { return taken_ > 0 && (taken_ - 1) % kTwiceEvery == 0; }

 private:
    Shard shard_;
    Budget budget_;
    uint64_t taken_ = 0;  // of the shard's sequence, those left out too
    std::map<uint64_t, bool> finished_;
};

/// One kind of failure, under its signature.
struct KnownFailure {
    std::string scenario;
    std::string file;
    uint64_t seed = 0;
    Finding finding;
    uint64_t events = 0;  // of the kept plan: the fewest seen
    uint64_t plan_bytes = 0;
    uint64_t count = 0;
    std::string place;    // run directory
};

class KnownFailures {
 public:
    static constexpr size_t kMax = 1000;

    /// Counts it. True when its plan is the smallest of its signature so far (the first one is), so that it is to be kept.
    bool add(const std::string& file, const RunRecord& record, uint64_t plan_bytes);
    /// Whether add() would answer true.
    bool wants(const RunRecord& record, uint64_t plan_bytes) const;
    void set_place(const std::string& scenario, uint64_t seed, const std::string& place);
    /// In the order of first sight.
    std::vector<const KnownFailure*> list() const;
    size_t size() const { return known_.size(); }
    uint64_t total() const { return total_; }
    uint64_t not_kept() const { return not_kept_; }  // of signatures beyond kMax

 private:
    std::map<std::string, KnownFailure> known_;
    std::vector<std::string> order_;
    uint64_t total_ = 0;
    uint64_t not_kept_ = 0;
};

/// Sums of a campaign.
struct CampaignTotals {
    uint64_t seeds = 0, passed = 0, failed = 0, inconclusive = 0;
    uint64_t determinism_checks = 0, determinism_failures = 0;
    uint64_t operations = 0, steps = 0;
    Duration simulated{};
    std::map<std::string, uint64_t> faults_fired, probes;
    std::map<std::string, uint64_t> seeds_by_scenario;

    void add(const RunRecord& record);
};

}  // namespace orrery::cli
