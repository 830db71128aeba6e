#include "tools/orrery/capture.h"

#include <fmt/format.h>

#include "tools/orrery/divergence.h"
#include "tools/orrery/files.h"
#include "tools/orrery/quantity.h"

namespace orrery::cli {

std::string difference_between(const RunOutcome& a, const RunOutcome& b) {
    if (a.came_to_end != b.came_to_end) {
        const RunOutcome& broken = a.came_to_end ? b : a;
        return fmt::format("one came to its end, the other did not ({})",
                           broken.own_bug.empty() ? broken.record.findings.front().text : broken.own_bug);
    }
    if (!a.came_to_end) {
        if (a.record.signature() == b.record.signature()) return {};
        return fmt::format("one ended with '{}', the other with '{}'", a.record.signature(), b.record.signature());
    }
    const std::optional<StepRange> range = first_difference(a.record, b.record);
    if (!range) {
        if (a.record.outcome == b.record.outcome && a.record.signature() == b.record.signature()) return {};
        return "the hashes are equal, but the verdicts are not";
    }
    return fmt::format("hash {} and hash {}, first different between step {} and step {}", show_hash(a.record.hash), show_hash(b.record.hash),
                       show_count(range->after), show_count(range->upto));
}

Result<Captured> capture(Job job, const RunOutcome& first, const std::string& root, const BuildInfo& build, StopSignals* stop) {
    TRY(job.capture_dir, make_staging(root, job.scenario.name, job.seed));
    Result<RunOutcome> again = run_job(job, stop);
    if (!again.ok()) return remove_tree(job.capture_dir), again.error();
    Captured captured;
    captured.difference = difference_between(first, *again);
    TRY(captured.place, save_run(root, job.capture_dir, *again, build));
    return captured;
}

}  // namespace orrery::cli
