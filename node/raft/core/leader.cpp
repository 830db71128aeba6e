// Leading: replication, commit, reads, hand-over.
// Source: the Raft thesis, chapters 3.5, 3.6, 6.4, 10.2.1 (the leader's disk works beside the followers').
#include <algorithm>

#include "node/raft/core/core.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

Error Core::not_leader() const {
    return Error(Code::NotLeader, leader_ ? std::to_string(leader_.node.value) : "");
}

// --- Requests.

void Core::append_own(Instant now, EntryKind kind, std::shared_ptr<const Bytes> body,
                      std::shared_ptr<const Bytes> attachment) {
    Entry entry{hard_.term, log_.last().index.next(), kind, std::move(body), std::move(attachment)};
    entry.has_attachment = entry.attachment != nullptr;
    uncommitted_bytes_ += entry.size_bytes();
    log_.append(std::move(entry)).value();
    if (kind == EntryKind::Config) after_configuration_change(now);
}

Result<LogIndex> Core::propose(Instant now, std::shared_ptr<const Bytes> body,
                               std::shared_ptr<const Bytes> attachment) {
    if (role_ != Role::Leader) return not_leader();
    if (transfer_to_) return Error(Code::NotReady, "leadership is being handed over");
    uint64_t size = (body ? body->size() : 0) + (attachment ? attachment->size() : 0);
    if (uncommitted_bytes_ > 0 && (size > options_.max_uncommitted_bytes ||
                                   uncommitted_bytes_ > options_.max_uncommitted_bytes - size))
        return Error(Code::Overloaded, "too many bytes are not committed yet");
    append_own(now, EntryKind::Data, std::move(body), std::move(attachment));
    return log_.last().index;
}

Result<LogIndex> Core::propose_configuration(Instant now, const Configuration& next) {
    if (role_ != Role::Leader) return not_leader();
    if (transfer_to_) return Error(Code::NotReady, "leadership is being handed over");
    if (!own_term_committed()) return Error(Code::NotReady, "no entry of this term is committed yet");
    if (log_.configuration_index() > commit_ && !ORRERY_DEFECT(change_over_pending))
        return Error(Code::NotReady, "the change before is not committed");
    if (!ORRERY_DEFECT(change_over_pending)) TRY(log_.configuration().check_successor(next));
    append_own(now, EntryKind::Config, std::make_shared<const Bytes>(next.encode()), nullptr);
    return log_.last().index;
}

Result<void> Core::read_index(Instant, uint64_t token) {
    if (role_ != Role::Leader) return not_leader();
    if (reads_.size() >= options_.max_pending_reads) return Error(Code::Overloaded, "too many reads wait");
    reads_.push_back({token, false, LogIndex(), 0});
    index_reads();
    return {};
}

void Core::push_commit(LogIndex target) {
    if (role_ == Role::Leader) push_target_ = std::max({push_target_, target, commit_});
}

Result<void> Core::transfer(Instant now, NodeId to) {
    if (role_ != Role::Leader) return not_leader();
    Progress* progress = progress_.get(to);
    if (!progress || !log_.configuration().is_voter(progress->member))
        return Error(Code::Invalid, "not another voter");
    if (transfer_to_) return Error(Code::NotReady, "a hand-over is under way");
    transfer_to_ = progress->member;
    transfer_deadline_ = now + options_.election_timeout_max;
    transfer_sent_ = false;
    return {};
}

void Core::finish_transfer() {
    if (!transfer_to_ || transfer_sent_) return;
    const Progress* progress = progress_of(*transfer_to_);
    if (!progress || progress->match != log_.last().index) return;
    lease_given_up_ = true;  // before it leaves
    send(*transfer_to_, hard_.term, TimeoutNow{});
    transfer_sent_ = true;
}

// --- Members.

Progress* Core::progress_of(Member member) {
    Progress* progress = progress_.get(member.node);
    return progress && progress->member == member ? progress : nullptr;
}

void Core::after_configuration_change(Instant now) {
    const Configuration& configuration = log_.configuration();
    FlatMap<NodeId, Progress> next;
    for (const Member& member : configuration.members()) {
        if (member.node == options_.self.node || !configuration.is_member(member)) continue;
        Progress& fresh = next[member.node];
        if (Progress* known = progress_of(member)) {
            fresh = std::move(*known);
            fresh.departing = LogIndex();
            continue;
        }
        fresh.member = member;
        fresh.last_contact = now;
        fresh.become_probe(log_.last().index.next());
    }
    // Whoever is out is told, by the entry itself: only then it knows for good that it need not come back.
    for (auto& [node, progress] : progress_) {
        if (next.contains(node)) continue;
        if (!progress.departing) {
            progress.departing = log_.configuration_index();
            progress.departs_by = now + options_.election_timeout_max * 10;
        }
        next[node] = std::move(progress);
    }
    progress_ = std::move(next);
}

