// What a program owes the libraries, for the tests of pure code: a failed check aborts with its text, and defects can be
// turned on for the length of a scope.
#pragma once

#include "runtime/base/defect.h"

namespace orrery::test {

class DefectScope {
 public:
    explicit DefectScope(Defect defect);
    ~DefectScope();
    DefectScope(const DefectScope&) = delete;
    DefectScope& operator=(const DefectScope&) = delete;
};

}  // namespace orrery::test
