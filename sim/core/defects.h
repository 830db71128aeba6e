// Turning seeded defects on: only programs that link the testbed can.
#pragma once

#include <cstdint>

#include "runtime/base/defect.h"

namespace orrery::sim {

constexpr uint64_t defect_bit(Defect id) { return uint64_t{1} << static_cast<unsigned>(id); }

/// Sets the whole set. Before a world starts, or in a scenario's own set-up; never while node code runs.
void set_defects(uint64_t bits);

}  // namespace orrery::sim
