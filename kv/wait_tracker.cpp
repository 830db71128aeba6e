#include "kv/wait_tracker.h"

#include <algorithm>

#include "kv/resp/number.h"
#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::kv {
namespace {

void sort_unique(std::vector<WaitMember>& members) {
    std::ranges::sort(members);
    const auto tail = std::ranges::unique(members);
    members.erase(tail.begin(), tail.end());
}

// Later than any entry: nobody is missing.
constexpr LogIndex kNoLimit{UINT64_MAX};

}  // namespace

resp::Reply wait_reply(const WaitOutcome& outcome, resp::Version version) {
    using resp::Reply;
    if (outcome.end == WaitEnd::Unblocked) return Reply::error("UNBLOCKED the leader changed while the wait was going on");
    if (outcome.kind == WaitKind::Durable) return Reply::array({Reply::integer(outcome.local), Reply::integer(static_cast<int64_t>(outcome.count))});
    if (outcome.kind != WaitKind::All) return Reply::integer(static_cast<int64_t>(outcome.count));
    const auto names = [](const std::vector<NodeId>& nodes) {
        std::vector<Reply> out;
        for (NodeId node : nodes) out.push_back(Reply::bulk(std::to_string(node.value)));
        return Reply::array(std::move(out));
    };
    const Reply acked = Reply::integer(static_cast<int64_t>(outcome.acked));
    const Reply required = Reply::integer(static_cast<int64_t>(outcome.required));
    if (version == resp::Version::Resp2) return Reply::array({acked, required, names(outcome.missing)});
    return Reply::map({Reply::bulk("acked"), acked, Reply::bulk("required"), required, Reply::bulk("missing"),
                       names(outcome.missing), Reply::bulk("learners"), names(outcome.learners),
                       Reply::bulk("config_index"),
                       Reply::integer(static_cast<int64_t>(outcome.config_index.value))});
}

// ---- who holds what

bool WaitTracker::tracked(ReplicaId replica) const {
    const auto is_it = [&](const WaitMember& member) { return member.replica == replica; };
    return std::ranges::any_of(required_, is_it) || std::ranges::any_of(config_.learners, is_it);
}

LogIndex WaitTracker::held_by(ReplicaId replica, WaitKind kind) const {
    const auto at = held_.find(replica);
    if (at == held_.end()) return LogIndex(0);
    if (ORRERY_DEFECT(wait_counts_received) || ORRERY_DEFECT(wait_counts_last_index)) return at->second.received;
    if (ORRERY_DEFECT(wait_counts_unapplied)) return at->second.durable;
    return kind == WaitKind::Durable ? at->second.durable : std::min(at->second.durable, at->second.applied);
}

bool WaitTracker::counts_for_all(const WaitMember& member) const {
    if (!ORRERY_DEFECT(waitall_counts_connected) || member.replica == self_) return true;
    const auto at = held_.find(member.replica);
    return at == held_.end() || at->second.connected;
}

// The highest target that at least `replicas` members beside the leader hold; asked for more than there are: all do.
LogIndex WaitTracker::count_limit(const Bar& bar) const {
    std::vector<LogIndex> held;
    for (const WaitMember& member : required_)
        if (member.replica != self_) held.push_back(held_by(member.replica, bar.kind));
    if (ORRERY_DEFECT(wait_more_than_members_hangs) && bar.replicas > held.size()) return LogIndex();
    const size_t wanted = std::min<uint64_t>(bar.replicas, held.size());
    const LogIndex own = bar.local ? held_by(self_, bar.kind) : kNoLimit;
    if (wanted == 0) return own;
    std::ranges::sort(held, std::greater<>());
    return std::min(own, held[wanted - 1]);
}

WaitTracker::Bar WaitTracker::bar_of(const WaitRequest& request) {
    return {request.kind, request.local, std::min<uint64_t>(request.replicas, kMembersMax)};
}

LogIndex WaitTracker::all_limit() const {
    LogIndex limit = kNoLimit;
    for (const WaitMember& member : required_)
        if (counts_for_all(member) && (!ORRERY_DEFECT(waitall_omits_leader) || member.replica != self_))
            limit = std::min(limit, held_by(member.replica, WaitKind::All));
    return limit;
}

bool WaitTracker::is_ready(const WaitRequest& request) const {
    if (request.kind == WaitKind::Count && request.replicas == 0) return true;
    if (!answering_) return false;
    if (by_count(request.kind)) return request.target <= count_limit(bar_of(request));
    return request.round <= confirmed_ && request.target <= all_limit();
}

