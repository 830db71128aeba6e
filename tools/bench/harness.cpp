#include "tools/bench/harness.h"

#include <nmmintrin.h>
#include <time.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <memory>
#include <queue>

namespace orrery::bench {

namespace {

int64_t read_clock(clockid_t id) {
    timespec at{};
    clock_gettime(id, &at);
    return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

namespace context = boost::context::detail;

void bounce(context::transfer_t from) {
    for (;;) from = context::jump_fcontext(from.fctx, nullptr);
}

struct Event {
    int64_t at;
    uint64_t sequence;
    uint64_t target;
    uint64_t argument;
    bool operator<(const Event& other) const {
        return at != other.at ? at > other.at : sequence > other.sequence;
    }
};

double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string readable(double value) {
    char text[32];
    if (value >= 1e6) {
        std::snprintf(text, sizeof text, "%.2f M", value / 1e6);
    } else if (value >= 1e4) {
        std::snprintf(text, sizeof text, "%.1f k", value / 1e3);
    } else {
        std::snprintf(text, sizeof text, value >= 100 ? "%.0f" : "%.2f", value);
    }
    return text;
}

}  // namespace

int64_t cpu_ns() {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
int64_t wall_ns() {
    return read_clock(CLOCK_MONOTONIC);
}

double ns_per_iteration(const std::function<void(uint64_t)>& work) {
    for (uint64_t iterations = 16;; iterations *= 4) {
        const int64_t begin = cpu_ns();
        work(iterations);
        const int64_t took = cpu_ns() - begin;
        if (took >= 50'000'000) return static_cast<double>(took) / static_cast<double>(iterations);
    }
}

double calibration_ns() {
    std::priority_queue<Event> events;
    uint64_t random = 88172645463325252ull;
    const auto draw = [&] {
        random ^= random << 13;
        random ^= random >> 7;
        return random ^= random << 17;
    };
    for (uint64_t i = 0; i < 100; ++i) events.push({static_cast<int64_t>(draw() >> 44), i, i, i});
    constexpr size_t kStackBytes = 64 * 1024;
    const auto stack = std::make_unique<char[]>(kStackBytes);
    context::fcontext_t other =
        context::make_fcontext(stack.get() + kStackBytes, kStackBytes, &bounce);
    uint64_t payload[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t sequence = 100;
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            Event event = events.top();
            events.pop();
            event.at += static_cast<int64_t>(draw() >> 44);
            event.sequence = sequence++;
            payload[0] = event.argument;
            uint64_t crc = 0;
            for (uint64_t word : payload) crc = _mm_crc32_u64(crc, word);
            event.argument = crc;
            events.push(event);
            other = context::jump_fcontext(other, nullptr).fctx;
        }
        keep(payload);
    });
}

void run_figures(const std::vector<Figure>& figures, const RunOptions& options) {
    std::vector<const Figure*> chosen;
    for (const Figure& figure : figures) {
        const bool wanted =
            options.only.empty() ||
            std::any_of(options.only.begin(), options.only.end(),
                        [&](const std::string& prefix) { return figure.name.starts_with(prefix); });
        if (wanted) chosen.push_back(&figure);
    }
    std::vector<std::vector<double>> values(chosen.size());
    std::vector<std::vector<double>> calibrations(chosen.size());
    std::vector<double> busy;
    for (int round = 0; round < options.rounds; ++round) {
        const int64_t wall = wall_ns();
        const int64_t cpu = cpu_ns();
        for (size_t i = 0; i < chosen.size(); ++i) {
            calibrations[i].push_back(calibration_ns());
            values[i].push_back(chosen[i]->measure());
        }
        busy.push_back(static_cast<double>(wall_ns() - wall) / static_cast<double>(cpu_ns() - cpu));
    }
    if (!options.json) {
        std::printf("%-34s %10s %10s %10s %7s %-9s %8s %9s %10s  %s\n", "figure", "median", "min", "max",
                    "spread", "unit", "calib ns", "x calib", "at ref", "goal");
    }
    for (size_t i = 0; i < chosen.size(); ++i) {
        const Figure& figure = *chosen[i];
        const double median = median_of(values[i]);
        const auto [low, high] = std::minmax_element(values[i].begin(), values[i].end());
        const double calibration = median_of(calibrations[i]);
        std::vector<double> scaled = values[i];
        if (figure.unit != "x")
            for (size_t round = 0; round < scaled.size(); ++round) {
                const double slower = calibrations[i][round] / kReferenceCalibrationNs;
                scaled[round] = figure.better == Better::Higher ? scaled[round] * slower : scaled[round] / slower;
            }
        const double at_reference = median_of(scaled);
        // A rate becomes a time, so that the ratio to the calibration loop means the same for every
        // row.
        const double in_ns = figure.better == Better::Higher ? 1e9 / median
                             : figure.unit == "us"           ? median * 1e3
                             : figure.unit == "ms"           ? median * 1e6
                                                             : median;
        const bool met =
            figure.better == Better::Lower ? at_reference <= figure.goal : at_reference >= figure.goal;
        if (options.json) {
            std::printf(
                "{\"figure\":\"%s\",\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"unit\":\"%s\","
                "\"calibration_ns\":%.4g,\"at_reference\":%.6g,\"goal\":%.6g}\n",
                figure.name.c_str(), median, *low, *high, figure.unit.c_str(), calibration,
                at_reference, figure.goal);
            continue;
        }
        std::string goal;
        if (figure.goal != 0)
            goal = (figure.better == Better::Lower ? "<= " : ">= ") + readable(figure.goal) +
                   (met ? "  met" : "  MISSED");
        std::printf("%-34s %10s %10s %10s %6.1f%% %-9s %8.1f %9.3g %10s  %s\n", figure.name.c_str(),
                    readable(median).c_str(), readable(*low).c_str(), readable(*high).c_str(),
                    median > 0 ? (*high - *low) / median * 100 : 0, figure.unit.c_str(),
                    calibration, in_ns / calibration, readable(at_reference).c_str(), goal.c_str());
    }
    const double wall_over_cpu = median_of(busy);
    if (!options.json)
        std::printf("canary: wall/cpu %.2f over %d rounds: %s\n", wall_over_cpu, options.rounds,
                    wall_over_cpu < 1.15 ? "quiet" : "noisy, the machine was shared");
}

}  // namespace orrery::bench
