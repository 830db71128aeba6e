// Budget: which combinations of faults the protocols owe survival, so that the generator leaves out
// the others.
#pragma once

#include <string>
#include <vector>

#include "sim/fault/fault_plan.h"

namespace orrery::sim {

enum class BudgetMode : uint8_t {
    Atlas,      // class A freely; B and C on at most f replicas of a group in the whole run
    Unlimited,  // anything; only safety is checked
    None,       // class A only
};

struct Budget {
    BudgetMode mode = BudgetMode::Atlas;
    bool operator==(const Budget&) const = default;
};

/// 'A', 'B', 'C' or 'N' (faults.md's classes: transient; whole replica lost; detectable loss;
/// outside the model).
char budget_class(const Fault& fault);

/// What of `events` a group of `members` owes no survival of, one sentence each; empty when within
/// the budget. Symbolic nodes count as a replica of their own.
std::vector<std::string> beyond_budget(const Budget& budget,
                                       const std::vector<PlannedFault>& events, uint64_t members);

}  // namespace orrery::sim
