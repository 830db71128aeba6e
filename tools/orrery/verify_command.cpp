// `orrery verify`: every seed in two processes, one of them in surroundings that must not matter; equal hashes wanted.
#include <fmt/format.h>

#include <map>

#include "tools/orrery/capture.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/divergence.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

namespace {

constexpr uint32_t kDivergenceLines = 16;
constexpr uint64_t kStepsBehind = 24;  // so many steps behind the first divergent one are shown too

struct Tally {
    uint64_t equal = 0, different = 0, violated = 0, inconclusive = 0;
    uint64_t checkpoints = 0, steps = 0;
    Duration simulated{};
    std::string first_violation;  // seed and property
    std::string first_inconclusive;
};

class Verify {
 public:
    Verify(const VerifyArguments& arguments, sim::Scenario scenario, Console& console)
        : arguments_(arguments), scenario_(std::move(scenario)), console_(console), children_(&stop_) {
        first_seed_ = arguments.first_seed.value_or(scenario_.seed);
        wall_ = arguments.wall.value_or(scenario_.limits.wall);
    }

    ExitCode run() {
        const uint64_t jobs = arguments_.jobs > 0 ? arguments_.jobs : processors();
        const Instant began = machine_now();
        while ((next_ < 2 * arguments_.seeds && stop_.count() == 0) || children_.running() > 0) {
            while (next_ < 2 * arguments_.seeds && children_.running() < jobs && stop_.count() == 0) {
                if (const Result<void> started = start_job(children_, next_, job_of(next_)); !started.ok()) {
                    if (children_.running() == 0) return report(console_, refuse(started.error(), "orrery verify", "E0475", "try again with a smaller --jobs"));
                    break;  // one of those that run makes room
                }
                ++next_;
            }
            for (ChildEnd& end : children_.wait(machine_now() + Duration::millis(500))) take(std::move(end));
            if (stop_.count() > 0) children_.kill_all(), waiting_.clear();
            if (exit_ == ExitCode::OwnBug) return exit_;
            console_.progress(fmt::format("verify {}: {} of {} seeds, {} different", scenario_.name, tally_.equal + tally_.different,
                                          arguments_.seeds, tally_.different));
        }
        return summary(machine_now() - began);
    }

 private:
    Job job_of(uint64_t token) const {
        Job job{.scenario = scenario_, .seed = first_seed_ + token / 2, .wall = wall_};
        if (token % 2 == 1) job.surroundings = Surroundings::Changed;
        return job;
    }

    void take(ChildEnd end) {
        const uint64_t token = end.token;
        RunOutcome outcome = settle(job_of(token), std::move(end));
        if (!outcome.own_bug.empty()) {
            report_own_bug(console_, fmt::format("orrery verify, seed {}", first_seed_ + token / 2), outcome);
            exit_ = ExitCode::OwnBug;
            return;
        }
        const auto partner = waiting_.find(token ^ 1);
        if (partner == waiting_.end()) {
            waiting_.emplace(token, std::move(outcome));
            return;
        }
        const RunOutcome other = std::move(partner->second);
        waiting_.erase(partner);
        token % 2 == 0 ? compare(token / 2, outcome, other) : compare(token / 2, other, outcome);
    }

    void compare(uint64_t k, const RunOutcome& plain, const RunOutcome& changed) {
        const uint64_t seed = first_seed_ + k;
        const std::string difference = difference_between(plain, changed);
        const RunRecord& record = plain.record;
        ++(difference.empty() ? tally_.equal : tally_.different);
        tally_.checkpoints += record.checkpoints.size() + 1;
        tally_.steps += record.steps;
        tally_.simulated = tally_.simulated + record.simulated;
        const ExitCode exit = plain.exit_code();
        if (exit == ExitCode::Violated && tally_.violated++ == 0)
            tally_.first_violation = fmt::format("seed {}: {}", seed, record.findings.empty() ? "expected violation missing" : record.findings.front().property);
        if (exit == ExitCode::Inconclusive && tally_.inconclusive++ == 0) tally_.first_inconclusive = fmt::format("seed {}: {}", seed, record.reason);
        console_.json_line({{"seed", seed}, {"equal", difference.empty()}, {"difference", difference}, {"hash", show_hash(record.hash)},
                            {"steps", record.steps}, {"exit", number_of(exit)}});
        if (difference.empty()) return;
        console_.line(fmt::format("{} seed {}: {}", console_.paint(Paint::Bad, "DIFFERS"), seed, difference));
        if (tally_.different == 1) first_different_ = {seed, first_difference(plain.record, changed.record), plain.came_to_end && changed.came_to_end};
    }

    // Both runs again, with their hashes at `step`, up to `until`.
    Result<std::pair<RunOutcome, RunOutcome>> both_until(uint64_t seed, uint64_t step, uint64_t until, uint32_t excerpt) {
        Job job{.scenario = scenario_, .seed = seed, .watch_step = step, .until_step = until, .excerpt_lines = excerpt, .wall = wall_};
        TRY(RunOutcome plain, run_job(job, &stop_));
        job.surroundings = Surroundings::Changed;
        TRY(RunOutcome changed, run_job(job, &stop_));
        return std::pair{std::move(plain), std::move(changed)};
    }

