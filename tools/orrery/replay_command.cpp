// `orrery replay`: a recorded run again. The same build must give the same hashes; another build only the same failure.
#include <fmt/format.h>

#include <algorithm>

#include "sim/scenario/scenario_toml.h"
#include "tools/orrery/capture.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/divergence.h"
#include "tools/orrery/files.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

namespace {

constexpr uint32_t kExcerptLines = 40;

struct Target {
    sim::Scenario plan;
    std::optional<SavedRun> saved;  // absent for a plan file
};

std::variant<Target, Refusal> load_target(const std::string& path) {
    Target target;
    std::string file = path, text;
    if (is_directory(path)) {
        Result<SavedRun> saved = load_run(path);
        if (!saved.ok()) return refuse(saved.error(), path, saved.failed_with(Code::Corrupt) ? "E0465" : "E0402", "give a directory that 'orrery run' or 'orrery fuzz' wrote, or a plan file");
        file = path + "/plan.toml";
        text = saved->plan;
        target.saved = std::move(*saved);
    } else {
        Result<Bytes> read = read_file(path, 16u << 20);
        if (!read.ok()) return refuse(read.error(), path, "E0402", "give a run directory or a plan file");
        text = std::move(*read);
    }
    sim::Loaded loaded = sim::load_scenario(text, file);
    if (!loaded.ok()) {
        Refusal refusal{target.saved ? ExitCode::Corrupt : ExitCode::Usage, {}};
        for (const sim::Problem& problem : loaded.problems)
            if (problem.error) refusal.messages.push_back({problem.where, problem.code, problem.text, {}});
        return refusal;
    }
    if (!loaded.scenario.is_plan())
        return Refusal{ExitCode::Usage,
                       {{file, "E0407", "this scenario has a [swarm] table, so it is not a plan yet",
                         fmt::format("run it with 'orrery run {} --seed S'; what fails is kept as a plan", file)}}};
    target.plan = std::move(loaded.scenario);
    return target;
}

std::optional<Refusal> apply_until(const std::string& until, Job& job) {
    if (until.empty()) return std::nullopt;
    job.excerpt_lines = kExcerptLines;
    if (until == "violation") {
        job.stop_at_violation = true;
        return std::nullopt;
    }
    constexpr std::string_view kEvent = "event:";
    if (until.starts_with(kEvent)) {
        const Result<uint64_t> number = parse_number(std::string_view(until).substr(kEvent.size()));
        if (number.ok() && *number > 0) return job.until_event = *number, std::nullopt;
    } else if (const Result<Duration> at = parse_duration(until); at.ok()) {
        return job.until = Instant{} + *at, std::nullopt;
    }
    return Refusal{ExitCode::Usage,
                   {{"--until " + until, "E0403", "this is neither a virtual time, an event nor 'violation'",
                     "write e.g. --until 3.2s, --until event:1200 or --until violation"}}};
}

// Of a run that was stopped: only what both have can be compared.
std::string prefix_difference(const RunRecord& recorded, const RunRecord& now) {
    const size_t common = std::min(recorded.checkpoints.size(), now.checkpoints.size());
    for (size_t i = 0; i < common; ++i)
        if (recorded.checkpoints[i] != now.checkpoints[i])
            return fmt::format("the hash differs first between step {} and step {}", show_count(i * 4096), show_count((i + 1) * 4096));
    return {};
}

class Replay {
 public:
    Replay(const ReplayArguments& arguments, Target target, Console& console)
        : arguments_(arguments), target_(std::move(target)), console_(console), build_(this_build()) {
        same_build_ = target_.saved && target_.saved->build.same_build(build_);
    }

    ExitCode run(const Job& job) {
        StopSignals stop;
        Result<RunOutcome> outcome = run_job(job, &stop);
        if (!outcome.ok()) return report(console_, refuse(outcome.error(), "orrery replay", "E0475", "start it again"));
        if (!outcome->own_bug.empty()) return report_own_bug(console_, "orrery replay", *outcome), ExitCode::OwnBug;
        console_.line(headline(console_, target_.plan, job.seed));
        say_build();
        std::string conclusion;
        const ExitCode exit = arguments_.until.empty() ? judge_whole(*outcome, conclusion) : judge_part(*outcome, conclusion);
        for (const std::string& line : outcome->record.excerpt) console_.line(line);
        // Of a run cut short there is no verdict, only a place.
        const bool cut_short = outcome->record.stopped_early && outcome->record.outcome == check::Outcome::Inconclusive;
        if (!cut_short)
            for (const std::string& line : verdict_lines(console_, *outcome, "")) console_.line(line);
        console_.line(conclusion);
        Json json = to_json(outcome->record);
        json["same_build"] = same_build_;
        json["conclusion"] = conclusion;
        json["exit"] = number_of(exit);
        if (!arguments_.until.empty()) json["excerpt"] = outcome->record.excerpt;
        console_.json(json);
        return exit;
    }

