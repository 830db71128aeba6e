#include "node/master/master_service.h"

#include <algorithm>

#include "node/master/placement.h"
#include "node/rpc/redirect.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr uint64_t kForwarded = 1;  // as entity of a request
constexpr Duration kPauseMin = Duration::millis(5), kPauseMax = Duration::millis(100);

bool had_no_effect(Code code) {
    return code == Code::NotLeader || code == Code::NotReady || code == Code::Overloaded || code == Code::Unreachable || code == Code::Stale;
}

}  // namespace

MasterService::MasterService(Env& env, raft::GroupHost& host, raft::Group& group, MasterServiceOptions options)
    : env_(env), host_(host), group_(group), machine_(static_cast<MasterMachine&>(group.machine())), options_(options),
      watch_(env, group, machine_, {.silence = options.node_silence, .check = options.node_check, .propose_timeout = options.request_timeout}),
      tasks_(env, host, group, machine_, watch_, options.tasks), lists_(env, group, *this, options.lists) {
    group_.set_observer(this);
    freshness_.applied(group_.applied());
    env_.spawn("master.confirm", [this](Fiber& fiber) { confirm_loop(fiber); });
}

MasterService::~MasterService() { group_.set_observer(nullptr); }

void MasterService::role_changed(const raft::RoleChange&) {
    leader_changed_.notify_all();
    confirm_wanted_changed_.notify_all();
    fresher_.notify_all();
}

void MasterService::progressed() {
    if (group_.applied() == applied_told_) return;
    applied_told_ = group_.applied();
    freshness_.applied(applied_told_);
    fresher_.notify_all();
}

Result<void> MasterService::usable() const {
    if (group_.stopped()) return Error(Code::NotReady, "the group has stopped on this master");
    if (const std::string why = group_.exclusion(); !why.empty()) return Error(Code::NotReady, why);
    return {};
}

// ---- changes

/// Here if this node leads, else at the leader, again and again until the deadline while that certainly had no effect.
Result<wire::MasterAnswer> MasterService::change(Fiber& fiber, wire::MasterCommand command, Instant deadline) {
    command.placements.clear();  // the leader's to fill in
    command.unplaced.clear();
    const Bytes body = wire::encode_master_command(command);
    TRY(Waiting waiting, begin_waiting());
    Duration pause = kPauseMin;
    for (;;) {
        TRY(usable());
        Result<wire::MasterAnswer> done = Error(Code::NotLeader, "no leader is known");
        if (group_.leads()) {
            done = change_here(fiber, command, deadline);
        } else if (const NodeId leader = group_.leader().node; leader) {
            const rpc::Target target{wire::Operation::MasterChange, kMasterGroup, kForwarded, wire::TrafficClass::Foreground, {deadline}};
            ++counters_.forwarded;
            Result<Bytes> answer = host_.peers().call(fiber, leader, target, body);
            done = answer.ok() ? wire::decode_master_answer(*answer) : Result<wire::MasterAnswer>(answer.error());
        }
        if (done.ok() || !had_no_effect(done.code()) || env_.now() + pause >= deadline) return done;
        if (leader_changed_.wait(fiber, env_.now() + pause).failed_with(Code::Cancelled)) return Code::Cancelled;
        pause = std::min(pause * 2, kPauseMax);
    }
}

/// Where the members of new partitions go, by what is committed now; apply() looks again at what each place is then. What cannot be placed
/// is refused by an entry: it may be a repetition of what was placed before.
Result<void> MasterService::place_new(Fiber& fiber, wire::MasterCommand& command, Instant deadline) {
    TRY(group_.read_barrier(fiber, deadline));
    const std::shared_ptr<const raft::StateSpace> held = group_.space();
    uint32_t replicas = command.replicas;
    if (command.kind == wire::MasterCommandKind::ExtendVolume) {
        const Result<wire::MasterView> volume = machine_.view(fiber, {.topic = wire::MasterTopic::Volume, .name = command.name});
        if (volume.failed_with(Code::NotFound)) return {};
        if (!volume.ok()) return volume.error();
        replicas = volume->volumes.front().replicas;
    }
    TRY(std::vector<wire::NodeRecord> nodes, machine_.nodes(fiber));
    nodes = watch_.without_bad_disks(std::move(nodes));
    // Many disks take their time: not the loop thread's.
    Result<std::vector<wire::Placement>> placed = Error(Code::Cancelled);
    TRY(env_.blocking(fiber, [&](Blocking&) { placed = place(nodes, replicas, command.partitions); }));
    if (placed.ok()) {
        command.placements = std::move(*placed);
    } else {
        command.unplaced = placed.error().context;
    }
    return {};
}

