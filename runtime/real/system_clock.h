// SystemClock: CLOCK_BOOTTIME (counts suspended time) and CLOCK_REALTIME.
//
// On the loop thread both stand still within one turn of the loop, so that a turn reads the kernel's clock once. Any
// other thread may ask too and gets the kernel's answer of that moment.
#pragma once

#include "runtime/env/clock.h"

namespace orrery::real {

class SystemClock final : public Clock {
 public:
    Instant now() const override;
    Instant reading() const override { return read_now(); }
    WallTime wall() const override;

    /// From now on this clock stands still for the calling thread, between calls of begin_turn().
    void attach_to_thread();
    void detach_from_thread();
    /// Requires: attached to the calling thread.
    void begin_turn();

    static Instant read_now();
    static WallTime read_wall();

 private:
    // Of the attached thread only.
    Instant turn_now_{};
    mutable WallTime turn_wall_{};
    mutable bool wall_known_ = false;
};

}  // namespace orrery::real