/// Those who know that they are out are forgotten, and those who cannot be told.
void Core::see_off(Instant now) {
    std::vector<NodeId> gone;
    for (const auto& [node, progress] : progress_)
        if (progress.departing && (progress.applied >= progress.departing || now >= progress.departs_by ||
                                   progress.state == ProgressState::Snapshot))
            gone.push_back(node);
    for (NodeId node : gone) progress_.erase(node);
}

/// The committed configuration does not have us: whoever is nearest goes on, at once.
void Core::leave(Instant now) {
    const Progress* best = nullptr;
    for (const auto& [node, progress] : progress_)
        if (log_.configuration().is_voter(progress.member) && progress.heard &&
            (!best || progress.match > best->match))
            best = &progress;
    if (best) send(best->member, hard_.term, TimeoutNow{});
    become_follower(now, hard_.term, {});
}

/// False: not a member's, or it claims what cannot be.
bool Core::note_follower(Instant now, const Message& message, const FollowerState& state,
                         uint64_t round) {
    Progress* progress = role_ == Role::Leader ? progress_of(message.from) : nullptr;
    if (!progress) return false;
    if ((state.received > log_.last().index && !ORRERY_DEFECT(wait_counts_last_index)) || round > round_) {
        refuse(message, RefusalReason::Malformed);
        return false;
    }
    progress->last_contact = now;
    progress->heard = true;
    progress->applied = state.applied;  // falls when the member restarted: what counts is what it has applied now
    progress->received = state.received;
    progress->round = std::max(progress->round, round);
    progress->freed(state.received);
    if (state.match > progress->match) {
        progress->match = state.match;
        progress->next = std::max(progress->next, state.match.next());
        progress->claim_lost = false;
        advance_commit(now);
    }
    return role_ == Role::Leader;
}

void Core::on_append_reply(Instant now, const Message& message, const AppendReply& body) {
    if (!note_follower(now, message, body.state, body.round)) return;
    Progress& progress = *progress_of(message.from);
    if (body.accepted) {
        bool meets = progress.match >= log_.floor().index;
        if (progress.state == ProgressState::Probe ||
            (progress.state == ProgressState::Snapshot && meets)) {
            progress.next = std::max(body.state.received, progress.match).next();
            progress.become_replicate();
        }
        return;
    }
    if (progress.state == ProgressState::Snapshot || body.rejected_prev <= progress.match) return;
    // In Probe exactly one question is open; any other answer is of an earlier one.
    if (progress.state == ProgressState::Probe && body.rejected_prev.next() != progress.next) return;
    LogPosition meet = log_.last_not_above(body.hint.index, body.hint.term);
    progress.become_probe(std::min(meet.index.next(), body.rejected_prev));
    // Below our floor nothing can be compared: that member needs a snapshot.
    if (body.hint.index < log_.floor().index) progress.next = std::max(body.hint.index, progress.match).next();
}

void Core::on_heartbeat_reply(Instant now, const Message& message, const HeartbeatReply& body) {
    if (!note_follower(now, message, body.state, body.round) || body.round == 0) return;
    Progress& progress = *progress_of(message.from);
    LogIndex received = std::max(body.state.received, progress.match);
    if (progress.state == ProgressState::Probe) {
        progress.probe_out = false;  // question or answer was lost: ask again
        if (received.next() < progress.next) return;
        progress.next = received.next();  // or it is only its disk that is slow
        progress.become_replicate();
    } else if (progress.state == ProgressState::Replicate) {
        // With nothing under way it had told us that it received all: it has restarted since, and the last of its earlier answers
        // came after the news that its link broke. Were nothing proposed any more, it would never hear what is committed.
        const bool forgot = progress.window.empty() && received.next() < progress.next;
        // One that has restarted tells nothing of its log before it is asked, and may have all of it: it is asked at the end.
        if (forgot || progress.lost_before(body.round, received)) progress.become_probe(body.state.received ? received.next() : progress.next);
    } else if (progress.match >= log_.floor().index) {
        progress.become_replicate();
    }
}

