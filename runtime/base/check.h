// CHECK: always on, for our own bugs only; whatever a peer, a disk or a user can cause is a Result.
//
// What a failed check does belongs to the program, not to the code that checks: check_failed() is declared here and
// defined once per program (runtime/real aborts with the last events; sim/core marks the run as failed and leaves the
// fiber for good). It never throws and never returns.
#pragma once

#include <sstream>
#include <string>

namespace orrery {

/// Ends the program (daemon) or the simulated run. `text` names the expression and its operands.
[[noreturn]] void check_failed(const char* file, int line, const std::string& text);

namespace detail {
template <typename... Operands>
std::string check_text(const char* expression, const Operands&... operands) {
    std::ostringstream out;
    out << expression;
    ((out << " | " << operands), ...);
    return out.str();
}
}  // namespace detail
}  // namespace orrery

/// CHECK(condition, operands...): the operands are printed when the condition is false.
#define CHECK(condition, ...)                                                                        \
    do {                                                                                             \
        if (!(condition)) [[unlikely]]                                                               \
            ::orrery::check_failed(__FILE__, __LINE__,                                               \
                                   ::orrery::detail::check_text(#condition __VA_OPT__(, ) __VA_ARGS__)); \
    } while (false)

#define UNREACHABLE(...) \
    ::orrery::check_failed(__FILE__, __LINE__, ::orrery::detail::check_text("unreachable" __VA_OPT__(, ) __VA_ARGS__))
