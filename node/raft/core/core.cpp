// The frame: what comes in is checked and handed to the role's code; what may leave is gathered.
#include "node/raft/core/core.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::raft {
namespace {

constexpr size_t kMaxHeld = 4096;     // more are dropped, which is a lost message
constexpr size_t kMaxRefusals = 64;   // in one Output

bool is_request(MessageKind kind) {
    return kind == MessageKind::PreVote || kind == MessageKind::Vote || kind == MessageKind::Append ||
           kind == MessageKind::Heartbeat || kind == MessageKind::TimeoutNow;
}

bool from_leader(MessageKind kind) {
    return kind == MessageKind::Append || kind == MessageKind::Heartbeat ||
           kind == MessageKind::TimeoutNow;
}

bool in_range(LogIndex index) { return index.value < kCounterLimit; }
bool in_range(LogPosition at) { return in_range(at.index) && at.term.value < kCounterLimit; }
bool in_range(const FollowerState& state) {
    return state.match <= state.received && in_range(state.received) && in_range(state.applied);
}

/// The entries continue `prev` without gap or falling term, and nothing is newer than `term`.
bool well_formed_entries(LogPosition prev, const std::vector<Entry>& entries, Term term) {
    for (const Entry& entry : entries) {
        if (entry.index != prev.index.next() || entry.term < prev.term || entry.term > term) return false;
        if (entry.kind < EntryKind::Noop || entry.kind > EntryKind::Config) return false;
        if (entry.kind == EntryKind::Config && !entry.hole && !Configuration::decode(entry.body_view())) return false;
        prev = entry.position();
    }
    return in_range(prev);
}

Result<void> check_options(const Options& o) {
    if (!o.self.node || !o.self.replica) return Error(Code::Invalid, "no identity");
    if (o.heartbeat.ns <= 0 || o.election_timeout_min <= o.heartbeat ||
        o.election_timeout_max < o.election_timeout_min)
        return Error(Code::Invalid, "timeouts: 0 < heartbeat < election min <= election max");
    if (o.max_inflight_messages == 0 || o.max_append_entries == 0 || o.max_pending_reads == 0)
        return Error(Code::Invalid, "a bound of zero");
    return {};
}

}  // namespace

std::string_view role_name(Role role) {
    switch (role) {
        case Role::Follower: return "follower";
        case Role::PreCandidate: return "precandidate";
        case Role::Candidate: return "candidate";
        case Role::Leader: return "leader";
    }
    return "?";
}

std::string_view refusal_reason_name(RefusalReason reason) {
    switch (reason) {
        case RefusalReason::WrongReceiver: return "wrong-receiver";
        case RefusalReason::WrongSender: return "wrong-sender";
        case RefusalReason::Malformed: return "malformed";
        case RefusalReason::BelowCommit: return "below-commit";
        case RefusalReason::CampaignGate: return "campaign-gate";
        case RefusalReason::SecondLeader: return "second-leader";
    }
    return "?";
}

bool Output::empty() const {
    return sequence == 0 && messages.empty() && reads_ready.empty() && reads_failed.empty() &&
           snapshots_wanted.empty() && !role_change && refusals.empty();
}

Result<std::unique_ptr<Core>> Core::create(Instant now, Options options, Recovered recovered,
                                           RandomStream random) {
    TRY(check_options(options));
    LogView log(std::move(recovered.floor));
    if (!in_range(log.floor().position()) || recovered.hard_state.term.value >= kCounterLimit)
        return Error(Code::Corrupt, "counter out of range");
    if (!well_formed_entries(log.floor().position(), recovered.entries, recovered.hard_state.term))
        return Error(Code::Corrupt, "entries that do not follow the floor, or are newer than the term");
    for (Entry& entry : recovered.entries) TRY(log.append(std::move(entry)));
    recovered.entries.clear();
    if (log.last().term > recovered.hard_state.term)
        return Error(Code::Corrupt, "the log is newer than the durable term");
    if (recovered.applied > log.last().index)
        return Error(Code::Corrupt, "applied beyond the end of the log");
    return std::unique_ptr<Core>(
        new Core(now, options, std::move(recovered), std::move(log), std::move(random)));
}