Result<wire::MasterAnswer> MasterService::change_here(Fiber& fiber, const wire::MasterCommand& command, Instant deadline) {
    wire::MasterCommand planned = command;
    const bool places = command.kind == wire::MasterCommandKind::CreateVolume || command.kind == wire::MasterCommandKind::ExtendVolume;
    if (places && command.replicas <= MasterLimits::replicas_max && command.partitions <= MasterLimits::partitions_of_command_max)
        TRY(place_new(fiber, planned, deadline));
    const raft::SpaceUse use = command.kind == wire::MasterCommandKind::DeleteVolume ? raft::SpaceUse::Frees : raft::SpaceUse::Takes;
    Result<raft::Committed> committed = group_.propose(fiber, wire::encode_master_command(planned), nullptr, deadline, use);
    counters_.unknown += committed.failed_with(Code::Unknown);
    if (!committed.ok()) return committed.error();
    ++counters_.changes;
    if (command.kind == wire::MasterCommandKind::RegisterNode) watch_.registered(command.node.node, command.node.incarnation);
    tasks_.wake();
    return wire::decode_master_answer(committed->reply);
}

// ---- queries

std::optional<Duration> MasterService::age() const {
    if (!freshness_.as_of()) return std::nullopt;
    return std::max(Duration(), env_.clock.reading() - *freshness_.as_of());
}

/// The leader as it is known; if none is, the one that vouched last, in its term: it may be there still.
Error MasterService::not_vouched() const {
    const NodeId self = group_.self().node;
    const NodeId leader = group_.leader().node;
    if (leader && leader != self) return rpc::redirect_error({leader, group_.core().term(), leader == told_.leader ? told_.service_address : ""});
    if (!leader && told_.leader && told_.leader != self) return rpc::redirect_error({told_.leader, told_.term, told_.service_address});
    return rpc::redirect_error({NodeId(), group_.core().term(), {}});
}

Error MasterService::too_old() {
    ++counters_.redirected.too_old;
    return not_vouched();
}

Instant MasterService::oldest(Duration max_age, Instant stamp) const {
    // An age goes by the clock itself: a turn in which the process was stopped may have begun long ago.
    return max_age > Duration() ? env_.clock.reading() - std::min(max_age, options_.age_max) : stamp;
}

bool MasterService::vouched(Instant oldest, LogIndex at_least) const {
    if (ORRERY_DEFECT(list_served_while_not_ready) && !freshness_.as_of()) return true;
    return freshness_.as_of() >= oldest && group_.applied() >= at_least;
}

Result<MasterService::Waiting> MasterService::begin_waiting() {
    if (waiting_ >= options_.waiting_max) return Error(Code::Overloaded, "too many requests wait on this master");
    return Waiting(waiting_);
}

Result<void> MasterService::wait_fresh(Fiber& fiber, Instant oldest, LogIndex at_least, Instant deadline) {
    TRY(Waiting waiting, begin_waiting());
    for (;;) {
        if (Result<void> usable_now = usable(); !usable_now.ok()) {
            ++counters_.redirected.not_serving;
            return usable_now;
        }
        if (vouched(oldest, at_least)) return {};
        if (!(freshness_.vouched() >= oldest)) {
            confirm_wanted_ = true;
            confirm_wanted_changed_.notify_all();
        }
        const Result<void> waited = fresher_.wait(fiber, deadline);
        if (waited.failed_with(Code::Cancelled)) return waited;
        if (waited.failed_with(Code::Timeout)) {
            MasterService::Counters::Redirected& why = counters_.redirected;
            ++(!group_.leader().node ? why.no_leader : freshness_.as_of() >= oldest ? why.behind_token : why.too_old);
            return not_vouched();
        }
    }
}

