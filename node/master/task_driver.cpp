#include "node/master/task_driver.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr Duration kSoon = Duration::millis(50);
constexpr int64_t kRest = 10;  // times what a look took, at most kSoon
constexpr uint32_t kFailuresShown = 3;  // before people are told why a step does not go on

rpc::PeersOptions peers_options() {
    rpc::PeersOptions out;
    out.connect_timeout = Duration::seconds(1);
    out.wait_for_session = Duration::seconds(1);
    return out;
}

std::string number(uint64_t value) { return std::to_string(value); }

}  // namespace

TaskDriver::TaskDriver(Env& env, raft::GroupHost& host, raft::Group& group, const MasterMachine& machine, const NodeWatch& watch, TaskDriverOptions options)
    : env_(env), host_(host), group_(group), machine_(machine), watch_(watch), options_(options), peers_(env, identity_, peers_options()),
      draws_(env.random.stream("master.tasks")) {
    // A client of the data nodes: as a node it would be taken for the one of them that has its number.
    identity_.role = rpc::Role::Client;
    env_.spawn("master.tasks", [this](Fiber& fiber) { run(fiber); });
}

void TaskDriver::run(Fiber& fiber) {
    for (;;) {
        if (busy_) {
            if (!env_.sleep(fiber, kSoon).ok()) return;
        } else if (wake_.wait(fiber, env_.now() + options_.period).failed_with(Code::Cancelled)) {
            return;
        }
        // It reads all that it goes by: of many changes in a row a look takes no more than its share.
        if (env_.now() < next_look_ && !env_.sleep(fiber, next_look_ - env_.now()).ok()) return;
        busy_ = false;
        if (!group_.leads() || watch_.office() != group_.core().term()) continue;
        if (office_ != watch_.office()) begin_office(watch_.office());
        const Instant begun = env_.now();
        const Result<void> looked = look(fiber);
        next_look_ = env_.now() + std::min((env_.now() - begun) * kRest, kSoon);
        if (looked.failed_with(Code::Cancelled)) return;
        if (!looked.ok()) env_.tracer.debug("master.tasks_not_driven", {{"error", looked.error().text()}});
    }
}

void TaskDriver::begin_office(Term term) {
    office_ = term;
    known_ = false;
    tries_.clear();
    last_failed_.clear();
    pauses_.clear();
    under_way_.clear();
    volumes_full_.clear();
    identity_.cluster = host_.directory().identity().cluster;
}

Result<void> TaskDriver::look(Fiber& fiber) {
    // What earlier offices committed is applied: else what is given out now may have been given out before. Later looks need no round
    // of their own: entries of this office are applied before the next look, and orders that a successor made stale are fenced by epochs.
    if (!known_ && !ORRERY_DEFECT(master_allocates_before_applied)) TRY(group_.read_barrier(fiber, env_.now() + options_.order_timeout));
    const std::shared_ptr<const raft::StateSpace> held = group_.space();
    if (!known_) placed_ = Placed();
    TRY(machine_.refresh(fiber, placed_, known_ ? MasterMachine::Known::Before : MasterMachine::Known::Nothing));
    if (!in_office()) return Error(Code::NotLeader, "the office is over");
    known_ = true;
    for (const wire::NodeRecord& node : placed_.nodes)
        if (const Result<Address> address = Address::parse(node.service_address); address.ok()) peers_.set_address(node.node, *address, node.incarnation);
    std::erase_if(last_failed_, [&](const auto& failed) {
        const wire::PartitionRecord* partition = placed_.partition(failed.first);
        return partition == nullptr || partition->failures == 0;
    });
    TRY(Findings found, find(fiber));
    // Members that have been created are written down before anything else is done for their partition.
    if (!found.marks.partition_marks.empty()) TRY(enter(fiber, {std::move(found.marks)}));
    if (!watch_.settled(placed_.nodes)) return {};
    give_orders(found.orders);
    TRY(drive_tasks(fiber));
    return enter(fiber, take_commands(std::move(found.plan)));
}

