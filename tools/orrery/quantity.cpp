#include "tools/orrery/quantity.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace orrery::cli {

Result<Duration> parse_duration(std::string_view text) {
    const auto refused = [&] {
        return Error(Code::Invalid, fmt::format("'{}' is no duration (expected e.g. 250ms, 3.5s, 10m, 2h)", text));
    };
    size_t digits = 0;
    while (digits < text.size() && (text[digits] == '.' || (text[digits] >= '0' && text[digits] <= '9'))) ++digits;
    double number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + digits, number, std::chars_format::fixed);
    if (digits == 0 || failed != std::errc{} || end != text.data() + digits) return refused();
    const std::string_view unit = text.substr(digits);
    double ns = 0;
    if (unit == "ns") ns = number;
    else if (unit == "us") ns = number * 1e3;
    else if (unit == "ms") ns = number * 1e6;
    else if (unit == "s") ns = number * 1e9;
    else if (unit == "m" || unit == "min") ns = number * 60e9;
    else if (unit == "h") ns = number * 3600e9;
    else return refused();
    if (ns > 9e18) return Error(Code::Invalid, fmt::format("'{}' is longer than the 285 years that can be counted", text));
    return Duration{std::llround(ns)};
}

Result<uint64_t> parse_number(std::string_view text) {
    std::string_view digits = text;
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2), base = 16;
    uint64_t number = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
    if (digits.empty() || failed != std::errc{} || end != digits.data() + digits.size())
        return Error(Code::Invalid, fmt::format("'{}' is no number from 0 to 2^64-1 (decimal or 0x...)", text));
    return number;
}

Result<Budget> parse_budget(std::string_view text) {
    const auto refused = [](std::string_view part) {
        return Error(Code::Invalid,
                     fmt::format("'{}' is no budget (expected e.g. 10m, 1000seeds, 50h-simulated, or several with commas)", part));
    };
    constexpr std::string_view kSeeds = "seeds", kSimulated = "-simulated";
    Budget budget;
    std::string_view rest = text;
    while (true) {
        const size_t comma = rest.find(',');
        const std::string_view part = rest.substr(0, comma);
        if (part.ends_with(kSeeds)) {
            const auto seeds = parse_number(part.substr(0, part.size() - kSeeds.size()));
            if (!seeds.ok() || *seeds == 0) return refused(part);
            budget.seeds = *seeds;
        } else {
            const bool simulated = part.ends_with(kSimulated);
            const auto length = parse_duration(simulated ? part.substr(0, part.size() - kSimulated.size()) : part);
            if (!length.ok() || length->ns == 0) return refused(part);
            (simulated ? budget.simulated : budget.wall) = *length;
        }
        if (comma == std::string_view::npos) return budget;
        rest.remove_prefix(comma + 1);
    }
}

Result<Shard> parse_shard(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash != std::string_view::npos) {
        const auto index = parse_number(text.substr(0, slash));
        const auto count = parse_number(text.substr(slash + 1));
        if (index.ok() && count.ok() && *index < *count) return Shard{*index, *count};
    }
    return Error(Code::Invalid, fmt::format("'{}' is no shard (expected I/N with 0 <= I < N, e.g. 0/4)", text));
}

std::string show(Duration duration) {
    const double seconds = duration.as_seconds();
    if (seconds >= 3600) return fmt::format("{} h {} min", static_cast<int64_t>(seconds / 3600), static_cast<int64_t>(seconds / 60) % 60);
    if (seconds >= 120) return fmt::format("{} min {} s", static_cast<int64_t>(seconds / 60), static_cast<int64_t>(seconds) % 60);
    if (seconds >= 10) return fmt::format("{:.1f} s", seconds);
    if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
    if (seconds >= 1e-3) return fmt::format("{:.4g} ms", seconds * 1e3);
    if (seconds > 0) return fmt::format("{:.4g} us", seconds * 1e6);
    return "0 s";
}

std::string show_exact(Instant at) { return fmt::format("{}.{:06} s", at.ns / 1'000'000'000, at.ns % 1'000'000'000 / 1000); }

std::string show_count(uint64_t number) {
    std::string digits = std::to_string(number);
    for (size_t place = digits.size(); place > 3;) digits.insert(place -= 3, ",");
    return digits;
}

std::string show_hash(uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace orrery::cli
