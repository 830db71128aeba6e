#include "tools/orrery/scenario_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "runtime/base/defect.h"
#include "sim/scenario/scenario_toml.h"
#include "tools/orrery/files.h"

namespace orrery::cli {

namespace {

constexpr const char* kDefaultScenarios = "scenarios/swarm";
constexpr size_t kMaxScenarioBytes = 16u << 20;

// A Problem of the scenario carries "what; what to do" in one text.
Refusal refuse_problems(const std::vector<sim::Problem>& problems, const std::string& instead_of_position) {
    Refusal refusal{ExitCode::Usage, {}};
    for (const sim::Problem& problem : problems)
        if (problem.error)
            refusal.messages.push_back({instead_of_position.empty() ? problem.where : instead_of_position, problem.code, problem.text, {}});
    return refusal;
}

// Puts `value` at the dotted `path`; false when something on the way is no table.
bool put_at(toml::table& table, std::string_view path, const toml::node& value) {
    const size_t dot = path.find('.');
    const std::string_view head = path.substr(0, dot);
    if (head.empty()) return false;
    if (dot == std::string_view::npos) {
        value.visit([&](const auto& concrete) { table.insert_or_assign(head, concrete); });
        return true;
    }
    if (!table.contains(head)) table.insert(head, toml::table{});
    toml::table* inner = table[head].as_table();
    return inner != nullptr && put_at(*inner, path.substr(dot + 1), value);
}

// The text with one setting applied; nullopt when the setting is not of the form key=value or does not fit.
std::optional<std::string> with_setting(const std::string& text, std::string_view setting) {
    const size_t equals = setting.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    const std::string value(setting.substr(equals + 1));
    try {
        toml::table scenario = toml::parse(text);
        toml::table parsed;
        try {
            parsed = toml::parse("value = " + value);
        } catch (const toml::parse_error&) {  // 5s, leader, ...: a text without its quotes
            parsed.insert_or_assign("value", value);
        }
        if (parsed.size() != 1 || !put_at(scenario, setting.substr(0, equals), *parsed.get("value"))) return std::nullopt;
        std::ostringstream out;
        out << scenario;
        return out.str();
    } catch (const toml::parse_error&) {
        return std::nullopt;
    }
}

}  // namespace

std::variant<ScenarioFile, Refusal> load_scenario_file(const ScenarioRequest& request) {
    const Result<Bytes> text = read_file(request.file, kMaxScenarioBytes);
    if (!text.ok()) return refuse(text.error(), request.file, "E0402", "give the path of a scenario file");

    ScenarioFile loaded{.file = request.file, .text = *text};
    sim::Loaded scenario = sim::load_scenario(*text, request.file);
    if (!scenario.ok()) return refuse_problems(scenario.problems, {});
    for (const sim::Problem& problem : scenario.problems) loaded.warnings.push_back(problem.line());

    std::string changed = *text;
    for (const std::string& setting : request.sets) {
        const std::optional<std::string> next = with_setting(changed, setting);
        if (!next)
            return Refusal{ExitCode::Usage,
                           {{fmt::format("--set {}", setting), "E0404", "this is no setting of the scenario",
                             "write key=value with a key of the scenario file, e.g. --set workload.clients=5"}}};
        changed = *next;
        scenario = sim::load_scenario(changed, request.file);
        if (!scenario.ok()) return refuse_problems(scenario.problems, fmt::format("--set {}", setting));
    }
    loaded.scenario = std::move(scenario.scenario);

    for (const std::string& name : request.defects) {
        if (!find_defect(name)) {
            std::vector<std::string> known;
            for (const DefectInfo& defect : kDefects) known.emplace_back(defect.name);
            const std::string_view near = nearest(name, known);
            return Refusal{ExitCode::Usage,
                           {{fmt::format("--defect {}", name), "E0405", "there is no seeded defect of that name",
                             near.empty() ? "see 'orrery list defects'" : fmt::format("did you mean '{}'? (orrery list defects)", near)}}};
        }
        std::vector<std::string>& on = loaded.scenario.defects;
        if (std::find(on.begin(), on.end(), name) == on.end()) on.push_back(name);
    }
    return loaded;
}

std::variant<std::vector<std::string>, Refusal> scenario_files(const std::vector<std::string>& named, const std::string& where) {
    std::vector<std::string> files;
    std::vector<std::string> places = named;
    if (places.empty()) places.push_back(kDefaultScenarios);
    for (const std::string& place : places) {
        if (!is_directory(place)) {
            if (named.empty() && !exists(place))
                return Refusal{ExitCode::Usage,
                               {{where, "E0402", fmt::format("no scenario is named, and there is no directory '{}' here", kDefaultScenarios),
                                 "name scenario files or a directory of them, or start in the root of the sources"}}};
            files.push_back(place);
            continue;
        }
        const Result<std::vector<std::string>> found = toml_files(place);
        if (!found.ok()) return refuse(found.error(), where, "E0402", "name scenario files or a directory of them");
        if (found->empty())
            return Refusal{ExitCode::Usage, {{place, "E0402", "there is no *.toml file in this directory", "name another one"}}};
        files.insert(files.end(), found->begin(), found->end());
    }
    return files;
}

}  // namespace orrery::cli
