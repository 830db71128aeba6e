#include "tests/kv/hooks.h"

#include <cstdio>
#include <cstdlib>

#include "runtime/base/check.h"

namespace orrery {
namespace {
uint64_t bits = 0;  // of this test program
}

void check_failed(const char* file, int line, const std::string& text) {
    std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text.c_str());
    std::abort();
}

uint64_t defect_bits() { return bits; }

namespace test {
DefectScope::DefectScope(Defect defect) { bits = uint64_t{1} << static_cast<unsigned>(defect); }
DefectScope::~DefectScope() { bits = 0; }
}  // namespace test
}  // namespace orrery
