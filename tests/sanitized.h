// Under a sanitizer tests repeat themselves less: it looks at the code, not at the odds, and several times more slowly.
#pragma once

#include <cstdint>

namespace orrery::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// How many of `count` seeds, runs or cases to take: all, or an eighth under a sanitizer; at least one.
constexpr uint64_t seeds(uint64_t count) { return kSanitized ? (count + 7) / 8 : count; }

}  // namespace orrery::test
