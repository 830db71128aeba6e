// The text forms of configuration values: durations, sizes; and the suggestion for a name that is not known.
#include <algorithm>
#include <charconv>
#include <numeric>

#include "runtime/real/config.h"

namespace orrery::real {

namespace {

struct Unit {
    std::string_view name;
    int64_t factor;
};

constexpr Unit kTimes[] = {{"h", 3'600'000'000'000}, {"min", 60'000'000'000}, {"s", 1'000'000'000},
                           {"ms", 1'000'000},        {"us", 1'000},           {"ns", 1}};
constexpr Unit kSizes[] = {{"TiB", int64_t{1} << 40}, {"GiB", int64_t{1} << 30}, {"MiB", int64_t{1} << 20},
                           {"KiB", int64_t{1} << 10}, {"TB", 1'000'000'000'000}, {"GB", 1'000'000'000},
                           {"MB", 1'000'000},         {"KB", 1'000},             {"B", 1}};

/// "<digits><unit>", nothing else. nullopt when it is not that or does not fit.
template <size_t N>
std::optional<int64_t> parse_with_unit(std::string_view text, const Unit (&units)[N], bool unit_needed) {
    int64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc() || number < 0) return std::nullopt;
    const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
    if (unit.empty() && (!unit_needed || number == 0)) return number;
    for (const Unit& known : units) {
        int64_t product = 0;
        if (known.name == unit)
            return __builtin_mul_overflow(number, known.factor, &product) ? std::nullopt : std::optional(product);
    }
    return std::nullopt;
}

template <size_t N>
std::string with_unit(int64_t number, const Unit (&units)[N], bool (*preferred)(std::string_view)) {
    if (number != 0)
        for (const Unit& unit : units)
            if (preferred(unit.name) && number % unit.factor == 0)
                return std::to_string(number / unit.factor) + std::string(unit.name);
    return std::to_string(number) + std::string(units[N - 1].name);
}

size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    if (const auto ns = parse_with_unit(text, kTimes, true)) return Duration{*ns};
    return Error(Code::Invalid, "'" + std::string(text) + "' is not a duration; write a number and ns, us, ms, s, min or h");
}

Result<uint64_t> parse_size(std::string_view text) {
    if (const auto bytes = parse_with_unit(text, kSizes, false)) return static_cast<uint64_t>(*bytes);
    return Error(Code::Invalid, "'" + std::string(text) + "' is not a size; write bytes, or a number and KiB, MiB or GiB");
}

std::string duration_text(Duration duration) {
    return with_unit(duration.ns, kTimes, [](std::string_view) { return true; });
}

std::string size_text(uint64_t bytes) {
    return with_unit(static_cast<int64_t>(bytes), kSizes,
                     [](std::string_view unit) { return unit == "B" || unit.find('i') != std::string_view::npos; });
}

std::optional<std::string> did_you_mean(std::string_view name, const std::vector<std::string>& known) {
    std::optional<std::string> best;
    size_t best_distance = std::max<size_t>(name.size() / 3, 1) + 1;
    for (const std::string& candidate : known) {
        const size_t distance = edit_distance(name, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

}  // namespace orrery::real
