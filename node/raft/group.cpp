#include "node/raft/group.h"

#include <algorithm>

#include "node/raft/group_host.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

Result<void> StateMachine::store_attachment(Fiber&, const Entry&) {
    return Error(Code::Unsupported, "this state machine takes no attachments");
}

Result<LoadedAttachment> StateMachine::load_attachment(Fiber&, const Entry&) {
    return Error(Code::Unsupported, "this state machine has no attachments");
}

Group::Group(GroupHost& host, GroupId id, std::unique_ptr<StateMachine> machine, GroupOptions options)
    : host_(host), env_(host.env()), id_(id), machine_(std::move(machine)), options_(options) {}

Group::~Group() = default;

Result<void> Group::start(Fiber& fiber, Recovered recovered, AppliedRecord applied, StateSpace space, std::optional<Floor> reset) {
    applied_ = std::move(applied);
    durable_applied_ = applied_.applied.index;
    space_ = std::make_shared<const StateSpace>(space);
    highest_generation_ = space.generation;
    if (reset) floor_to_log_ = *reset;  // floor_cut_ was set by the host, which knows the log's tail
    TRY(machine_->load(fiber, space));
    {
        const std::vector<Entry>& entries = recovered.entries;
        const auto above = std::find_if(entries.begin(), entries.end(), [this](const Entry& entry) { return entry.index > applied_.applied.index; });
        machine_->recovered(std::span<const Entry>(above, entries.end()));
    }
    TRY(core_, Core::create(env_.now(), options_.core, std::move(recovered), env_.random.stream("raft.election", id_.value)));
    core_->set_campaign_allowed(env_.now(), true);
    leader_known_at_ = env_.now();
    commit_told_ = core_->commit();
    durable_told_ = core_->durable();
    env_.tracer.info("raft.group_started", {{"group", id_},
                                            {"replica", self().replica},
                                            {"applied", applied_.applied.index},
                                            {"last", core_->log().last().index},
                                            {"last_term", core_->log().last().term},
                                            {"term", core_->term()},
                                            {"floor", core_->log().floor().index},
                                            {"stateless", core_->stateless() ? 1 : 0}});
    follow_configuration();
    if (const raft::Status now = status(); now.holes > 0) {
        env_.tracer.warning("raft.holes", {{"group", id_}, {"count", now.holes}, {"index", now.first_hole->index}, {"term", now.first_hole->term}});
        env_.spawn("raft.fill_holes", [this](Fiber& own) { fill_holes(own); });
    }
    if (core_->stateless()) {
        env_.tracer.warning("raft.stateless", {{"group", id_}, {"floor", core_->log().floor().index}});
        env_.spawn("raft.fetch_state", [this](Fiber& own) { fetch_state(own); });
    }
    env_.spawn("raft.driver", [this](Fiber& own) { drive(own); });
    env_.spawn("raft.applier", [this](Fiber& own) { apply_loop(own); });
    env_.spawn("raft.invite", [this](Fiber& own) { invite_loop(own); });
    return {};
}

raft::Status Group::status() const { return core_->status(env_.now()); }

void Group::wake() {
    dirty_ = true;
    changed_.notify_all();
}

void Group::stop_group(Error why) {
    if (stopped_) return;
    env_.tracer.error("raft.group_stopped", {{"group", id_}, {"why", why.text()}});
    stopped_ = why;
    stopped_event_.set();
    fail_waiting(Code::Unknown, "the group stopped on this node: " + why.context);
    changed_.notify_all();
    applicable_changed_.notify_all();
    pace_changed_.notify_all();
    log_synced_.notify_all();
    if (observer_ != nullptr) observer_->role_changed({Role::Follower, core_->term(), {}});
}

// ---- the loop that shows the order of effects -------------------------------------------------------------------

void Group::drive(Fiber& fiber) {
    while (!stopped_) {
        if (!dirty_) {
            Result<void> woken = changed_.wait(fiber, core_->next_deadline());
            if (woken.failed_with(Code::Cancelled)) return;
        }
        if (!fiber.maybe_yield().ok()) return;
        if (!stopped_) turn();
    }
}

