#include "tests/kv/hooks.h"

#include <cstdio>
#include <cstdlib>

#include "runtime/base/check.h"

namespace orrery {
namespace {
DefectSet on;  // of this test program
}

void check_failed(const char* file, int line, const std::string& text) {
    std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text.c_str());
    std::abort();
}

const DefectSet& active_defects() { return on; }

namespace test {
DefectScope::DefectScope(Defect defect) { on = only(defect); }
DefectScope::~DefectScope() { on.reset(); }
}  // namespace test
}  // namespace orrery
