// Runs a world in a child process of its own, since a process runs one world, and brings back what
// tests compare.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/scenario/run.h"

namespace orrery::sim {

struct ChildResult {
    bool died = false;  // aborted, or ended without a word
    check::Outcome outcome = check::Outcome::Inconclusive;
    uint64_t hash = 0;
    uint64_t steps = 0;
    uint64_t ok = 0;
    uint64_t waits = 0;
    uint64_t lists = 0;  // answers of masters that were judged
    uint64_t fired = 0;  // faults that changed something
    uint64_t never_fired = 0;
    uint64_t installs = 0;  // snapshots
    uint64_t restarts = 0;  // groups started beyond the first of each node
    std::string failure;    // name of the first violation
    std::string names;      // of all violations, separated by blanks
    std::string text;
};

ChildResult run_in_child(const Scenario& plan, const RunOptions& options = {});
/// The scenario of a file of this repository. CHECKs that it is free of errors.
Scenario scenario_of_file(const std::string& path);

}  // namespace orrery::sim
