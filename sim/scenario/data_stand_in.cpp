#include "sim/scenario/data_stand_in.h"

#include "node/client/master_client.h"

namespace orrery::sim {

namespace {

constexpr uint64_t kClientNumbers = 1000;  // of MasterClients, behind those of the workload
constexpr size_t kZones = 3, kDisksMax = 4;

wire::MasterCommand registration(size_t index, uint32_t disks, uint64_t incarnation) {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::RegisterNode;
    command.node.node = NodeId(index + 1);
    command.node.incarnation = Incarnation(incarnation);
    command.node.zone = "z" + std::to_string(index % kZones + 1);
    command.node.peer_address = "d" + std::to_string(index + 1) + ":7100";
    command.node.service_address = "d" + std::to_string(index + 1) + ":7000";
    for (uint32_t disk = 1; disk <= disks; ++disk) command.node.disks.push_back({DiskId(disk), "/disk/" + std::to_string(disk), uint64_t{100} << 30});
    return command;
}

}  // namespace

void DataStandIn::start() {
    cluster_id_ = cluster_.node(0)->directory()->identity().cluster;
    for (size_t i = 0; i < cluster_.data_nodes(); ++i) {
        Env* env = cluster_.data_node(i).env();
        env->spawn("data.stand_in", [this, env, i](Fiber& fiber) { run(fiber, *env, i); });
    }
}

void DataStandIn::run(Fiber& fiber, Env& env, size_t index) {
    std::vector<Address> masters;
    for (size_t i = 0; i < cluster_.size(); ++i) masters.push_back(cluster_.client_address(i));
    const uint64_t incarnation = 1000 + index;
    client::MasterClient client(env, kClientNumbers + index, masters,
                                {.identity = {.node = NodeId(index + 1), .incarnation = Incarnation(incarnation), .cluster = cluster_id_, .role = rpc::Role::Node}, .attempt = Duration::seconds(1)});
    RandomStream draws = env.random.stream("data.stand_in");
    uint32_t disks = 1 + static_cast<uint32_t>(draws.below(2));
    bool known = false;  // somebody has answered: we are registered with `disks`
    while (!fiber.cancelled()) {
        if (!known) {
            Result<wire::MasterAnswer> answer = client.change(fiber, registration(index, disks, incarnation), env.now() + Duration::seconds(5));
            if (answer.failed_with(Code::Cancelled)) return;
            known = answer.ok() && answer->code == 0;
            if (known && registered_ < cluster_.data_nodes()) ++registered_;
            if (answer.ok() && answer->code != 0)
                violations_.add("master.refused-node", "register", {world_.now(), 0}, "d" + std::to_string(index + 1) + " is not taken: " + answer->context);
            continue;
        }
        wire::NodeHeartbeat heartbeat{.node = NodeId(index + 1), .incarnation = Incarnation(incarnation)};
        for (uint32_t disk = 1; disk <= disks; ++disk) heartbeat.disks.push_back({DiskId(disk), draws.below(uint64_t{50} << 30), {}});
        const Result<void> taken = client.heartbeat(fiber, heartbeat, env.now() + Duration::seconds(2));
        if (taken.failed_with(Code::Cancelled)) return;
        heard_ += taken.ok();
        if (taken.failed_with(Code::NotFound) || taken.failed_with(Code::Exists))
            violations_.add("master.forgot-node", "heartbeat", {world_.now(), 0}, "d" + std::to_string(index + 1) + ", which is registered: " + taken.error().text());
        const double what = draws.unit();
        if (what < 0.03 && disks < kDisksMax) {
            ++disks;
            known = false;
        } else if (what < 0.05) {
            // Another directory with this node's id.
            Result<wire::MasterAnswer> answer = client.change(fiber, registration(index, disks, incarnation + 500), env.now() + Duration::seconds(2));
            if (answer.failed_with(Code::Cancelled)) return;
            if (answer.ok() && answer->code == 0)
                violations_.add("master.taken-id-given", "register", {world_.now(), 0}, "the id of d" + std::to_string(index + 1) + " was given to another directory");
        }
        const Duration pause = what > 0.97 && !calm_ ? Duration::seconds(5) : Duration::millis(draws.between(200, 500));
        if (!env.sleep(fiber, pause).ok()) return;
    }
}

}  // namespace orrery::sim
