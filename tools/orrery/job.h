// One run, as a child process carries it out, and what came of it as the parent sees it.
//
// A Job is all that a run depends on. It is run by a fork of the parent, or, to show that surroundings do not matter, by
// this program started anew with an empty environment, another directory, another heap filling and no address
// randomisation. A child that crashes, hangs or is killed is a finding with a signature, like any other.
#pragma once

#include <string>

#include "sim/scenario/scenario.h"
#include "tools/orrery/children.h"
#include "tools/orrery/exit_code.h"
#include "tools/orrery/record.h"

namespace orrery::cli {

enum class Surroundings : uint8_t { Plain, Changed };

struct Job {
    sim::Scenario scenario;   // or a plan; command line settings and defects are already in it
    uint64_t seed = 0;
    uint64_t watch_step = 0;  // 0: none
    Instant until = Instant::never();
    uint64_t until_step = UINT64_MAX;
    uint64_t until_event = 0;      // number of a trace event; 0: none
    bool stop_at_violation = false;
    uint32_t excerpt_lines = 0;    // so many trace lines before an early stop come back in the record
    std::string capture_dir;       // where the child writes trace, logs, faults and history; empty: nowhere
    Surroundings surroundings = Surroundings::Plain;
    Duration wall = Duration::seconds(60);
};

struct RunOutcome {
    RunRecord record;          // of a child that did not come to its end: made up from how it ended
    std::string plan;          // TOML
    bool came_to_end = false;  // the record is the child's own
    std::string own_bug;       // not empty: we failed, not the code under test
    std::string stderr_tail;
    Duration wall{};

    /// 0 as the scenario expects, 1 not, 3 inconclusive, 70 our own bug.
    ExitCode exit_code() const;
};

/// Starts the job as a child of `children`. Errors: Overloaded.
Result<void> start_job(Children& children, uint64_t token, const Job& job);
/// What the end of a job's child means.
RunOutcome settle(const Job& job, ChildEnd end);
/// Starts one job and waits for it. Errors: Overloaded; Cancelled when a stop signal came first.
Result<RunOutcome> run_job(const Job& job, StopSignals* stop = nullptr);

/// The name under which start_job() starts this program anew; the request is read from descriptor 3, the reply goes to 4.
inline constexpr const char* kRequestArgument = "--simulate-request";
/// What the program does then. The process has run no world before.
int serve_request();

/// "AddressSanitizer: heap-use-after-free ..." or the last line that is no trace event; addresses are taken out.
std::string crash_site(std::string_view stderr_tail);

}  // namespace orrery::cli
