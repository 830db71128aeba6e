// Running one scenario: seed -> plan -> world -> verdict. One world per process: callers fork.
//
// Nothing here reads a clock or a file: wall time, run directories and worker processes are the
// caller's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/verdict.h"
#include "sim/scenario/scenario.h"

namespace orrery::sim {

/// Sees every structured event of every host, rendered late: only what it asks for costs. Calls
/// come in order.
class TraceSink {
 public:
    virtual ~TraceSink() = default;
    virtual bool wants_debug() const { return true; }
    /// `sequence` numbers the events of the run from 1; `at` is the world's time.
    virtual void on_event(uint64_t sequence, Instant at, std::string_view host,
                          const TraceEvent& event) = 0;
    virtual void on_fault(uint64_t /*sequence*/, Instant /*at*/, std::string_view /*text*/) {}
};

struct RunOptions {
    std::vector<std::string> defects;  // by name, besides the scenario's own
    TraceSink* sink = nullptr;         // outlives the run
    uint64_t watch_step = 0;           // hash after this step, for bisection; 0 = none
    Instant until = Instant::never();  // stop at this virtual time ...
    uint64_t until_step = UINT64_MAX;  // ... or after this step; the verdict is then inconclusive
    bool stop_at_violation = false;    // stop at the first violation seen while running
    bool check_determinism = true;     // run the start-up check of the RocksDB link (10 ms); once a
                                       // process family is enough
};

struct FiredFault {
    size_t event = 0;  // position in the plan's events
    std::string id;
    std::string fault;  // "net.partition"
    Instant at;
    std::string what;        // "isolated n2 from n1, n3"
    bool effective = false;  // something observable changed
};

struct RunResult {
    check::Verdict verdict;  // of all checkers together
    Scenario plan;           // as run; replaying it gives the same hash
    uint64_t hash = 0;
    uint64_t steps = 0;
    std::vector<uint64_t> checkpoints;  // [i]: hash after step (i + 1) * TraceHash::kEvery
    uint64_t watched_hash = 0;          // after RunOptions::watch_step
    Duration sim_time;
    bool stopped = false;  // at RunOptions::until or until_step, before its own end
    std::vector<FiredFault> faults;
    std::vector<size_t> never_fired;  // positions in the plan's events
    std::map<std::string, uint64_t> probes;
    check::History history;
    uint64_t operations = 0;  // of clients: all, ok, unknown
    uint64_t operations_ok = 0;
    uint64_t operations_unknown = 0;
    uint64_t waits_checked = 0;
    uint64_t lists_checked = 0;  // answers of masters
    uint64_t raft_events = 0;
    uint64_t linearizability_steps = 0;
    std::vector<std::string> recent;  // last events before a failure, as text
    std::vector<std::string> notes;   // what was not checked, and why

    /// Name and signature of the first violation; "" without one.
    std::string failure_name() const;
    std::string signature() const;
};

/// What `expect` says of this verdict.
enum class Judgement : uint8_t { AsExpected, Unexpected, Inconclusive };
Judgement judge(const Expectation& expect, const check::Verdict& verdict);
/// 0 as expected, 1 not, 3 inconclusive.
int exit_code(Judgement judgement);

/// The plan that `scenario` and `seed` stand for: every range drawn (at addresses of the seed),
/// every event explicit. A scenario without [swarm] gets the seed and stays as it is. Pure.
Scenario expand(const Scenario& scenario, uint64_t seed);

/// Runs expand(scenario, seed). Requires: no world was run in this process before; scenario is free
/// of errors.
RunResult run_scenario(const Scenario& scenario, uint64_t seed, const RunOptions& options = {});
/// Runs a plan as it is, with its own seed. Requires: plan.is_plan().
RunResult run_plan(const Scenario& plan, const RunOptions& options = {});

/// For `orrery list`.
struct NamedText {
    std::string_view name;
    std::string_view text;
};
std::vector<NamedText> list_workloads();
std::vector<NamedText> list_checks();
std::vector<NamedText> list_probes();  // rare situations that a campaign counts and may require
std::vector<NamedText> list_points();  // trace points that `when` can name

}  // namespace orrery::sim
