// The patterns of KEYS, SCAN and CONFIG GET.
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"

namespace orrery::kv {

/// Redis' glob: * ? [a-z] [^x] and backslash. Bounded time: no exponential back-tracking.
enum class LetterCase : uint8_t { Exact, Ignore };
bool glob_match(ByteView pattern, ByteView text, LetterCase letter_case);

}  // namespace orrery::kv
