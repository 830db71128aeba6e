// `orrery lint`: every problem of every file at once, with its place.
#include <fmt/format.h>

#include "sim/scenario/scenario_toml.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/files.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

ExitCode lint_command(const std::vector<std::string>& files, Console& console) {
    ExitCode exit = ExitCode::Fine;
    uint64_t errors = 0, warnings = 0;
    Json problems = Json::array();
    for (const std::string& file : files) {
        const Result<Bytes> text = read_file(file, 16u << 20);
        if (!text.ok()) {
            exit = worse(exit, report(console, refuse(text.error(), file, "E0402", "give the path of a scenario file")));
            ++errors;
            continue;
        }
        const sim::Loaded loaded = sim::load_scenario(*text, file);
        std::vector<sim::Problem> found = loaded.problems;
        if (loaded.ok())
            for (sim::Problem& problem : sim::lint_scenario(loaded.scenario, file)) found.push_back(std::move(problem));
        for (const sim::Problem& problem : found) {
            ++(problem.error ? errors : warnings);
            if (problem.error) exit = worse(exit, ExitCode::Usage);
            console.line(problem.line());
            problems.push_back({{"where", problem.where}, {"severity", problem.error ? "error" : "warning"}, {"code", problem.code}, {"text", problem.text}});
            console.json_line(problems.back());
        }
    }
    console.line(fmt::format("{} file{}: {} error{}, {} warning{}", files.size(), files.size() == 1 ? "" : "s", errors, errors == 1 ? "" : "s",
                             warnings, warnings == 1 ? "" : "s"));
    const Json summary = {{"schema", 1}, {"files", files.size()}, {"errors", errors}, {"warnings", warnings}};
    if (console.jsonl()) {
        console.json(summary);
    } else {
        Json all = summary;
        all["problems"] = std::move(problems);
        console.json(all);
    }
    return exit;
}

}  // namespace orrery::cli
