// `orrery fuzz`: seeds of scenarios, one child process each, until the budget is spent.
//
// The parent only schedules and counts. A seed that fails in a new way, or with a smaller plan than known, is run again
// with everything written down; every twentieth is run again in changed surroundings. Both must repeat.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>

#include "sim/scenario/run.h"
#include "sim/scenario/scenario_toml.h"
#include "tools/orrery/campaign.h"
#include "tools/orrery/campaign_log.h"
#include "tools/orrery/capture.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/files.h"
#include "tools/orrery/junit.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

namespace {

constexpr Duration kGrace = Duration::seconds(3);  // after the first stop signal; 5 s are promised for everything
constexpr size_t kMaxDeterminismTexts = 100;

enum class TaskKind : uint8_t { First, Twice, Capture };

struct Task {
    TaskKind kind = TaskKind::First;
    uint64_t k = 0;
    size_t scenario = 0;
    Job job;
    bool twice = false;  // First: to be repeated
    RunOutcome first;    // Twice, Capture: what is repeated
};

class Fuzz {
 public:
    Fuzz(const FuzzArguments& arguments, std::vector<ScenarioFile> scenarios, Console& console)
        : arguments_(arguments), scenarios_(std::move(scenarios)), console_(console), children_(&stop_),
          sequence_(arguments.shard, arguments.budget), build_(this_build()) {
        std::vector<std::string> texts;
        std::vector<std::string> plans;
        for (ScenarioFile& file : scenarios_) {
            texts.push_back(file.file + "\n" + file.text);
            plans.push_back(sim::scenario_to_toml(file.scenario));
            file.scenario.origin.commit = build_.commit;
            file.scenario.origin.found_by = "orrery fuzz";
        }
        base_ = arguments.base.value_or(default_base(build_.commit, texts));
        scenario_hash_ = scenario_set_hash(plans);
        jobs_ = arguments.jobs > 0 ? arguments.jobs : processors();
        log_ = fmt::format("{}/fuzz-{}-of-{}.jsonl", arguments.out, arguments.shard.index, arguments.shard.count);
    }

    ExitCode run() {
        if (const Result<void> made = make_directories(arguments_.out); !made.ok())
            return report(console_, refuse(made.error(), "orrery fuzz", "E0474", "give another directory with --out"));
        bool resumed = false;
        if (arguments_.resume) {
            const std::variant<bool, Refusal> taken = take_up();
            if (const Refusal* refusal = std::get_if<Refusal>(&taken)) return report(console_, *refusal);
            resumed = std::get<bool>(taken);
        }
        began_ = machine_now();
        if (resumed) {
            log({{"type", "resume"}, {"seeds", totals_.seeds}, {"jobs", jobs_}, {"build", to_json(build_)}});
        } else {
            log({{"type", "begin"}, {"schema", 1}, {"base", base_}, {"shard", shard_text()}, {"scenario_hash", scenario_hash_}, {"jobs", jobs_}, {"build", to_json(build_)}});
        }
        console_.note(fmt::format("fuzz {} scenario{}, shard {}/{}, base {}, {} job{}", scenarios_.size(), scenarios_.size() == 1 ? "" : "s",
                                  arguments_.shard.index, arguments_.shard.count, base_, jobs_, jobs_ == 1 ? "" : "s"));
        while (true) {
            fill();
            if (children_.running() == 0 && (over_ || stopped())) break;
            for (ChildEnd& end : children_.wait(machine_now() + Duration::millis(250))) take(std::move(end));
            if (stop_.count() >= 2) {
                children_.kill_all();
                return ExitCode::Interrupted;
            }
            if (stopped() && stopped_at_ == Instant::never()) stopped_at_ = machine_now();
            if (stopped() && machine_now() - stopped_at_ > kGrace) {
                dropped_ += children_.running();
                children_.kill_all();
                break;
            }
            show_progress();
        }
        return summary();
    }

