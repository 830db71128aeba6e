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
    /// The same clock, read anew: where something may have been done, or the process may have been stopped, since the turn
    /// began. Not before now().
    virtual Instant reading() const = 0;
    /// May jump in either direction at any time.
    virtual WallTime wall() const = 0;
};

}  // namespace orrery
