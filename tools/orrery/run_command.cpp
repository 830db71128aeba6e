// `orrery run`: one simulation. A run that is not fine is repeated with its trace written, which checks at the same time
// that it repeats.
#include <fmt/format.h>

#include "tools/orrery/capture.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

ExitCode run_command(const RunArguments& arguments, Console& console) {
    std::variant<ScenarioFile, Refusal> loaded = load_scenario_file(arguments.scenario);
    if (const Refusal* refusal = std::get_if<Refusal>(&loaded)) return report(console, *refusal);
    ScenarioFile& file = std::get<ScenarioFile>(loaded);
    for (const std::string& warning : file.warnings) console.note(warning);

    Job job{.scenario = std::move(file.scenario)};
    job.seed = arguments.seed.value_or(job.scenario.seed);
    job.wall = arguments.wall.value_or(job.scenario.limits.wall);
    const BuildInfo build = this_build();
    job.scenario.origin.commit = build.commit;
    job.scenario.origin.found_by = "orrery run";

    StopSignals stop;
    Result<RunOutcome> first = run_job(job, &stop);
    if (!first.ok()) return report(console, refuse(first.error(), "orrery run", "E0475", "start it again"));
    if (!first->own_bug.empty()) return report_own_bug(console, "orrery run", *first), ExitCode::OwnBug;

    ExitCode exit = first->exit_code();
    std::string place;
    if (exit != ExitCode::Fine || arguments.trace) {
        const Result<Captured> captured = capture(job, *first, arguments.out, build, &stop);
        if (!captured.ok()) {
            exit = worse(exit, report(console, refuse(captured.error(), "orrery run", "E0474", "give another directory with --out")));
        } else {
            place = captured->place;
            if (!captured->difference.empty()) {
                console.problem({"orrery run", "E0440", "the same seed gave another run: " + captured->difference,
                                 fmt::format("narrow it down with 'orrery verify {} --first-seed {} --seeds 1 --bisect'", file.file, job.seed)});
                exit = ExitCode::NotDeterministic;
            }
        }
    }

    console.line(headline(console, job.scenario, job.seed));
    for (const std::string& line : verdict_lines(console, *first, place.empty() ? "" : "orrery replay " + place)) console.line(line);
    Json json = to_json(first->record);
    json["exit"] = number_of(exit);
    if (!place.empty()) json["run_directory"] = place;
    console.json(json);
    if (first->came_to_end)
        console.note(fmt::format("{} of wall time, {:.0f} times as fast as the simulated clock", show(first->wall),
                                 first->record.simulated.as_seconds() / std::max(first->wall.as_seconds(), 1e-9)));
    return exit;
}

}  // namespace orrery::cli
