#include "tools/orrery/divergence.h"

#include <algorithm>

#include "sim/clock/timeline.h"

namespace orrery::cli {

std::optional<StepRange> first_difference(const RunRecord& a, const RunRecord& b) {
    const size_t common = std::min(a.checkpoints.size(), b.checkpoints.size());
    for (size_t i = 0; i < common; ++i)
        if (a.checkpoints[i] != b.checkpoints[i]) return StepRange{i * sim::TraceHash::kEvery, (i + 1) * sim::TraceHash::kEvery};
    if (a.hash == b.hash && a.steps == b.steps && a.checkpoints.size() == b.checkpoints.size()) return std::nullopt;
    // Behind the last common checkpoint. Where one run is over, the other has a step more.
    const uint64_t shorter = std::min(a.steps, b.steps), longer = std::max(a.steps, b.steps);
    return StepRange{common * sim::TraceHash::kEvery, shorter == longer ? shorter : shorter + 1};
}

Result<uint64_t> narrow(StepRange range, const std::function<Result<bool>(uint64_t)>& equal_at) {
    while (range.upto - range.after > 1) {
        const uint64_t middle = range.after + (range.upto - range.after) / 2;
        TRY(const bool equal, equal_at(middle));
        (equal ? range.after : range.upto) = middle;
    }
    return range.upto;
}

}  // namespace orrery::cli
