// Daemons have no seeded defects and no way to turn one on: the set is a constant.
#include "runtime/base/defect.h"

namespace orrery {

uint64_t defect_bits() { return 0; }

}  // namespace orrery
