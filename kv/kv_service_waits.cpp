// Waits: WAIT, WAITALL and WAITAOF, here as the leader or through another node, over the WaitTracker.
#include <algorithm>
#include <charconv>

#include "kv/kv_service.h"
#include "runtime/base/defect.h"

namespace orrery::kv {

namespace {

constexpr uint64_t kWaitEntity = 1;
constexpr Duration kConfirmAttempt = Duration::millis(500), kConfirmPause = Duration::millis(20);

Reply wait_outcome_reply(const WaitOutcome& outcome) {
    auto nodes = [](const std::vector<NodeId>& ids) {
        std::vector<Reply> items;
        for (NodeId id : ids) items.push_back(Reply::integer(static_cast<int64_t>(id.value)));
        return Reply::array(std::move(items));
    };
    return Reply::array({Reply::integer(static_cast<int64_t>(outcome.end)), Reply::integer(static_cast<int64_t>(outcome.count)),
                         Reply::integer(static_cast<int64_t>(outcome.acked)), Reply::integer(static_cast<int64_t>(outcome.required)),
                         Reply::integer(outcome.confirmed), Reply::integer(static_cast<int64_t>(outcome.config_index.value)),
                         nodes(outcome.missing), nodes(outcome.learners), Reply::integer(outcome.local)});
}

Result<WaitOutcome> wait_outcome_of(const Reply& reply) {
    const Error corrupt(Code::Corrupt, "the leader's answer to a wait makes no sense");
    if (reply.kind != Reply::Kind::Array || reply.items.size() != 9) return corrupt;
    for (size_t i = 0; i < 6; ++i)
        if (reply.items[i].kind != Reply::Kind::Integer || reply.items[i].number < 0) return corrupt;
    if (reply.items[0].number > static_cast<int64_t>(WaitEnd::Unblocked)) return corrupt;
    WaitOutcome out;
    out.end = static_cast<WaitEnd>(reply.items[0].number);
    out.count = static_cast<uint64_t>(reply.items[1].number);
    out.acked = static_cast<uint64_t>(reply.items[2].number);
    out.required = static_cast<uint64_t>(reply.items[3].number);
    out.confirmed = reply.items[4].number != 0;
    out.config_index = LogIndex(static_cast<uint64_t>(reply.items[5].number));
    for (const Reply& node : reply.items[6].items) out.missing.push_back(NodeId(static_cast<uint64_t>(node.number)));
    out.local = reply.items[8].kind == Reply::Kind::Integer && reply.items[8].number == 1;
    for (const Reply& node : reply.items[7].items) out.learners.push_back(NodeId(static_cast<uint64_t>(node.number)));
    return out;
}

std::vector<WaitMember> voters_of(const raft::Configuration& configuration) {
    std::vector<WaitMember> out;
    for (const auto* half : {&configuration.voters(), &configuration.outgoing()})
        for (const raft::Member& member : *half) {
            const WaitMember one{member.node, member.replica};
            if (std::find(out.begin(), out.end(), one) == out.end()) out.push_back(one);
        }
    return out;
}

}  // namespace

// ---- waits ------------------------------------------------------------------------------------------------------

bool KvService::Leaver::unblock(Unblock how) {
    const bool answered = waiting_ != nullptr && waiting_->outcome && waiting_->outcome->end != WaitEnd::Unblocked;
    if (answered && waits_ && !interrupted()) waiting_->tracer.probe("wait.unblocked_as_it_ended");
    if (!waits_ || interrupted() || answered || (exchange_ != nullptr && exchange_->ended())) return false;
    unblock_ = how;
    if (wake_ != nullptr) wake_->notify_all();
    if (exchange_ != nullptr) exchange_->cancel();  // wakes who reads from it
    return true;
}

Result<Reply> KvService::wait(Fiber& fiber, ArgvView argv, const WaitTarget& target, resp::Version version, Leaver& leaver, MayBlock may_block) {
    auto parsed = parse_wait(argv, options_.wait_zero);
    if (Reply* refused = std::get_if<Reply>(&parsed)) return std::move(*refused);
    const WaitCommand& command = std::get<WaitCommand>(parsed);
    WaitRequest request;
    request.kind = command.kind;
    request.replicas = command.replicas;
    request.local = command.local;
    request.target = target.target(newest_write_);
    request.deadline = command.timeout ? env_.now() + *command.timeout : Instant::never();
    if (may_block == MayBlock::No) request.deadline = env_.now();
    // For checkers: which index this connection waits for.
    const Duration timeout = command.timeout ? *command.timeout : Duration{};
    env_.tracer.debug("kv.wait", {{"target", request.target}, {"timeout", timeout}, {"blocks", int{may_block == MayBlock::Yes}}});
    auto answer = [&](const WaitOutcome& outcome) {
        env_.tracer.debug("kv.wait_answered", {{"target", request.target}, {"timeout", timeout}});
        return wait_reply(outcome, version);
    };
    Duration pause = Duration::millis(5);
    leaver.waits_ = may_block == MayBlock::Yes;
    leaver.unblock_ = Unblock::No;
    struct EndOfWait {
        Leaver& leaver;
        ~EndOfWait() { leaver.waits_ = false; }
    } end_of_wait{leaver};
    for (bool again = false;; again = true) {
        if (again && ORRERY_DEFECT(wait_timer_restarts) && command.timeout) request.deadline = env_.now() + *command.timeout;
        if (group_.stopped()) return Reply::error("CLUSTERDOWN the group has stopped on this node");
        if (group_.core().removed()) return Reply::error("CLUSTERDOWN " + group_.exclusion());
        Result<WaitOutcome> done = Error(Code::NotLeader, "no leader is known");
        const NodeId leader = group_.leader().node;
        if (group_.leads()) {
            done = wait_here(fiber, request, &leaver, nullptr);
        } else if (leader) {
            done = forward_wait(fiber, leader, request, leaver);
        }
        if (leaver.unblock_ == Unblock::AsError) return Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        // What is known is answered even then: a client may have closed its sending side only.
        if (done.ok() && (done->end != WaitEnd::Unblocked || ORRERY_DEFECT(wait_answers_with_office))) {
            if (ORRERY_DEFECT(wait_answers_with_office)) done->end = WaitEnd::TimedOut;
            return answer(*done);
        }
        if (done.ok()) env_.tracer.probe("wait.resumed_at_new_leader");
        if (done.failed_with(Code::Cancelled) || leaver.left()) return Error(Code::Unreachable, "the client left");
        if (done.failed_with(Code::Overloaded)) return error_reply(done.error());
        if (leaver.unblock_ == Unblock::AsTimeout && env_.now() < request.deadline) {
            // Asked once more, for what holds now. Those that need a quorum round get the time for one.
            const bool by_count = request.kind == WaitKind::Count || request.kind == WaitKind::Durable;
            request.deadline = std::min(request.deadline, env_.now() + (by_count ? Duration{} : Duration::millis(100)));
            leaver.unblock_ = Unblock::No;
            leaver.waits_ = false;
            continue;
        }
        if (env_.now() >= request.deadline) {
            // Nobody who leads could be asked in time: of nobody is it known that he holds it.
            WaitOutcome nothing;
            nothing.kind = request.kind;
            nothing.end = WaitEnd::TimedOut;
            for (const WaitMember& member : voters_of(group_.core().log().configuration())) nothing.missing.push_back(member.node);
            std::sort(nothing.missing.begin(), nothing.missing.end());
            nothing.required = nothing.missing.size();
            return answer(nothing);
        }
        leaver.wake_ = &leader_changed_;
        Result<void> slept = leader_changed_.wait(fiber, std::min(request.deadline, env_.now() + pause));
        leaver.wake_ = nullptr;
        if (slept.failed_with(Code::Cancelled)) return slept.error();
        pause = std::min(pause * 2, Duration::millis(100));
    }
}

WaitRound KvService::join_round() {
    if (round_to_come_) return round_;
    round_to_come_ = true;
    round_ = round_.next();
    env_.spawn("kv.wait_confirm", [this, round = round_](Fiber& own) {
        round_to_come_ = false;  // who comes from here on may be later than the quorum's answers
        // Asked again while somebody waits: the barrier may be full for a moment, or the quorum silent. A later round confirms this one
        // too, so only the last one goes on.
        do {
            if (group_.read_barrier(own, env_.now() + kConfirmAttempt).ok()) return settle(tracker_.confirm(round));
            if (!env_.sleep(own, kConfirmPause).ok()) return;
        } while (group_.leads() && tracker_.waiting() > 0 && round == round_);
    });
    return round_;
}

Result<WaitOutcome> KvService::wait_here(Fiber& fiber, const WaitRequest& asked, Leaver* leaver, rpc::Responder* asker) {
    refresh_tracker();
    WaitRequest request = asked;
    request.client = next_wait_++;
    if (request.kind != WaitKind::Count) {
        const WaitRound round = join_round();
        request.round = ORRERY_DEFECT(waitall_without_round) ? WaitRound() : round;
    }
    // For checkers: what this leader was asked, and what it says.
    env_.tracer.debug("kv.wait_begun", {{"wait", request.client},
                                        {"kind", static_cast<int>(request.kind)},
                                        {"replicas", request.replicas},
                                        {"local", int{request.local}},
                                        {"target", request.target},
                                        {"forwarded", int{asker != nullptr}}});
    Result<std::optional<WaitOutcome>> at_once = tracker_.add(request, env_.now());
    push();
    if (!at_once.ok()) env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
    TRY(std::optional<WaitOutcome> known, std::move(at_once));
    if (known) {
        tell(*known);
        return *std::move(known);
    }
    Waiting waiting{.tracer = env_.tracer, .outcome = {}, .done = {}};
    waiting_.emplace(request.client, &waiting);
    timer_changed_.notify_all();
    if (leaver != nullptr) {
        leaver->wake_ = &waiting.done;
        leaver->waiting_ = &waiting;
    }
    Result<void> waited;
    while (!waiting.outcome && waited.ok() && !(leaver != nullptr && leaver->interrupted())) {
        waited = waiting.done.wait(fiber, asker != nullptr ? env_.now() + Duration::seconds(2) : Instant::never());
        // A sign of life for the node that asked: a request that is silent for long looks lost to its session.
        if (waited.failed_with(Code::Timeout)) waited = asker->send(fiber, Bytes(1, '.'), env_.now() + Duration::seconds(2));
    }
    if (leaver != nullptr) {
        leaver->wake_ = nullptr;
        leaver->waiting_ = nullptr;
    }
    waiting_.erase(request.client);
    if (waiting.outcome && leaver != nullptr && leaver->unblock_ != Unblock::No) env_.tracer.probe("wait.unblocked_as_it_ended");
    if (waiting.outcome) return *std::move(waiting.outcome);
    if (leaver != nullptr && !leaver->left() && leaver->interrupted()) {
        if (std::optional<WaitOutcome> now = tracker_.unblock(request.client, WaitEnd::TimedOut)) {
            env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
            return *std::move(now);
        }
    }
    if (!ORRERY_DEFECT(wait_leaks_waiter)) tracker_.remove(request.client);
    env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
    if (!waited.ok()) return waited.error();
    return Error(Code::Unreachable, "the client left");
}

Result<WaitOutcome> KvService::forward_wait(Fiber& fiber, NodeId to, const WaitRequest& request, Leaver& leaver) {
    const int64_t left_ms = request.deadline == Instant::never() ? -1 : std::max<int64_t>(0, (request.deadline - env_.now()).as_millis());
    const Argv words{Bytes(kWaitWord), std::to_string(static_cast<int>(request.kind)), std::to_string(request.replicas),
                     std::to_string(ORRERY_DEFECT(wait_forwarded_without_target) ? 0 : request.target.value), std::to_string(left_ms),
                     std::to_string(int{request.local})};
    wire::ForwardedCommand command;
    command.read = true;
    command.hops = 1;
    for (const Bytes& word : words) command.argv.push_back(word);
    const Instant deadline = left_ms < 0 ? Instant::never() : request.deadline + Duration::seconds(1);
    // An entity of their own: waits that last do not use up the window of commands.
    const rpc::Target target{wire::Operation::KvForward, kKvGroup, kWaitEntity, wire::TrafficClass::Foreground, {deadline}};
    TRY(rpc::Exchange exchange, host_.peers().open(fiber, to, target, wire::encode_forwarded_command(command)));
    if (leaver.unblock_ != Unblock::No && env_.now() < request.deadline) return Error(Code::Unreachable, "unblocked");
    // CLIENT UNBLOCK gives the exchange up. A client that leaves does not, as it may have closed its sending side only and the answer
    // be near: looked at twice a second.
    leaver.exchange_ = &exchange;
    for (;;) {
        Result<std::optional<Bytes>> data = exchange.read(fiber, std::min(deadline, env_.now() + Duration::millis(500)));
        if (data.ok() && !*data) break;
        if (data.failed_with(Code::Cancelled)) break;
        if (leaver.left()) exchange.cancel();
        if (!data.ok() && env_.now() >= deadline) break;
    }
    Result<Bytes> answer = exchange.finish(fiber);
    leaver.exchange_ = nullptr;
    if (!answer.ok()) return answer.error();
    TRY(wire::ForwardedReply reply, wire::decode_forwarded_reply(*answer));
    ByteReader reader(reply.reply);
    TRY(Reply value, resp::take_reply(reader));
    TRY(WaitOutcome outcome, wait_outcome_of(value));
    outcome.kind = request.kind;
    return outcome;
}

void KvService::refresh_tracker() {
    const raft::Status status = group_.status();
    const bool leads = status.role == raft::Role::Leader && !group_.stopped();
    if (tracker_.leading() && (!leads || tracker_term_ != status.hard_state.term)) settle(tracker_.lose_leadership());
    if (!leads) return;
    WaitConfig config;
    config.config_index = status.configuration_index;
    if (status.configuration_index > status.commit) {
        config.committed = voters_of(group_.configuration_at(status.commit));
        config.appended = voters_of(status.configuration);
    } else {
        config.committed = voters_of(status.configuration);
    }
    for (const raft::Member& member : status.configuration.learners()) config.learners.push_back({member.node, member.replica});
    const bool anew = ORRERY_DEFECT(wait_members_grow_at_commit) || ORRERY_DEFECT(wait_members_shrink_on_silence);
    if (anew) config_index_ = LogIndex();  // else a defect would not see the next change
    if (ORRERY_DEFECT(wait_members_grow_at_commit)) config.appended.clear();
    if (ORRERY_DEFECT(wait_members_shrink_at_append) && !config.appended.empty()) {
        config.committed.clear();
        for (const raft::Member& member : status.configuration.voters()) config.committed.push_back({member.node, member.replica});
        config.appended.clear();
    }
    if (ORRERY_DEFECT(wait_members_shrink_on_silence)) {
        for (const raft::MemberStatus& member : status.members)
            if (member.member != status.self && !member.active) std::erase(config.committed, WaitMember{member.member.node, member.member.replica});
    }
    const bool frozen = ORRERY_DEFECT(wait_members_frozen) && tracker_.waiting() > 0;
    if (!tracker_.leading()) {
        tracker_term_ = status.hard_state.term;
        answering_ = false;
        tracker_.lead(tracker_term_, status.self.replica, config);
        config_index_ = config.config_index;
    } else if (!frozen && (config_index_ != config.config_index || config_appended_ != !config.appended.empty())) {
        config_index_ = config.config_index;
        settle(tracker_.configure(config));
    }
    if (!frozen) config_appended_ = !config.appended.empty();
    if (!answering_ && status.own_term_committed) {
        answering_ = true;
        settle(tracker_.own_term_committed());
    }
    std::vector<WaitAck> acks;
    for (const raft::MemberStatus& member : status.members) {
        const bool self = member.member == status.self;
        if (!self && (ORRERY_DEFECT(wait_counts_sent) || (ORRERY_DEFECT(wait_counts_snapshot_begun) && member.state == raft::ProgressState::Snapshot))) {
            const LogIndex sent = ORRERY_DEFECT(wait_counts_sent) ? LogIndex(std::max<uint64_t>(1, member.next.value) - 1) : member.claim;
            acks.push_back({tracker_term_, member.member.replica, sent, sent, sent});
            continue;
        }
        acks.push_back({tracker_term_, member.member.replica, self ? status.durable : member.match, self ? group_.applied() : member.applied,
                        self ? status.last.index : member.received});
        tracker_.contact(member.member.replica, self || member.active);
    }
    settle(tracker_.acknowledge(acks));
}

void KvService::settle(std::vector<WaitOutcome> outcomes) {
    for (WaitOutcome& outcome : outcomes) {
        auto found = waiting_.find(outcome.client);
        if (found == waiting_.end()) continue;
        tell(outcome);
        found->second->outcome = std::move(outcome);
        found->second->done.notify_all();
    }
}

void KvService::tell(const WaitOutcome& outcome) {
    if (!env_.tracer.wants(Severity::Debug)) return;
    std::string missing;
    for (const NodeId node : outcome.missing) missing += (missing.empty() ? "" : ",") + std::to_string(node.value);
    env_.tracer.debug("kv.wait_ended", {{"wait", outcome.client},
                                        {"end", static_cast<int>(outcome.end)},
                                        {"count", outcome.count},
                                        {"local", int{outcome.local}},
                                        {"acked", outcome.acked},
                                        {"required", outcome.required},
                                        {"missing", missing}});
}

void KvService::push() {
    if (ORRERY_DEFECT(wait_without_push)) return void(tracker_.take_push());
    if (tracker_.take_push().commit_index) group_.push_commit(group_.core().commit());
}

void KvService::role_changed(const raft::RoleChange&) {
    refresh_tracker();
    leader_changed_.notify_all();
}

void KvService::progressed() {
    // The table of acknowledgements is copied only while somebody waits; add() copies it anew.
    if (tracker_.waiting() > 0) {
        refresh_tracker();
        push();
    }
}

void KvService::timekeeper(Fiber& fiber) {
    for (;;) {
        Result<void> woken = timer_changed_.wait(fiber, tracker_.next_deadline());
        if (woken.failed_with(Code::Cancelled)) return;
        settle(tracker_.expire(env_.now()));
    }
}

void KvService::handle_wait(Fiber& fiber, const wire::ForwardedCommand& command, rpc::Responder& responder) {
    int64_t numbers[5];
    if (command.argv.size() != 6) return responder.fail(Error(Code::Invalid, "a forwarded wait has six words"));
    for (size_t i = 0; i < 5; ++i) {
        const ByteView word = command.argv[i + 1];
        auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), numbers[i]);
        if (failure != std::errc() || end != word.data() + word.size() || (i != 3 && numbers[i] < 0))
            return responder.fail(Error(Code::Invalid, "a forwarded wait with a word that is no number"));
    }
    if (numbers[0] < static_cast<int64_t>(WaitKind::Count) || numbers[0] > static_cast<int64_t>(WaitKind::Durable))
        return responder.fail(Error(Code::Invalid, "a forwarded wait of unknown kind"));
    WaitRequest wait;
    wait.kind = static_cast<WaitKind>(numbers[0]);
    wait.replicas = static_cast<uint64_t>(numbers[1]);
    wait.local = numbers[4] != 0;
    wait.target = LogIndex(static_cast<uint64_t>(numbers[2]));
    wait.deadline = numbers[3] < 0 ? Instant::never() : env_.now() + Duration::millis(numbers[3]);
    Result<WaitOutcome> outcome = wait_here(fiber, wait, nullptr, &responder);
    if (!outcome.ok()) return responder.fail(outcome.error());
    Bytes bytes;
    resp::put_reply(bytes, wait_outcome_reply(*outcome));
    responder.reply(wire::encode_forwarded_reply({group_.core().term(), LogIndex(), bytes}));
}

}  // namespace orrery::kv
