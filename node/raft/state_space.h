// Where a group's applied state lives in the Store, and the two records that the driver keeps there.
//
// Every key of a group starts with (group, generation), both 64-bit big-endian. A snapshot is installed under a fresh
// generation; moving the group's pointer to it is the one step by which it becomes the state. Generation 0 holds that
// pointer, and what a state machine keeps for this member alone (not replicated, in no snapshot); area byte 0 of a generation holds its applied record; all other areas are the state
// machine's.
#pragma once

#include "node/raft/core/log_view.h"
#include "runtime/base/bytes.h"

namespace orrery::raft {

struct StateSpace {
    GroupId group;
    Generation generation;
    auto operator<=>(const StateSpace&) const = default;
};

inline constexpr size_t kSpaceBytes = 16;

/// [space_begin, space_end) holds every key of the generation.
Bytes space_begin(const StateSpace& space);
Bytes space_end(const StateSpace& space);
Bytes pointer_key(GroupId group);
Bytes applied_key(const StateSpace& space);

/// The group's pointer: which generation is the state, and where that generation began.
struct StatePointer {
    Generation generation;
    Floor base;  // of the snapshot that made it; {0, 0, founding configuration} for the first
};
Bytes encode_pointer(const StatePointer& pointer);
/// Errors: Corrupt.
Result<StatePointer> decode_pointer(ByteView bytes);

/// In every batch: after a crash the Store is a prefix of the batches, and this says which.
struct AppliedRecord {
    LogPosition applied;
    Configuration configuration;  // in force at applied.index
};
Bytes encode_applied(const AppliedRecord& record);
/// Errors: Corrupt.
Result<AppliedRecord> decode_applied(ByteView bytes);

}  // namespace orrery::raft