WaitOutcome WaitTracker::outcome_of(const WaitRequest& request, WaitEnd end) const {
    WaitOutcome out{.client = request.client, .kind = request.kind, .end = end, .config_index = config_.config_index};
    const bool all = !by_count(request.kind);
    out.confirmed = all && answering_ && request.round <= confirmed_;
    for (const WaitMember& member : required_) {
        if (all && !counts_for_all(member)) continue;
        ++out.required;
        const bool self = member.replica == self_;
        const bool holds = (self || !all || out.confirmed) && (held_by(member.replica, request.kind) >= request.target ||
                                                               (self && ORRERY_DEFECT(waitall_omits_leader)));
        if (!holds) out.missing.push_back(member.node);
        out.acked += holds;
        out.count += holds && !self;
    }
    for (const WaitMember& learner : config_.learners)
        if (held_by(learner.replica, request.kind) < request.target) out.learners.push_back(learner.node);
    out.local = request.kind == WaitKind::Durable && held_by(self_, request.kind) >= request.target;
    std::ranges::sort(out.missing);
    std::ranges::sort(out.learners);
    return out;
}

// ---- queues

void WaitTracker::enqueue(const WaitRequest& request) {
    waiters_[request.client] = request;
    if (request.deadline != Instant::never()) deadlines_.insert({request.deadline, request.client});
    if (by_count(request.kind))
        by_count_[bar_of(request)].insert({request.target, request.client});
    else if (request.round <= confirmed_)
        all_.insert({request.target, request.client});
    else {
        // Who ends before its round is confirmed stays in the list: of such there are never more than of those that wait.
        if (unconfirmed_.size() > 2 * waiters_.size() + 64)
            std::erase_if(unconfirmed_, [this](const auto& entry) { return !still_unconfirmed(entry); });
        auto at = unconfirmed_.end();
        while (at != unconfirmed_.begin() && std::prev(at)->first > request.round) --at;  // as a rule the newest round
        unconfirmed_.insert(at, {request.round, request.client});
    }
}

bool WaitTracker::still_unconfirmed(const std::pair<WaitRound, uint64_t>& entry) const {
    const auto waiter = waiters_.find(entry.second);
    return waiter != waiters_.end() && !by_count(waiter->second.kind) && waiter->second.round == entry.first;
}

void WaitTracker::dequeue(const WaitRequest& request) {
    if (request.deadline != Instant::never()) deadlines_.erase({request.deadline, request.client});
    if (!by_count(request.kind)) {
        if (request.round <= confirmed_) all_.erase({request.target, request.client});
        return;
    }
    const auto queue = by_count_.find(bar_of(request));
    CHECK(queue != by_count_.end(), request.client);
    queue->second.erase({request.target, request.client});
    if (queue->second.empty()) by_count_.erase(queue);
}

WaitOutcome WaitTracker::finish(uint64_t client, WaitEnd end) {
    const auto at = waiters_.find(client);
    CHECK(at != waiters_.end(), client);
    WaitOutcome out = outcome_of(at->second, end);
    if (ORRERY_DEFECT(wait_reuses_count)) reuse(out);
    dequeue(at->second);
    waiters_.erase(at);
    return out;
}

void WaitTracker::reuse(WaitOutcome& outcome) {
    if (!by_count(outcome.kind) || outcome.end != WaitEnd::Satisfied) return;
    if (last_count_) outcome.count = *last_count_;
    last_count_ = outcome.count;
}

std::vector<WaitOutcome> WaitTracker::release(Targets ready) {
    if (!answering_ || waiters_.empty()) return {};
    // The queues are sorted by target, so what an event releases is a front of each of them.
    const auto take_front = [&](const Queue& queue, LogIndex limit) {
        for (auto at = queue.begin(); at != queue.end() && at->first <= limit; ++at) ready.push_back(*at);
    };
    for (const auto& [bar, queue] : by_count_) take_front(queue, count_limit(bar));
    if (!all_.empty()) take_front(all_, all_limit());
    std::ranges::sort(ready);
    ready.erase(std::unique(ready.begin(), ready.end()), ready.end());  // a client that came again stands in a list twice
    std::vector<WaitOutcome> out;
    for (const auto& [target, client] : ready) out.push_back(finish(client, WaitEnd::Satisfied));
    return out;
}

// ---- leadership

void WaitTracker::lead(Term term, ReplicaId self, const WaitConfig& config) {
    CHECK(!leading_ && waiters_.empty(), term);
    leading_ = true;
    answering_ = false;
    term_ = term;
    self_ = self;
    confirmed_ = WaitRound(0);
    unconfirmed_.clear();
    if (!ORRERY_DEFECT(wait_keeps_old_acks)) held_.clear();
    push_ = {};
    set_config(config);
}

