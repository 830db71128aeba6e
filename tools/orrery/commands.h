// The commands of `orrery`: what each takes, and one function each. The command line is parsed elsewhere (command_line.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/orrery/console.h"
#include "tools/orrery/quantity.h"
#include "tools/orrery/run_directory.h"
#include "tools/orrery/scenario_file.h"

namespace orrery::cli {

struct RunArguments {
    ScenarioRequest scenario;
    std::optional<uint64_t> seed;  // else the scenario's own
    bool trace = false;            // keep the run directory of a passing run too
    std::string out = "runs";
    std::optional<Duration> wall;  // else the scenario's limits.wall
};
ExitCode run_command(const RunArguments& arguments, Console& console);

struct ReplayArguments {
    std::string target;  // run directory or plan file
    std::string until;   // virtual time, "event:N", "violation"; empty: to the end
    std::optional<Duration> wall;
};
ExitCode replay_command(const ReplayArguments& arguments, Console& console);

struct VerifyArguments {
    ScenarioRequest scenario;
    uint64_t seeds = 100;
    std::optional<uint64_t> first_seed;
    bool bisect = false;
    uint64_t jobs = 0;  // 0: as many as processors
    std::optional<Duration> wall;
};
ExitCode verify_command(const VerifyArguments& arguments, Console& console);

struct FuzzArguments {
    std::vector<std::string> scenarios;  // files or directories
    std::vector<std::string> sets;
    std::vector<std::string> defects;
    std::vector<std::string> required;  // probes that some seed must reach, or the campaign is inconclusive
    Budget budget{.wall = Duration::seconds(600)};
    uint64_t jobs = 0;
    Shard shard;
    std::optional<uint64_t> base;
    std::string out = "runs";
    bool resume = false;  // goes on with the campaign whose log is in `out`
    std::string junit;
    std::string jsonl;  // besides the one in `out`; "-" is standard output
    std::optional<Duration> wall;
};
ExitCode fuzz_command(const FuzzArguments& arguments, Console& console);

struct CheckArguments {
    std::string history;
    std::string model;  // empty: by the file's format
};
ExitCode check_command(const CheckArguments& arguments, Console& console);

ExitCode lint_command(const std::vector<std::string>& files, Console& console);
/// `topic`: faults, points, probes, checks, workloads, defects.
ExitCode list_command(const std::string& topic, Console& console);
ExitCode version_command(Console& console);

/// How many processors this process may use.
uint64_t processors();

}  // namespace orrery::cli
