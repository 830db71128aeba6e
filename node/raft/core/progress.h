// What a leader knows of one other member, and how much it may send it.
//
// Probe: one append, then silence until an answer, because we do not know where the logs meet. Replicate: appends are
// pipelined within a window. Snapshot: what the member needs is below our floor; the driver serves a transfer and no
// entries go out until it ends.
#pragma once

#include <deque>

#include "node/raft/core/entry.h"
#include "runtime/base/time.h"

namespace orrery::raft {

enum class ProgressState : uint8_t { Probe, Replicate, Snapshot };
std::string_view progress_state_name(ProgressState state);

struct Progress {
    struct Sent {
        LogIndex last;
        uint64_t bytes = 0;
        uint64_t round = 0;  // latest round begun when it was sent
    };

    Member member;
    ProgressState state = ProgressState::Probe;
    LogIndex match;    // durable there and equal to our log
    LogIndex next;     // first index to send; > match
    LogIndex applied;  // as last reported
    LogIndex received;  // as last reported: equal to our log, perhaps not durable
    uint64_t round = 0;        // highest round it answered
    Instant last_contact;      // when we last heard from it; check-quorum
    bool heard = false;        // it answered since we lead
    bool probe_out = false;    // Probe: waiting for an answer
    bool claim_lost = false;   // its match no longer holds back compaction
    LogIndex snapshot;         // index being served, or served and not confirmed; 0: none, or the driver has not said
    LogIndex commit_sent;      // highest commit it was sent
    LogIndex pushed;           // highest commit pushed for push_commit()
    LogIndex departing;        // no member any more since that entry, which it is still to hear of; 0: a member
    Instant departs_by;        // departing: whoever has not heard of it by then asks others
    std::deque<Sent> window;   // Replicate: appends not answered
    uint64_t window_bytes = 0;

    void become_probe(LogIndex next_index);
    void become_replicate();
    void become_snapshot();
    /// An append up to `last` has left.
    void sent(LogIndex last, uint64_t bytes, uint64_t the_round);
    /// The member has received everything up to `received`: frees the window.
    void freed(LogIndex received);
    /// An append sent before `the_round` began is not among what the member has received by its answer to that round.
    bool lost_before(uint64_t the_round, LogIndex received) const;
    /// Up to where this member may need entries of our log.
    LogIndex claim() const { return std::max(match, snapshot); }
};

}  // namespace orrery::raft
