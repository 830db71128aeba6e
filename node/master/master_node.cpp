#include "node/master/master_node.h"

#include "node/master/master_metrics.h"

namespace orrery::master {

MasterNode::MasterNode(Env& env, MasterNodeOptions options)
    : ReplicaProcess(env, {.daemon = "orrery-master", .name = "master", .group = kMasterGroup}, options), options_(std::move(options)) {
    MasterService::handle_requests(client_service_, service_);
}

MasterNode::~MasterNode() = default;

void MasterNode::handle_requests(rpc::Service& peer_service) { MasterService::handle_requests(peer_service, service_); }

std::unique_ptr<raft::StateMachine> MasterNode::make_machine(store::Store& store) { return std::make_unique<MasterMachine>(store); }

Result<Address> MasterNode::start_service(Fiber&) {
    service_ = std::make_unique<MasterService>(env_, *host(), *group(), options_.service);
    client_server_ = std::make_unique<rpc::Server>(env_, directory()->identity(), client_service_,
                                                   rpc::ServerOptions{.name = "service", .max_sessions = options_.max_clients});
    TRY(client_server_->start(options_.service_listen));
    service_->serves_at(advertised(client_server_->local()));
    return client_server_->local();
}

/// Where others may send clients: empty where the configured address is no place to go to (0.0.0.0, "::").
std::string MasterNode::advertised(const Address& listening) const {
    Result<Address> said = Address::parse(options().service_advertise);
    if (!said.ok() || said->host.empty() || said->host == "0.0.0.0" || said->host == "::") return {};
    if (said->port == 0) said->port = listening.port;
    return said->text();
}

void MasterNode::send_clients_away() { client_server_->shut(); }

Result<void> MasterNode::drain_clients(Fiber& fiber, Instant deadline) {
    if (!client_server_) return {};
    return client_server_->stop(fiber, deadline);
}

void MasterNode::add_status(admin::JsonWriter& json) const {
    if (!service_) return;
    const wire::MasterCounters& counters = service_->machine().counters();
    json.key("master").begin_object();
    json.field("nodes", counters.nodes).field("volumes", counters.volumes).field("partitions", counters.partitions);
    json.field("version", counters.applied.value).field("clients", uint64_t{sessions()});
    if (const std::optional<Duration> age = service_->age()) json.field("age_ms", age->as_millis());
    json.end_object();
}

std::string MasterNode::metrics_page() { return master_metrics_page(*this); }

}  // namespace orrery::master