 private:
    bool stopped() { return stop_.count() > 0; }
    /// Wall time of the campaign, with what was used before it was taken up.
    Duration elapsed() const { return machine_now() - began_ + elapsed_before_; }
    std::string shard_text() const { return fmt::format("{}/{}", arguments_.shard.index, arguments_.shard.count); }

    // Whether there was something to go on with.
    std::variant<bool, Refusal> take_up() {
        const std::string to_do = "give the --base, the scenarios with their settings, and the --shard that it was begun with, or another --out";
        auto another = [&](const std::string& what) { return Refusal{ExitCode::Usage, {{log_, "E0408", "this is the log of another campaign: " + what, to_do}}}; };
        Result<Bytes> text = exists(log_) ? read_file(log_) : Result<Bytes>(Bytes());
        if (!text.ok()) return refuse(text.error(), log_, "E0402", "make it readable, or give another --out");
        std::optional<CampaignLog> before = read_campaign_log(*text);
        if (!before) {
            console_.note(fmt::format("nothing to go on with in '{}': the campaign begins", log_));
            if (text->empty()) return false;
            return Refusal{ExitCode::Corrupt, {{log_, "E0465", "no campaign begins in this log", "give another --out, or remove it"}}};
        }
        if (before->scenario_hash != scenario_hash_) return another(fmt::format("its scenarios have the hash {}, these {}", before->scenario_hash, scenario_hash_));
        if (before->shard != shard_text()) return another(fmt::format("it is shard {}, this is {}", before->shard, shard_text()));
        if (arguments_.base && *arguments_.base != before->base) return another(fmt::format("its base is {}, this one's {}", before->base, *arguments_.base));
        if (!arguments_.base && before->build_id != build_.id)
            return Refusal{ExitCode::Usage,
                           {{log_, "E0408", fmt::format("the campaign was begun by another build (commit {}, this is {})", before->commit, build_.commit),
                             fmt::format("go on with that build, or say --base {} to go on with this one", before->base)}}};
        base_ = before->base;
        std::map<std::string, std::string> file_of;
        for (const ScenarioFile& file : scenarios_) file_of[file.scenario.name] = file.file;
        for (const auto& [k, seed] : before->seeds)
            if (k % arguments_.shard.count != arguments_.shard.index || seed.record.seed != campaign_seed(base_, k))
                return another(fmt::format("it has seed {} as number {}", seed.record.seed, k));
        std::map<uint64_t, bool> finished = take_finished(*before, arguments_.shard, file_of, totals_, failures_);
        for (const auto& [k, difference] : before->differences)
            if (finished.contains(k) && determinism_texts_.size() < kMaxDeterminismTexts)
                determinism_texts_.push_back(fmt::format("{} seed {}: {}", before->seeds.at(k).record.scenario, before->seeds.at(k).record.seed, difference));
        console_.note(fmt::format("going on with {} seeds, {} of them failed; {} run again{}", show_count(totals_.seeds), totals_.failed, before->seeds.size() - finished.size(),
                                  before->unreadable > 0 ? fmt::format("; {} lines of the log can not be read", before->unreadable) : ""));
        for (const auto& [k, seed] : before->seeds)
            if (finished.contains(k) && seed.record.outcome == check::Outcome::Inconclusive && first_inconclusive_.empty())
                first_inconclusive_ = fmt::format("{} seed {}: {}", seed.record.scenario, seed.record.seed, seed.record.reason);
        elapsed_before_ = before->elapsed;
        sequence_.leave_out(std::move(finished));
        // A line that a kill or a full disk cut short must not swallow the next one.
        if (!text->ends_with('\n'))
            if (const Result<void> ended = append_to_file(log_, "\n"); !ended.ok()) return refuse(ended.error(), log_, "E0474", "make room, or give another --out");
        return true;
    }

