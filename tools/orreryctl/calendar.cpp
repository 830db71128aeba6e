#include "tools/orreryctl/calendar.h"

#include <chrono>
#include <cstdio>

namespace orrery::ctl {

namespace {
constexpr int64_t kSecond = 1'000'000'000;

/// Takes exactly `digits` digits from the front.
bool take_number(std::string_view& text, size_t digits, int64_t& out) {
    if (text.size() < digits) return false;
    out = 0;
    for (size_t i = 0; i < digits; ++i) {
        if (text[i] < '0' || text[i] > '9') return false;
        out = out * 10 + (text[i] - '0');
    }
    text.remove_prefix(digits);
    return true;
}

bool take(std::string_view& text, std::string_view one_of) {
    if (text.empty() || one_of.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}
}  // namespace

std::string rfc3339(int64_t ns) {
    const std::chrono::sys_days day{std::chrono::days{ns / (86'400 * kSecond)}};
    const std::chrono::year_month_day date{day};
    const int64_t rest_ms = ns % (86'400 * kSecond) / 1'000'000;
    char out[40];
    std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()), static_cast<int>(rest_ms / 3'600'000), static_cast<int>(rest_ms / 60'000 % 60),
                  static_cast<int>(rest_ms / 1000 % 60), static_cast<int>(rest_ms % 1000));
    return out;
}

std::optional<int64_t> parse_rfc3339(std::string_view text) {
    int64_t year, month, day, hour, minute, second, fraction = 0, offset = 0;
    if (!take_number(text, 4, year) || !take(text, "-") || !take_number(text, 2, month) || !take(text, "-") || !take_number(text, 2, day) ||
        !take(text, "Tt ") || !take_number(text, 2, hour) || !take(text, ":") || !take_number(text, 2, minute) || !take(text, ":") ||
        !take_number(text, 2, second))
        return std::nullopt;
    if (take(text, ".")) {
        size_t digits = 0;
        int64_t digit = 0;
        while (digits < 9 && take_number(text, 1, digit)) {
            fraction = fraction * 10 + digit;
            ++digits;
        }
        if (digits == 0) return std::nullopt;
        for (; digits < 9; ++digits) fraction *= 10;
    }
    if (!take(text, "Zz")) {
        const bool west = !text.empty() && text.front() == '-';
        int64_t hours, minutes;
        if (!take(text, "+-") || !take_number(text, 2, hours) || !take(text, ":") || !take_number(text, 2, minutes) || hours > 23 || minutes > 59)
            return std::nullopt;
        offset = (hours * 60 + minutes) * 60 * (west ? -1 : 1);
    }
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!text.empty() || year < 1969 || year > 2116 || !date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
    const int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
    const int64_t seconds = days * 86'400 + hour * 3600 + minute * 60 + second - offset;
    constexpr int64_t kLatest = int64_t{1} << 62;
    if (seconds < 0 || seconds >= kLatest / kSecond) return std::nullopt;
    return seconds * kSecond + fraction;
}

}  // namespace orrery::ctl
