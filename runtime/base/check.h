// CHECK: always on, for our own bugs only; whatever a peer, a disk or a user can cause is a Result.
//
// What a failed check does belongs to the program, not to the code that checks: check_failed() is declared here and
// defined once per program (runtime/real aborts with the last events; sim/core marks the run as failed and leaves the
// fiber for good). It never throws and never returns.
//
// Sources say CHECK, headers ORRERY_CHECK: doctest has a CHECK too. In a test CHECK is doctest's, whichever of the two headers
// comes first, and a header that said CHECK would mean the one or the other by the order of includes.
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

/// ORRERY_CHECK(condition, operands...): the operands are printed when the condition is false.
#define ORRERY_CHECK(condition, ...) ORRERY_CHECK_AS(#condition, (condition)__VA_OPT__(, ) __VA_ARGS__)

/// What CHECK and ORRERY_CHECK are made of: each passes the condition as it is written, before macros in it are expanded.
#define ORRERY_CHECK_AS(expression, condition, ...)                                                           \
    do {                                                                                                      \
        if (!(condition)) [[unlikely]]                                                                        \
            ::orrery::check_failed(__FILE__, __LINE__,                                                        \
                                   ::orrery::detail::check_text(expression __VA_OPT__(, ) __VA_ARGS__));      \
    } while (false)

#ifndef DOCTEST_LIBRARY_INCLUDED
/// CHECK(condition, operands...): the short name, for sources.
#define CHECK(condition, ...) ORRERY_CHECK_AS(#condition, (condition)__VA_OPT__(, ) __VA_ARGS__)
#endif

#define UNREACHABLE(...) \
    ::orrery::check_failed(__FILE__, __LINE__, ::orrery::detail::check_text("unreachable" __VA_OPT__(, ) __VA_ARGS__))
