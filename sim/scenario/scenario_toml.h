// Scenario files: reading (strict), writing (lossless), lint. TOML by toml++ in scenario_toml.cpp
// alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "sim/scenario/scenario.h"

namespace orrery::sim {

struct Problem {
    std::string where;  // "scenarios/x.toml:12:3"
    bool error = true;  // else a warning
    std::string code;   // "E0301": stable
    std::string text;   // what is wrong; what to do

    /// "where: error[code]: text".
    std::string line() const;
};

struct Loaded {
    Scenario scenario;              // meaningful when ok()
    std::vector<Problem> problems;  // all at once, in the order of the file
    bool ok() const;
};

/// `file` is only for the messages. Unknown keys, wrong types, ranges, triggers and names are
/// errors with line and column and, where one is near, a suggestion.
Loaded load_scenario(std::string_view text, std::string_view file);
/// Reads back as an equal scenario.
std::string scenario_to_toml(const Scenario& scenario);
/// What load_scenario() can not see by itself: triggers that nothing can set off, budgets exceeded,
/// nothing checked.
std::vector<Problem> lint_scenario(const Scenario& scenario, std::string_view file);

}  // namespace orrery::sim
