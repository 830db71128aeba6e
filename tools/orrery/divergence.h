// Where two runs of the same seed part: pure arithmetic on their hashes.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "runtime/base/result.h"
#include "tools/orrery/record.h"

namespace orrery::cli {

/// The first step that differs lies in (after, upto].
struct StepRange {
    uint64_t after = 0;
    uint64_t upto = 0;
    bool operator==(const StepRange&) const = default;
};

/// nullopt when hash, steps and every checkpoint are equal.
std::optional<StepRange> first_difference(const RunRecord& a, const RunRecord& b);

/// Narrows `range` to one step. `equal_at(step)` runs both again and tells whether their hashes agree after that step.
/// Once two runs differ they differ for good (the hash is rolling). Errors: those of `equal_at`.
Result<uint64_t> narrow(StepRange range, const std::function<Result<bool>(uint64_t step)>& equal_at);

}  // namespace orrery::cli
