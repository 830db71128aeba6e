#include "node/master/node_watch.h"

#include <algorithm>

namespace orrery::master {

NodeWatch::NodeWatch(Env& env, raft::Group& group, const MasterMachine& machine, NodeWatchOptions options)
    : env_(env), group_(group), machine_(machine), options_(options) {
    env_.spawn("master.watch_nodes", [this](Fiber& fiber) { run(fiber); });
}

Result<wire::HeartbeatAnswer> NodeWatch::take(Fiber& fiber, wire::NodeHeartbeat heartbeat, Instant deadline) {
    auto known = [&]() -> Result<std::optional<wire::NodeRecord>> {
        const std::shared_ptr<const raft::StateSpace> held = group_.space();
        return machine_.node(fiber, heartbeat.node);
    };
    TRY(std::optional<wire::NodeRecord> node, known());
    if (!node || node->incarnation != heartbeat.incarnation) {
        // Not as far as this master has applied: a new leader may be behind the registration.
        TRY(group_.read_barrier(fiber, deadline));
        TRY(node, known());
    }
    if (!node) return Error(Code::NotFound, "node " + std::to_string(heartbeat.node.value) + " is not registered");
    if (node->incarnation != heartbeat.incarnation)
        return Error(Code::Exists, "node id " + std::to_string(heartbeat.node.value) + " is taken by another data directory");
    if (!group_.leads()) return Error(Code::NotLeader, "this master leads no more");
    wire::HeartbeatAnswer answer{group_.core().term(), group_.applied(), 0, true};
    if (!in_office()) return answer;  // it has not begun: what is told now would be forgotten
    heard_[heartbeat.node] = {env_.now(), heartbeat.incarnation, std::move(heartbeat.disks)};
    const Reports::Taken taken = reports_.take(std::move(heartbeat));
    answer.number = taken.number;
    answer.want_full = taken.want_full;
    return answer;
}

void NodeWatch::registered(NodeId node, Incarnation incarnation) {
    if (!in_office()) return;
    Heard& heard = heard_[node];
    heard.at = env_.now();
    heard.incarnation = incarnation;
}

const NodeWatch::Heard* NodeWatch::heard(const wire::NodeRecord& node) const {
    const auto found = heard_.find(node.node);
    return found == heard_.end() || found->second.incarnation != node.incarnation ? nullptr : &found->second;
}

Duration NodeWatch::silent(const wire::NodeRecord& node) const {
    const Heard* last = heard(node);
    return env_.now() - (last != nullptr ? last->at : since_);
}

bool NodeWatch::settled(const std::vector<wire::NodeRecord>& nodes) const {
    if (!in_office()) return false;
    if (env_.now() - since_ > options_.silence + options_.check * 2) return true;
    return std::ranges::all_of(nodes, [&](const wire::NodeRecord& node) { return node.state != wire::NodeState::Active || reports_.told(node.node); });
}

std::vector<wire::NodeRecord> NodeWatch::without_bad_disks(std::vector<wire::NodeRecord> nodes) const {
    for (wire::NodeRecord& node : nodes) {
        const Heard* last = heard(node);
        if (last == nullptr) continue;
        for (const wire::NodeHeartbeat::Disk& disk : last->disks)
            if (!disk.trouble.empty()) std::erase_if(node.disks, [&](const wire::DiskRecord& one) { return one.disk == disk.disk; });
    }
    return nodes;
}

void NodeWatch::run(Fiber& fiber) {
    for (;;) {
        if (!env_.sleep(fiber, options_.check).ok()) return;
        if (!group_.leads()) continue;
        if (const Term term = group_.core().term(); term != office_) {
            heard_.clear();
            reports_.clear();
            office_ = term;
            since_ = env_.now();
        }
        Result<void> marked = mark(fiber);
        if (marked.failed_with(Code::Cancelled)) return;
        if (!marked.ok()) env_.tracer.debug("master.nodes_not_marked", {{"error", marked.error().text()}});
    }
}

Result<void> NodeWatch::mark(Fiber& fiber) {
    const std::shared_ptr<const raft::StateSpace> held = group_.space();
    TRY(std::vector<wire::NodeRecord> nodes, machine_.nodes(fiber));
    const Instant now = env_.now();
    wire::MasterCommand command, disks;
    command.kind = wire::MasterCommandKind::MarkNodes;
    disks.kind = wire::MasterCommandKind::MarkDisks;
    for (const wire::NodeRecord& node : nodes) {
        const Heard* last = heard(node);
        const bool silent = now - (last != nullptr ? last->at : since_) > options_.silence;
        const wire::NodeState state = silent ? wire::NodeState::Inactive : wire::NodeState::Active;
        // Who was inactive before this office began stays so until it is heard.
        if (node.state != state && (silent || last != nullptr) && command.marks.size() < wire::MasterCommand::kMarksMax) {
            command.marks.push_back({node.node, node.incarnation, state});
            env_.tracer.event(silent ? Severity::Warning : Severity::Info, silent ? "master.node_inactive" : "master.node_active", {{"node", node.node}});
        }
        for (const wire::NodeHeartbeat::Disk& told : last != nullptr ? last->disks : std::vector<wire::NodeHeartbeat::Disk>()) {
            const auto disk = std::ranges::find(node.disks, told.disk, &wire::DiskRecord::disk);
            const bool bad = !told.trouble.empty();
            if (disk == node.disks.end() || disk->bad == bad || disks.disk_marks.size() == wire::MasterCommand::kMarksMax) continue;
            disks.disk_marks.push_back({node.node, node.incarnation, told.disk, bad});
            env_.tracer.event(bad ? Severity::Warning : Severity::Info, bad ? "master.disk_bad" : "master.disk_well",
                              {{"node", node.node}, {"disk", told.disk.value}, {"trouble", told.trouble}});
        }
    }
    if (!command.marks.empty()) TRY(group_.propose(fiber, wire::encode_master_command(command), nullptr, now + options_.propose_timeout));
    if (!disks.disk_marks.empty()) TRY(group_.propose(fiber, wire::encode_master_command(disks), nullptr, now + options_.propose_timeout));
    return {};
}

}  // namespace orrery::master
