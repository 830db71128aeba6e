// The options of SET and the time arguments of the expiry family: parsed once, used by stamping and by execution.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "kv/command_table.h"
#include "kv/log_entry.h"

namespace orrery::kv {

enum class TimeUnit : uint8_t { Seconds, Millis };
enum class TimeBase : uint8_t { Relative, Absolute };

struct SetOptions {
    enum class Condition : uint8_t { Always, IfAbsent, IfPresent };
    Condition condition = Condition::Always;
    bool keep_ttl = false;
    bool get = false;
    // Valid when expiry is set.
    std::optional<ByteView> expiry;
    TimeUnit unit = TimeUnit::Seconds;
    TimeBase base = TimeBase::Relative;
};

/// From argv[3] on. The error is "ERR syntax error".
std::variant<SetOptions, Reply> parse_set_options(ArgvView argv);

struct GetexOptions {
    bool persist = false;
    // Valid when expiry is set.
    std::optional<ByteView> expiry;
    TimeUnit unit = TimeUnit::Seconds;
    TimeBase base = TimeBase::Relative;
};

/// From argv[2] on of GETEX. The error is "ERR syntax error".
std::variant<GetexOptions, Reply> parse_getex_options(ArgvView argv);

struct ExpireOptions {
    bool if_none = false;    // NX
    bool if_any = false;     // XX
    bool if_later = false;   // GT
    bool if_sooner = false;  // LT
};

/// From argv[3] on of the EXPIRE family.
std::variant<ExpireOptions, Reply> parse_expire_options(ArgvView argv);

/// May the result be in the past or before 1970? SET refuses times of zero and below, EXPIRE takes them and removes the key.
enum class TimeRange : uint8_t { Positive, Any };

/// The absolute time in milliseconds. Relative times count from `now`: rounded up to a millisecond, so that no key
/// expires before its TTL; rounded down when they are zero or negative, so that those are over at once. The error names `command` as Redis does:
/// "ERR invalid expire time in 'set' command".
std::variant<int64_t, Reply> absolute_millis(ByteView text, TimeUnit unit, TimeBase base, LogTime now,
                                             TimeRange range, std::string_view command);

}  // namespace orrery::kv
