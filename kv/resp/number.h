// Integers as Redis reads and writes them: one spelling per number. " 1", "+1", "01" and "-0" are not integers, so that
// a value that was read as a number and written again has the same bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/base/bytes.h"

namespace orrery::resp {

/// nullopt for anything that is not the canonical decimal form of an int64.
std::optional<int64_t> parse_int64(ByteView text);

void append_int64(Bytes& out, int64_t value);
Bytes int64_text(int64_t value);

}  // namespace orrery::resp
