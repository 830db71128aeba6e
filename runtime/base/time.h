// Three kinds of time that never mix: Duration (a length), Instant (a monotonic clock of one node), WallTime (what the
// calendar says; never decides anything). All int64 nanoseconds.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>

namespace orrery {

struct Duration {
    int64_t ns = 0;

    static constexpr Duration nanos(int64_t n) { return {n}; }
    static constexpr Duration micros(int64_t n) { return {n * 1'000}; }
    static constexpr Duration millis(int64_t n) { return {n * 1'000'000}; }
    static constexpr Duration seconds(int64_t n) { return {n * 1'000'000'000}; }
    constexpr double as_seconds() const { return static_cast<double>(ns) / 1e9; }
    constexpr int64_t as_millis() const { return ns / 1'000'000; }

    constexpr auto operator<=>(const Duration&) const = default;
    constexpr Duration operator+(Duration other) const { return {ns + other.ns}; }
    constexpr Duration operator-(Duration other) const { return {ns - other.ns}; }
    constexpr Duration operator*(int64_t factor) const { return {ns * factor}; }
    constexpr Duration operator/(int64_t divisor) const { return {ns / divisor}; }
};

struct Instant {
    int64_t ns = 0;

    /// Later than any instant a clock shows: "no deadline".
    static constexpr Instant never() { return {INT64_MAX}; }
    constexpr auto operator<=>(const Instant&) const = default;
    /// never() stays never().
    constexpr Instant operator+(Duration d) const {
        return ns == INT64_MAX ? *this : Instant{ns + d.ns};
    }
    constexpr Instant operator-(Duration d) const { return {ns - d.ns}; }
    constexpr Duration operator-(Instant other) const { return {ns - other.ns}; }
};

/// Nanoseconds since 1970-01-01 UTC.
struct WallTime {
    int64_t ns = 0;
    constexpr auto operator<=>(const WallTime&) const = default;
    constexpr Duration operator-(WallTime other) const { return {ns - other.ns}; }
    constexpr WallTime operator+(Duration d) const { return {ns + d.ns}; }
};

inline std::ostream& operator<<(std::ostream& out, Duration d) { return out << d.ns << " ns"; }
inline std::ostream& operator<<(std::ostream& out, Instant t) { return out << "t+" << t.ns << " ns"; }
inline std::ostream& operator<<(std::ostream& out, WallTime t) { return out << "wall " << t.ns << " ns"; }

}  // namespace orrery
