// Clock: a node's monotonic clock (decides everything) and its wall clock (tells people).
#pragma once

#include "runtime/base/time.h"

namespace orrery {

class Clock {
 public:
    virtual ~Clock() = default;
    /// Monotonic, counts suspended time, constant within one loop turn. Only differences mean anything, and never
    /// across nodes.
    virtual Instant now() const = 0;
    /// May jump in either direction at any time.
    virtual WallTime wall() const = 0;
};

}  // namespace orrery
