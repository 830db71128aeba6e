#include "tools/orrery/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "tools/orrery/commands.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

namespace {

// A word with a unit, checked while the command line is read, so that all of it is refused in the same way.
template <typename Value, typename Parse>
CLI::Option* add_word(CLI::App& app, const std::string& names, Value& into, Parse parse, const std::string& text) {
    return app.add_option_function<std::string>(
        names,
        [&into, parse, names](const std::string& word) {
            auto value = parse(word);
            if (!value.ok()) throw CLI::ValidationError(names.substr(0, names.find(',')), value.error().context);
            into = *value;
        },
        text);
}

Result<uint64_t> parse_count(std::string_view text) {
    const Result<uint64_t> count = parse_number(text);
    if (!count.ok() || *count == 0) return Error(Code::Invalid, fmt::format("'{}' is no number above 0", text));
    return count;
}

Result<uint64_t> parse_jobs(std::string_view text) {
    if (text == "auto") return uint64_t{0};
    const Result<uint64_t> jobs = parse_number(text);
    if (!jobs.ok() || *jobs == 0 || *jobs > 1024) return Error(Code::Invalid, fmt::format("'{}' is neither 'auto' nor a number from 1 to 1024", text));
    return jobs;
}

template <typename Enum>
void add_choice(CLI::App& app, const std::string& names, Enum& into, const std::map<std::string, Enum>& choices, const std::string& text) {
    std::string words;
    for (const auto& [word, value] : choices) words += (words.empty() ? "" : ", ") + word;
    app.add_option_function<std::string>(
           names,
           [&into, choices, names, words](const std::string& word) {
               const auto choice = choices.find(word);
               if (choice == choices.end())
                   throw CLI::ValidationError(names.substr(0, names.find(',')), fmt::format("'{}' is none of: {}", word, words));
               into = choice->second;
           },
           text)
        ->type_name("WORD");
}

class CommandLine {
 public:
    CommandLine() : app_("orrery: deterministic simulation of the storage system, one seed a run", "orrery") {
        app_.fallthrough();
        app_.get_formatter()->column_width(34);
        app_.footer(
            "Exit codes: 0 fine, 1 a property was violated, 2 usage or scenario error, 3 inconclusive, 4 the same seed gave a\n"
            "different hash, 65 a recorded file is damaged, 69 timed out, 70 our own bug, 74 I/O error, 75 try again later.\n"
            "First steps: orrery run scenarios/swarm/kv-default.toml --seed 7      orrery fuzz --budget 30s");
        add_choice(app_, "-o,--output", globals_.output, {{"text", OutputForm::Text}, {"json", OutputForm::Json}, {"jsonl", OutputForm::Jsonl}},
                   "form of the result: text, json, jsonl");
        add_choice(app_, "--color", globals_.color, {{"auto", ColorChoice::Auto}, {"always", ColorChoice::Always}, {"never", ColorChoice::Never}},
                   "auto (default; NO_COLOR is obeyed), always, never");
        add_choice(app_, "--progress", globals_.progress,
                   {{"auto", ProgressForm::Auto}, {"tty", ProgressForm::Tty}, {"plain", ProgressForm::Plain}, {"none", ProgressForm::None}},
                   "on standard error: auto (default), tty, plain, none");
        app_.add_flag_callback("-q,--quiet", [this] { globals_.verbosity = Verbosity::Quiet; }, "results and errors only");
        app_.add_flag_callback("-v,--verbose", [this] { globals_.verbosity = Verbosity::Verbose; }, "events that never fired, probes, last events");
        app_.add_flag("--version", version_, "version, commit and build");
        add_run();
        add_replay();
        add_verify();
        add_fuzz();
        add_check();
        add_lint();
        add_list();
    }

    int run(int argc, char** argv) {
        try {
            app_.parse(argc, argv);
        } catch (const CLI::CallForHelp&) {
            const CLI::App* shown = chosen() != nullptr ? chosen() : &app_;
            std::fputs(shown->help(shown == &app_ ? "" : "orrery", CLI::AppFormatMode::Normal).c_str(), stdout);
            return std::fflush(stdout) == 0 ? 0 : number_of(ExitCode::Io);
        } catch (const CLI::ParseError& error) {
            return refuse_line(error);
        }
        Console console(globals_);
        if (version_) return end(console, version_command(console));
        if (chosen() == nullptr) {
            console.problem({"orrery", "E0401", "no command is given", "see 'orrery --help'"});
            return number_of(ExitCode::Usage);
        }
        return end(console, command_(console));
    }

 private:
    CLI::App* chosen() {
        const std::vector<CLI::App*> found = app_.get_subcommands();
        return found.empty() ? nullptr : found.front();
    }