void Group::turn() {
    dirty_ = false;
    const Instant now = env_.now();
    core_->tick(now);
    note_election();
    if (open_barrier_) {
        // Everybody who joined did so before this round begins, and no later than this commit index.
        std::shared_ptr<Barrier> barrier = std::move(open_barrier_);
        barrier->token = next_token_++;
        if (Result<void> asked = core_->read_index(now, barrier->token); asked.ok()) {
            barriers_.emplace(barrier->token, std::move(barrier));
        } else {
            barrier->outcome = Result<LogIndex>(asked.error());
            barrier->done.notify_all();
        }
    }
    follow_configuration();
    Output output = core_->take_output(now);
    if (env_.tracer.wants(Severity::Debug)) trace_output(output);
    // Appends leave before our own sync, so that all disks sync in parallel, and before the log's thread is woken, since a
    // majority waits for the slowest part of this way. What speaks of our disk is held by the core.
    send(std::move(output.messages));
    persist(output);
    take_reads(output);
    if (output.applicable > applied_.applied.index) applicable_changed_.notify_all();
    for (const SnapshotWanted& wanted : output.snapshots_wanted) {
        if (!begin_transfer(wanted.member.node)) continue;
        env_.spawn("raft.snapshot.send", [this, to = wanted.member](Fiber& own) { send_snapshot(own, to); });
    }
    for (const Refusal& refusal : output.refusals) host_.refused(id_, refusal);
    if (slowed()) {
        look_at_transfers();
        review_pace();
    }
    if (output.role_change) {
        env_.tracer.info("raft.role", {{"group", id_},
                                       {"role", role_name(output.role_change->role)},
                                       {"term", output.role_change->term},
                                       {"leader", output.role_change->leader.node}});
        if (observer_ != nullptr) observer_->role_changed(*output.role_change);
    }
    if (observer_ != nullptr) observer_->progressed();
    advance_members();
    members_moved_.notify_all();
}

void Group::trace_progress() {
    // As it became so: a commit may count what our own disk has, and what is applied was committed. Commits beyond our own
    // disk wait for the output that has their entries.
    if (core_->durable() != durable_told_) {
        durable_told_ = core_->durable();
        env_.tracer.debug("raft.durable", {{"group", id_}, {"index", durable_told_}});
    }
    if (const LogIndex commit = std::min(core_->commit(), core_->durable()); commit > commit_told_) {
        commit_told_ = commit;
        env_.tracer.debug("raft.commit", {{"group", id_}, {"index", commit}, {"of_group", core_->commit()}});
    }
}

void Group::trace_output(const Output& output) {
    Tracer& tracer = env_.tracer;
    trace_progress();
    if (output.hard_state)
        tracer.debug("raft.hard_state", {{"group", id_}, {"term", output.hard_state->term}, {"vote", output.hard_state->vote.node}});
    if (output.truncate_from) tracer.debug("raft.truncate", {{"group", id_}, {"from", *output.truncate_from}});
    for (const Entry& entry : output.entries)
        tracer.debug("raft.append", {{"group", id_},
                                     {"index", entry.index},
                                     {"term", entry.term},
                                     {"hash", hash_bytes(entry.body_view(), static_cast<uint64_t>(entry.kind))}});
    if (output.commit > commit_told_) {
        commit_told_ = output.commit;
        tracer.debug("raft.commit", {{"group", id_}, {"index", output.commit}});
    }
}

void Group::take_reads(Output& output) {
    for (const ReadReady& ready : output.reads_ready) {
        auto found = barriers_.find(ready.token);
        if (found == barriers_.end()) continue;
        std::shared_ptr<Barrier> barrier = std::move(found->second);
        barriers_.erase(found);
        if (ready.index <= applied_.applied.index || ORRERY_DEFECT(read_before_apply)) {
            barrier->outcome = ready.index;
            barrier->done.notify_all();
        } else {
            barriers_to_apply_.emplace(ready.index, std::move(barrier));
        }
    }
    for (const ReadFailed& failed : output.reads_failed) {
        auto found = barriers_.find(failed.token);
        if (found == barriers_.end()) continue;
        found->second->outcome = Result<LogIndex>(failed.code == Code::NotLeader ? not_leader() : Error(failed.code, "read not confirmed"));
        found->second->done.notify_all();
        barriers_.erase(found);
    }
}

Configuration Group::configuration_at(LogIndex index) const { return core_->log().configuration_at(index); }

// ---- messages ---------------------------------------------------------------------------------------------------

void Group::receive(Message message, TimeOffer time) {
    if (stopped_) return;
    // What the log has not taken yet is held in memory: a leader whose others are faster would fill it without end. The
    // append is dropped unanswered, and the leader asks again.
    if (kind_of(message) == MessageKind::Append && unlogged_bytes_ > options_.max_unlogged_bytes) return;
    observe_time(message, time);
    const bool reply = kind_of(message) == MessageKind::AppendReply || kind_of(message) == MessageKind::HeartbeatReply;
    if (reply && leads()) {
        if (message.term < core_->term() && message.term == led_before_) env_.tracer.probe("raft.old_term_reply");
        if (message.term == core_->term() && led_last_ != core_->term()) led_before_ = std::exchange(led_last_, core_->term());
    }
    // A promise begins when it is made, not when the turn began: a leader's round may have begun in between.
    const Instant now = core_->log().configuration().lease().on() ? env_.clock.reading() : env_.now();
    core_->step(now, std::move(message));
    note_election();
    wake();
}