/// Many partitions take their time: not the loop thread's.
Result<TaskDriver::Findings> TaskDriver::find(Fiber& fiber) {
    Findings out;
    out.marks.kind = wire::MasterCommandKind::MarkPartitions;
    PlanInput input{std::move(placed_), watch_.reports(), {}, last_failed_};
    for (const wire::NodeRecord& node : input.placed.nodes)
        if (node.state != wire::NodeState::Active) input.silent[node.node] = watch_.silent(node);
    const Instant now = env_.now();
    const OrderCursor after = cursor_;
    const Result<void> ran = env_.blocking(fiber, [&](Blocking&) {
        out.marks.partition_marks = partition_marks(input.placed, input.reports);
        out.orders = orders(input.placed, input.reports, after, options_.orders_max);
        out.plan = plan(input, options_.plan, now);
    });
    placed_ = std::move(input.placed);
    TRY(ran);
    if (!in_office()) return Error(Code::NotLeader, "the office is over");
    return out;
}

std::vector<wire::MasterCommand> TaskDriver::take_commands(Plan made) {
    counters_.waiting = made.waiting.size();
    if (made.volumes_full != volumes_full_)
        for (const std::string& full : made.volumes_full) env_.tracer.warning("master.volume_full", {{"text", full}});
    volumes_full_ = std::move(made.volumes_full);
    if (!made.waits.empty()) {
        wire::MasterCommand& waits = made.commands.emplace_back();
        waits.kind = wire::MasterCommandKind::MarkWaits;
        waits.waits = std::move(made.waits);
    }
    return std::move(made.commands);
}

Result<void> TaskDriver::enter(Fiber& fiber, std::vector<wire::MasterCommand> commands) {
    std::vector<Entry> entries;
    Result<void> first;
    for (wire::MasterCommand& command : commands) {
        Result<std::unique_ptr<raft::Group::Proposal>> begun = group_.begin(wire::encode_master_command(command));
        if (!begun.ok()) {
            first = begun.error();
            break;
        }
        entries.push_back({std::move(command), std::move(*begun)});
    }
    const Instant deadline = env_.now() + options_.order_timeout;
    for (Entry& entry : entries) {
        Result<raft::Committed> committed = group_.finish(fiber, *entry.proposal, deadline);
        if (committed.failed_with(Code::Cancelled)) return committed.error();
        if (!committed.ok()) {
            if (first.ok()) first = committed.error();
            continue;
        }
        TRY(wire::MasterAnswer answer, wire::decode_master_answer(committed->reply));
        entered(entry.command, answer);
        busy_ = true;
    }
    return first;
}

void TaskDriver::entered(const wire::MasterCommand& command, const wire::MasterAnswer& answer) {
    const wire::TaskRecord& task = command.task;
    const std::string_view kind = wire::master_command_name(command.kind);
    if (answer.code != 0) {
        ++counters_.refused;
        env_.tracer.debug("master.entry_refused", {{"kind", kind}, {"partition", task.partition}, {"why", answer.context}});
        return;
    }
    switch (command.kind) {
        case wire::MasterCommandKind::StartTask:
            ++counters_.started;
            env_.tracer.info("master.task_started", {{"task", answer.task}, {"kind", wire::task_kind_name(task.kind)}, {"partition", task.partition},
                                                     {"from", task.source.node}, {"to", task.destination.node}});
            break;
        case wire::MasterCommandKind::AdvanceTask:
            counters_.done += command.next == wire::TaskStep::Done;
            env_.tracer.info("master.task_step", {{"task", task.task}, {"partition", task.partition}, {"step", wire::task_step_name(command.next)}, {"why", command.reason}});
            break;
        case wire::MasterCommandKind::FailTask:
            ++counters_.failed;
            if (!command.reason.empty()) last_failed_[task.partition] = env_.now();
            env_.tracer.event(command.reason.empty() ? Severity::Info : Severity::Warning, "master.task_ended",
                              {{"task", task.task}, {"partition", task.partition}, {"why", command.reason.empty() ? "not wanted any more" : command.reason}});
            break;
        case wire::MasterCommandKind::ExtendVolume:
            env_.tracer.info("master.volume_extended", {{"volume", command.name}, {"partitions", uint64_t{command.partitions}}});
            break;
        default: break;
    }
}

