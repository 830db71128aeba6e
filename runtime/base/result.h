// Result<T>: a value or an Error{Code, context}. The only way errors travel in this project; no exceptions of our own.
//
// A Code exists only if some caller acts on it. The three families matter more than the names: *not done* (safe to try
// elsewhere or later), *maybe done* (Unknown: only an idempotent caller may repeat it), *stop* (this component is over).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "runtime/base/check.h"

namespace orrery {

enum class Code : uint8_t {  // on the wire in replies; never renumber
    // Not done.
    NotLeader = 1,     // context may hold a hint: the node id of the leader
    NotReady = 2,      // loading, installing, no own-term entry yet: try again later
    Stale = 3,         // epoch, term or version has moved on
    NotFound = 4,
    Exists = 5,
    Invalid = 6,       // the request can never succeed as it stands
    Overloaded = 7,    // a bound was reached; back off
    NoSpace = 8,
    Unreachable = 9,   // refused, reset, not connected: nothing was sent or nothing took effect
    Unsupported = 10,
    // Maybe done.
    Unknown = 11,      // the effect may or may not have happened
    Timeout = 12,      // a wait's deadline passed; says nothing of the effect waited for
    // Stop.
    Io = 13,           // write or sync failed: the component seals itself
    Corrupt = 14,      // bytes that a checksum or a format refuses
    Cancelled = 15,    // the host or the operation is stopping
};

std::string_view code_name(Code code);
/// nullopt for a number that no Code has (a newer peer's).
std::optional<Code> code_from_number(uint8_t number);

struct [[nodiscard]] Error {
    Code code;
    std::string context;

    Error(Code the_code, std::string the_context = {}) : code(the_code), context(std::move(the_context)) {}
    /// The same code with `prefix: ` in front of the context.
    Error within(std::string_view prefix) const;
    /// "NotFound: context".
    std::string text() const;
};

template <typename T>
class [[nodiscard]] Result {
 public:
    using Value = T;

    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    Result(Code code) : state_(std::in_place_index<1>, Error(code)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }
    /// Requires: ok().
    T& value() & { return check_ok(), std::get<0>(state_); }
    const T& value() const& { return check_ok(), std::get<0>(state_); }
    T&& value() && { return check_ok(), std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    /// Requires: !ok().
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }
    /// The error's code. Requires: !ok().
    Code code() const { return error().code; }
    bool failed_with(Code code) const { return !ok() && error().code == code; }

 private:
    void check_ok() const { ORRERY_CHECK(ok(), error().text()); }
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
    using Value = void;

    Result() = default;
    Result(Error error) : error_(std::move(error)) {}
    Result(Code code) : error_(Error(code)) {}

    bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }
    void value() const { ORRERY_CHECK(ok(), error_->text()); }
    const Error& error() const& { return *error_; }
    Error&& error() && { return *std::move(error_); }
    Code code() const { return error_->code; }
    bool failed_with(Code code) const { return !ok() && error_->code == code; }

 private:
    std::optional<Error> error_;
};

}  // namespace orrery

#define ORRERY_CONCAT_(a, b) a##b
#define ORRERY_CONCAT(a, b) ORRERY_CONCAT_(a, b)
#define ORRERY_TRY_1(expression)                                              \
    do {                                                                      \
        if (auto try_result = (expression); !try_result.ok()) [[unlikely]]    \
            return std::move(try_result).error();                             \
    } while (false)
#define ORRERY_TRY_2_(temporary, declaration, expression)                     \
    auto temporary = (expression);                                            \
    if (!temporary.ok()) [[unlikely]]                                         \
        return std::move(temporary).error();                                  \
    declaration = std::move(temporary).value()
#define ORRERY_TRY_2(declaration, expression) \
    ORRERY_TRY_2_(ORRERY_CONCAT(try_result_, __COUNTER__), declaration, expression)
#define ORRERY_TRY_PICK(one, two, name, ...) name
/// TRY(expression) or TRY(auto x, expression): returns the error from the enclosing function, or goes on.
#define TRY(...) ORRERY_TRY_PICK(__VA_ARGS__, ORRERY_TRY_2, ORRERY_TRY_1)(__VA_ARGS__)