 private:
    void say_build() {
        if (!target_.saved) {
            console_.note("a plan without a record: only the failure's signature is compared");
        } else if (!same_build_) {
            const BuildInfo& other = target_.saved->build;
            console_.note(fmt::format("recorded by another build (commit {}, build {:.12}; this is commit {}, build {:.12}): hashes are not compared",
                                      other.commit, other.id, build_.commit, build_.id));
            if (other.rocksdb_version != build_.rocksdb_version || other.rocksdb_option_hash != build_.rocksdb_option_hash)
                console_.note(fmt::format("and with another RocksDB ({} options {}; this has {} options {})", other.rocksdb_version,
                                          show_hash(other.rocksdb_option_hash), build_.rocksdb_version, show_hash(build_.rocksdb_option_hash)));
        }
    }

    ExitCode judge_whole(const RunOutcome& outcome, std::string& conclusion) {
        if (!same_build_) return judge_signature(outcome, conclusion);
        const RunOutcome recorded{.record = target_.saved->record, .came_to_end = target_.saved->came_to_end};
        const std::string difference = difference_between(recorded, outcome);
        if (!difference.empty()) {
            conclusion = "the replay differs from the record: " + difference;
            return ExitCode::NotDeterministic;
        }
        conclusion = outcome.came_to_end ? fmt::format("the same run: hash equal at the end and at all {} checkpoints", recorded.record.checkpoints.size())
                                         : "the same end";
        return outcome.exit_code();
    }

    ExitCode judge_signature(const RunOutcome& outcome, std::string& conclusion) {
        const RunRecord& record = outcome.record;
        const std::string wanted = target_.saved ? target_.saved->record.signature() : target_.plan.expect.signature;
        if (record.outcome == check::Outcome::Violated) {
            const bool same = wanted.empty() || std::any_of(record.findings.begin(), record.findings.end(),
                                                            [&](const Finding& finding) { return finding.signature == wanted; });
            conclusion = same ? "it still fails" : fmt::format("it fails, but otherwise than recorded ('{}')", wanted);
            return ExitCode::Violated;
        }
        // Triggers that fired when it was recorded and do so no more. A plan file does not say which did: all count.
        std::vector<std::string> lost;
        for (const std::string& event : record.not_fired) {
            const std::vector<std::string> before = target_.saved ? target_.saved->record.not_fired : std::vector<std::string>{};
            if (std::find(before.begin(), before.end(), event) == before.end()) lost.push_back(event);
        }
        if (!lost.empty()) {
            conclusion = fmt::format("the plan no longer applies: never fired: {}", fmt::join(lost, ", "));
            return ExitCode::Inconclusive;
        }
        if (record.outcome == check::Outcome::Inconclusive) {
            conclusion = "inconclusive: " + record.reason;
            return ExitCode::Inconclusive;
        }
        conclusion = wanted.empty() ? "no property was violated" : "the failure is gone";
        return ExitCode::Fine;
    }

    ExitCode judge_part(const RunOutcome& outcome, std::string& conclusion) {
        const RunRecord& record = outcome.record;
        if (same_build_ && outcome.came_to_end) {
            const std::string difference = prefix_difference(target_.saved->record, record);
            if (!difference.empty()) {
                conclusion = "the replay differs from the record: " + difference;
                return ExitCode::NotDeterministic;
            }
        }
        if (!outcome.came_to_end || (arguments_.until == "violation" && record.outcome == check::Outcome::Violated)) {
            conclusion = "stopped at the violation";
            return ExitCode::Violated;
        }
        if (!record.stopped_early) {
            conclusion = fmt::format("'{}' was not reached: the run was over after {} steps, {}", arguments_.until, show_count(record.steps),
                                     show_exact(Instant{} + record.simulated));
            return ExitCode::Violated;
        }
        conclusion = fmt::format("stopped at step {}, {} of simulated time", show_count(record.steps), show_exact(Instant{} + record.simulated));
        return ExitCode::Fine;
    }

    const ReplayArguments& arguments_;
    Target target_;
    Console& console_;
    BuildInfo build_;
    bool same_build_ = false;
};

}  // namespace

ExitCode replay_command(const ReplayArguments& arguments, Console& console) {
    std::variant<Target, Refusal> loaded = load_target(arguments.target);
    if (const Refusal* refusal = std::get_if<Refusal>(&loaded)) return report(console, *refusal);
    Target& target = std::get<Target>(loaded);
    Job job{.scenario = target.plan, .seed = target.plan.seed};
    job.wall = arguments.wall.value_or(job.scenario.limits.wall);
    if (std::optional<Refusal> refusal = apply_until(arguments.until, job)) return report(console, *refusal);
    return Replay(arguments, std::move(target), console).run(job);
}

}  // namespace orrery::cli
