// What one simulated run came to, and the bounded form in which a child process hands it to its parent.
//
// The child writes frames into a pipe: the plan before the world starts (so that a crash still has one), the record at the
// end. Whatever arrives is treated as foreign: a child that crashed half-way leaves a cut frame, and that is told apart
// from a whole one. Frame: magic 'ORRF', kind u8, length u32, crc32c of the payload u32, payload; little-endian.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"
#include "sim/check/verdict.h"

namespace orrery::cli {

struct Finding {
    std::string property;   // stable name: "linearizability", "process.aborted"
    std::string text;       // one sentence with the values
    std::string signature;  // what failures are deduplicated and replayed by
    Instant at{};
    bool operator==(const Finding&) const = default;
};

struct RunRecord {
    std::string scenario;
    uint64_t seed = 0;
    check::Outcome outcome = check::Outcome::Inconclusive;
    std::vector<Finding> findings;  // in the order found; empty unless Violated
    std::string reason;             // why Inconclusive
    uint64_t hash = 0;
    uint64_t steps = 0;
    std::vector<uint64_t> checkpoints;  // hash after every TraceHash::kEvery steps
    uint64_t watched_value = 0;         // hash after the step that was asked for
    Duration simulated{};
    uint64_t trace_events = 0;
    uint64_t operations = 0;           // of clients
    uint64_t operations_ok = 0;
    uint64_t operations_unknown = 0;
    uint64_t planned_events = 0;       // of the fault plan
    bool expected = false;             // the scenario's [expect] is met (a negative scenario expects a violation)
    std::map<std::string, uint64_t> faults_fired;  // by action
    std::map<std::string, uint64_t> probes;        // by name
    std::vector<std::string> not_fired;            // plan events whose trigger never came
    std::vector<std::string> notes;                // what was not checked, and why
    std::vector<std::string> recent;               // the last events before a failure
    std::vector<std::string> excerpt;              // the last trace lines before an early stop, oldest first
    bool stopped_early = false;                    // an `until` was reached before the run's own end

    /// Empty unless Violated.
    const std::string& signature() const;
    bool operator==(const RunRecord&) const = default;
};

enum class FrameKind : uint8_t { Plan = 1, Record = 2, Refused = 3 };

/// Longest payload. What is longer is a failed CHECK in the child and Invalid in the parent.
inline constexpr uint32_t kMaxFrameBytes = 32u << 20;

Bytes encode_frame(FrameKind kind, ByteView payload);
Bytes encode_record(const RunRecord& record);
/// Errors: Corrupt.
Result<RunRecord> decode_record(ByteView payload);

/// All that came through a child's pipe.
struct Reply {
    std::string plan;                 // empty when the child did not get that far
    std::optional<RunRecord> record;  // absent when the child did not come to its end
    std::string refused;              // why the child could not start a world
    bool cut = false;                 // bytes behind the last whole frame
};
/// Errors: Corrupt when a frame has a bad magic, checksum, kind or length, or a record that does not decode.
Result<Reply> decode_reply(ByteView bytes);

}  // namespace orrery::cli