std::vector<WaitOutcome> WaitTracker::own_term_committed() {
    if (!leading_) return {};
    answering_ = true;
    return release();
}

std::vector<WaitOutcome> WaitTracker::lose_leadership() {
    if (!leading_) return {};
    std::vector<WaitOutcome> out;
    while (!waiters_.empty()) out.push_back(finish(waiters_.begin()->first, WaitEnd::Unblocked));
    leading_ = false;
    answering_ = false;
    if (!ORRERY_DEFECT(wait_keeps_old_acks)) held_.clear();
    push_ = {};
    return out;
}

// ---- facts

void WaitTracker::set_config(const WaitConfig& config) {
    config_ = config;
    required_ = config.committed;
    required_.insert(required_.end(), config.appended.begin(), config.appended.end());
    sort_unique(required_);
    CHECK(required_.size() <= kMembersMax, required_.size());
    // A replica that left is forgotten: should the node come back, it does so with another replica id.
    std::erase_if(held_, [&](const auto& item) { return !tracked(item.first); });
}

std::vector<WaitOutcome> WaitTracker::acknowledge(std::span<const WaitAck> acks) {
    if (!leading_) return {};
    for (const WaitAck& ack : acks) {
        if (ack.term != term_ || !tracked(ack.replica)) continue;
        Held& held = held_[ack.replica];
        if (held.durable < ack.durable || held.applied != ack.applied) last_count_.reset();
        held.durable = std::max(held.durable, ack.durable);
        held.received = std::max(held.received, ack.received);
        held.applied = ack.applied;
    }
    return release();
}

std::vector<WaitOutcome> WaitTracker::configure(const WaitConfig& config) {
    if (!leading_) return {};
    set_config(config);
    return release();
}

std::vector<WaitOutcome> WaitTracker::confirm(WaitRound round) {
    if (!leading_ || round <= confirmed_) return {};
    confirmed_ = round;
    // As a rule everybody holds the targets by now: then nobody is put into one queue more.
    const LogIndex limit = answering_ ? all_limit() : LogIndex();
    Targets ready;
    for (; !unconfirmed_.empty() && unconfirmed_.front().first <= confirmed_; unconfirmed_.pop_front()) {
        if (!still_unconfirmed(unconfirmed_.front())) continue;
        const uint64_t client = unconfirmed_.front().second;
        const LogIndex target = waiters_.at(client).target;
        if (answering_ && target <= limit)
            ready.emplace_back(target, client);
        else
            all_.insert({target, client});
    }
    return release(std::move(ready));
}

void WaitTracker::contact(ReplicaId replica, bool connected) {
    if (leading_ && tracked(replica)) held_[replica].connected = connected;
}

std::vector<WaitOutcome> WaitTracker::expire(Instant now) {
    std::vector<WaitOutcome> out;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now)
        out.push_back(finish(deadlines_.begin()->second, WaitEnd::TimedOut));
    return out;
}

Instant WaitTracker::next_deadline() const {
    return deadlines_.empty() ? Instant::never() : deadlines_.begin()->first;
}

// ---- waiters

Result<std::optional<WaitOutcome>> WaitTracker::add(const WaitRequest& request, Instant now) {
    if (!leading_) return Code::NotLeader;
    if (waiters_.contains(request.client)) return Error(Code::Exists, "client waits already");
    if (is_ready(request)) {
        WaitOutcome known = outcome_of(request, WaitEnd::Satisfied);
        if (ORRERY_DEFECT(wait_reuses_count)) reuse(known);
        return std::optional(std::move(known));
    }
    if (!request.may_block || request.deadline <= now) return std::optional(outcome_of(request, WaitEnd::TimedOut));
    if (waiters_.size() >= options_.waiters_max) return Error(Code::Overloaded, "too many clients wait");
    enqueue(request);
    push_.commit_index = true;
    if (!by_count(request.kind) && request.round > confirmed_) push_.round = true;
    return std::optional<WaitOutcome>();
}

void WaitTracker::remove(uint64_t client) {
    const auto at = waiters_.find(client);
    if (at == waiters_.end()) return;
    dequeue(at->second);
    waiters_.erase(at);
}

std::optional<WaitOutcome> WaitTracker::unblock(uint64_t client, WaitEnd end) {
    if (!waiters_.contains(client)) return std::nullopt;
    return finish(client, end);
}

WaitTracker::Push WaitTracker::take_push() {
    return std::exchange(push_, {});
}

}  // namespace orrery::kv
