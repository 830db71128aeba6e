// KvNode: the process of one KV node, in both worlds: what a ReplicaProcess is, with a keyspace as the group's state, a listener
// for Redis clients and their connections.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kv/kv_service.h"
#include "kv/local_commands.h"
#include "node/replica/replica_process.h"

namespace orrery::kv {

struct KvNodeOptions : replica::ReplicaOptions {
    KvServiceOptions service;
    RecordCache::Options cache;
    resp::ParserLimits limits;
    uint32_t max_clients = 10'000;
    /// A client that takes none of its replies for so long is disconnected.
    Duration slow_client_timeout = Duration::seconds(60);
    Duration client_idle_limit;  // a client that sends nothing for so long is disconnected; 0: never
    OutputLimits client_output;
    ClientFace face = ClientFace::Standalone;
    Acl acl;
    uint64_t process_id = 0;  // for INFO; the simulator leaves it 0
};

class ClientSession;

class KvNode : public replica::ReplicaProcess, public LocalNode {
 public:
    KvNode(Env& env, KvNodeOptions options);
    ~KvNode() override;

    /// Null until the group runs.
    KvService* service() { return service_.get(); }
    /// Valid once serving; port 0 in the options has become a real one.
    Address client_address() const;
    /// For /metrics: what is the node's own.
    struct Traffic {
        uint64_t clients = 0, blocked = 0, connections = 0, rejected = 0, commands = 0;
    };
    Traffic traffic() const;

    // LocalNode: what clients' own commands ask of the node (kv_node_local.cpp).
    Instant now() const override { return env_.now(); }
    WallTime wall() const override { return env_.clock.wall(); }
    ServerFacts facts() const override;
    ClientFace face() const override { return options_.face; }
    ClusterView cluster() const override;
    const Settings& settings() const override { return settings_; }
    const Acl& acl() const override { return options_.acl; }
    void change_settings(const Settings& settings) override;
    void change_acl(Acl acl) override;
    void auth_failed() override { ++counters_.auth_denied; }
    void reset_statistics() override;
    void for_each_client(FunctionRef<void(const ClientState&)> visit) override;
    void kill_client(uint64_t id) override;
    bool unblock_client(uint64_t id, Unblock how) override;

 private:
    friend class ClientSession;
    // ReplicaProcess
    void handle_requests(rpc::Service& peer_service) override;
    std::unique_ptr<raft::StateMachine> make_machine(store::Store& store) override;
    Result<Address> start_service(Fiber& fiber) override;
    void send_clients_away() override;
    Result<void> drain_clients(Fiber& fiber, Instant deadline) override;
    void add_status(admin::JsonWriter& json) const override;
    std::string metrics_page() override;

    void accept_clients(Fiber& fiber);
    void refuse_client(std::unique_ptr<Conn> conn);

    KvNodeOptions options_;
    std::unique_ptr<KvService> service_;
    std::unique_ptr<Listener> client_listener_;
    Gate clients_gate_;
    std::map<uint64_t, ClientSession*> clients_;
    uint64_t next_client_ = 1;
    std::string run_id_;
    Settings settings_;
    NodeCounters counters_;
    uint64_t hits_before_ = 0, misses_before_ = 0, expired_before_ = 0, stale_reads_before_ = 0;  // what CONFIG RESETSTAT has taken off
    size_t refusing_ = 0;
};

}  // namespace orrery::kv