void Group::observe_time(const Message& message, TimeOffer time) {
    // Only members move state-machine time, none beyond what it can ever be, and none by an answer to an earlier candidacy.
    if (time.ns <= 0 || time.ns >= kStateTimeLimit || message.to != self() || message.term < core_->term()) return;
    if (time.epoch.value == 0 || time.epoch > time.leader || time.leader > message.term) return;
    const Configuration& configuration = core_->log().configuration();
    if (kind_of(message) == MessageKind::Heartbeat) {
        if (!time.estimate && (configuration.is_member(message.from) || core_->leader() == message.from)) machine_->observe_heartbeat(time);
        return;
    }
    if (!configuration.is_voter(message.from)) return;  // a learner is of no quorum
    // Only votes: they are asked for once a term, so an answer of this term is of this candidacy. One to a pre-vote may be as
    // old as a partition; its sender is in the quorum only if it then votes, and says it again. And only until the election:
    // from then on keys have ends by the leader's count, and one more voice must not move it.
    const auto* vote = std::get_if<VoteReply>(&message.body);
    if (vote == nullptr || core_->role() == Role::Leader) return;
    if (!time.estimate || vote->granted) machine_->observe_vote(time, message.from.node, message.term);
}

// Called behind every step that may end in an election, before anything else can run: whoever asks leads() and then for a
// stamp meets a state-machine time that the quorum has settled.
void Group::note_election() {
    if (core_->role() != Role::Leader || elected_told_ == core_->term()) return;
    elected_told_ = core_->term();
    const LogView& log = core_->log();
    const Entry* newest = nullptr;
    for (LogIndex at = log.last().index; at > log.floor().index && newest == nullptr; at = at.previous()) {
        const Entry* entry = log.at(at);
        if (entry != nullptr && entry->kind == EntryKind::Data) newest = entry;
    }
    machine_->elected(core_->term(), newest);
}

void Group::send(std::vector<Message> messages) {
    for (Message& message : messages) {
        bool lacks_attachment = false;
        if (const auto* append = std::get_if<Append>(&message.body))
            for (const Entry& entry : append->entries) lacks_attachment |= entry.has_attachment && entry.attachment == nullptr;
        if (!lacks_attachment) {
            host_.send(id_, std::move(message), machine_->time_offer());
            continue;
        }
        // Catch-up from before our start: the bytes are fetched first. The core resends what is lost on the way.
        env_.spawn("raft.load_attachments", [this, message = std::move(message)](Fiber& fiber) mutable {
            for (Entry& entry : std::get<Append>(message.body).entries) {
                if (!entry.has_attachment || entry.attachment != nullptr) continue;
                Result<LoadedAttachment> loaded = machine_->load_attachment(fiber, entry);
                if (!loaded.ok()) {
                    if (loaded.code() != Code::Cancelled)
                        env_.tracer.warning("raft.attachment_missing", {{"group", id_}, {"index", entry.index}, {"error", loaded.error().text()}});
                    return;
                }
                entry.attachment = std::move(loaded->bytes);
                entry.superseded_by = loaded->superseded_by;
            }
            host_.send(id_, std::move(message), machine_->time_offer());
        });
    }
    host_.turn_ended();
}

Error Group::not_leader() const {
    const Member known = leader();
    const rpc::Redirect redirect{known.node == self().node ? NodeId() : known.node, core_->term(), {}};
    return rpc::redirect_error(redirect);
}

// ---- requests ---------------------------------------------------------------------------------------------------

Result<Committed> Group::propose(Fiber& fiber, Bytes body, std::shared_ptr<const Bytes> attachment, Instant deadline,
                                 SpaceUse space) {
    TRY(fiber.maybe_yield());
    TRY(admit(fiber, body.size() + (attachment == nullptr ? 0 : attachment->size()), deadline));
    TRY(std::unique_ptr<Proposal> proposal, begin(std::move(body), std::move(attachment), space));
    return finish(fiber, *proposal, deadline);
}