Core::Core(Instant now, Options options, Recovered recovered, LogView log, RandomStream random)
    : options_(options), random_(std::move(random)), log_(std::move(log)), hard_(recovered.hard_state) {
    applied_ = std::max(recovered.applied, log_.floor().index);
    commit_ = matched_ = applied_;
    stateless_ = recovered.stateless;
    durable_ = log_.last().index;
    for (LogIndex index = applied_.next(); index <= durable_; index = index.next())
        if (log_.at(index)->hole) holes_[index] = 0;
    unsaved_ = durable_.next();
    told_ = {Role::Follower, hard_.term, {}};
    arm_election(now);
    // What we promised before is forgotten, so it counts as made just now.
    if (!ORRERY_DEFECT(lease_promise_forgotten))
        for (const Configuration* known : {&log_.configuration(), &log_.configuration_at(commit_)})
            if (known->lease().on()) promised_until_ = std::max(promised_until_, now + known->lease().promise);
}

// --- What comes in.

bool Core::well_formed(const Message& message) const {
    if (message.term.value == 0 || message.term.value >= kCounterLimit) return false;
    if (const auto* body = std::get_if<PreVote>(&message.body)) return in_range(body->last);
    if (const auto* body = std::get_if<Vote>(&message.body)) return in_range(body->last);
    if (const auto* body = std::get_if<Append>(&message.body))
        return in_range(body->prev) && in_range(body->commit) && body->prev.term <= message.term &&
               well_formed_entries(body->prev, body->entries, message.term);
    if (const auto* body = std::get_if<AppendReply>(&message.body))
        return in_range(body->state) && in_range(body->rejected_prev) && in_range(body->hint);
    if (const auto* body = std::get_if<Heartbeat>(&message.body))
        return in_range(body->commit) && in_range(body->lowest_claim);
    if (const auto* body = std::get_if<HeartbeatReply>(&message.body)) return in_range(body->state);
    return true;
}

// An answer counts for a replica, so it must come from the very one that is configured. A request only has to be true:
// where its term is above ours our configuration may be the older one, and an elected leader stays one whatever we
// think its replica id should be, also when its term came to us by its candidacy or by somebody else.
bool Core::accepts_sender(const Message& message) {
    std::optional<Member> configured = log_.configuration().find(message.from.node);
    if (!configured || log_.configuration().names(message.from)) return true;
    if (!is_request(kind_of(message))) return false;
    const bool leads = from_leader(kind_of(message)) && message.term == hard_.term && !leader_.node;
    return message.term > hard_.term || leads || leader_ == message.from;
}

void Core::step(Instant now, Message message) {
    if (message.to != options_.self) return refuse(message, RefusalReason::WrongReceiver);
    if (message.from.node == options_.self.node || !message.from.replica)
        return refuse(message, RefusalReason::WrongSender);
    if (!well_formed(message)) return refuse(message, RefusalReason::Malformed);
    if (!accepts_sender(message)) return refuse(message, RefusalReason::WrongSender);
    MessageKind kind = kind_of(message);
    // Of a node that is no member an answer says nothing to us, not even its term.
    if (!is_request(kind) && !log_.configuration().is_member(message.from) && progress_of(message.from) == nullptr) return;
    if (message.term < hard_.term) return answer_stale(message);
    if (message.term > hard_.term) {
        const auto* pre = std::get_if<PreVoteReply>(&message.body);
        const auto* vote = std::get_if<Vote>(&message.body);
        if (vote && !vote->transfer && (has_live_leader(now, message.from) || promised_to_another(now, message.from))) return;
        if (kind != MessageKind::PreVote && !(pre && pre->granted))
            become_follower(now, message.term, from_leader(kind) ? message.from : Member{});
    }
    dispatch(now, message);
}

