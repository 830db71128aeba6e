// DurationHistogram: how often something took how long, in fixed buckets, for /metrics.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "runtime/base/time.h"

namespace orrery::admin {

/// Recording is a shift and two additions. Buckets double from 64 us to 67 s; what is longer is in none but the total.
class DurationHistogram {
 public:
    static constexpr size_t kBuckets = 21;
    /// Upper bound of a bucket, included in it.
    static constexpr Duration bound(size_t bucket) { return Duration::micros(int64_t{64} << bucket); }

    void record(Duration took) {
        const uint64_t ns = took.ns > 0 ? static_cast<uint64_t>(took.ns) : 0;
        ++counts_[bucket_of(ns)];
        ++count_;
        sum_ns_ += ns;
    }
    uint64_t count() const { return count_; }
    double sum_seconds() const { return static_cast<double>(sum_ns_) / 1e9; }
    /// Of that bucket alone.
    uint64_t in_bucket(size_t bucket) const { return counts_[bucket]; }

 private:
    static size_t bucket_of(uint64_t ns) {
        const uint64_t units = (ns + 63'999) / 64'000;  // of the first bound, rounded up
        const size_t bucket = units <= 1 ? 0 : static_cast<size_t>(std::bit_width(units - 1));
        return bucket < kBuckets ? bucket : kBuckets;
    }

    std::array<uint64_t, kBuckets + 1> counts_{};
    uint64_t count_ = 0;
    uint64_t sum_ns_ = 0;
};

}  // namespace orrery::admin
