// Turning seeded defects on: only programs that link the testbed can.
#pragma once

#include "runtime/base/defect.h"

namespace orrery::sim {

/// Sets the whole set. Before a world starts, or in a scenario's own set-up; never while node code runs.
void set_defects(const DefectSet& set);

}  // namespace orrery::sim