// ---- tasks

Result<void> TaskDriver::drive_tasks(Fiber& fiber) {
    std::vector<wire::MasterCommand> commands;
    wire::MasterCommand waits;
    waits.kind = wire::MasterCommandKind::MarkWaits;
    std::erase_if(tries_, [&](const auto& tries) {
        return !std::ranges::binary_search(placed_.tasks, tries.first, {}, &wire::TaskRecord::task);
    });
    for (const wire::TaskRecord& task : placed_.tasks) {
        Tries& tries = tries_[task.task];
        if (tries.step != task.step || tries.since == Instant{}) {
            const bool under_way = tries.under_way;
            tries = {};
            tries.step = task.step;
            tries.since = env_.now();
            tries.under_way = under_way;
        }
        const TaskAction action = next_action(placed_, watch_.reports(), task, {env_.now() - tries.since, tries.last_error}, options_.steps);
        if (action.what == TaskAction::What::Advance || action.what == TaskAction::What::Fail) {
            wire::MasterCommand& command = commands.emplace_back();
            command.kind = action.what == TaskAction::What::Fail ? wire::MasterCommandKind::FailTask : wire::MasterCommandKind::AdvanceTask;
            command.task = task;
            if (action.source.replica) command.task.source = action.source;
            command.next = action.next;
            command.voters = action.voters;
            command.learners = action.learners;
            command.reason = action.text;
            continue;
        }
        if (std::string text = waits_for(task, action); text != task.waits_for && waits.waits.size() < wire::MasterCommand::kMarksMax)
            waits.waits.push_back({NodeId(), task.task, std::move(text)});
        if (action.what != TaskAction::What::Wait && !tries.under_way && env_.now() >= tries.not_before && orders_ < options_.orders_max) begin_step(task, action);
    }
    if (!waits.waits.empty()) commands.push_back(std::move(waits));
    return enter(fiber, std::move(commands));
}

/// As the record keeps it.
std::string TaskDriver::waits_for(const wire::TaskRecord& task, const TaskAction& action) const {
    std::string text = action.text;
    const auto tries = tries_.find(task.task);
    if (action.what != TaskAction::What::Wait)
        text = tries == tries_.end() || tries->second.failures < kFailuresShown ? "" : "node " + number(action.at.value) + " to do it: " + tries->second.last_error;
    if (text.size() > MasterLimits::text_bytes_max) text.resize(MasterLimits::text_bytes_max);
    return text;
}

wire::NodeIdentity TaskDriver::identity_of(NodeId id, ReplicaId replica) const {
    const wire::NodeRecord* node = placed_.node(id);
    return {id, Incarnation(replica.value), node == nullptr ? "" : node->peer_address, node == nullptr ? "" : node->service_address};
}

void TaskDriver::begin_step(const wire::TaskRecord& task, const TaskAction& action) {
    wire::Operation operation = wire::Operation::GroupChange;
    Bytes body;
    const bool out_goes_source = action.what == TaskAction::What::RemoveSource;
    const wire::PartitionMember& subject = out_goes_source ? task.source : task.destination;
    wire::GroupChange change{.identity = identity_of(subject.node, subject.replica), .replica = subject.replica, .configuration = action.configuration};
    switch (action.what) {
        case TaskAction::What::Create:
            operation = wire::Operation::PartitionCreate;
            body = wire::encode_partition_create({task.partition, task.destination.replica, task.volume, task.destination.disk, {}});
            break;
        case TaskAction::What::AddLearner: change.action = wire::ChangeAction::AddLearner; break;
        case TaskAction::What::Promote: change.action = wire::ChangeAction::AddVoter; break;
        case TaskAction::What::RemoveSource:
        case TaskAction::What::RemoveDestination: change.action = wire::ChangeAction::Remove; break;
        case TaskAction::What::Wait:
        case TaskAction::What::Advance:
        case TaskAction::What::Fail: return;
    }
    if (operation == wire::Operation::GroupChange) body = wire::encode_group_change(change);
    tries_[task.task].under_way = true;
    ++orders_;
    env_.spawn("master.step", [this, office = office_, id = task.task, step = task.step, at = action.at, operation, partition = task.partition,
                               replica = subject.replica, body = std::move(body)](Fiber& fiber) mutable {
        const Result<void> done = ask(fiber, at, operation, partition, replica, std::move(body));
        --orders_;
        if (office != office_) return;
        const auto found = tries_.find(id);
        if (found == tries_.end()) return;
        Tries& tries = found->second;
        tries.under_way = false;
        if (tries.step != step) return;
        tries.failures = done.ok() ? 0 : tries.failures + 1;
        tries.last_error = done.ok() ? "" : done.error().text();
        // What is done shows in the next reports: asking again before they come would be for nothing.
        tries.not_before = env_.now() + (done.ok() ? options_.period : pause_after(tries.failures));
    });
}