Result<std::unique_ptr<Group::Proposal>> Group::begin(Bytes body, std::shared_ptr<const Bytes> attachment, SpaceUse space) {
    if (stopped_) return Error(Code::NotReady, "the group has stopped on this node: " + stopped_->context);
    if (waiting_ >= options_.max_waiting) return Error(Code::Overloaded, "too many requests wait on this node");
    if (body.size() + 1024 > host_.log_part_bytes()) return Error(Code::Invalid, "the entry is larger than the log takes");
    if (!leads()) return not_leader();
    TRY(check_space(space));
    Result<LogIndex> proposed = core_->propose(env_.now(), std::make_shared<const Bytes>(std::move(body)), std::move(attachment));
    if (!proposed.ok()) {
        if (proposed.code() == Code::NotLeader) return not_leader();
        return proposed.error();
    }
    wake();
    std::unique_ptr<Proposal> proposal(new Proposal(*this, *proposed, core_->term()));
    auto at = waiters_.end();
    while (at != waiters_.begin() && std::prev(at)->index > *proposed) --at;  // of an earlier leadership, whose entries are gone
    waiters_.insert(at, {*proposed, proposal.get()});
    ++waiting_;
    return proposal;
}

Result<Committed> Group::finish(Fiber& fiber, Proposal& proposal, Instant deadline) {
    Result<void> waited;
    while (!proposal.outcome_ && waited.ok()) waited = fiber.wait(proposal.queue_, deadline);
    if (proposal.outcome_) return std::move(*proposal.outcome_);
    if (waited.failed_with(Code::Cancelled)) return waited.error();
    if (ORRERY_DEFECT(unknown_reported_as_failed)) return not_leader();
    return Error(Code::Unknown, "no outcome before the deadline; the write may still take effect");
}

Group::Proposal::~Proposal() {
    --group_.waiting_;
    if (outcome_) return;
    const auto [first, last] = group_.waiters_at(index_);
    const auto found = std::find_if(first, last, [this](const Waiter& waiter) { return waiter.proposal == this; });
    if (found != last) group_.waiters_.erase(found);
}

std::pair<Group::Waiters::iterator, Group::Waiters::iterator> Group::waiters_at(LogIndex index) {
    const auto range = std::ranges::equal_range(waiters_, index, {}, &Waiter::index);
    return {range.begin(), range.end()};
}

void Group::Proposal::end(Result<Committed> outcome) {
    outcome_ = std::move(outcome);
    queue_.wake_all();
}

Result<LogIndex> Group::read_barrier(Fiber& fiber, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (stopped_) return Error(Code::NotReady, "the group has stopped on this node: " + stopped_->context);
    if (!leads()) return not_leader();
    if (ORRERY_DEFECT(read_without_quorum)) return applied_.applied.index;
    if (waiting_ >= options_.max_waiting) return Error(Code::Overloaded, "too many requests wait on this node");
    if (!open_barrier_) {
        open_barrier_ = std::make_shared<Barrier>();
        wake();
    }
    std::shared_ptr<Barrier> barrier = open_barrier_;
    ++waiting_;
    Result<void> waited;
    while (!barrier->outcome && waited.ok()) waited = barrier->done.wait(fiber, deadline);
    --waiting_;
    if (barrier->outcome) return *barrier->outcome;
    return waited.error();
}

std::optional<Term> Group::lease_term() const {
    if (stopped_ || !core_->may_read_under_lease()) return std::nullopt;
    if (env_.now() >= core_->lease_until() && !ORRERY_DEFECT(lease_not_looked_at)) return std::nullopt;
    return core_->term();
}

bool Group::lease_vouches(Term term) const {
    if (stopped_ || core_->role() != Role::Leader || core_->term() != term) return false;
    return ORRERY_DEFECT(lease_not_looked_at) || env_.clock.reading() < core_->lease_until();
}

void Group::push_commit(LogIndex target) {
    if (stopped_) return;
    core_->push_commit(target);
    wake();
}

Result<void> Group::transfer(NodeId to) {
    if (stopped_) return Error(Code::NotReady, "the group has stopped on this node");
    Result<void> begun = core_->transfer(env_.now(), to);
    wake();
    return begun;
}

void Group::fail_waiting(Code code, const std::string& why) {
    for (const Waiter& waiter : waiters_) waiter.proposal->end(Error(code, why));
    waiters_.clear();
    auto fail = [&](Barrier& barrier) {
        barrier.outcome = Result<LogIndex>(Error(Code::NotReady, why));
        barrier.done.notify_all();
    };
    if (open_barrier_) fail(*open_barrier_);
    open_barrier_.reset();
    for (auto& [token, barrier] : barriers_) fail(*barrier);
    barriers_.clear();
    for (auto& [index, barrier] : barriers_to_apply_) fail(*barrier);
    barriers_to_apply_.clear();
}

}  // namespace orrery::raft
