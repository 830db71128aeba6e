#include "runtime/real/system_clock.h"

#include <time.h>

#include "runtime/base/check.h"

namespace orrery::real {

namespace {

// Whose turn this thread is in; other threads must not read the turn's members.
thread_local const SystemClock* attached_clock = nullptr;

int64_t read_ns(clockid_t id) {
    timespec at{};
    CHECK(clock_gettime(id, &at) == 0, id);
    return static_cast<int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

}  // namespace

Instant SystemClock::read_now() { return {read_ns(CLOCK_BOOTTIME)}; }
WallTime SystemClock::read_wall() { return {read_ns(CLOCK_REALTIME)}; }

Instant SystemClock::now() const { return attached_clock == this ? turn_now_ : read_now(); }

WallTime SystemClock::wall() const {
    if (attached_clock != this) return read_wall();
    if (!wall_known_) {
        turn_wall_ = read_wall();
        wall_known_ = true;
    }
    return turn_wall_;
}

void SystemClock::attach_to_thread() {
    CHECK(attached_clock == nullptr, "this thread has a clock already");
    attached_clock = this;
    begin_turn();
}

void SystemClock::detach_from_thread() {
    CHECK(attached_clock == this);
    attached_clock = nullptr;
}

void SystemClock::begin_turn() {
    CHECK(attached_clock == this);
    turn_now_ = read_now();
    wall_known_ = false;
}

}  // namespace orrery::real
