// What the property tests share: generators of faults, and the loop that generates plans, runs each in a
// world of its own in a child process, shrinks what fails, and writes the shrunk plan as a scenario file.
#pragma once

#include <rapidcheck.h>

#include <functional>
#include <initializer_list>
#include <string>

#include "tests/sim/scenario/in_child.h"

namespace orrery::sim {

rc::Gen<NodeName> node_name(const MemberNames& names = {});
rc::Gen<Duration> millis(int low, int high);
/// Of every kind that needs no other.
rc::Gen<Fault> fault(const MemberNames& names = {});
/// An operator's orders: members that come, go and are replaced, leaders that are asked to hand over.
rc::Gen<Fault> member_fault();

/// `holds` says what is wrong with a plan, or nothing; `cases` are fewer under a sanitizer. A failure is a failed doctest assertion that names the shrunk plan's
/// file, its seed and, where it has one, its script.
void for_all_plans(const std::string& name, int cases, const rc::Gen<Scenario>& plan, const std::function<std::string(const Scenario&)>& holds);

/// Whether a run with that seeded defect fails for one of the first `cases` plans.
bool some_plan_shows(const rc::Gen<Scenario>& plan, const std::string& defect, int cases);

/// The first violation whose name begins like one of these; "" without one.
std::string violation_of(const Scenario& plan, std::initializer_list<std::string_view> prefixes);

}  // namespace orrery::sim
