// Times as people write them (RFC 3339) to and from nanoseconds since 1970. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orrery::ctl {

/// "2026-11-27T12:00:00.123Z": UTC, rounded down to milliseconds. Requires: ns >= 0.
std::string rfc3339(int64_t ns);
/// Date, 'T' or a blank, time, optionally a fraction of up to nine digits, and 'Z' or an offset "+02:00". nullopt for
/// anything else, for a date that the calendar does not have, and outside of 1970 to 2116 (what state-machine time can hold).
std::optional<int64_t> parse_rfc3339(std::string_view text);

}  // namespace orrery::ctl
