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

/// What a member that lacks an entry gets of its attachment.
struct LoadedAttachment {
    std::shared_ptr<const Bytes> bytes;  // never null
    /// Not 0: a later entry has changed what these bytes became, so they are not those that were proposed. They serve whoever
    /// applies all entries up to this one, and nobody before.
    LogIndex superseded_by;
};

class StateMachine {
 public:
    virtual ~StateMachine() = default;

    /// The state is the one below `space` now (start, or a snapshot was installed): drop what is cached of another.
    /// Nothing is applied meanwhile. Yields. Errors: Corrupt, Io, Cancelled.
    virtual Result<void> load(Fiber& fiber, const StateSpace& space) = 0;
    /// Once, after the first load(): the entries of the own log above what load() found applied, in order, committed or not. Some
    /// may have been applied before the start. Atomic.
    virtual void recovered(std::span<const Entry> /*above_applied*/) {}
    /// The entries of the own log from `from` on were replaced: they were never applied, and never will be. Atomic.
    virtual void truncated(LogIndex /*from*/) {}
    /// Puts the effect of `items`, in order, into `batch`; what it shows to readers changes only in applied().
    /// Deterministic in (state, items). Yields. Errors: Io, Corrupt, Cancelled: nothing was changed, the group stops.
    virtual Result<void> apply(Fiber& fiber, std::span<ApplyItem> items, store::Batch& batch) = 0;
    /// The batch of the last apply() is written.
    virtual void applied(LogIndex up_to) = 0;
    /// What was applied up to `up_to` survives a power loss from here on. Not told of what load() finds. Atomic, not from a fiber.
    virtual void durable(LogIndex /*up_to*/) {}

    /// Makes the attachment of an entry durable in its own place (file, size, directory entry). Only for machines whose
    /// entries have attachments. Calls for one group run one after the other; one that places bytes where those of a replaced entry
    /// were comes after that entry's truncation is durable. Yields. Errors: NoSpace (it is called again), Io, Cancelled.
    virtual Result<void> store_attachment(Fiber& fiber, const Entry& entry);
    /// The attachment's bytes, for a member that lacks the entry. Yields. Errors: NotFound, Corrupt, Io, Cancelled.
    virtual Result<LoadedAttachment> load_attachment(Fiber& fiber, const Entry& entry);

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