Result<wire::MasterView> MasterService::query(Fiber& fiber, const wire::MasterQuery& query, Instant deadline) {
    TRY(wait_fresh(fiber, oldest(query.max_age, stamp_now()), query.at_least, deadline));
    // No yield from here until the state's moment is taken: what it is vouched for is what is read.
    const Instant as_of = this->as_of();
    const std::shared_ptr<const raft::StateSpace> held = group_.space();
    const LogIndex version = group_.applied();
    TRY(wire::MasterView view, machine_.view(fiber, query));
    view.server = group_.self().node;
    view.leader = group_.leader().node;
    view.term = group_.core().term();
    view.version = version;
    view.age = std::max(Duration(), env_.clock.reading() - as_of);
    ++counters_.queries;
    return view;
}

/// One question to the leader at a time: whoever comes meanwhile waits for the next.
void MasterService::confirm_loop(Fiber& fiber) {
    Duration pause = kPauseMin;
    for (;;) {
        const Instant due = env_.now() + options_.refresh;
        while (!confirm_wanted_ && env_.now() < due)
            if (confirm_wanted_changed_.wait(fiber, due).failed_with(Code::Cancelled)) return;
        confirm_wanted_ = false;
        const Instant stamp = last_stamp_ = std::max(env_.now(), last_stamp_ + Duration::nanos(1));
        Result<LogIndex> version = confirm(fiber);
        if (version.failed_with(Code::Cancelled)) return;
        if (version.ok()) {
            ++counters_.confirmations;
            const bool before = ORRERY_DEFECT(list_served_before_applied);
            freshness_.confirmed(before ? LogIndex() : *version, ORRERY_DEFECT(list_stamped_on_receipt) ? env_.now() : stamp);
            fresher_.notify_all();
            pause = kPauseMin;
            continue;
        }
        // Whoever waits still wants it; a leader that appears cuts the pause short.
        confirm_wanted_ = true;
        if (leader_changed_.wait(fiber, env_.now() + pause).failed_with(Code::Cancelled)) return;
        pause = std::min(pause * 2, kPauseMax);
    }
}

/// What is committed by now, leadership confirmed after the call. Yields.
Result<LogIndex> MasterService::confirm(Fiber& fiber) {
    TRY(usable());
    const Instant deadline = env_.now() + options_.confirm_timeout;
    if (group_.leads() && ORRERY_DEFECT(list_without_round)) {
        TRY(env_.sleep(fiber, Duration::millis(1)));
        return group_.core().commit();
    }
    if (group_.leads()) {
        TRY(LogIndex version, group_.read_barrier(fiber, deadline));
        if (group_.leads()) vouched_term_ = std::max(vouched_term_, group_.core().term());
        return version;
    }
    if (ORRERY_DEFECT(list_confirmed_by_anyone)) return confirm_by_anyone(fiber, deadline);
    const NodeId leader = group_.leader().node;
    if (!leader) return Error(Code::NotLeader, "no leader is known");
    TRY(Bytes answer, host_.peers().call(fiber, leader, {wire::Operation::MasterConfirm, kMasterGroup, 0, wire::TrafficClass::Foreground, {deadline}}, {}));
    TRY(wire::MasterConfirmation confirmation, wire::decode_master_confirmation(answer));
    vouched_term_ = std::max(vouched_term_, confirmation.term);
    if (confirmation.term >= told_.term) told_ = {leader, confirmation.term, std::move(confirmation.service_address)};
    return confirmation.version;
}

/// As the founding fault had it: any master that has ever been heard of is asked.
Result<LogIndex> MasterService::confirm_by_anyone(Fiber& fiber, Instant deadline) {
    for (const raft::Member& member : group_.status().configuration.voters()) {
        if (member == group_.self()) continue;
        Result<Bytes> answer = host_.peers().call(fiber, member.node, {wire::Operation::MasterConfirm, kMasterGroup, 0, wire::TrafficClass::Foreground, {deadline}}, {});
        if (!answer.ok()) continue;
        TRY(wire::MasterConfirmation confirmation, wire::decode_master_confirmation(*answer));
        return confirmation.version;
    }
    return Error(Code::Unreachable, "no other master answers");
}

// ---- requests

