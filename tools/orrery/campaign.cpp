#include "tools/orrery/campaign.h"

#include <algorithm>

#include "runtime/base/hash.h"

namespace orrery::cli {

uint64_t campaign_seed(uint64_t base, uint64_t k) { return combine64(base, k) >> 11; }

size_t campaign_scenario(uint64_t base, uint64_t k, size_t scenarios) {
    CHECK(scenarios > 0);
    const uint64_t block = k / scenarios;
    return static_cast<size_t>((k % scenarios + combine64(base ^ hash_name("scenario"), block) % scenarios) % scenarios);
}

uint64_t default_base(const std::string& commit, const std::vector<std::string>& scenario_texts) {
    uint64_t hash = hash_bytes(commit);
    for (const std::string& text : scenario_texts) hash = hash_bytes(text, hash);
    return hash;
}

std::optional<uint64_t> SeedSequence::next(Duration elapsed, Duration simulated) {
    if (budget_.wall.ns > 0 && elapsed >= budget_.wall) return std::nullopt;
    if (budget_.simulated.ns > 0 && simulated >= budget_.simulated) return std::nullopt;
    for (;;) {
        const uint64_t k = shard_.index + taken_ * shard_.count;
        if (budget_.seeds > 0 && k >= budget_.seeds) return std::nullopt;
        ++taken_;
        if (!finished_.contains(k)) return k;
    }
}

namespace {
std::string known_under(const RunRecord& record) { return record.signature().empty() ? "expectation@missing-violation" : record.signature(); }
}  // namespace

bool KnownFailures::wants(const RunRecord& record, uint64_t plan_bytes) const {
    const auto at = known_.find(known_under(record));
    if (at == known_.end()) return known_.size() < kMax;
    return std::pair{record.planned_events, plan_bytes} < std::pair{at->second.events, at->second.plan_bytes};
}

bool KnownFailures::add(const std::string& file, const RunRecord& record, uint64_t plan_bytes) {
    ++total_;
    const std::string key = known_under(record);
    auto at = known_.find(key);
    if (at == known_.end()) {
        if (known_.size() == kMax) return ++not_kept_, false;
        KnownFailure failure{.events = UINT64_MAX, .plan_bytes = UINT64_MAX};
        failure.finding = record.findings.empty()
                              ? Finding{"expectation", "the scenario expects a violation, and there was none", key, {}}
                              : record.findings.front();
        at = known_.emplace(key, std::move(failure)).first;
        order_.push_back(key);
    }
    KnownFailure& known = at->second;
    ++known.count;
    if (std::pair{record.planned_events, plan_bytes} >= std::pair{known.events, known.plan_bytes}) return false;
    known.scenario = record.scenario;
    known.file = file;
    known.seed = record.seed;
    known.events = record.planned_events;
    known.plan_bytes = plan_bytes;
    if (!record.findings.empty()) known.finding = record.findings.front();
    return true;
}

void KnownFailures::set_place(const std::string& scenario, uint64_t seed, const std::string& place) {
    for (auto& [key, known] : known_)
        if (known.scenario == scenario && known.seed == seed) known.place = place;
}

std::vector<const KnownFailure*> KnownFailures::list() const {
    std::vector<const KnownFailure*> out;
    for (const std::string& key : order_) out.push_back(&known_.at(key));
    return out;
}

void CampaignTotals::add(const RunRecord& record) {
    operations += record.operations;
    steps += record.steps;
    simulated = simulated + record.simulated;
    for (const auto& [name, count] : record.faults_fired) faults_fired[name] += count;
    for (const auto& [name, count] : record.probes) probes[name] += count;
    ++seeds_by_scenario[record.scenario];
}

}  // namespace orrery::cli
