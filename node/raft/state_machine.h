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

/// State-machine time of a member just now. A running value was heard of since the start and ran on by the own monotonic
/// clock; an estimate adds a wall-clock difference to what was stored before the start.
struct TimeOffer {
    int64_t ns = 0;  // 0: none
    bool estimate = false;
    Term leader;  // whose word it goes back to; in a heartbeat the sender's own term
    Term epoch;   // the term whose leader began this count: numbers of two counts say nothing about each other
    bool operator==(const TimeOffer&) const = default;
};

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

    /// State-machine time of this node now, carried by vote answers, and by heartbeats when it is no estimate.
    virtual TimeOffer time_offer() const { return {}; }
    /// The leader of `offer.leader` says what time it is by a heartbeat: a running value, above 0.
    virtual void observe_heartbeat(const TimeOffer& /*offer*/) {}
    /// So does a voter, by its answer to our candidacy of `term`. An estimate comes with a granted vote only.
    virtual void observe_vote(const TimeOffer& /*offer*/, NodeId /*from*/, Term /*term*/) {}
    /// This node leads in `term` from now on. Everything that its vote quorum said was observed before; nothing was proposed
    /// yet. `newest` is the last Data entry in the own log, null when none is there.
    virtual void elected(Term /*term*/, const Entry* /*newest*/) {}
};

}  // namespace orrery::raft