void Core::dispatch(Instant now, Message& message) {
    switch (kind_of(message)) {
        case MessageKind::PreVote: return on_pre_vote(now, message, std::get<PreVote>(message.body));
        case MessageKind::Vote: return on_vote(now, message, std::get<Vote>(message.body));
        case MessageKind::PreVoteReply:
            return on_vote_answer(now, message, std::get<PreVoteReply>(message.body).granted);
        case MessageKind::VoteReply:
            return on_vote_answer(now, message, std::get<VoteReply>(message.body).granted);
        case MessageKind::Append: return on_append(now, message, std::get<Append>(message.body));
        case MessageKind::AppendReply:
            return on_append_reply(now, message, std::get<AppendReply>(message.body));
        case MessageKind::Heartbeat:
            return on_heartbeat(now, message, std::get<Heartbeat>(message.body));
        case MessageKind::HeartbeatReply:
            return on_heartbeat_reply(now, message, std::get<HeartbeatReply>(message.body));
        case MessageKind::TimeoutNow: return on_timeout_now(now, message);
    }
}

// Whoever speaks in an old term learns ours: a leader that was cut off steps down, and one whose follower ran ahead (it
// campaigned without being heard) does too, or that follower would be deaf to it for ever.
void Core::answer_stale(const Message& message) {
    auto answer = [&](Message::Body body) {
        send_held(message.from, hard_.term, std::move(body), LogIndex(), hard_sequence());
    };
    switch (kind_of(message)) {
        case MessageKind::PreVote: return answer(PreVoteReply{});
        case MessageKind::Vote: return answer(VoteReply{});
        case MessageKind::Append: return answer(AppendReply{});
        case MessageKind::Heartbeat: return answer(HeartbeatReply{});
        default: return;
    }
}

void Core::refuse(const Message& message, RefusalReason reason) {
    ++refused_[static_cast<size_t>(reason)];
    if (out_.refusals.size() < kMaxRefusals)
        out_.refusals.push_back({reason, kind_of(message), message.from, message.to, message.term});
}

void Core::tick(Instant now) {
    if (role_ == Role::Leader) return tick_leader(now);
    if (now >= election_deadline_) start_campaign(now, false);
}

Instant Core::next_deadline() const {
    if (role_ != Role::Leader)
        return campaign_allowed_ && !installing_ && electable()
                   ? election_deadline_
                   : Instant::never();
    Instant next = heartbeat_due_;
    if (options_.check_quorum && (touched_index_ != log_.configuration_index() || next > touched_ + options_.election_timeout_min))
        next = std::min(next, quorum_contact(next) + options_.election_timeout_min);
    if (transfer_to_) next = std::min(next, transfer_deadline_);
    if (lag_index_ && !transfer_to_) next = std::min(next, lag_since_ + options_.election_timeout_min);
    return next;
}

void Core::persisted(Instant now, uint64_t sequence) {
    CHECK(sequence < next_sequence_, sequence, next_sequence_);
    while (!batches_.empty() && batches_.front().sequence <= sequence) {
        durable_ = std::max(durable_, batches_.front().last);
        batches_.pop_front();
    }
    if (std::erase_if(holes_, [&](const auto& hole) { return hole.second != 0 && hole.second <= sequence; }) > 0) tell_leader();
    hard_state_persisted(now, sequence);
    if (role_ == Role::Leader) {
        advance_commit(now);
        watch_own_disk(now);
    }
}

void Core::hard_state_persisted(Instant now, uint64_t sequence) {
    CHECK(sequence < next_sequence_, sequence, next_sequence_);
    hard_persisted_ = std::max(hard_persisted_, sequence);
    release_held(now);
}

void Core::applied(Instant now, LogIndex index) {
    CHECK(index <= commit_, index, commit_);
    applied_ = std::max(applied_, index);
    if (stateless_ && index >= log_.floor().index) {
        stateless_ = false;  // a snapshot brought the state
        tell_leader();
    }
    // A snapshot brought what they held.
    if (!holes_.empty() && holes_.begin()->first <= applied_) {
        forget_holes(LogIndex(), applied_);
        tell_leader();
    }
    if (called_in_ && may_campaign()) {
        const bool still = called_in_ == hard_.term && role_ == Role::Follower;
        called_in_ = Term();
        if (still) start_campaign(now, true);
    }
    if (!applied_asked_ || applied_ < applied_asked_) return;
    applied_asked_ = LogIndex();
    tell_leader();
}