Duration TaskDriver::pause_after(uint32_t failures) {
    const Duration whole = std::min(options_.pause_max, options_.pause_min * (int64_t{1} << std::min<uint32_t>(failures, 10)));
    return draws_.between(whole / 2, whole);
}

Result<void> TaskDriver::ask(Fiber& fiber, NodeId node, wire::Operation operation, PartitionId partition, ReplicaId replica, Bytes body) {
    ++counters_.orders;
    const rpc::Target target{operation, GroupId(partition.value), operation == wire::Operation::GroupChange ? 0 : replica.value, wire::TrafficClass::Control,
                             {env_.now() + options_.order_timeout}};
    Result<Bytes> answer = peers_.call(fiber, node, target, std::move(body));
    counters_.orders_failed += !answer.ok();
    if (!answer.ok()) return answer.error();
    return {};
}

// ---- orders

void TaskDriver::give_orders(const std::vector<Order>& found) {
    more_orders_ = found.size() == options_.orders_max;
    for (const Order& order : found) {
        if (orders_ >= options_.orders_max) return;
        // Behind what waits for a node, too: there may be more for others.
        cursor_ = {order.at, order.partition};
        const auto paused = pauses_.find(order.at);
        if (paused == pauses_.end() || env_.now() >= paused->second.until) begin_order(order);
    }
}

void TaskDriver::begin_order(const Order& order) {
    const OrderName name(order.what, order.at, order.partition, order.replica);
    if (!under_way_.insert(name).second) return;
    wire::Operation operation = wire::Operation::GroupChange;
    Bytes body;
    switch (order.what) {
        case Order::What::Create: {
            operation = wire::Operation::PartitionCreate;
            wire::PartitionCreate create{order.partition, order.replica, order.volume, order.disk, {}};
            for (const wire::PartitionMember& member : order.founding)
                create.members.push_back({member.node, member.replica, identity_of(member.node, member.replica).peer_address});
            body = wire::encode_partition_create(create);
            break;
        }
        case Order::What::Destroy:
            operation = wire::Operation::PartitionDestroy;
            body = wire::encode_partition_destroy({order.partition, order.replica, order.term, order.removed_by});
            break;
        case Order::What::RemoveMember:
            body = wire::encode_group_change({.action = wire::ChangeAction::Remove, .identity = identity_of(order.node, order.replica),
                                              .replica = order.replica, .configuration = order.removed_by});
            break;
    }
    ++orders_;
    env_.spawn("master.order", [this, office = office_, name, operation, body = std::move(body)](Fiber& fiber) mutable {
        const auto& [what, at, partition, replica] = name;
        const Result<void> done = ask(fiber, at, operation, partition, replica, std::move(body));
        --orders_;
        if (office != office_) return;
        under_way_.erase(name);
        if (done.ok()) {
            pauses_.erase(at);
            if (more_orders_ && orders_ < options_.orders_max / 2) {
                busy_ = true;
                wake_.notify_all();
            }
            return;
        }
        // A lost answer says nothing of the node.
        if (!done.failed_with(Code::Unknown)) {
            Pause& pause = pauses_[at];
            pause.until = env_.now() + pause_after(pause.failures++);
        }
        env_.tracer.debug("master.order_failed", {{"node", at}, {"operation", wire::operation_name(operation)}, {"partition", partition}, {"replica", replica},
                                                  {"error", done.error().text()}});
    });
}

}  // namespace orrery::master
