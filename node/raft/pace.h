// Pace: how fast proposals come in while a log is held back for a transfer, and how fast transfers leave. A leaky bucket: who goes
// leaves a debt of its bytes, the next goes when the rate has paid it. GiveWay: when transfers go slower for others' sake.
//
// The rate is halved with each quarter of the bound in excess (RocksDB slows its writers likewise), so what is kept hardly
// grows beyond some four bounds, and nobody is stopped altogether. One request, however large, never waits for itself.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/base/time.h"

namespace orrery::raft {

/// Bytes a second while `kept_bytes` are held back; 0: not slowed. Slowed is what is above twice the bound.
inline uint64_t slowed_rate(uint64_t base_bytes_per_second, uint64_t kept_bytes, uint64_t bound_bytes) {
    if (bound_bytes == 0 || kept_bytes / 2 < bound_bytes || kept_bytes == 2 * bound_bytes) return 0;
    const uint64_t quarters = (kept_bytes - 2 * bound_bytes) / std::max<uint64_t>(1, bound_bytes / 4);
    return std::max<uint64_t>(1, base_bytes_per_second >> std::min<uint64_t>(quarters, 10));
}

class Pace {
 public:
    Pace() = default;
    /// Who comes at most so late, because a sleep took longer than was asked for, goes as if in time: the rate is kept on average.
    explicit Pace(Duration late_max) : late_max_(late_max) {}
    /// 0: nothing is slowed and debts are forgiven.
    void set_rate(Instant now, uint64_t bytes_per_second) {
        if (bytes_per_second == rate_) return;
        debt_bytes_ = bytes_per_second == 0 ? 0 : debt_at(now);
        since_ = now;
        rate_ = bytes_per_second;
    }
    uint64_t rate() const { return rate_; }
    /// When the next may go; not after `now`: at once.
    Instant due(Instant now) const { return paid_off(now, debt_at(now)); }
    /// One has gone.
    void take(Instant now, uint64_t bytes) {
        if (rate_ == 0) return;
        const uint64_t debt = debt_at(now);
        since_ = debt > 0 ? now : now - std::min(now - std::min(now, paid_off(since_, debt_bytes_)), late_max_);
        debt_bytes_ = debt + bytes;
    }

 private:
    static constexpr uint64_t kLongest = uint64_t{1} << 60;
    /// Requires: a rate, or no debt.
    Instant paid_off(Instant from, uint64_t debt) const {
        if (debt == 0) return from;
        const unsigned __int128 ns = (static_cast<unsigned __int128>(debt) * 1'000'000'000 + rate_ - 1) / rate_;
        return ns > kLongest ? Instant::never() : from + Duration::nanos(static_cast<int64_t>(ns));
    }
    uint64_t debt_at(Instant now) const {
        if (rate_ == 0) return 0;
        const unsigned __int128 paid = static_cast<unsigned __int128>((now - since_).ns) * rate_ / 1'000'000'000;
        return paid >= debt_bytes_ ? 0 : debt_bytes_ - static_cast<uint64_t>(paid);
    }

    uint64_t rate_ = 0;
    uint64_t debt_bytes_ = 0;  // at since_
    Instant since_;
    Duration late_max_{};
};

/// How far transfers step back where processors are short: each 200 ms of which the loop was crowded out for a twelfth or more quarter the
/// rate, down to a sixteenth, each other doubles it again. A full loop of clients' work alone waits for 4 to 8 % of its time, on two
/// cores with its clients beside it; with a transfer at 64 MiB a second there, its scan and its receiver's work included, for 40 %; a
/// transfer alone for 1 to 4 %.
class GiveWay {
 public:
    /// `crowded_out`: the loop, up to `now` (Scheduler::crowded_out). Returns how often the rate is halved.
    int halvings(Instant now, Duration crowded_out) {
        const Duration passed = now - since_, waited = crowded_out - crowded_out_at_since_;
        if (passed < kLook) return halvings_;
        if (passed >= kLook * 10)
            halvings_ = 0;  // what was last looked at is long ago
        else
            halvings_ = waited * 12 >= passed ? std::min(halvings_ + 2, kHalvingsMax) : std::max(halvings_ - 1, 0);
        since_ = now;
        crowded_out_at_since_ = crowded_out;
        return halvings_;
    }

 private:
    static constexpr Duration kLook = Duration::millis(200);
    static constexpr int kHalvingsMax = 4;
    Instant since_;
    Duration crowded_out_at_since_;
    int halvings_ = 0;
};

}  // namespace orrery::raft