    int end(Console& console, ExitCode exit) {
        if (!console.finish()) {
            console.problem({"orrery", "E0474", "standard output can not be written", "make room, or send it elsewhere"});
            exit = worse(exit, ExitCode::Io);
        }
        return number_of(exit);
    }

    // CLI11's own codes, 100 to 127, all mean the same to a caller.
    int refuse_line(const CLI::ParseError& error) {
        Console console(globals_);
        const CLI::App* at = chosen() != nullptr ? chosen() : &app_;
        const std::string where = at == &app_ ? "orrery" : "orrery " + at->get_name();
        std::string what = error.what();
        std::string to_do = fmt::format("see '{} --help'", where);
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
            const std::vector<std::string> extras = app_.remaining(true);
            if (!extras.empty()) {
                // The first option is the mistake; what follows it may be its value.
                const auto first_option = std::find_if(extras.begin(), extras.end(), [](const std::string& extra) { return extra.starts_with("-"); });
                const std::string& extra = first_option == extras.end() ? extras.front() : *first_option;
                const std::string word = extra.substr(0, extra.find('='));
                const bool option = word.starts_with("-");
                std::vector<std::string> known;
                if (option) {
                    for (const CLI::App* app : {at, static_cast<const CLI::App*>(&app_)})
                        for (const CLI::Option* candidate : app->get_options())
                            for (const std::string& name : candidate->get_lnames()) known.push_back("--" + name);
                } else if (at == &app_) {
                    for (const CLI::App* command : app_.get_subcommands(nullptr)) known.push_back(command->get_name());
                }
                what = fmt::format("{} '{}'", option ? "unknown option" : at == &app_ ? "unknown command" : "unexpected argument", word);
                if (const std::string_view near = nearest(word, known); !near.empty()) to_do = fmt::format("did you mean '{}'? {}", near, to_do);
            }
        }
        for (char& c : what)
            if (c == '\n') c = ' ';
        console.problem({where, "E0401", what, to_do});
        return number_of(ExitCode::Usage);
    }

    CLI::App& add_command(const std::string& name, const std::string& text) {
        CLI::App* command = app_.add_subcommand(name, text);
        command->footer("");
        app_.require_subcommand(0, 1);
        return *command;
    }

    void add_scenario(CLI::App& command, ScenarioRequest& request) {
        command.add_option("SCENARIO", request.file, "scenario file (TOML)")->required()->type_name("");
        command.add_option("--set", request.sets, "sets a key of the scenario, e.g. workload.clients=5; may be repeated")->type_name("K=V")->allow_extra_args(false);
        command.add_option("--defect", request.defects, "turns a seeded defect on; may be repeated (orrery list defects)")->type_name("NAME")->allow_extra_args(false);
    }

    template <typename Into>
    void add_wall(CLI::App& command, Into& into) {
        add_word(command, "--wall", into, parse_duration, "limit of wall time for one run, e.g. 60s (default: the scenario's)")->type_name("TIME");
    }

    void add_run() {
        CLI::App& command = add_command("run", "one simulation of a scenario");
        add_scenario(command, run_.scenario);
        add_word(command, "--seed", run_.seed, parse_number, "seed (default: the scenario's)")->type_name("S");
        command.add_flag("--trace", run_.trace, "keeps the run directory of a passing run too");
        command.add_option("--out", run_.out, "where run directories go (default: runs)")->type_name("DIR");
        add_wall(command, run_.wall);
        command.callback([this] { command_ = [this](Console& console) { return run_command(run_, console); }; });
    }

    void add_replay() {
        CLI::App& command = add_command("replay", "a recorded run or a plan once more: same build, equal hashes; else the same failure");
        command.add_option("TARGET", replay_.target, "run directory, or plan file (TOML)")->required()->type_name("RUNDIR|PLAN");
        command.add_option("--until", replay_.until, "stops there and shows the last events: 3.2s, event:1200, violation")->type_name("WHERE");
        add_wall(command, replay_.wall);
        command.footer(
            "Exit codes: 1 it still fails, 0 it does not (or --until was reached), 3 the plan no longer applies, 4 the same build\n"
            "gave other hashes.");
        command.callback([this] { command_ = [this](Console& console) { return replay_command(replay_, console); }; });
    }

    void add_verify() {
        CLI::App& command = add_command("verify", "every seed in two processes, in different surroundings: equal hashes wanted");
        add_scenario(command, verify_.scenario);
        add_word(command, "--seeds", verify_.seeds, parse_count, "how many (default: 100)")->type_name("N");
        add_word(command, "--first-seed", verify_.first_seed, parse_number, "the others follow (default: the scenario's)")->type_name("S");
        command.add_flag("--bisect", verify_.bisect, "narrows the first difference to a step and shows the events of both runs");
        add_word(command, "--jobs", verify_.jobs, parse_jobs, "processes at a time (default: auto)")->type_name("N|auto");
        add_wall(command, verify_.wall);
        command.callback([this] { command_ = [this](Console& console) { return verify_command(verify_, console); }; });
    }

