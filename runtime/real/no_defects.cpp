// Daemons have no seeded defects and no way to turn one on: the set is a constant.
#include "runtime/base/defect.h"

namespace orrery {

const DefectSet& active_defects() {
    static constexpr DefectSet kNone;
    return kNone;
}

}  // namespace orrery
