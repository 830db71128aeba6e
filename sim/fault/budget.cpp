#include "sim/fault/budget.h"

#include <set>

namespace orrery::sim {

char budget_class(const Fault& fault) {
    return fault_catalogue()[fault.index()].budget_class;
}

namespace {
/// The node a fault names; symbolic names that may mean anybody stay apart from each other.
const NodeName* target_of(const Fault& fault) {
    return std::visit(
        [](const auto& one) -> const NodeName* {
            if constexpr (requires { one.node; }) return &one.node;
            return nullptr;
        },
        fault);
}
}  // namespace

std::vector<std::string> beyond_budget(const Budget& budget,
                                       const std::vector<PlannedFault>& events, uint64_t members) {
    std::vector<std::string> problems;
    if (budget.mode == BudgetMode::Unlimited) return problems;
    const uint64_t allowed =
        budget.mode == BudgetMode::None || members <= 2 ? 0 : members - (members / 2 + 1);
    // A node that is emptied and taken in again is back when it has caught up; the injector empties none while another is
    // not back. So all of these are one replica at a time.
    std::set<std::string> taken_in;
    for (const PlannedFault& event : events)
        if (const auto* add = std::get_if<MemberAdd>(&event.fault)) taken_in.insert(add->node);
    std::set<std::string> struck;
    uint64_t symbolic = 0;
    for (const PlannedFault& event : events) {
        const char kind = budget_class(event.fault);
        if (kind == 'A') continue;
        if (kind == 'N') {
            problems.push_back(std::string(fault_name(event.fault)) + " is outside the model");
            continue;
        }
        const NodeName* target = target_of(event.fault);
        if (target != nullptr && kind == 'B' && (std::holds_alternative<MemberReplace>(event.fault) || taken_in.contains(*target))) {
            struck.insert("one at a time");
        } else if (target != nullptr && (*target == "all" || target->starts_with("all("))) {
            symbolic += members;
        } else if (target != nullptr && (target->starts_with("n") || target->starts_with("m"))) {
            struck.insert(*target);
        } else {
            ++symbolic;
        }
        if (kind == 'C' && std::holds_alternative<DiskBitRot>(event.fault)) {
            const std::string& zone = std::get<DiskBitRot>(event.fault).zone;
            if (zone.starts_with("identity") || zone.starts_with("founding"))
                problems.push_back(
                    "bit rot of an identity file is a wiped replica, not a repairable chunk");
        }
    }
    const uint64_t replicas = struck.size() + symbolic;
    if (replicas > allowed)
        problems.push_back("faults that lose acknowledged bytes strike " +
                           std::to_string(replicas) + " of " + std::to_string(members) +
                           " replicas; the budget allows " + std::to_string(allowed));
    return problems;
}

}  // namespace orrery::sim
