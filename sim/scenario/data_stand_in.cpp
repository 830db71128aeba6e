#include "sim/scenario/data_stand_in.h"

#include "node/wire/data_node.h"
#include "node/wire/membership.h"

namespace orrery::sim {

namespace {

constexpr uint64_t kClientNumbers = 1000;  // of MasterClients, behind those of the workload
constexpr uint64_t kZones = 3;
constexpr uint32_t kDisksMax = 4;
constexpr uint16_t kServicePort = 7000;

}  // namespace

struct DataStandIn::Node {
    Node(Env& the_env, size_t index, const std::vector<Address>& masters, ClusterId cluster)
        : env(the_env), id(index + 1), incarnation(1000 + index), identity{.node = id, .incarnation = incarnation, .cluster = cluster, .role = rpc::Role::Node},
          draws(the_env.random.stream("data.stand_in")), to(the_env, kClientNumbers + index, masters, {.identity = identity, .attempt = Duration::seconds(1)}), life(1 + draws.below(1 << 30)) {}

    Env& env;
    NodeId id;
    Incarnation incarnation;
    rpc::Identity identity;
    RandomStream draws;
    client::MasterClient to;
    rpc::Service service;
    std::unique_ptr<rpc::Server> server;
    uint32_t disks = 1;
    uint32_t bad_disk = 0;  // 0: none
    bool known = false;     // somebody has answered: it is registered with `disks`
    bool leaving = false;
    // What the masters were told, and have acknowledged.
    uint64_t life, number = 0, acknowledged = 0;
    std::map<PartitionId, wire::PartitionReport> told;
};

DataStandIn::DataStandIn(World& world, Cluster& cluster, check::Violations& violations) : world_(world), cluster_(cluster), violations_(violations) {}
DataStandIn::~DataStandIn() = default;

void DataStandIn::start() {
    cluster_id_ = cluster_.node(0)->directory()->identity().cluster;
    std::vector<Address> masters;
    for (size_t i = 0; i < cluster_.size(); ++i) masters.push_back(cluster_.client_address(i));
    for (size_t i = 0; i < cluster_.data_nodes(); ++i) {
        Env& env = *cluster_.data_node(i).env();
        Node& node = *nodes_.emplace_back(std::make_unique<Node>(env, i, masters, cluster_id_));
        plane_.nodes[node.id];
        node.disks = 1 + static_cast<uint32_t>(node.draws.below(2));
        serve(node);
        env.spawn("data.stand_in", [this, &node](Fiber& fiber) { run(fiber, node); });
    }
}

void DataStandIn::look() {
    for (; wrong_told_ < plane_.wrong.size(); ++wrong_told_) add("master.broke-group", "order", plane_.wrong[wrong_told_]);
}

// ---- orders

void DataStandIn::serve(Node& node) {
    auto handle = [&](wire::Operation operation, std::function<Result<Bytes>(rpc::Request&)> work) {
        node.service.handle(operation, [this, &node, work = std::move(work)](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
            const bool late = !calm_ && node.draws.chance(0.05), lost = !calm_ && node.draws.chance(0.05);
            if (!node.env.sleep(fiber, Duration::millis(node.draws.between(0, late ? 4000 : 10))).ok()) return;
            if (!plane_.nodes[node.id].up) return responder.fail(Error(Code::Unreachable, "this node is down"));
            Result<Bytes> done = work(request);
            look();
            if (lost) return responder.fail(Error(Code::Unknown, "the answer is lost"));
            if (!done.ok()) return responder.fail(done.error());
            responder.reply(std::move(*done));
        });
    };
    handle(wire::Operation::PartitionCreate, [this, &node](rpc::Request& request) -> Result<Bytes> {
        TRY(wire::PartitionCreate order, wire::decode_partition_create(request.body()));
        TRY(plane_.create(node.id, order));
        return Bytes();
    });
    handle(wire::Operation::PartitionDestroy, [this, &node](rpc::Request& request) -> Result<Bytes> {
        TRY(wire::PartitionDestroy order, wire::decode_partition_destroy(request.body()));
        TRY(plane_.destroy(node.id, order));
        return Bytes();
    });
    handle(wire::Operation::GroupChange, [this, &node](rpc::Request& request) -> Result<Bytes> {
        TRY(wire::GroupChange change, wire::decode_group_change(request.body()));
        TRY(wire::GroupChangeReply reply, plane_.change(node.id, PartitionId(request.group().value), change));
        return wire::encode_group_change_reply(reply);
    });
    node.server = std::make_unique<rpc::Server>(node.env, node.identity, node.service, rpc::ServerOptions{.name = "service"});
    const Result<void> listens = node.server->start({"d" + std::to_string(node.id.value), kServicePort});
    CHECK(listens.ok(), listens.error().text());
}

// ---- what it says

wire::MasterCommand DataStandIn::registration(const Node& node, uint64_t incarnation) const {
    const std::string name = "d" + std::to_string(node.id.value);
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::RegisterNode;
    command.node.node = node.id;
    command.node.incarnation = Incarnation(incarnation);
    command.node.zone = "z" + std::to_string(node.id.value % kZones + 1);
    command.node.peer_address = name + ":7100";
    command.node.service_address = name + ":" + std::to_string(kServicePort);
    for (uint32_t disk = 1; disk <= node.disks; ++disk)
        command.node.disks.push_back({.disk = DiskId(disk), .path = "/disk/" + std::to_string(disk), .capacity_bytes = uint64_t{100} << 30});
    return command;
}

Result<void> DataStandIn::register_node(Fiber& fiber, Node& node) {
    Result<wire::MasterAnswer> answer = node.to.change(fiber, registration(node, node.incarnation.value), node.env.now() + Duration::seconds(5));
    if (answer.failed_with(Code::Cancelled)) return answer.error();
    node.known = answer.ok() && answer->code == 0;
    if (node.known && registered_ < nodes_.size()) ++registered_;
    if (answer.ok() && answer->code != 0) add("master.refused-node", "register", "d" + std::to_string(node.id.value) + " is not taken: " + answer->context);
    return {};
}

/// What changed since the last word that was acknowledged, or all.
Result<void> DataStandIn::tell(Fiber& fiber, Node& node) {
    plane_.go_on([&] { return node.draws.chance(0.3); });
    wire::NodeHeartbeat heartbeat{.node = node.id, .incarnation = node.incarnation, .disks = {}, .life = node.life, .number = ++node.number, .since = node.acknowledged, .reports = {}};
    for (uint32_t disk = 1; disk <= node.disks; ++disk) heartbeat.disks.push_back({DiskId(disk), node.draws.below(uint64_t{50} << 30), disk == node.bad_disk ? "worn out" : ""});
    std::map<PartitionId, wire::PartitionReport> now;
    for (wire::PartitionReport& report : plane_.reports(node.id)) now[report.partition] = std::move(report);
    for (const auto& [partition, report] : now)
        if (const auto before = node.told.find(partition); node.acknowledged == 0 || before == node.told.end() || before->second != report) heartbeat.reports.push_back(report);
    for (const auto& [partition, report] : node.told)
        if (node.acknowledged != 0 && !now.contains(partition)) {
            heartbeat.reports.push_back(report);
            heartbeat.reports.back().state = wire::ReplicaState::Gone;
        }
    const Result<wire::HeartbeatAnswer> taken = node.to.heartbeat(fiber, heartbeat, node.env.now() + Duration::seconds(2));
    if (taken.failed_with(Code::Cancelled)) return taken.error();
    if (taken.ok() && taken->want_full) node.acknowledged = 0;
    if (taken.ok() && !taken->want_full && taken->number == node.number) node.acknowledged = node.number, node.told = std::move(now);
    if (taken.failed_with(Code::NotFound) || taken.failed_with(Code::Exists))
        add("master.forgot-node", "heartbeat", "d" + std::to_string(node.id.value) + ", which is registered: " + taken.error().text());
    return {};
}

/// Now and then something happens to it.
Result<void> DataStandIn::act(Fiber& fiber, Node& node, double what) {
    const Instant deadline = node.env.now() + Duration::seconds(2);
    if (what < 0.03 && node.disks < kDisksMax) {
        ++node.disks;
        node.known = false;
    } else if (what < 0.05) {
        // Another directory with this node's id.
        Result<wire::MasterAnswer> answer = node.to.change(fiber, registration(node, node.incarnation.value + 500), deadline);
        if (answer.failed_with(Code::Cancelled)) return answer.error();
        if (answer.ok() && answer->code == 0) add("master.taken-id-given", "register", "the id of d" + std::to_string(node.id.value) + " was given to another directory");
    } else if (!calm_ && what < 0.08) {
        node.bad_disk = node.bad_disk == 0 ? 1 + static_cast<uint32_t>(node.draws.below(node.disks)) : 0;
    } else if (node.leaving ? calm_ || what < 0.2 : !calm_ && what < 0.11) {
        wire::MasterCommand order;
        order.kind = node.leaving ? wire::MasterCommandKind::CancelDecommission : wire::MasterCommandKind::DecommissionNode;
        order.node.node = node.id;
        Result<wire::MasterAnswer> answer = node.to.change(fiber, std::move(order), deadline);
        if (answer.failed_with(Code::Cancelled)) return answer.error();
        if (answer.ok() && answer->code == 0) node.leaving = !node.leaving;
    }
    return {};
}

void DataStandIn::run(Fiber& fiber, Node& node) {
    while (!fiber.cancelled()) {
        if (!node.known) {
            if (!register_node(fiber, node).ok()) return;
            continue;
        }
        if (!tell(fiber, node).ok()) return;
        const double what = node.draws.unit();
        if (calm_) node.bad_disk = 0;
        if (!act(fiber, node, what).ok()) return;
        if (what > 0.97 && !calm_) {
            plane_.nodes[node.id].up = false;
            const Result<void> slept = node.env.sleep(fiber, Duration::seconds(6));
            plane_.nodes[node.id].up = true;
            if (!slept.ok()) return;
        }
        if (!node.env.sleep(fiber, Duration::millis(node.draws.between(200, 500))).ok()) return;
    }
}

}  // namespace orrery::sim
