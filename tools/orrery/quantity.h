// Words of the command line that carry a unit, and how numbers are shown to people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::cli {

/// "250ms", "3.5s", "10m", "2h"; units ns us ms s m (or min) h, no blank, not negative.
/// Errors: Invalid, says what is expected.
Result<Duration> parse_duration(std::string_view text);

/// Decimal or 0x hexadecimal. Errors: Invalid.
Result<uint64_t> parse_number(std::string_view text);

/// When a campaign ends; whichever comes first. Zero means that this one does not count.
struct Budget {
    Duration wall{};
    uint64_t seeds = 0;
    Duration simulated{};
};
/// Comma-separated: "10m" of wall time, "1000seeds", "50h-simulated" of virtual time. Errors: Invalid.
Result<Budget> parse_budget(std::string_view text);

/// Shard `index` of `count` takes the seeds k with k mod count = index.
struct Shard {
    uint64_t index = 0;
    uint64_t count = 1;
};
/// "I/N" with 0 <= I < N. Errors: Invalid.
Result<Shard> parse_shard(std::string_view text);

/// "18.4 s", "250 ms", "1.2 ms", "40 us", "2 h 5 min".
std::string show(Duration duration);
/// Virtual time with all its digits that matter: "12.345678 s".
std::string show_exact(Instant at);
/// "41,208".
std::string show_count(uint64_t number);
/// 16 hexadecimal digits.
std::string show_hash(uint64_t hash);

}  // namespace orrery::cli
