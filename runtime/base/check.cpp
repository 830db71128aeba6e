#include "runtime/base/check.h"
// check_failed() is defined by the program: see check.h.
