// Repeats a run with everything written down, and keeps its directory.
#pragma once

#include "tools/orrery/run_directory.h"

namespace orrery::cli {

/// What differs between two runs of one job, as a sentence; empty when nothing does. `a` and `b` came to their ends or did
/// not; of those that did not only the signature counts.
std::string difference_between(const RunOutcome& a, const RunOutcome& b);

struct Captured {
    std::string place;
    std::string difference;  // between the run and its repetition
};
/// Runs `job` once more, captured, and saves it below `root`. Errors: Io, NoSpace, Overloaded, Cancelled.
Result<Captured> capture(Job job, const RunOutcome& first, const std::string& root, const BuildInfo& build, StopSignals* stop);

}  // namespace orrery::cli
