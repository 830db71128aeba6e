#include "tools/orrery/campaign_log.h"

#include <fmt/format.h>

#include "runtime/base/hash.h"

namespace orrery::cli {

namespace {

// Fields of one line; a wrong or missing one makes the line unreadable.
class Line {
 public:
    explicit Line(const Json& json) : json_(json) {}
    bool good() const { return good_; }
    bool has(const char* name) const { return json_.contains(name); }
    std::string text(const char* name) {
        const Json* field = find(name);
        if (field == nullptr || !field->is_string()) return good_ = false, std::string();
        return field->get<std::string>();
    }
    uint64_t number(const char* name) {
        const Json* field = find(name);
        if (field == nullptr || !field->is_number_unsigned()) return good_ = false, 0;
        return field->get<uint64_t>();
    }
    bool flag(const char* name) {
        const Json* field = find(name);
        if (field == nullptr || !field->is_boolean()) return good_ = false, false;
        return field->get<bool>();
    }
    Duration duration(const char* name) {
        const uint64_t ns = number(name);
        if (ns > static_cast<uint64_t>(INT64_MAX)) return good_ = false, Duration{};
        return Duration{static_cast<int64_t>(ns)};
    }
    std::map<std::string, uint64_t> counts(const char* name) {
        std::map<std::string, uint64_t> out;
        const Json* field = find(name);
        if (field == nullptr || !field->is_object()) return good_ = false, out;
        for (const auto& [key, value] : field->items()) {
            if (!value.is_number_unsigned()) return good_ = false, out;
            out[key] = value.get<uint64_t>();
        }
        return out;
    }

 private:
    const Json* find(const char* name) const {
        const auto at = json_.find(name);
        return at == json_.end() ? nullptr : &*at;
    }
    const Json& json_;
    bool good_ = true;
};

bool take_seed(Line& in, CampaignLog& log) {
    const uint64_t k = in.number("k");
    LoggedSeed seed;
    RunRecord& record = seed.record;
    record.scenario = in.text("scenario");
    record.seed = in.number("seed");
    record.steps = in.number("steps");
    record.simulated = in.duration("simulated_ns");
    record.operations = in.number("operations");
    record.faults_fired = in.counts("faults_fired");
    record.probes = in.counts("probes");
    const std::string verdict = in.text("verdict");
    const Duration elapsed = in.duration("elapsed_ns");
    if (verdict == "pass") {
        record.outcome = check::Outcome::Pass;
        record.expected = true;
    } else if (verdict == "inconclusive") {
        record.outcome = check::Outcome::Inconclusive;
        record.reason = in.text("reason");
    } else if (verdict == "fail") {
        record.outcome = check::Outcome::Violated;
        record.planned_events = in.number("events");
        seed.plan_bytes = in.number("plan_bytes");
        if (in.has("property")) record.findings = {{in.text("property"), in.text("text"), in.text("signature"), {}}};
    } else {
        return false;
    }
    if (!in.good()) return false;
    log.elapsed = std::max(log.elapsed, elapsed);
    log.seeds[k] = std::move(seed);
    log.differences.erase(k);
    return true;
}

bool take_line(const Json& json, std::optional<CampaignLog>& log) {
    Line in(json);
    const std::string type = in.text("type");
    if (!in.good()) return false;
    if (type == "begin") {
        const auto build = json.find("build");
        CampaignLog fresh;
        fresh.base = in.number("base");
        fresh.shard = in.text("shard");
        fresh.scenario_hash = in.text("scenario_hash");
        if (build == json.end() || !build->is_object()) return false;
        Line of_build(*build);
        fresh.build_id = of_build.text("build_id");
        fresh.commit = of_build.text("commit");
        if (!in.good() || !of_build.good()) return false;
        log = std::move(fresh);
        return true;
    }
    if (!log) return false;
    if (type == "resume" || type == "summary") return true;
    if (type == "seed") return take_seed(in, *log);
    const uint64_t k = in.number("k");
    const auto seed = log->seeds.find(k);
    if (!in.good() || seed == log->seeds.end()) return false;
    if (type == "twice") {
        const bool equal = in.flag("equal");
        if (in.good()) seed->second.equal_again = equal;
    } else if (type == "failure") {
        seed->second.place = in.text("place");
        seed->second.captured = in.good();
    } else if (type == "determinism") {
        const std::string difference = in.text("difference");
        if (in.good()) log->differences[k] = difference;
    } else {
        return false;
    }
    return in.good();
}

}  // namespace

std::optional<CampaignLog> read_campaign_log(ByteView text) {
    std::optional<CampaignLog> log;
    uint64_t unreadable = 0;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const ByteView line = text.substr(0, end);
        text.remove_prefix(end == ByteView::npos ? text.size() : end + 1);
        if (line.empty()) continue;
        const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
        // Without its end a line may be a part of one that happens to be whole.
        if (end == ByteView::npos || !json.is_object() || !take_line(json, log)) ++unreadable;
    }
    if (log) log->unreadable = unreadable;
    return log;
}

Json seed_line(uint64_t k, const RunRecord& record, std::string_view verdict, uint64_t plan_bytes, Duration wall, Duration elapsed) {
    Json line = {{"type", "seed"}, {"k", k}, {"scenario", record.scenario}, {"seed", record.seed}, {"verdict", verdict},
                 {"hash", show_hash(record.hash)}, {"steps", record.steps}, {"simulated_ns", record.simulated.ns}, {"wall_ns", wall.ns},
                 {"elapsed_ns", elapsed.ns}, {"operations", record.operations}, {"faults_fired", record.faults_fired}, {"probes", record.probes}};
    if (verdict == "fail") {
        line["signature"] = record.signature();
        line["events"] = record.planned_events;
        line["plan_bytes"] = plan_bytes;
        if (!record.findings.empty()) {
            line["property"] = record.findings.front().property;
            line["text"] = record.findings.front().text;
        }
    }
    if (verdict == "inconclusive") line["reason"] = record.reason;
    return line;
}

std::string scenario_set_hash(const std::vector<std::string>& plans) {
    uint64_t hash = hash_bytes("scenario set");
    for (const std::string& plan : plans) hash = combine64(hash, hash_bytes(plan));
    return show_hash(hash);
}

std::map<uint64_t, bool> take_finished(const CampaignLog& log, Shard shard, const std::map<std::string, std::string>& file_of, CampaignTotals& totals, KnownFailures& failures) {
    std::map<uint64_t, bool> finished;
    for (const auto& [k, seed] : log.seeds) {
        const RunRecord& record = seed.record;
        const bool owed_twice = (k / shard.count) % kTwiceEvery == 0;
        const bool failed = record.outcome == check::Outcome::Violated;
        if (owed_twice && !seed.equal_again) continue;
        if (failed && !seed.captured && failures.wants(record, seed.plan_bytes)) continue;
        finished[k] = true;
        ++totals.seeds;
        totals.add(record);
        totals.passed += record.expected;
        totals.inconclusive += record.outcome == check::Outcome::Inconclusive;
        totals.failed += failed;
        totals.determinism_checks += owed_twice;
        totals.determinism_failures += owed_twice && !*seed.equal_again;
        totals.determinism_failures += log.differences.contains(k) && !(owed_twice && !*seed.equal_again);
        if (!failed) continue;
        const auto file = file_of.find(record.scenario);
        if (failures.add(file == file_of.end() ? record.scenario : file->second, record, seed.plan_bytes))
            failures.set_place(record.scenario, record.seed, seed.place);
    }
    return finished;
}

}  // namespace orrery::cli
