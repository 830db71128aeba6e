// From what the command line names to a scenario that can run: the file, --set, --defect.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "sim/scenario/scenario.h"
#include "tools/orrery/message.h"

namespace orrery::cli {

struct ScenarioRequest {
    std::string file;
    std::vector<std::string> sets;     // "workload.clients=5": a key of the file and a TOML value; a bare word is a text
    std::vector<std::string> defects;  // by name, besides the scenario's own
};

struct ScenarioFile {
    sim::Scenario scenario;
    std::string file;
    std::string text;                    // as it stands in the file
    std::vector<std::string> warnings;   // to print
};

std::variant<ScenarioFile, Refusal> load_scenario_file(const ScenarioRequest& request);

/// A file as it is; of a directory all *.toml; of an empty list those of scenarios/swarm in the working directory.
std::variant<std::vector<std::string>, Refusal> scenario_files(const std::vector<std::string>& named, const std::string& where);

}  // namespace orrery::cli
