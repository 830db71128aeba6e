// Scenario: the one model of hand-written, generated and minimised runs. A *plan* is a scenario
// without ranges: nothing in it is drawn any more but the addressed draws of its seed, so that it
// replays bit for bit.
//
// Not here: TOML (scenario_toml.h), what a seed makes of ranges (expand() in run.h), running
// (run.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/fault/budget.h"
#include "sim/fault/fault_plan.h"
#include "sim/fault/swarm.h"

namespace orrery::sim {

struct Origin {
    std::string commit;
    std::string found_by;
    uint64_t parent_seed = 0;
    uint64_t events_before = 0;
    uint64_t events_after = 0;
    bool operator==(const Origin&) const = default;
};

/// Sizes and times of the nodes; every one is a [cluster] knob of the same name.
struct ClusterKnobs {
    Duration election_timeout_min = Duration::millis(300);
    Duration election_timeout_max = Duration::millis(600);
    Duration heartbeat = Duration::millis(50);
    uint64_t retain_bytes = 1 << 20;       // tiny: members that lag get snapshots
    uint64_t flush_log_bytes = 256 << 10;  // log bytes after which the Store is flushed
    uint64_t retain_bytes_node = 0;         // of all groups; 0: each group's bound only
    Duration snapshot_timeout = Duration::seconds(60);
    uint64_t slowed_bytes_per_second = 16 << 20;  // past twice retain_bytes
    uint64_t reserve_bytes = 0;             // of the disk; 0: only what has failed counts
    uint64_t snapshot_chunk_bytes = 16 << 10;
    uint64_t log_segment_bytes = 1 << 20;
    uint64_t log_batch_bytes = 64 << 10;
    uint64_t memtable_bytes = 64 << 10;
    uint64_t apply_batch_entries = 64;
    Duration request_timeout = Duration::seconds(2);
    bool check_quorum = true;  // false: a cut-off leader believes in itself until it hears of another
    Duration node_silence = Duration::seconds(3);  // of a data node, before masters mark it inactive
    uint64_t lease_drift_ppm = 0;  // of reads under leases, which an operator switches on at once; 0: no leases
    bool operator==(const ClusterKnobs&) const = default;
};

/// One group, of one of two kinds.
struct ClusterSpec {
    uint64_t kv = 3;       // founders, n1..; 0 where there are masters
    uint64_t masters = 0;  // founders, m1..
    uint64_t spare = 0;    // nodes that run and belong to no cluster, until an operator takes them in
    uint64_t data = 6;     // hosts d1.. that stand in for data nodes; only with masters
    bool of_masters() const { return masters > 0; }
    uint64_t founders() const { return of_masters() ? masters : kv; }
    uint64_t nodes() const { return founders() + spare; }
    MemberNames names() const { return of_masters() ? MemberNames{"m", "master"} : MemberNames{}; }
    ClusterKnobs knobs;
    bool operator==(const ClusterSpec&) const = default;
};

/// Shares of the kinds of operations; they need not sum to 1. wait and waitall follow a write of
/// the same connection.
struct WorkloadMix {
    double get = 0.4;
    double set = 0.35;
    double append = 0.05;
    double incr = 0.05;
    double del = 0.05;
    double cas = 0.05;  // SET ... NX: a compare with absent
    double wait = 0.025;
    double waitall = 0.025;
    double expire = 0;  // of all operations, before the others share the rest: keys that expire, see the README
    double txn = 0;     // of those that remain, as expire: WATCH, MULTI ... EXEC over lists and counters
    bool operator==(const WorkloadMix&) const = default;
};

struct WorkloadSpec {
    std::string kind = "kv";  // list_workloads(); it sets the shares of [workload.mix] that are not given
    uint64_t clients = 3;
    uint64_t ops = 200;  // of all clients together
    uint64_t keys = 12;
    uint64_t value_bytes = 24;
    WorkloadMix mix;
    Duration think =
        Duration::millis(20);  // mean pause between two operations of a client, exponential
    double burst_p = 0.1;      // share of operations sent in a pipeline of 2 to 8
    Duration op_timeout = Duration::seconds(
        3);  // then the outcome is unknown and the client goes on under a new number
    Duration wait_timeout = Duration::millis(500);
    /// Share of operations that are waits out of the common: between two writes of one pipeline, WAITAOF, inside
    /// MULTI, by a client that leaves. Above 0 the end of the run also times waits in the idle group and leaves some.
    double odd_waits_p = 0;
    Duration idle_tail;          // nobody writes for so long before the last WAITs
    std::vector<std::string> script;  // kind kv-script: the clients' commands, see script.h
    std::string target = "any";  // which node a client connects to: any, or a symbolic node
    /// Of the clients, the last so many do nothing but read until the chaos phase ends, and each stays with one node: who else
    /// asks a deposed leader before it is told? They have no share of `ops`.
    uint64_t readers = 0;
    Duration reader_think = Duration::millis(20);  // mean pause between two reads of a reader, exponential
    bool operator==(const WorkloadSpec&) const = default;
};

struct Limits {
    Duration sim_time = Duration::seconds(120);  // of the whole run; more is "run.no-progress"
    uint64_t events = 20'000'000;                // steps
    Duration wall = Duration::seconds(60);       // for the caller, who owns the process
    bool operator==(const Limits&) const = default;
};

struct Phases {
    Duration chaos = Duration::seconds(
        10);  // faults strike; ends early never, later while directed events are due
    Duration heal_within = Duration::seconds(20);  // leader, pending operations, catch-up
    bool verify = true;                            // final reads and digests
    bool operator==(const Phases&) const = default;
};

struct Checks {
    bool raft = true;
    bool linearizable = true;
    bool order = true;  // of lists, counters and transactions
    bool durability = true;
    bool replicas = true;
    bool wait = true;
    bool liveness = true;
    bool lists = true;   // of masters: what they show, and what they have agreed on
    bool expiry = true;  // where the mix has keys that expire
    std::vector<std::string> expect_errors;  // Error events that may be emitted
    std::vector<std::string>
        require_fired;  // ids of events that must have fired, else inconclusive
    bool operator==(const Checks&) const = default;
};

enum class Expected : uint8_t { Pass, Violation };
struct Expectation {
    Expected result = Expected::Pass;
    std::string checker;    // name of the violation, "" = any
    std::string signature;  // "" = any
    bool operator==(const Expectation&) const = default;
};

struct Scenario {
    int64_t schema = 1;
    std::string name;
    uint64_t seed = 1;
    std::vector<std::string> tags;
    std::vector<std::string> defects;  // seeded defects that are on, by name
    Origin origin;
    ClusterSpec cluster;
    WorkloadSpec workload;
    Limits limits;
    std::optional<SwarmSpec> swarm;  // absent in a plan
    Budget budget;
    FaultPlan plan;  // [[event]] and [schedule]
    Phases phases;
    Checks check;
    Expectation expect;

    bool is_plan() const { return !swarm.has_value(); }
    bool operator==(const Scenario&) const = default;
};

}  // namespace orrery::sim
