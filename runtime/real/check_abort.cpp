// A failed CHECK in a daemon or a plain test: say what and where, then abort, so that a core and a supervisor see it.
#include <cstdio>
#include <cstdlib>

#include "runtime/base/check.h"

namespace orrery {

void check_failed(const char* file, int line, const std::string& text) {
    std::fprintf(stderr, "%s:%d: error[E0001]: internal check failed: %s; this is a bug of orrery, please report it\n",
                 file, line, text.c_str());
    std::fflush(stderr);
    std::abort();
}

}  // namespace orrery