void Core::unreachable(NodeId node) {
    Progress* progress = progress_.get(node);
    if (!progress || progress->state == ProgressState::Snapshot) return;
    progress->become_probe(std::max(progress->next, log_.floor().index.next()));
    progress->probe_out = true;  // until it answers a heartbeat
}

void Core::snapshot_progress(Instant, NodeId node, LogIndex index) {
    Progress* progress = progress_.get(node);
    if (!progress || progress->state != ProgressState::Snapshot) return;
    progress->snapshot = index;
    // Behind the floor nothing is left to claim: that snapshot will not be the last.
    progress->claim_lost = index < log_.floor().index;
}

void Core::snapshot_finished(Instant, NodeId node, LogIndex index, Transfer how) {
    Progress* progress = progress_.get(node);
    if (!progress || progress->state != ProgressState::Snapshot) return;
    // Whether it has it durably is for the member to say; we only ask in the right place. Until it has said so, the
    // snapshot is what it claims, or the log behind it would be cut before its first answer.
    if (how == Transfer::Done) {
        progress->become_probe(std::min(index, log_.last().index).next());
        progress->snapshot = index;
        return;
    }
    progress->become_probe(progress->match.next());
    progress->probe_out = true;  // its next answer to a heartbeat asks for another
}

void Core::want_snapshot(NodeId node) {
    Progress* progress = role_ == Role::Leader ? progress_.get(node) : nullptr;
    if (!progress || progress->state == ProgressState::Snapshot) return;
    progress->become_snapshot();
    out_.snapshots_wanted.push_back({progress->member, log_.floor().index});
}

void Core::revoke_claim(NodeId node) {
    if (Progress* progress = progress_.get(node)) progress->claim_lost = true;
}

// --- Sending.

void Core::send_appends(Progress& progress) {
    while (send_one_append(progress)) {
    }
}

/// True: there may be room for another.
bool Core::send_one_append(Progress& progress) {
    if (progress.state == ProgressState::Snapshot || progress.probe_out) return false;
    if (progress.next <= log_.floor().index) {
        progress.become_snapshot();
        if (progress.departing) return false;  // see_off() forgets it
        out_.snapshots_wanted.push_back({progress.member, progress.next});
        return false;
    }
    bool replicating = progress.state == ProgressState::Replicate;
    if (replicating && (progress.next > log_.last().index ||
                        progress.window.size() >= options_.max_inflight_messages ||
                        progress.window_bytes >= options_.max_inflight_bytes))
        return false;
    LogIndex prev = progress.next.previous();
    Append append{.prev = {prev, *log_.term_at(prev)}, .commit = commit_, .round = round_};
    append.entries = log_.slice(progress.next, log_.last().index, options_.max_append_bytes, options_.max_append_entries);
    uint64_t bytes = 0;
    for (const Entry& entry : append.entries) bytes += entry.size_bytes();
    LogIndex last = prev + append.entries.size();
    progress.sent(last, bytes, round_);
    progress.commit_sent = std::max(progress.commit_sent, std::min(commit_, last));
    send(progress.member, hard_.term, std::move(append));
    return replicating;
}

void Core::send_heartbeat(Progress& progress, bool push) {
    LogIndex vouched = ORRERY_DEFECT(commit_not_capped) ? commit_ : std::min(commit_, progress.match);
    progress.commit_sent = std::max(progress.commit_sent, vouched);
    send(progress.member, hard_.term,
         Heartbeat{.round = round_, .commit = vouched, .lowest_claim = lowest_claim(), .push = push});
}

/// One heartbeat at most: of a round, for those who wait for a commit index, or both.
void Core::send_news(Progress& progress, bool of_round) {
    LogIndex vouched = std::min(commit_, progress.match);
    const bool push = std::min(push_target_, vouched) > progress.pushed;
    if (push) progress.pushed = vouched;
    if (of_round || push || (options_.eager_commit && vouched > progress.commit_sent)) send_heartbeat(progress, push);
}

void Core::begin_round(Instant now) {
    ++round_;
    note_round_begun(now);
}

// --- Commit and reads.

void Core::advance_commit(Instant now) {
    auto held = [&](Member member) -> uint64_t {
        if (member == options_.self) return durable_.value;
        const Progress* progress = progress_of(member);
        return progress ? progress->match.value : 0;
    };
    LogIndex reached(log_.configuration().quorum_value(held));
    if (ORRERY_DEFECT(removed_leader_counts) && !log_.configuration().names(options_.self)) {
        std::vector<Member> with_us = log_.configuration().voters();
        with_us.push_back(options_.self);
        reached = LogIndex(Configuration::make(with_us).value().quorum_value(held));
    }
    if (reached <= commit_) return;
    // By counting only entries of the own term; those before them come along.
    if (log_.term_at(reached) != hard_.term && !ORRERY_DEFECT(commit_old_term_by_count)) return;
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, log_.bytes_in(commit_, reached));
    commit_ = reached;
    index_reads();
    watch_own_disk(now);
    if (log_.configuration_index() <= commit_ && !log_.configuration().is_voter(options_.self)) {
        push_target_ = commit_;
        leaving_ = true;
    }
}

