#include "tools/orrery/run_directory.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "tools/orrery/files.h"
#include "tools/orrery/quantity.h"
#include "tools/orrery/recorder.h"

namespace orrery::cli {

namespace {

constexpr int kSchema = 1;

std::string utc_now() {
    const time_t now = time(nullptr);
    tm parts{};
    gmtime_r(&now, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                       parts.tm_min, parts.tm_sec);
}

// Typed reading of foreign JSON: a wrong type is remembered, never thrown.
class Fields {
 public:
    explicit Fields(const Json& json) : json_(json) { whole_ = json.is_object(); }
    std::string text(const char* name) {
        const Json* value = find(name);
        if (value != nullptr && value->is_string()) return value->get<std::string>();
        return fail(), std::string();
    }
    uint64_t number(const char* name) {
        const Json* value = find(name);
        if (value != nullptr && value->is_number_unsigned()) return value->get<uint64_t>();
        return fail(), 0;
    }
    bool flag(const char* name) {
        const Json* value = find(name);
        if (value != nullptr && value->is_boolean()) return value->get<bool>();
        return fail(), false;
    }
    uint64_t hash(const char* name) { return hash_of(text(name)); }
    uint64_t hash_of(const std::string& digits) {
        uint64_t value = 0;
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.empty() || failed != std::errc{} || end != digits.data() + digits.size()) fail();
        return value;
    }
    template <typename Each>
    void list(const char* name, Each each) {
        const Json* value = find(name);
        if (value == nullptr || !value->is_array()) return fail();
        for (const Json& item : *value) each(item);
    }
    void texts(const char* name, std::vector<std::string>& into) {
        list(name, [&](const Json& item) { item.is_string() ? into.push_back(item.get<std::string>()) : fail(); });
    }
    void counts(const char* name, std::map<std::string, uint64_t>& into) {
        const Json* value = find(name);
        if (value == nullptr || !value->is_object()) return fail();
        for (const auto& [key, count] : value->items()) count.is_number_unsigned() ? void(into[key] = count.get<uint64_t>()) : fail();
    }
    const Json* find(const char* name) {
        if (!whole_) return nullptr;
        const auto at = json_.find(name);
        return at == json_.end() ? nullptr : &*at;
    }
    void fail() { whole_ = false; }
    bool whole() const { return whole_; }

 private:
    const Json& json_;
    bool whole_;
};

Result<Json> read_json(const std::string& path) {
    TRY(const Bytes text, read_file(path, 256u << 20));
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return Error(Code::Corrupt, fmt::format("'{}' is no JSON", path));
    return json;
}

bool read_record(const Json& json, RunRecord& record, bool& came_to_end) {
    Fields in(json);
    const std::string outcome = in.text("outcome");
    if (outcome == "pass") record.outcome = check::Outcome::Pass;
    else if (outcome == "violated") record.outcome = check::Outcome::Violated;
    else if (outcome == "inconclusive") record.outcome = check::Outcome::Inconclusive;
    else return false;
    record.scenario = in.text("scenario");
    record.seed = in.number("seed");
    record.expected = in.flag("expected");
    record.reason = in.text("reason");
    came_to_end = in.flag("came_to_end");
    record.hash = in.hash("hash");
    record.steps = in.number("steps");
    record.simulated = Duration{static_cast<int64_t>(in.number("simulated_ns"))};
    in.list("checkpoints", [&](const Json& item) {
        item.is_string() ? record.checkpoints.push_back(in.hash_of(item.get<std::string>())) : in.fail();
    });
    in.list("findings", [&](const Json& item) {
        Fields finding(item);
        record.findings.push_back({finding.text("property"), finding.text("text"), finding.text("signature"),
                                   Instant{static_cast<int64_t>(finding.number("at_ns"))}});
        if (!finding.whole()) in.fail();
    });
    in.texts("not_fired", record.not_fired);
    in.counts("faults_fired", record.faults_fired);
    return in.whole();
}

}  // namespace

Json to_json(const BuildInfo& build) {
    return {{"version", build.version},
            {"commit", build.commit},
            {"build_id", build.id},
            {"rocksdb_version", build.rocksdb_version},
            {"rocksdb_option_hash", show_hash(build.rocksdb_option_hash)}};
}

