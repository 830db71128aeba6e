// NodeClock: what one node's clocks show, given the world's time: drift of both clocks, skew and jumps of the wall clock.
#pragma once

#include "runtime/env/clock.h"
#include "sim/clock/timeline.h"

namespace orrery::sim {

class NodeClock : public Clock {
 public:
    /// The calendar time of a world's beginning: a fixed day, so that nothing depends on the day of the run.
    static constexpr WallTime kWorldBegin{1'700'000'000'000'000'000};

    /// `offset` makes monotonic clocks of different nodes incomparable, as they are in life.
    NodeClock(const Timeline& timeline, Duration offset) : timeline_(timeline), offset_(offset), local_base_{offset.ns} {}

    Instant now() const override {
        const Instant world = timeline_.now();
        return drift_ppb_ == 0 ? local_base_ + (world - world_base_) : local_at(world);
    }
    Instant reading() const override { return now(); }
    WallTime wall() const override;

    /// Rate against true time, parts per billion; applies from now on. |ppb| <= 100,000,000.
    void set_drift_ppb(int64_t ppb);
    int64_t drift_ppb() const { return drift_ppb_; }
    /// Moves the wall clock by that much, once.
    void jump_wall(Duration by) { wall_offset_ = wall_offset_ + by; }

    Instant local_at(Instant world) const;
    /// The first world instant, not before now, at which now() is at or after `local`.
    Instant world_at(Instant local) const;

 private:
    const Timeline& timeline_;
    Duration offset_;
    Instant world_base_{};
    Instant local_base_{};
    int64_t drift_ppb_ = 0;
    Duration wall_offset_{};
};

}  // namespace orrery::sim