    // Starts what fits. Repetitions go first, so that at most two for each job are ever waiting.
    void fill() {
        while (children_.running() < jobs_ && !stopped()) {
            Task task;
            if (!queue_.empty()) {
                task = std::move(queue_.front());
                queue_.pop_front();
            } else if (!over_) {
                const std::optional<uint64_t> k = sequence_.next(elapsed(), totals_.simulated);
                if (!k) {
                    over_ = true;
                    continue;
                }
                task = first_task(*k);
            } else {
                return;
            }
            const uint64_t token = next_token_++;
            Task& kept = running_.emplace(token, std::move(task)).first->second;
            const Result<void> started = start_job(children_, token, kept.job);
            if (started.ok()) continue;
            queue_.push_front(std::move(kept));
            running_.erase(token);
            if (children_.running() > 0) return;  // one of them makes room
            usleep(100'000);
            if (++refused_starts_ == 50) {
                console_.problem({"orrery fuzz", "E0475", started.error().context, "try again with a smaller --jobs"});
                exit_ = worse(exit_, ExitCode::TryAgain);
                over_ = true;
                queue_.clear();
            }
        }
    }

    Task first_task(uint64_t k) {
        Task task{.kind = TaskKind::First, .k = k, .scenario = campaign_scenario(base_, k, scenarios_.size())};
        task.twice = sequence_.twice();
        task.job.scenario = scenarios_[task.scenario].scenario;
        task.job.scenario.origin.parent_seed = base_ & ((uint64_t{1} << 53) - 1);
        task.job.seed = campaign_seed(base_, k);
        task.job.wall = arguments_.wall.value_or(task.job.scenario.limits.wall);
        return task;
    }

    void take(ChildEnd end) {
        const auto at = running_.find(end.token);
        CHECK(at != running_.end(), end.token);
        Task task = std::move(at->second);
        running_.erase(at);
        RunOutcome outcome = settle(task.job, std::move(end));
        if (!outcome.own_bug.empty()) {
            if (own_bugs_++ == 0) report_own_bug(console_, fmt::format("orrery fuzz, seed {}", task.job.seed), outcome);
            exit_ = worse(exit_, ExitCode::OwnBug);
            if (task.kind == TaskKind::Capture) remove_tree(task.job.capture_dir);
            return;
        }
        switch (task.kind) {
            case TaskKind::First: return take_first(std::move(task), std::move(outcome));
            case TaskKind::Twice:
                ++totals_.determinism_checks;
                compare(task, outcome);
                return log({{"type", "twice"}, {"k", task.k}, {"equal", difference_between(task.first, outcome).empty()}});
            case TaskKind::Capture: return take_capture(task, outcome);
        }
    }

    void take_first(Task task, RunOutcome outcome) {
        const RunRecord& record = outcome.record;
        const ExitCode exit = outcome.exit_code();
        ++totals_.seeds;
        totals_.add(record);
        if (exit == ExitCode::Fine) ++totals_.passed;
        else if (exit == ExitCode::Inconclusive) ++totals_.inconclusive;
        else ++totals_.failed;
        const std::string_view verdict = exit == ExitCode::Fine ? "pass" : exit == ExitCode::Inconclusive ? "inconclusive" : "fail";
        if (exit == ExitCode::Inconclusive && first_inconclusive_.empty())
            first_inconclusive_ = fmt::format("{} seed {}: {}", record.scenario, record.seed, record.reason);
        log(seed_line(task.k, record, verdict, outcome.plan.size(), outcome.wall, elapsed()));
        if (task.twice) {
            Task again{.kind = TaskKind::Twice, .k = task.k, .scenario = task.scenario, .job = task.job, .first = outcome};
            again.job.surroundings = Surroundings::Changed;
            queue_.push_back(std::move(again));
        }
        if (exit == ExitCode::Violated && failures_.add(scenarios_[task.scenario].file, record, outcome.plan.size())) {
            Task again{.kind = TaskKind::Capture, .k = task.k, .scenario = task.scenario, .job = task.job, .first = std::move(outcome)};
            Result<std::string> staging = make_staging(arguments_.out, again.job.scenario.name, again.job.seed);
            if (!staging.ok()) return say_unwritable(staging.error());
            again.job.capture_dir = std::move(*staging);
            queue_.push_back(std::move(again));
        }
    }

    void take_capture(const Task& task, const RunOutcome& outcome) {
        const Result<std::string> place = save_run(arguments_.out, task.job.capture_dir, outcome, build_);
        if (place.ok()) failures_.set_place(outcome.record.scenario, outcome.record.seed, *place);
        else say_unwritable(place.error());
        compare(task, outcome);
        const RunRecord& record = task.first.record;
        const std::string replay = place.ok() ? "orrery replay " + *place
                                              : fmt::format("orrery run {} --seed {}", scenarios_[task.scenario].file, record.seed);
        console_.line(fmt::format("{}  seed {}", console_.paint(Paint::Strong, record.scenario), record.seed));
        for (const std::string& line : verdict_lines(console_, task.first, replay)) console_.line(line);
        Json line = {{"type", "failure"}, {"k", task.k}, {"scenario", record.scenario}, {"seed", record.seed}, {"signature", record.signature()},
                     {"text", record.findings.empty() ? "" : record.findings.front().text}, {"events", record.planned_events}, {"replay", replay}, {"place", place.ok() ? *place : ""}};
        log(line);
    }

    void compare(const Task& task, const RunOutcome& again) {
        const std::string difference = difference_between(task.first, again);
        if (difference.empty()) return;
        ++totals_.determinism_failures;
        const std::string text = fmt::format("{} seed {}: {}", task.job.scenario.name, task.job.seed, difference);
        if (determinism_texts_.size() < kMaxDeterminismTexts) determinism_texts_.push_back(text);
        console_.line(fmt::format("{}  {}", console_.paint(Paint::Bad, "DIFFERS"), text));
        console_.line(fmt::format("          narrow it down: orrery verify {} --first-seed {} --seeds 1 --bisect", scenarios_[task.scenario].file, task.job.seed));
        log({{"type", "determinism"}, {"k", task.k}, {"scenario", task.job.scenario.name}, {"seed", task.job.seed}, {"difference", difference}});
    }

    void say_unwritable(const Error& error) {
        if (unwritable_++ == 0) console_.problem({"orrery fuzz", "E0474", error.context, "make room, or give another directory with --out"});
        exit_ = worse(exit_, ExitCode::Io);
    }

    // One write(2) of a whole line each, so that shards may share a file system and kill -9 loses no finished seed.
    void log(const Json& line) {
        const std::string text = json_text(line) + "\n";
        for (const std::string& path : {log_, arguments_.jsonl})
            if (!path.empty())
                if (const Result<void> written = append_to_file(path, text); !written.ok()) say_unwritable(written.error());
        if (console_.jsonl()) console_.json_line(line);
    }

    void show_progress() {
        const Duration elapsed = this->elapsed();
        std::string budget = arguments_.budget.wall.ns > 0 ? "/" + show(arguments_.budget.wall) : "";
        console_.progress(fmt::format("fuzz {}{}  {} seeds  {:.1f}/s  {} failed ({} distinct)  determinism {}/{}", show(elapsed), budget,
                                      show_count(totals_.seeds), static_cast<double>(totals_.seeds) / std::max(elapsed.as_seconds(), 1e-3),
                                      totals_.failed, failures_.size(), totals_.determinism_checks - totals_.determinism_failures,
                                      totals_.determinism_checks));
    }

    ExitCode summary() {
        for (const auto& [token, task] : running_)
            if (task.kind == TaskKind::Capture) remove_tree(task.job.capture_dir);
        for (const Task& task : queue_)
            if (task.kind == TaskKind::Capture) remove_tree(task.job.capture_dir);
        rmdir((arguments_.out + "/.staging").c_str());  // goes when no other shard uses it

        CampaignReport report{.totals = totals_, .failures = failures_.list(), .determinism_failures = determinism_texts_, .wall = elapsed()};
        for (const ScenarioFile& file : scenarios_) report.scenarios.push_back(file.scenario.name);
        ExitCode exit = exit_;
        if (totals_.determinism_failures > 0) exit = worse(exit, ExitCode::NotDeterministic);
        if (totals_.failed > 0) exit = worse(exit, ExitCode::Violated);
        if (totals_.inconclusive > 0) exit = worse(exit, ExitCode::Inconclusive);
        for (const std::string& name : arguments_.required)
            if (!totals_.probes.contains(name)) unreached_.push_back(name);
        if (!unreached_.empty()) exit = worse(exit, ExitCode::Inconclusive);
        if (totals_.seeds == 0) exit = worse(exit, stopped() ? ExitCode::TryAgain : ExitCode::Inconclusive);
        if (!arguments_.junit.empty())
            if (const Result<void> written = write_file(arguments_.junit, junit_xml(report)); !written.ok()) {
                say_unwritable(written.error());
                exit = worse(exit, exit_);
            }
        show_summary(report, exit);
        return exit;
    }

    void show_summary(const CampaignReport& report, ExitCode exit) {
        const double seconds = std::max(report.wall.as_seconds(), 1e-3);
        const double seeds_rate = static_cast<double>(totals_.seeds) / seconds, simulated_rate = totals_.simulated.as_seconds() / seconds;
        uint64_t fired = 0;
        for (const auto& [name, count] : totals_.faults_fired) fired += count;
        const uint64_t last_k = sequence_.taken() == 0 ? 0 : arguments_.shard.index + (sequence_.taken() - 1) * arguments_.shard.count;
        const std::string title = exit == ExitCode::Fine ? console_.paint(Paint::Good, "PASS") + "      "
                                  : exit == ExitCode::Violated || exit == ExitCode::NotDeterministic ? console_.paint(Paint::Bad, "FAIL") + "      "
                                                                                                     : console_.paint(Paint::Doubt, "UNCLEAR") + "   ";
        console_.line(fmt::format("{}{} seeds in {}: {:.1f} seeds/s, {:.0f} simulated seconds per second, {} job{}", title, show_count(totals_.seeds),
                                  show(report.wall), seeds_rate, simulated_rate, jobs_, jobs_ == 1 ? "" : "s"));
        console_.line(fmt::format("          base {}, shard {}/{}, k = {}..{} step {}", base_, arguments_.shard.index, arguments_.shard.count,
                                  arguments_.shard.index, last_k, arguments_.shard.count));
        console_.line(fmt::format("          {} passed, {} failed ({} distinct), {} inconclusive", show_count(totals_.passed), totals_.failed,
                                  failures_.size(), totals_.inconclusive));
        console_.line(fmt::format("          determinism: {} of {} seeds that were run twice gave the same hash",
                                  totals_.determinism_checks - std::min(totals_.determinism_failures, totals_.determinism_checks), totals_.determinism_checks));
        console_.line(fmt::format("          faults fired {}: {}", show_count(fired), show_counts(totals_.faults_fired)));
        if (console_.verbose()) console_.line("          probes: " + show_counts(totals_.probes));
        for (const std::string& name : unreached_) console_.line("          no seed reached the probe " + name);
        if (!first_inconclusive_.empty()) console_.line("          inconclusive, first: " + first_inconclusive_);
        if (dropped_ > 0) console_.line(fmt::format("          stopped by a signal: {} seeds under way were dropped", dropped_));
        if (failures_.not_kept() > 0)
            console_.line(fmt::format("          {} failures beyond the first {} kinds were only counted", failures_.not_kept(), KnownFailures::kMax));
        Json kinds = Json::array();
        for (const KnownFailure* failure : report.failures) {
            const std::string replay = failure->place.empty() ? fmt::format("orrery run {} --seed {}", failure->file, failure->seed) : "orrery replay " + failure->place;
            console_.line(fmt::format("          {} x {}: {}", failure->count, failure->finding.signature, replay));
            kinds.push_back({{"signature", failure->finding.signature}, {"property", failure->finding.property}, {"text", failure->finding.text},
                             {"scenario", failure->scenario}, {"seed", failure->seed}, {"count", failure->count}, {"events", failure->events}, {"replay", replay}});
        }
        const Json json = {{"type", "summary"}, {"schema", 1}, {"seeds", totals_.seeds}, {"passed", totals_.passed}, {"failed", totals_.failed},
                           {"inconclusive", totals_.inconclusive}, {"distinct", failures_.size()}, {"failures", std::move(kinds)},
                           {"determinism_checks", totals_.determinism_checks}, {"determinism_failures", totals_.determinism_failures},
                           {"base", base_}, {"wall_ns", report.wall.ns}, {"simulated_ns", totals_.simulated.ns}, {"seeds_per_second", seeds_rate},
                           {"simulated_seconds_per_second", simulated_rate}, {"operations", totals_.operations}, {"steps", totals_.steps},
                           {"faults_fired", totals_.faults_fired}, {"probes", totals_.probes}, {"unreached", unreached_}, {"dropped", dropped_}, {"exit", number_of(exit)}};
        log(json);
        if (!console_.jsonl()) console_.json(json);
    }

    const FuzzArguments& arguments_;
    std::vector<ScenarioFile> scenarios_;
    Console& console_;
    StopSignals stop_;
    Children children_;
    SeedSequence sequence_;
    BuildInfo build_;
    uint64_t base_ = 0;
    uint64_t jobs_ = 1;
    std::string log_;
    Instant began_{};
    Duration elapsed_before_{};
    std::string scenario_hash_;
    Instant stopped_at_ = Instant::never();
    bool over_ = false;  // no further seeds
    uint64_t next_token_ = 1;
    std::map<uint64_t, Task> running_;
    std::deque<Task> queue_;
    CampaignTotals totals_;
    KnownFailures failures_;
    std::vector<std::string> determinism_texts_;
    std::string first_inconclusive_;
    std::vector<std::string> unreached_;  // of the required probes
    uint64_t own_bugs_ = 0, unwritable_ = 0, dropped_ = 0, refused_starts_ = 0;
    ExitCode exit_ = ExitCode::Fine;
};

}  // namespace

ExitCode fuzz_command(const FuzzArguments& arguments, Console& console) {
    for (const std::string& name : arguments.required) {
        const std::vector<sim::NamedText> probes = sim::list_probes();
        if (std::ranges::none_of(probes, [&](const sim::NamedText& probe) { return probe.name == name; }))
            return report(console, refuse(Error(Code::NotFound, "there is no probe '" + name + "'"), "orrery fuzz", "E0409", "`orrery list probes` names them all"));
    }
    std::variant<std::vector<std::string>, Refusal> files = scenario_files(arguments.scenarios, "orrery fuzz");
    if (const Refusal* refusal = std::get_if<Refusal>(&files)) return report(console, *refusal);
    std::vector<ScenarioFile> scenarios;
    ExitCode exit = ExitCode::Fine;
    for (const std::string& file : std::get<0>(files)) {
        std::variant<ScenarioFile, Refusal> loaded = load_scenario_file({file, arguments.sets, arguments.defects});
        if (const Refusal* refusal = std::get_if<Refusal>(&loaded)) {
            exit = worse(exit, report(console, *refusal));
            continue;
        }
        for (const std::string& warning : std::get<ScenarioFile>(loaded).warnings) console.note(warning);
        scenarios.push_back(std::move(std::get<ScenarioFile>(loaded)));
    }
    if (exit != ExitCode::Fine) return exit;
    return Fuzz(arguments, std::move(scenarios), console).run();
}

}  // namespace orrery::cli
