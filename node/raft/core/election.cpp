// Elections: pre-vote, vote, hand-over; and every change of role except a leader's daily work.
// Source: the Raft thesis, chapters 3, 4.2.3 and 9.6.
#include <algorithm>

#include "node/raft/core/core.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

void Core::arm_election(Instant now) {
    election_timeout_ = random_.between(options_.election_timeout_min, options_.election_timeout_max);
    election_deadline_ = now + election_timeout_;
}

void Core::become_follower(Instant now, Term term, Member leader) {
    if (term > hard_.term) set_hard_state({term, {}});
    // A candidate with a poor log must not push back, again and again, the timer of the one who could win.
    if (role_ != Role::Follower || leader) arm_election(now);
    if (role_ == Role::Leader) fail_reads(Code::NotLeader);
    role_ = Role::Follower;
    leader_ = leader;
    if (leader) leader_heard_ = now;
    votes_.clear();
    progress_.clear();
    transfer_to_.reset();
    round_wanted_ = leaving_ = false;
    applied_asked_ = LogIndex();
}

void Core::become_leader(Instant now) {
    role_ = Role::Leader;
    leader_ = options_.self;
    votes_.clear();
    progress_.clear();
    transfer_to_.reset();
    transfer_sent_ = round_wanted_ = leaving_ = false;
    push_target_ = lag_index_ = LogIndex();
    rounds_begun_.clear();
    lease_given_up_ = false;
    lead_since_ = now;
    touched_index_ = LogIndex();
    touched_ = Instant{INT64_MIN / 2};
    heartbeat_due_ = now;  // the first round leaves with the first tick; the no-op is sooner
    own_term_first_ = log_.last().index.next();
    uncommitted_bytes_ = log_.bytes_in(commit_, log_.last().index);
    after_configuration_change(now);
    append_own(now, EntryKind::Noop, nullptr, nullptr);
}

// A voter; or one that an entry takes out which is not known to be committed: its log may be the only one that holds that
// entry, and then nobody else can be elected (thesis, 4.2.2). It counts no vote of its own.
bool Core::electable() const {
    return log_.configuration().is_voter(options_.self) ||
           (log_.configuration_index() > commit_ && log_.configuration_at(commit_).is_voter(options_.self));
}

// An entry of the configuration that is committed but not applied may have taken us out.
bool Core::may_campaign() const {
    return campaign_allowed_ && !installing_ && !stateless_ && holes_.empty() && electable() &&
           !log_.has_configuration_in(applied_, commit_) && hard_.term.value + 1 < kCounterLimit;
}

void Core::campaign(Instant now) {
    if (role_ != Role::Leader) start_campaign(now, false);
}

void Core::start_campaign(Instant now, bool transfer) {
    arm_election(now);
    if (!may_campaign()) return;
    if (!transfer && promised_to_another(now, options_.self)) return;
    if (options_.pre_vote && !transfer) start_pre_vote(now);
    else start_vote(now, transfer);
}

// Both candidacies speak of our last entry, so they leave only when it is durable.
void Core::start_pre_vote(Instant now) {
    role_ = Role::PreCandidate;
    leader_ = Member{};
    votes_.clear();
    votes_[options_.self] = true;  // counts where the configuration has us
    for (const Member& member : log_.configuration().members())
        if (member != options_.self && log_.configuration().is_voter(member) && log_.configuration().is_member(member))
            send_held(member, hard_.term.next(), PreVote{log_.last()}, log_.last().index,
                      hard_sequence());
    count_votes(now);
}

void Core::start_vote(Instant now, bool transfer) {
    set_hard_state({hard_.term.next(), options_.self});
    role_ = Role::Candidate;
    leader_ = Member{};
    votes_.clear();
    for (const Member& member : log_.configuration().members()) {
        // The old replica of a node that is being replaced is a voter that never answers.
        if (!log_.configuration().is_voter(member) || (member != options_.self && !log_.configuration().is_member(member))) continue;
        bool own = member == options_.self;
        send_held(member, hard_.term,
                  own ? Message::Body(VoteReply{.granted = true}) : Vote{log_.last(), transfer},
                  log_.last().index, hard_sequence());
    }
    arm_election(now);
}

void Core::count_votes(Instant now) {
    VoteResult result = log_.configuration().vote_result([&](Member member) {
        const bool* granted = votes_.get(member);
        return granted ? (*granted ? VoteAnswer::Yes : VoteAnswer::No) : VoteAnswer::Unknown;
    });
    if (result == VoteResult::Lost) return become_follower(now, hard_.term, {});
    if (result != VoteResult::Won) return;
    if (role_ == Role::PreCandidate) start_vote(now, false);
    else become_leader(now);
}

bool Core::up_to_date(LogPosition candidate) const {
    LogPosition own = log_.last();
    if (ORRERY_DEFECT(vote_ignores_last_term)) return candidate.index >= own.index;
    return candidate.term > own.term || (candidate.term == own.term && candidate.index >= own.index);
}

// Nobody unseats a leader that we hear. The leader itself may ask, though: it has just restarted, and to refuse it would
// lock the group out until we have forgotten it.
bool Core::has_live_leader(Instant now, Member candidate) const {
    if (!options_.check_quorum) return false;
    if (role_ == Role::Leader) return true;
    return leader_ && leader_ != candidate && now - leader_heard_ < options_.election_timeout_min;
}

void Core::on_pre_vote(Instant now, const Message& message, const PreVote& body) {
    bool free = message.term > hard_.term || hard_.vote == message.from || (!hard_.vote && !leader_);
    if (free && up_to_date(body.last) && !has_live_leader(now, message.from) && !promised_to_another(now, message.from))
        return send(message.from, message.term, PreVoteReply{.granted = true});
    send_held(message.from, hard_.term, PreVoteReply{}, LogIndex(), hard_sequence());
}

void Core::on_vote(Instant now, const Message& message, const Vote& body) {
    bool free = hard_.vote == message.from || (!hard_.vote && !leader_);
    // Whom the leader itself has called: it had given its lease up before.
    bool granted = free && up_to_date(body.last) && (body.transfer || !promised_to_another(now, message.from));
    if (granted) {
        if (role_ == Role::PreCandidate) become_follower(now, hard_.term, {});
        set_hard_state({hard_.term, message.from});
        arm_election(now);
    }
    uint64_t hard = granted && ORRERY_DEFECT(vote_not_durable) ? 0 : hard_sequence();
    send_held(message.from, hard_.term, VoteReply{.granted = granted}, LogIndex(), hard);
}

void Core::on_vote_answer(Instant now, const Message& message, bool granted) {
    bool pre = kind_of(message) == MessageKind::PreVoteReply;
    if (role_ != (pre ? Role::PreCandidate : Role::Candidate)) return;
    if (pre && granted && message.term != hard_.term.next()) return;
    if (!pre && message.term != hard_.term) return;
    if (!log_.configuration().is_voter(message.from) || votes_.contains(message.from)) return;
    votes_[message.from] = granted;
    count_votes(now);
}

void Core::on_timeout_now(Instant now, const Message& message) {
    if (role_ == Role::Leader || (leader_ && leader_ != message.from)) return;
    if (campaign_allowed_ && !installing_ && electable() &&
        log_.has_configuration_in(applied_, commit_)) {
        called_in_ = hard_.term;  // the change that is committed is applied first, which does not take long
        return;
    }
    if (!may_campaign()) return refuse(message, RefusalReason::CampaignGate);
    start_campaign(now, true);
}

}  // namespace orrery::raft
