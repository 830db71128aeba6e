// One structured event: `noun.verb` with typed fields. The same stream is a daemon's log, the simulator's trace, what
// the checkers watch, and the data of every picture.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery {

enum class Severity : uint8_t { Debug, Info, Warning, Error };  // an Error fails a simulation unless it is expected

std::string_view severity_name(Severity severity);

/// A field is a number or a text; views live until the event call returns. Ids and what else is unsigned print so: half of
/// all random 64-bit ids lie above what a signed number holds.
struct TraceField {
    enum class Kind : uint8_t { Signed, Unsigned, Text };

    std::string_view name;
    Kind kind = Kind::Signed;
    int64_t number = 0;  // of an Unsigned: the same 64 bits
    std::string_view text{};

    constexpr TraceField(std::string_view the_name, int64_t value) : name(the_name), number(value) {}
    constexpr TraceField(std::string_view the_name, uint64_t value)
        : name(the_name), kind(Kind::Unsigned), number(static_cast<int64_t>(value)) {}
    constexpr TraceField(std::string_view the_name, int value) : name(the_name), number(value) {}
    constexpr TraceField(std::string_view the_name, uint32_t value) : name(the_name), kind(Kind::Unsigned), number(value) {}
    constexpr TraceField(std::string_view the_name, std::string_view value) : name(the_name), kind(Kind::Text), text(value) {}
    TraceField(std::string_view the_name, const std::string& value) : name(the_name), kind(Kind::Text), text(value) {}
    constexpr TraceField(std::string_view the_name, const char* value) : name(the_name), kind(Kind::Text), text(value) {}
    constexpr TraceField(std::string_view the_name, Duration value) : name(the_name), number(value.ns) {}
    template <typename Tag, typename Rep>
    constexpr TraceField(std::string_view the_name, StrongId<Tag, Rep> id)
        : name(the_name), kind(Kind::Unsigned), number(static_cast<int64_t>(id.value)) {
        static_assert(std::is_unsigned_v<Rep>);
    }

    constexpr bool is_text() const { return kind == Kind::Text; }
    /// The decimal digits, as every log, trace and trigger shows them. Requires: not a text.
    std::string digits() const;
};

struct TraceEvent {
    Instant at;            // the emitting node's monotonic clock
    Severity severity;
    std::string_view name;  // `noun.verb`, a string literal
    std::span<const TraceField> fields;

    /// The number of that name, or `otherwise`; of an unsigned one the same 64 bits.
    int64_t number(std::string_view field, int64_t otherwise = 0) const;
    std::string_view text(std::string_view field) const;
    /// "name field=value field='text'".
    std::string format() const;
};

}  // namespace orrery