Json to_json(const RunRecord& record) {
    Json findings = Json::array(), checkpoints = Json::array();
    for (const Finding& finding : record.findings)
        findings.push_back({{"property", finding.property}, {"text", finding.text}, {"signature", finding.signature},
                            {"at_ns", static_cast<uint64_t>(finding.at.ns)}});
    for (uint64_t hash : record.checkpoints) checkpoints.push_back(show_hash(hash));
    return {{"schema", kSchema},
            {"scenario", record.scenario},
            {"seed", record.seed},
            {"outcome", record.outcome == check::Outcome::Pass ? "pass" : record.outcome == check::Outcome::Violated ? "violated" : "inconclusive"},
            {"expected", record.expected},
            {"findings", std::move(findings)},
            {"reason", record.reason},
            {"hash", show_hash(record.hash)},
            {"steps", record.steps},
            {"simulated_ns", static_cast<uint64_t>(record.simulated.ns)},
            {"operations", {{"all", record.operations}, {"ok", record.operations_ok}, {"unknown", record.operations_unknown}}},
            {"planned_events", record.planned_events},
            {"faults_fired", record.faults_fired},
            {"not_fired", record.not_fired},
            {"probes", record.probes},
            {"notes", record.notes},
            {"recent", record.recent},
            {"checkpoints", std::move(checkpoints)}};
}

Result<std::string> make_staging(const std::string& root, const std::string& scenario, uint64_t seed) {
    const std::string staging = fmt::format("{}/.staging/{}-{}-{}", root, file_name_of(scenario), seed, getpid());
    remove_tree(staging);
    TRY(make_directories(staging));
    std::error_code failed;
    const std::filesystem::path whole = std::filesystem::absolute(staging, failed);  // a child may start in another directory
    if (failed) return Error(Code::Io, fmt::format("cannot find '{}': {}", staging, failed.message()));
    return whole.string();
}

Result<std::string> save_run(const std::string& root, const std::string& staging, const RunOutcome& outcome, const BuildInfo& build) {
    const RunRecord& record = outcome.record;
    const std::string name = fmt::format("{}/{}", file_name_of(record.scenario), record.seed);
    const std::string place = root + "/" + name;
    const Json meta = {{"schema", kSchema},
                       {"scenario", record.scenario},
                       {"seed", record.seed},
                       {"build", to_json(build)},
                       {"written", utc_now()},
                       {"wall_ns", outcome.wall.ns},
                       {"replay", "orrery replay " + place}};
    Json verdict = to_json(record);
    verdict["came_to_end"] = outcome.came_to_end;
    if (!outcome.came_to_end) verdict["stderr"] = outcome.stderr_tail;
    TRY(write_file(staging + "/meta.json", json_text(meta, 2) + "\n"));
    TRY(write_file(staging + "/verdict.json", json_text(verdict, 2) + "\n"));
    TRY(write_file(staging + "/plan.toml", outcome.plan));
    TRY(make_directories(root + "/" + file_name_of(record.scenario)));
    std::error_code failed;
    std::filesystem::rename(staging, place, failed);
    if (failed) {  // there is an older one
        remove_tree(place);
        std::filesystem::rename(staging, place, failed);
    }
    if (failed) return Error(Code::Io, fmt::format("cannot write '{}': {}", place, failed.message()));
    std::filesystem::remove(root + "/.staging", failed);  // goes when it is empty
    const std::string link = fmt::format("{}/latest.{}.tmp", root, getpid());
    std::filesystem::remove(link, failed);
    std::filesystem::create_symlink(name, link, failed);
    if (!failed) std::filesystem::rename(link, root + "/latest", failed);
    if (failed) return Error(Code::Io, fmt::format("cannot write '{}/latest': {}", root, failed.message()));
    return place;
}

Result<SavedRun> load_run(const std::string& directory) {
    SavedRun saved;
    TRY(const Json meta, read_json(directory + "/meta.json"));
    TRY(const Json verdict, read_json(directory + "/verdict.json"));
    TRY(saved.plan, read_file(directory + "/plan.toml", 16u << 20));
    Fields in(meta);
    const Json* build = in.find("build");
    if (build == nullptr) return Error(Code::Corrupt, fmt::format("'{}/meta.json' does not say which build wrote it", directory));
    Fields of_build(*build);
    saved.build = {of_build.text("version"), of_build.text("commit"), of_build.text("build_id"), of_build.text("rocksdb_version"),
                   of_build.hash("rocksdb_option_hash")};
    if (!of_build.whole() || in.number("schema") != kSchema || !in.whole())
        return Error(Code::Corrupt, fmt::format("'{}/meta.json' is damaged or of another schema than {}", directory, kSchema));
    if (!read_record(verdict, saved.record, saved.came_to_end))
        return Error(Code::Corrupt, fmt::format("'{}/verdict.json' is damaged", directory));
    return saved;
}

}  // namespace orrery::cli