/// News of our own state, out of turn.
void Core::tell_leader() {
    if (role_ == Role::Follower && leader_)
        send_held(leader_, hard_.term, HeartbeatReply{0, own_state()}, LogIndex(), hard_sequence());
}

std::vector<LogPosition> Core::missing(size_t most) const {
    std::vector<LogPosition> out;
    for (const auto& [index, sequence] : holes_) {
        if (out.size() == most) break;
        if (sequence == 0 && log_.at(index)->hole) out.push_back(log_.at(index)->position());
    }
    return out;
}

bool Core::fill(LogPosition at, std::shared_ptr<const Bytes> body) {
    const Entry* entry = log_.at(at.index);
    if (entry == nullptr || !entry->hole || entry->term != at.term || !holes_.contains(at.index)) return false;
    if (!log_.fill(at.index, std::move(body)).ok()) return false;
    filled_.push_back(at.index);
    return true;
}

void Core::set_campaign_allowed(Instant now, bool allowed) {
    if (allowed == campaign_allowed_) return;
    campaign_allowed_ = allowed;
    if (role_ == Role::Follower) arm_election(now);
    if (!allowed && (role_ == Role::PreCandidate || role_ == Role::Candidate))
        become_follower(now, hard_.term, {});
}

// --- What goes out.

void Core::set_hard_state(HardState state) {
    if (state == hard_) return;
    if (state.term != hard_.term) matched_ = commit_;  // committed entries are in every later leader's log
    hard_ = state;
    hard_dirty_ = true;
}

void Core::send(Member to, Term term, Message::Body body) {
    out_.messages.push_back({options_.self, to, term, std::move(body)});
}

void Core::send_held(Member to, Term term, Message::Body body, LogIndex durable, uint64_t hard) {
    bool to_self = to == options_.self;  // the own vote: counted once it is durable
    if (!to_self && hard_persisted_ >= hard && durable_ >= durable)
        return send(to, term, std::move(body));
    if (held_.size() >= kMaxHeld) return;
    held_.push_back({{options_.self, to, term, std::move(body)}, hard, durable});
}

void Core::release_held(Instant now) {
    std::deque<Held> waiting = std::move(held_);
    held_.clear();
    AppendReply* last_ack = nullptr;
    for (Held& held : waiting) {
        MessageKind kind = kind_of(held.message);
        Term term = kind == MessageKind::PreVote ? hard_.term.next() : hard_.term;
        // A new term or role has overtaken it; to drop it is to lose a message.
        if (held.message.term != term || (kind == MessageKind::PreVote && role_ != Role::PreCandidate) ||
            (kind == MessageKind::Vote && role_ != Role::Candidate))
            continue;
        if (hard_persisted_ < held.hard_sequence || durable_ < held.durable) {
            held_.push_back(std::move(held));
            continue;
        }
        if (held.message.to == options_.self) {
            on_vote_answer(now, held.message, true);
            continue;
        }
        auto* ack = std::get_if<AppendReply>(&held.message.body);
        if (ack && ack->accepted) {
            ack->state = own_state();
            if (last_ack) {  // one sync, one acknowledgement
                last_ack->round = std::max(last_ack->round, ack->round);
                continue;
            }
        }
        out_.messages.push_back(std::move(held.message));
        if (ack && ack->accepted) last_ack = &std::get<AppendReply>(out_.messages.back().body);
        else last_ack = nullptr;  // the vector may have moved
    }
}

