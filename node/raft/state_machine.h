// StateMachine: what a group replicates. Its state lives in the Store below a StateSpace; what it keeps in memory is a
// copy that load() can make again.
#pragma once

#include <span>
#include <vector>

#include "node/raft/core/entry.h"
#include "node/raft/core/configuration.h"
#include "node/raft/state_space.h"
#include "runtime/env/env.h"
#include "runtime/store/store.h"

namespace orrery::raft {

/// One Data entry to apply. `reply` is for whoever proposed it on this node; filled only when wanted.
struct ApplyItem {
    LogIndex index;
    Term term;
    ByteView body;
    bool reply_wanted = false;
    Bytes reply;
};

/// Where a value of state-machine time comes from: a leader's replaces our own, a voter's raises it.
enum class TimeSource : uint8_t { Leader, Voter };

class StateMachine {
 public:
    virtual ~StateMachine() = default;

    /// The state is the one below `space` now (start, or a snapshot was installed): drop what is cached of another.
    /// Nothing is applied meanwhile. Yields. Errors: Corrupt, Io, Cancelled.
    virtual Result<void> load(Fiber& fiber, const StateSpace& space) = 0;
    /// Puts the effect of `items`, in order, into `batch`; what it shows to readers changes only in applied().
    /// Deterministic in (state, items). Yields. Errors: Io, Corrupt, Cancelled: nothing was changed, the group stops.
    virtual Result<void> apply(Fiber& fiber, std::span<ApplyItem> items, store::Batch& batch) = 0;
    /// The batch of the last apply() is written.
    virtual void applied(LogIndex up_to) = 0;

    /// Makes the attachment of an entry durable in its own place (file, size, directory entry). Only for machines whose
    /// entries have attachments. Calls for one group run one after the other. Yields. Errors: Io, NoSpace, Cancelled.
    virtual Result<void> store_attachment(Fiber& fiber, const Entry& entry);
    /// The attachment's bytes, for a member that lacks the entry. Yields. Errors: NotFound, Corrupt, Io, Cancelled.
    virtual Result<std::shared_ptr<const Bytes>> load_attachment(Fiber& fiber, const Entry& entry);

    /// State-machine time of this node now, carried by heartbeats and vote answers; 0 when nothing was heard
    /// since the start.
    virtual int64_t running_time_ns() const { return 0; }
    /// A member's time arrived, above 0.
    virtual void observe_time_ns(int64_t /*time*/, TimeSource /*source*/) {}
};

}  // namespace orrery::raft
