// MasterNode: the process of one master, in both worlds. Its clients (data nodes, the client library, operators) speak the
// peers' protocol, at a listener of their own.
#pragma once

#include <memory>
#include <string>

#include "node/master/master_service.h"
#include "node/replica/replica_process.h"

namespace orrery::master {

struct MasterNodeOptions : replica::ReplicaOptions {
    MasterServiceOptions service;
    uint32_t max_clients = 10'000;
};

class MasterNode : public replica::ReplicaProcess {
 public:
    MasterNode(Env& env, MasterNodeOptions options);
    ~MasterNode() override;

    // Null until up; for checkers.
    MasterService* service() { return service_.get(); }
    /// Connections of clients.
    size_t sessions() const { return client_server_ ? client_server_->sessions() : 0; }

 protected:
    void handle_requests(rpc::Service& peer_service) override;
    std::unique_ptr<raft::StateMachine> make_machine(store::Store& store) override;
    Result<Address> start_service(Fiber& fiber) override;
    void send_clients_away() override;
    Result<void> drain_clients(Fiber& fiber, Instant deadline) override;
    void add_status(admin::JsonWriter& json) const override;
    std::string metrics_page() override;

 private:
    std::string advertised(const Address& listening) const;

    MasterNodeOptions options_;
    rpc::Service client_service_;
    std::unique_ptr<MasterService> service_;
    std::unique_ptr<rpc::Server> client_server_;
};

}  // namespace orrery::master