void MasterService::handle_requests(rpc::Service& service_of, const std::unique_ptr<MasterService>& service) {
    auto handle = [&](wire::Operation operation, void (MasterService::*handler)(Fiber&, rpc::Request&, rpc::Responder&)) {
        service_of.handle(operation, [&service, handler](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
            if (!service) return responder.fail(Error(Code::NotReady, "this master is not up yet: it is in no cluster, or loads"));
            (service.get()->*handler)(fiber, request, responder);
        });
    };
    handle(wire::Operation::MasterChange, &MasterService::handle_change);
    handle(wire::Operation::MasterQuery, &MasterService::handle_query);
    handle(wire::Operation::MasterConfirm, &MasterService::handle_confirm);
    handle(wire::Operation::MasterHeartbeat, &MasterService::handle_heartbeat);
    handle(wire::Operation::MasterList, &MasterService::handle_list);
}

/// The asker waits as long as we do: a sixteenth of it is left for the way back, or what is known here would be unknown there.
Instant MasterService::deadline_of(const rpc::Request& request) const {
    const Duration time = std::min(request.deadline().remaining(env_.now()), options_.request_timeout);
    return env_.now() + (time - time / 16);
}

void MasterService::handle_change(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::MasterCommand> command = wire::decode_master_command(request.body());
    if (!command.ok()) return responder.fail(Error(Code::Invalid, command.error().context));
    if (command->client.value == 0 && command->sequence != 0) return responder.fail(Error(Code::Invalid, "a sequence without a client"));
    if (wire::is_leaders_own(command->kind)) return responder.fail(Error(Code::Invalid, "that is the leader's own to say"));
    command->placements.clear();
    command->unplaced.clear();
    const Instant deadline = deadline_of(request);
    const bool forwarded = request.entity() == kForwarded;
    if (forwarded && !group_.leads()) return responder.fail(not_vouched());
    Result<wire::MasterAnswer> done = forwarded ? change_here(fiber, *command, deadline) : change(fiber, std::move(*command), deadline);
    if (!done.ok()) return responder.fail(done.error());
    responder.reply(wire::encode_master_answer(*done));
}

void MasterService::handle_query(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::MasterQuery> asked = wire::decode_master_query(request.body());
    if (!asked.ok()) return responder.fail(Error(Code::Invalid, asked.error().context));
    Result<wire::MasterView> view = query(fiber, *asked, deadline_of(request));
    if (view.failed_with(Code::Corrupt)) env_.tracer.error("master.state_corrupt", {{"what", view.error().context}});
    if (!view.ok()) return responder.fail(view.error());
    responder.reply(wire::encode_master_view(*view));
}

void MasterService::handle_list(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) { lists_.handle(fiber, request, responder); }

/// Only a leader vouches, and only after a round that began behind the question.
void MasterService::handle_confirm(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    if (ORRERY_DEFECT(list_confirmed_by_anyone) || (group_.leads() && ORRERY_DEFECT(list_without_round)))
        return responder.reply(wire::encode_master_confirmation({group_.core().term(), group_.core().commit(), {}}));
    if (!group_.leads()) return responder.fail(not_vouched());
    Result<LogIndex> version = group_.read_barrier(fiber, deadline_of(request));
    if (!version.ok()) return responder.fail(version.error());
    ++counters_.confirmed;
    responder.reply(wire::encode_master_confirmation({group_.core().term(), *version, service_address_}));
}

/// Only the leader keeps what it hears: the others pass it on, once.
void MasterService::handle_heartbeat(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::NodeHeartbeat> heartbeat = wire::decode_node_heartbeat(request.body());
    if (!heartbeat.ok()) return responder.fail(Error(Code::Invalid, heartbeat.error().context));
    const Instant deadline = deadline_of(request);
    if (!group_.leads()) {
        const NodeId leader = group_.leader().node;
        if (request.entity() == kForwarded || !leader) return responder.fail(not_vouched());
        const rpc::Target target{wire::Operation::MasterHeartbeat, kMasterGroup, kForwarded, wire::TrafficClass::Foreground, {deadline}};
        Result<Bytes> answer = host_.peers().call(fiber, leader, target, Bytes(request.body()));
        if (!answer.ok()) return responder.fail(answer.error());
        return responder.reply(std::move(*answer));
    }
    Result<wire::HeartbeatAnswer> taken = watch_.take(fiber, std::move(*heartbeat), deadline);
    if (!taken.ok()) return responder.fail(taken.failed_with(Code::NotLeader) ? not_vouched() : taken.error());
    ++counters_.heartbeats;
    responder.reply(wire::encode_heartbeat_answer(*taken));
}

}  // namespace orrery::master
