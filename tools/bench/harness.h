// How a figure is measured: rounds, a calibration loop before every measurement, medians and
// spread.
//
// Figures are times of this thread's processor time, so that a neighbour on a shared machine
// changes little; how busy the machine was is printed as wall time over processor time. Nothing
// here fails because it was slow: these are measurements.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace orrery::bench {

enum class Better { Lower, Higher };

struct Figure {
    std::string name;  // `area.what`
    std::string unit;  // of the value: "ns", "1/s", "us", "ms"
    Better better = Better::Lower;
    double goal = 0;  // 0: none
    /// One measurement of some 50 to 300 ms; returns the value in the unit.
    std::function<double()> measure;
};

/// Processor time of this thread, in ns.
int64_t cpu_ns();
/// Monotonic time, in ns.
int64_t wall_ns();

/// Calls `work(iterations)` with more and more iterations until a call takes 50 ms of processor
/// time; ns an iteration.
double ns_per_iteration(const std::function<void(uint64_t)>& work);

/// Keeps a value alive for the optimiser.
template <typename T>
inline void keep(const T& value) {
    asm volatile("" : : "g"(&value) : "memory");
}

/// One turn of the loop that stands beside every figure: an event heap of depth 100 (pop and push),
/// a crc32c of 64 bytes, a switch to another stack and back. Made of foreign parts only, so that a
/// change of ours never changes the yardstick.
double calibration_ns();
/// What that turn takes on the machine that the goals were set on: its parts, measured singly there, are 55 ns (heap), 8.2 (crc) and
/// 8.6 (two switches). Goals are judged by figures scaled to it, so that a slow hour of a shared machine neither misses nor meets one.
constexpr double kReferenceCalibrationNs = 72;

struct RunOptions {
    int rounds = 5;
    std::vector<std::string> only;  // prefixes of names; empty: all
    bool json = false;
};

/// Measures all figures round by round and prints the table.
void run_figures(const std::vector<Figure>& figures, const RunOptions& options);

}  // namespace orrery::bench