Output Core::take_output(Instant now) {
    if (role_ == Role::Leader) {
        const bool round = std::exchange(round_wanted_, false);
        if (round) begin_round(now);
        for (auto& [node, progress] : progress_) {
            // A round goes before entries, so that no read waits behind them. Without one the entries come first: they carry the commit
            // index too, and no heartbeat may be left to send.
            if (round) send_news(progress, round);
            send_appends(progress);
            if (!round) send_news(progress, round);
        }
        finish_transfer();
        answer_reads();
        see_off(now);
        if (leaving_) leave(now);
    }
    Output out = std::move(out_);  // which leaves lists empty, and between turns there is nothing else in it
    LogIndex last = log_.last().index;
    if (hard_dirty_ || truncate_from_ || unsaved_ <= last || !filled_.empty()) {
        out.sequence = next_sequence_++;
        if (hard_dirty_) {
            out.hard_state = hard_;
            hard_latest_ = out.sequence;
            hard_dirty_ = false;
        }
        out.truncate_from = std::exchange(truncate_from_, std::nullopt);
        if (unsaved_ <= last) out.entries = log_.slice(unsaved_, last, UINT64_MAX, SIZE_MAX);
        unsaved_ = last.next();
        for (LogIndex index : std::exchange(filled_, {})) {
            out.fills.push_back(*log_.at(index));
            holes_.at(index) = out.sequence;
        }
        batches_.push_back({out.sequence, last});
    }
    out.commit = commit_;
    out.applicable = ORRERY_DEFECT(waitall_omits_leader) ? std::min(commit_, whole()) : applicable();
    RoleChange is{role_, hard_.term, leader_};
    if (is.role != told_.role || is.term != told_.term || is.leader != told_.leader)
        out.role_change = told_ = is;
    return out;
}

bool Core::removed() const {
    if (commit_ < options_.member_since) return false;
    const Configuration& committed = log_.configuration_at(commit_);
    return !committed.empty() && !committed.names(options_.self);
}

bool Core::may_change_members() const {
    // A leader whose own disk lags behind what it has committed waits: checkers and operators see what it commits when it
    // has it itself, and by which configuration that was shall not be a riddle.
    return role_ == Role::Leader && own_term_committed() && !transfer_to_ && !leaving_ &&
           (log_.configuration_index() <= commit_ || ORRERY_DEFECT(change_over_pending)) && commit_ <= durable_;
}

std::vector<Member> Core::departing() const {
    std::vector<Member> out;
    if (role_ != Role::Leader) return out;
    for (const auto& [node, progress] : progress_)
        if (progress.departing) out.push_back(progress.member);
    return out;
}

Status Core::status(Instant now) const {
    Status status{};
    status.self = options_.self;
    status.role = role_;
    status.hard_state = hard_;
    status.leader = leader_;
    status.commit = commit_;
    status.applied = stateless_ ? LogIndex() : applied_;
    status.stateless = stateless_;
    status.durable = durable_;
    status.last = log_.last();
    status.floor = log_.floor().position();
    status.configuration = log_.configuration();
    status.configuration_index = log_.configuration_index();
    status.lowest_claim = lowest_claim();
    status.campaign_allowed = campaign_allowed_;
    status.installing = installing_;
    status.removed = removed();
    status.own_term_committed = role_ == Role::Leader && own_term_committed();
    status.lease_holds = now < lease_until();
    status.lease_given_up = role_ == Role::Leader && lease_given_up_;
    status.transferring_to = transfer_to_;
    status.pending_reads = reads_.size();
    status.held_messages = held_.size();
    std::copy(std::begin(refused_), std::end(refused_), std::begin(status.refused));
    status.holes = holes_.size();
    if (!holes_.empty()) status.first_hole = log_.at(holes_.begin()->first)->position();
    const Configuration& configuration = log_.configuration();
    for (const Member& member : configuration.members()) {
        MemberStatus line;
        line.member = member;
        line.voter = configuration.is_voter(member);
        line.learner = !line.voter;
        line.promoting = configuration.is_promoting(member);
        if (member == options_.self) {
            line.match = line.claim = durable_;
            line.next = status.last.index.next();
            line.applied = status.applied;
            line.received = status.last.index;
            line.active = true;
        } else if (const Progress* p = progress_.get(member.node);
                   p && role_ == Role::Leader && (p->member == member || ORRERY_DEFECT(wait_counts_replaced))) {
            line.state = p->state;
            line.match = p->match;
            line.next = p->next;
            line.applied = p->applied;
            line.received = p->received;
            line.claim = p->claim_lost ? LogIndex() : p->claim();
            if (p->heard) line.last_contact = p->last_contact;
            line.active = p->heard && now - p->last_contact < options_.election_timeout_min;
            line.window_bytes = p->window_bytes;
        }
        status.members.push_back(line);
    }
    return status;
}

}  // namespace orrery::raft