    void bisect() {
        const auto& [seed, range, both_ended] = *first_different_;
        if (!both_ended || !range) {
            console_.line("          nothing to bisect: the runs do not differ in a hash");
            return;
        }
        // The ends of the interval first: a run that does not even repeat in equal surroundings can not be narrowed down.
        uint64_t asked = 0;
        bool steady = true;
        const auto equal_at = [&](uint64_t step) -> Result<bool> {
            console_.progress(fmt::format("bisect: step {} (run {})", show_count(step), ++asked));
            TRY(const auto runs, both_until(seed, step, step, 0));
            return runs.first.record.watched_value == runs.second.record.watched_value;
        };
        const Result<bool> at_end = equal_at(range->upto);
        const Result<bool> at_start = range->after == 0 ? Result<bool>(true) : equal_at(range->after);
        if (!at_end.ok() || !at_start.ok()) return void(report(console_, refuse((at_end.ok() ? at_start : at_end).error(), "orrery verify", "E0475", "start it again")));
        steady = !*at_end && *at_start;
        if (!steady) {
            console_.line(fmt::format("          the runs do not differ in the same place twice; between step {} and step {} is all that can be said",
                                      show_count(range->after), show_count(range->upto)));
            return;
        }
        const Result<uint64_t> step = narrow(*range, equal_at);
        if (!step.ok()) return void(report(console_, refuse(step.error(), "orrery verify", "E0475", "start it again")));
        // Runs that differ only now and then lead the search astray: what it found must hold when asked again.
        const Result<bool> at_step = equal_at(*step);
        const Result<bool> before = *step == 1 ? Result<bool>(true) : equal_at(*step - 1);
        if (!at_step.ok() || !before.ok() || *at_step || !*before) {
            console_.line(fmt::format("          the runs differ only now and then; between step {} and step {} is all that can be said", show_count(range->after),
                                      show_count(range->upto)));
            return;
        }
        console_.line(fmt::format("          first divergent step: {}", show_count(*step)));
        const auto runs = both_until(seed, *step, *step + kStepsBehind, kDivergenceLines);
        if (!runs.ok()) return;
        bisected_ = {{"seed", seed}, {"step", *step}, {"plain", runs->first.record.excerpt}, {"changed", runs->second.record.excerpt}};
        for (const auto& [name, outcome] : {std::pair{"plain surroundings", &runs->first}, std::pair{"changed surroundings", &runs->second}}) {
            console_.line(fmt::format("          events around it, {} ('>': at that step or behind it):", name));
            for (const std::string& line : outcome->record.excerpt) console_.line("          | " + line);
        }
    }

    ExitCode summary(Duration wall) {
        if (first_different_ && arguments_.bisect) bisect();
        const uint64_t done = tally_.equal + tally_.different;
        ExitCode exit = exit_;
        if (tally_.different > 0) exit = worse(exit, ExitCode::NotDeterministic);
        if (tally_.violated > 0) exit = worse(exit, ExitCode::Violated);
        if (tally_.inconclusive > 0) exit = worse(exit, ExitCode::Inconclusive);
        if (done < arguments_.seeds) exit = worse(exit, ExitCode::TryAgain);
        console_.line(fmt::format("{}  {}: {} seed{}, each in two processes: {} equal, {} different",
                                  tally_.different > 0 ? console_.paint(Paint::Bad, "DIFFERS") : console_.paint(Paint::Good, "EQUAL") + "  ", scenario_.name, done,
                                  done == 1 ? "" : "s", tally_.equal, tally_.different));
        console_.line(fmt::format("          {} checkpoints compared, {} steps, {} simulated", show_count(tally_.checkpoints), show_count(tally_.steps), show(tally_.simulated)));
        if (done < arguments_.seeds) console_.line(fmt::format("          stopped: {} of {} seeds were not compared", arguments_.seeds - done, arguments_.seeds));
        if (tally_.violated > 0) console_.line(fmt::format("          {} seeds are not as the scenario expects, first {}", tally_.violated, tally_.first_violation));
        if (tally_.inconclusive > 0) console_.line(fmt::format("          {} seeds are inconclusive, first {}", tally_.inconclusive, tally_.first_inconclusive));
        if (first_different_ && !arguments_.bisect)
            console_.line(fmt::format("          narrow it down: orrery verify {} --first-seed {} --seeds 1 --bisect", arguments_.scenario.file, std::get<0>(*first_different_)));
        Json json = {{"schema", 1}, {"scenario", scenario_.name}, {"seeds", done}, {"equal", tally_.equal}, {"different", tally_.different},
                     {"violated", tally_.violated}, {"inconclusive", tally_.inconclusive}, {"checkpoints", tally_.checkpoints}, {"steps", tally_.steps},
                     {"simulated_ns", tally_.simulated.ns}, {"bisected", bisected_}, {"exit", number_of(exit)}};
        console_.json(json);
        console_.note(fmt::format("{} of wall time", show(wall)));
        return exit;
    }

    const VerifyArguments& arguments_;
    sim::Scenario scenario_;
    Console& console_;
    StopSignals stop_;
    Children children_;
    uint64_t first_seed_ = 0;
    Duration wall_{};
    uint64_t next_ = 0;  // token: 2 k the plain run of seed k, 2 k + 1 the other
    std::map<uint64_t, RunOutcome> waiting_;  // whose partner is not done; at most one more than the jobs
    Tally tally_;
    std::optional<std::tuple<uint64_t, std::optional<StepRange>, bool>> first_different_;
    Json bisected_;
    ExitCode exit_ = ExitCode::Fine;
};

}  // namespace

ExitCode verify_command(const VerifyArguments& arguments, Console& console) {
    std::variant<ScenarioFile, Refusal> loaded = load_scenario_file(arguments.scenario);
    if (const Refusal* refusal = std::get_if<Refusal>(&loaded)) return report(console, *refusal);
    ScenarioFile& file = std::get<ScenarioFile>(loaded);
    for (const std::string& warning : file.warnings) console.note(warning);
    return Verify(arguments, std::move(file.scenario), console).run();
}

}  // namespace orrery::cli