    void add_fuzz() {
        CLI::App& command = add_command("fuzz", "seeds of scenarios until the budget is spent");
        command.add_option("SCENARIO", fuzz_.scenarios, "files or directories (default: scenarios/swarm)")->type_name("...");
        add_word(command, "--budget", fuzz_.budget, parse_budget, "10m (default), 1000seeds, 50h-simulated, or several with commas: whichever is first")->type_name("BUDGET");
        add_word(command, "--jobs", fuzz_.jobs, parse_jobs, "processes at a time (default: auto)")->type_name("N|auto");
        add_word(command, "--shard", fuzz_.shard, parse_shard, "takes the seeds k with k mod N = I (default: 0/1)")->type_name("I/N");
        add_word(command, "--base", fuzz_.base, parse_number, "base of the seeds (default: from commit and scenarios)")->type_name("B");
        command.add_option("--out", fuzz_.out, "where run directories and the log go (default: runs)")->type_name("DIR");
        command.add_flag("--resume", fuzz_.resume, "goes on with the campaign whose log is in --out: the same base, scenarios and shard");
        command.add_option("--junit", fuzz_.junit, "writes JUnit XML there")->type_name("F");
        command.add_option("--jsonl", fuzz_.jsonl, "appends a line for every seed and failure; - is standard output")->type_name("F");
        command.add_option("--set", fuzz_.sets, "sets a key of every scenario; may be repeated")->type_name("K=V")->allow_extra_args(false);
        command.add_option("--defect", fuzz_.defects, "turns a seeded defect on; may be repeated")->type_name("NAME")->allow_extra_args(false);
        command.add_option("--require", fuzz_.required, "ends with 3 if no seed reached that probe; may be repeated (see `orrery list probes`)")->type_name("NAME")->allow_extra_args(false);
        add_wall(command, fuzz_.wall);
        command.footer(
            "Every 20th seed runs twice, in different surroundings. SIGTERM and SIGINT: what runs is finished or dropped within\n"
            "5 s, everything is written, and the exit code is by what was found. --resume goes on after them, and after kill -9:\n"
            "seeds that were under way run again, and budget, sums and exit code are those of the whole campaign.");
        command.callback([this] {
            if (fuzz_.jsonl == "-") globals_.output = OutputForm::Jsonl, fuzz_.jsonl.clear();
            command_ = [this](Console& console) { return fuzz_command(fuzz_, console); };
        });
    }

    void add_check() {
        CLI::App& command = add_command("check", "the checkers of histories on a recorded one");
        command.add_option("HISTORY", check_.history, "file, or - for standard input")->required()->type_name("");
        command.add_option("--model", check_.model, "register, kv, append, counter, list or txn (default: by the file's format)")->type_name("MODEL")->check(CLI::IsMember({"register", "kv", "append", "counter", "list", "txn"}));
        command.footer("Formats, told apart by the first line: jsonl (one operation a line), jepsen (log lines), kv (EDN maps).\n"
                       "Models: register, kv and append are searched key by key; counter (get, incr), list (get, append of texts that\n"
                       "differ) and txn (both, and transactions of them: strict serializability) take near-linear time.\n"
                       "Exit codes: 0 linearizable, 1 not, 3 the checker gave up, 2 the file is not understood.");
        command.callback([this] { command_ = [this](Console& console) { return check_command(check_, console); }; });
    }

    void add_lint() {
        CLI::App& command = add_command("lint", "every problem of scenario files, with line and column");
        command.add_option("FILE", lint_files_, "scenario files")->required()->type_name("...");
        command.callback([this] { command_ = [this](Console& console) { return lint_command(lint_files_, console); }; });
    }

    void add_list() {
        CLI::App& command = add_command("list", "what a scenario or a campaign can name: faults, points, probes, checks, workloads, defects");
        command.add_option("TOPIC", topic_, "faults, points, probes, checks, workloads or defects")
            ->required()
            ->type_name("")
            ->check(CLI::IsMember({"faults", "points", "probes", "checks", "workloads", "defects"}));
        command.callback([this] { command_ = [this](Console& console) { return list_command(topic_, console); }; });
    }

    CLI::App app_;
    Globals globals_;
    bool version_ = false;
    std::function<ExitCode(Console&)> command_;
    RunArguments run_;
    ReplayArguments replay_;
    VerifyArguments verify_;
    FuzzArguments fuzz_;
    CheckArguments check_;
    std::vector<std::string> lint_files_;
    std::string topic_;
};

}  // namespace

int run_program(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == kRequestArgument) return serve_request();
    return CommandLine().run(argc, argv);
}

}  // namespace orrery::cli
