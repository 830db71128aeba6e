// runs/<scenario>/<seed>/: what is kept of a run that did not pass. Format: the folder's README.
//
// A directory appears whole or not at all: it is written below runs/.staging and renamed. Reading trusts nothing.
#pragma once

#include <string>

#include "tools/orrery/build_id.h"
#include "tools/orrery/console.h"
#include "tools/orrery/job.h"

namespace orrery::cli {

struct SavedRun {
    BuildInfo build;
    RunRecord record;
    bool came_to_end = false;
    std::string plan;  // TOML
};

/// verdict.json, and what `-o json` prints of a run.
Json to_json(const RunRecord& record);
Json to_json(const BuildInfo& build);

/// A fresh directory to capture a run into. Errors: Io, NoSpace.
Result<std::string> make_staging(const std::string& root, const std::string& scenario, uint64_t seed);
/// Adds meta, verdict and plan to the staged directory, moves it to its place (an older one of the same scenario and seed is
/// replaced) and turns `root`/latest to it. The place. Errors: Io, NoSpace.
Result<std::string> save_run(const std::string& root, const std::string& staging, const RunOutcome& outcome, const BuildInfo& build);
/// Errors: NotFound; Corrupt: names the file that is damaged.
Result<SavedRun> load_run(const std::string& directory);

}  // namespace orrery::cli
