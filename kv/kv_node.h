// KvNode: the process of one KV node, in both worlds. Identity -> peer listener -> founding -> log and Store -> group ->
// client listener.
//
// The peer listener is up first, since founding comes through it; the client listener only when the group runs here.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kv/kv_service.h"
#include "kv/local_commands.h"
#include "node/admin/admin_server.h"
#include "node/rpc/server.h"
#include "runtime/env/process.h"

namespace orrery::kv {

struct KvNodeOptions {
    NodeId node;
    Address peer_listen;
    Address client_listen;
    std::optional<Address> admin_listen;  // HTTP: /livez /readyz /status /metrics; nullopt: none
    std::string peer_advertise;    // HOST:PORT; empty: peer_listen
    std::string client_advertise;  // HOST:PORT; empty: client_listen
    raft::GroupHostOptions host;
    raft::GroupOptions group;
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
    Duration drain_timeout = Duration::seconds(10);
    std::string version = "0.1.0";
    uint64_t process_id = 0;  // for INFO; the simulator leaves it 0
};

class ClientSession;

class KvNode : public Process, public LocalNode {
 public:
    KvNode(Env& env, KvNodeOptions options);
    ~KvNode() override;
    Result<void> run(Fiber& fiber) override;
    void request_stop() override;

    // Null until up; for status pages and checkers.
    raft::NodeDirectory* directory() { return directory_.get(); }
    raft::GroupHost* host() { return host_.get(); }
    raft::Group* group() { return group_; }
    KvService* service() { return service_.get(); }
    /// The client listener is open and the group runs.
    bool serving() const { return client_listener_ != nullptr && !stopping_.is_set() && !group_->stopped(); }
    /// Valid once serving; port 0 in the options has become a real one.
    Address client_address() const;
    Address peer_address() const;
    std::optional<Address> admin_address() const;
    /// For /metrics: what is the node's own.
    struct Traffic {
        NodeId node;
        std::string version;
        Duration uptime;
        uint64_t clients = 0, blocked = 0, connections = 0, rejected = 0, commands = 0, admin_requests = 0;
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
    Result<void> wait_for_cluster(Fiber& fiber);
    Result<void> serve(Fiber& fiber);
    void accept_clients(Fiber& fiber);
    void refuse_client(std::unique_ptr<Conn> conn);
    void hand_over(Fiber& fiber);
    Result<void> start_admin();
    Result<void> drain(Fiber& fiber, Result<void> served);
    std::string status_json() const;

    Env& env_;
    KvNodeOptions options_;
    std::unique_ptr<raft::NodeDirectory> directory_;
    rpc::Service peer_service_;
    std::unique_ptr<rpc::Server> peer_server_;
    std::unique_ptr<raft::GroupHost> host_;
    raft::Group* group_ = nullptr;
    std::unique_ptr<KvService> service_;
    std::unique_ptr<Listener> client_listener_;
    std::unique_ptr<admin::AdminServer> admin_;
    Event stopping_;
    Notify founded_or_stopping_;
    std::string not_back_yet_;  // of a retired replica's successor: why the group has not taken it in
    Gate clients_gate_;
    std::map<uint64_t, ClientSession*> clients_;
    uint64_t next_client_ = 1;
    Instant started_at_;
    std::string run_id_;
    Settings settings_;
    NodeCounters counters_;
    uint64_t hits_before_ = 0, misses_before_ = 0, expired_before_ = 0, stale_reads_before_ = 0;  // what CONFIG RESETSTAT has taken off
    size_t refusing_ = 0;
};

}  // namespace orrery::kv
