#include "runtime/base/defect.h"

#include "sim/core/defects.h"

namespace orrery {

namespace {
uint64_t bits = 0;  // the project's one process global: runtime/base/defect.h
}

uint64_t defect_bits() { return bits; }

namespace sim {

void set_defects(uint64_t new_bits) { bits = new_bits; }

}  // namespace sim
}  // namespace orrery
