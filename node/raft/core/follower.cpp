// Following: appends, heartbeats, and the change of the whole log for a snapshot.
//
// `matched_` is the point of this file: up to it our log is known to equal the leader's of this term, by the check of an
// append (or because it is committed). Only that is acknowledged; a longer log of our own says nothing.
#include <algorithm>

#include "node/raft/core/core.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

/// False: not to be acted upon.
bool Core::follow(Instant now, const Message& message) {
    if (role_ == Role::Leader || (leader_ && leader_ != message.from && role_ == Role::Follower)) {
        refuse(message, RefusalReason::SecondLeader);
        return false;
    }
    if (role_ != Role::Follower) become_follower(now, hard_.term, message.from);
    leader_ = message.from;
    leader_heard_ = now;
    election_deadline_ = now + election_timeout_;
    return true;
}

FollowerState Core::own_state() const {
    LogIndex match = ORRERY_DEFECT(ack_before_sync) ? matched_ : std::min(matched_, durable_);
    if (ORRERY_DEFECT(wait_counts_last_index)) return {std::min(match, whole()), log_.last().index, stateless_ ? LogIndex() : applied_};
    return {std::min(match, whole()), std::min(matched_, whole()), stateless_ ? LogIndex() : applied_};
}

void Core::commit_to(LogIndex index) {
    commit_ = std::max(commit_, std::min(index, log_.last().index));
}

void Core::on_append(Instant now, const Message& message, Append& body) {
    if (!follow(now, message)) return;
    LogPosition prev = body.prev;
    auto entry = body.entries.begin();
    // What lies at or below our floor is committed, so it matches.
    for (; prev.index < log_.floor().index && entry != body.entries.end(); ++entry)
        prev = entry->position();
    if (prev.index < log_.floor().index) prev = log_.floor().position();
    if (log_.term_at(prev.index) != prev.term) {
        renew_promise(now);
        return reject_append(message, body);
    }

    LogIndex end = prev.index;
    for (; entry != body.entries.end() && log_.term_at(entry->index) == entry->term; ++entry) {
        end = entry->index;
        fill(entry->position(), entry->body);  // where ours is a hole
    }
    if (entry != body.entries.end()) {
        if (entry->index <= log_.last().index) {
            if (entry->index <= commit_) return refuse(message, RefusalReason::BelowCommit);
            truncate(entry->index);
        }
        for (; entry != body.entries.end(); ++entry) {
            end = entry->index;
            log_.append(std::move(*entry)).value();  // well_formed() has decoded it
        }
    }
    if (ORRERY_DEFECT(truncate_on_every_append) && end > log_.floor().index &&
        end < log_.last().index) {
        truncate(end.next());
        matched_ = std::min(matched_, end);
    }
    matched_ = std::max(matched_, end);
    renew_promise(now);  // by the configuration that this append may have brought
    commit_to(ORRERY_DEFECT(commit_not_capped) ? body.commit : std::min(body.commit, end));
    AppendReply reply{.accepted = true, .state = own_state(), .round = body.round};
    send_held(message.from, hard_.term, std::move(reply),
              ORRERY_DEFECT(ack_before_sync) ? LogIndex() : end, hard_sequence());
}

void Core::reject_append(const Message& message, const Append& body) {
    AppendReply reply{.state = own_state(), .rejected_prev = body.prev.index, .round = body.round};
    reply.hint = log_.last_not_above(body.prev.index, body.prev.term);
    send_held(message.from, hard_.term, std::move(reply), LogIndex(), hard_sequence());
}

void Core::truncate(LogIndex from) {
    log_.truncate(from);
    forget_holes(from, LogIndex(kCounterLimit));
    LogIndex kept = from.previous();
    durable_ = std::min(durable_, kept);
    for (Batch& batch : batches_) batch.last = std::min(batch.last, kept);
    if (from >= unsaved_) return;  // the driver never saw them
    truncate_from_ = truncate_from_ ? std::min(*truncate_from_, from) : from;
    unsaved_ = from;
}

void Core::forget_holes(LogIndex from, LogIndex to) {
    auto gone = [&](LogIndex index) { return index >= from && index <= to; };
    std::erase_if(holes_, [&](const auto& hole) { return gone(hole.first); });
    std::erase_if(filled_, gone);
}

void Core::on_heartbeat(Instant now, const Message& message, const Heartbeat& body) {
    if (!follow(now, message)) return;
    renew_promise(now);
    commit_to(body.commit);
    claim_heard_ = body.lowest_claim;
    if (body.push && applied_ < commit_) applied_asked_ = commit_;
    send_held(message.from, hard_.term, HeartbeatReply{body.round, own_state()}, LogIndex(),
              hard_sequence());
}

void Core::set_installing(Instant now, bool installing) {
    if (installing == installing_) return;
    installing_ = installing;
    if (role_ == Role::PreCandidate || role_ == Role::Candidate) become_follower(now, hard_.term, {});
    else if (role_ == Role::Follower) election_deadline_ = now + election_timeout_;
}

bool Core::restore(Instant now, Floor floor) {
    set_installing(now, false);
    if (floor.index <= commit_) return false;
    CHECK(role_ != Role::Leader, floor.index, commit_);  // nobody has committed more than we have
    if (role_ != Role::Follower) become_follower(now, hard_.term, {});
    LogIndex index = floor.index;
    bool tail_kept = log_.term_at(index) == floor.term;
    log_.restore(std::move(floor));
    stateless_ = false;
    commit_ = applied_ = index;
    if (tail_kept) {
        durable_ = std::max(durable_, index);
        matched_ = std::max(matched_, index);
        unsaved_ = std::max(unsaved_, index.next());
        forget_holes(LogIndex(), index);
    } else {
        forget_holes(LogIndex(), LogIndex(kCounterLimit));
        durable_ = matched_ = index;
        unsaved_ = index.next();
        truncate_from_.reset();  // the durable pointer of the snapshot says it already
        for (Batch& batch : batches_) batch.last = std::min(batch.last, index);
        std::erase_if(held_, [&](const Held& held) { return held.durable > index; });
    }
    if (leader_) {
        renew_promise(now);  // the snapshot's configuration may be the first with leases
        send_held(leader_, hard_.term, AppendReply{.accepted = true, .state = own_state()}, LogIndex(),
                  hard_sequence());
    }
    release_held(now);
    return true;
}

void Core::compact(LogIndex index) {
    CHECK(index <= applied_, index, applied_);
    log_.compact(std::min(index, log_.last().index));
    unsaved_ = std::max(unsaved_, log_.floor().index.next());
}

LogIndex Core::lowest_claim() const {
    if (role_ != Role::Leader) return claim_heard_;
    LogIndex lowest = durable_;
    for (const auto& [node, progress] : progress_)
        if (!progress.claim_lost && !progress.departing) lowest = std::min(lowest, progress.claim());
    return lowest;
}

std::optional<LogIndex> Core::claim_of(NodeId node) const {
    const Progress* progress = role_ == Role::Leader ? progress_.get(node) : nullptr;
    if (!progress || progress->claim_lost) return std::nullopt;
    return progress->claim();
}

bool Core::in_touch(Instant now, Member member) const {
    if (member == options_.self) return true;
    const Progress* progress = role_ == Role::Leader ? progress_.get(member.node) : nullptr;
    return progress && progress->member == member && now - std::max(progress->last_contact, lead_since_) < options_.election_timeout_min;
}

}  // namespace orrery::raft
