// FaultPlan: everything that a run's misfortune depends on, written down: events, schedule, pinned
// draws.
#pragma once

#include <optional>

#include "runtime/base/random.h"
#include "sim/core/world.h"
#include "sim/fault/fault.h"

namespace orrery::sim {

struct Schedule {
    SchedulePolicy policy = SchedulePolicy::Random;
    double extra_yield_p = 0.02;
    uint64_t pct_depth = 3;  // of policy pct
    Pins pins;  // draws that are overridden
    bool operator==(const Schedule&) const = default;
};

struct FaultPlan {
    std::vector<PlannedFault> events;
    Schedule schedule;
    bool operator==(const FaultPlan&) const = default;
};

/// One [[event]] table of a scenario file per event; reads back as the same events.
std::string events_to_toml(const std::vector<PlannedFault>& events);
std::string_view schedule_policy_name(SchedulePolicy policy);

/// A TOML basic string.
std::string toml_quote(std::string_view text);
/// The shortest text that reads back as the same double.
std::string toml_number(double value);

}  // namespace orrery::sim
