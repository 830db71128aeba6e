#include "runtime/base/defect.h"

#include "sim/core/defects.h"

namespace orrery {

namespace {
DefectSet on;  // the project's one process global: runtime/base/defect.h
}

const DefectSet& active_defects() { return on; }

namespace sim {

void set_defects(const DefectSet& set) { on = set; }

}  // namespace sim
}  // namespace orrery
