// A run as people read it: shared by run, replay and fuzz.
#pragma once

#include <string>
#include <vector>

#include "tools/orrery/console.h"
#include "tools/orrery/job.h"

namespace orrery::cli {

/// "kv-crash  seed 42  3 kv nodes, 3 clients".
std::string headline(const Console& console, const sim::Scenario& scenario, uint64_t seed);
/// The verdict with its values, two to a dozen lines. `replay` may be empty.
std::vector<std::string> verdict_lines(const Console& console, const RunOutcome& outcome, const std::string& replay);
/// "proc.crash 3, net.partition 2".
std::string show_counts(const std::map<std::string, uint64_t>& counts);
/// Says that something of ours went wrong, on standard error.
void report_own_bug(Console& console, const std::string& where, const RunOutcome& outcome);
ExitCode report(Console& console, const Refusal& refusal);

}  // namespace orrery::cli