/// Reads that may have their index now get it, and a round that begins after this.
void Core::index_reads() {
    if (!own_term_committed() && !ORRERY_DEFECT(read_before_own_term)) return;
    for (auto read = reads_.rbegin(); read != reads_.rend() && !read->indexed; ++read) {
        read->indexed = true;
        read->index = commit_;
        read->round = round_ + 1;
        round_wanted_ = true;
    }
}

void Core::answer_reads() {
    if (reads_.empty()) return;
    uint64_t confirmed = log_.configuration().quorum_value([&](Member member) -> uint64_t {
        if (member == options_.self) return round_;
        const Progress* progress = progress_of(member);
        return progress ? progress->round : 0;
    });
    if (ORRERY_DEFECT(read_without_quorum)) confirmed = UINT64_MAX;
    if (ORRERY_DEFECT(round_quorum_of_others)) {
        std::vector<uint64_t> rounds;  // of the others, the latest first; half of them, rounded down, are enough
        for (const Member& member : log_.configuration().voters())
            if (const Progress* progress = member == options_.self ? nullptr : progress_of(member)) rounds.push_back(progress->round);
        std::ranges::sort(rounds, std::greater<>());
        confirmed = std::max(confirmed, rounds.size() < 2 ? round_ : rounds[rounds.size() / 2 - 1]);
    }
    while (!reads_.empty() && reads_.front().indexed && reads_.front().round <= confirmed) {
        out_.reads_ready.push_back({reads_.front().token, reads_.front().index});
        reads_.pop_front();
    }
}

void Core::fail_reads(Code code) {
    for (const PendingRead& read : reads_) out_.reads_failed.push_back({read.token, code});
    reads_.clear();
}

// --- Time.

Instant Core::quorum_contact(Instant now) const {
    uint64_t since = log_.configuration().quorum_value([&](Member member) -> uint64_t {
        if (member == options_.self)
            return static_cast<uint64_t>(std::max(Duration{}, now - lead_since_).ns);
        const Progress* progress = progress_.get(member.node);
        return progress ? static_cast<uint64_t>(
                              std::max(Duration{}, progress->last_contact - lead_since_).ns)
                        : 0;
    });
    return lead_since_ + Duration{static_cast<int64_t>(since)};
}

/// A majority was heard within an election timeout. Contacts only get later while the members are the same, so what was found
/// once holds until an election timeout after it.
bool Core::in_touch(Instant now) {
    if (touched_index_ != log_.configuration_index() || now - touched_ >= options_.election_timeout_min) {
        touched_index_ = log_.configuration_index();
        touched_ = quorum_contact(now);
    }
    return now - touched_ < options_.election_timeout_min;
}

void Core::tick_leader(Instant now) {
    if (options_.check_quorum && !in_touch(now)) return become_follower(now, hard_.term, {});
    if (transfer_to_ && now >= transfer_deadline_) transfer_to_.reset();
    watch_own_disk(now);
    if (now < heartbeat_due_) return;
    round_wanted_ = true;
    // On a grid that all groups of a node share, so that their heartbeats to one peer are one message.
    int64_t period = options_.heartbeat.ns;
    heartbeat_due_ = Instant{(now.ns / period + 1) * period};
}

void Core::watch_own_disk(Instant now) {
    if (lag_index_ && durable_ >= lag_index_) lag_index_ = LogIndex();
    if (!lag_index_ && commit_ > durable_) {
        lag_index_ = commit_;
        lag_since_ = now;
    }
    if (!lag_index_ || transfer_to_ || now - lag_since_ < options_.election_timeout_min) return;
    lag_since_ = now;  // try again after as long
    const Progress* best = nullptr;
    for (const auto& [node, progress] : progress_)
        if (log_.configuration().is_voter(progress.member) && progress.heard &&
            now - progress.last_contact < options_.election_timeout_min &&
            (!best || progress.match > best->match))
            best = &progress;
    if (best) transfer(now, best->member.node).value();
}

}  // namespace orrery::raft
