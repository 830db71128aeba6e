// ReplicaProcess: the process of a node that keeps one replica of one group and serves clients from it, in both worlds.
// Identity -> peer listener -> founding or joining -> log, Store, group -> clients -> drain; and what operators see of that.
//
// A daemon derives from it and says what the group replicates and how clients are served. The peer listener is up first,
// since founding comes through it; clients are let in only when the group runs here.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "node/admin/admin_server.h"
#include "node/admin/json_writer.h"
#include "node/raft/group_host.h"
#include "node/rpc/server.h"
#include "runtime/env/process.h"

namespace orrery::replica {

struct ReplicaOptions {
    NodeId node;
    Address peer_listen;
    Address service_listen;               // where clients connect
    std::optional<Address> admin_listen;  // HTTP: /livez /readyz /status /metrics; nullopt: none
    std::string peer_advertise;           // HOST:PORT; empty: peer_listen
    std::string service_advertise;        // HOST:PORT; empty: service_listen
    raft::GroupHostOptions host;          // `groups` is filled in
    raft::GroupOptions group;
    /// From the end of service on: for clients to finish, then for log and Store.
    Duration drain_timeout = Duration::seconds(10);
    std::string version = "0.1.0";
};

/// What one daemon is and another is not.
struct ReplicaKind {
    std::string daemon;  // "orrery-kv"
    std::string name;    // short, as in `orreryctl kv`; the fibers are named after it
    GroupId group;
};

class ReplicaProcess : public Process {
 public:
    ReplicaProcess(Env& env, ReplicaKind kind, ReplicaOptions options);
    ~ReplicaProcess() override;
    ReplicaProcess(const ReplicaProcess&) = delete;
    ReplicaProcess& operator=(const ReplicaProcess&) = delete;

    /// Yields. Errors: of NodeDirectory::open(), GroupHost::open(), the listeners, start_service(); what made the host fail.
    Result<void> run(Fiber& fiber) override;
    void request_stop() override;

    // Null until up; for status pages and checkers.
    raft::NodeDirectory* directory() const { return directory_.get(); }
    raft::GroupHost* host() const { return host_.get(); }
    raft::Group* group() const { return group_; }
    /// Clients are let in and the group runs.
    bool serving() const { return service_address_ && !stopping_.is_set() && !group_->stopped(); }
    /// Port 0 in the options has become a real one once it listens.
    Address peer_address() const;
    std::optional<Address> admin_address() const;
    const ReplicaOptions& options() const { return options_; }
    Duration uptime() const { return env_.now() - started_at_; }
    uint64_t admin_requests() const { return admin_ ? admin_->counters().requests : 0; }

 protected:
    /// Adds what peers and operators ask beside what every group's do. Called first. Atomic.
    virtual void handle_requests(rpc::Service& peer_service) = 0;
    /// What the group replicates. Called when log and Store are open. Atomic.
    virtual std::unique_ptr<raft::StateMachine> make_machine(store::Store& store) = 0;
    /// The group runs: lets clients in, and says at which address. Yields. Errors: any; the node then drains and ends with it.
    virtual Result<Address> start_service(Fiber& fiber) = 0;
    /// The group has stopped for good on this node, which serves: clients leave at once, to find a node that can serve them. Atomic.
    virtual void send_clients_away() = 0;
    /// No new client is let in; returns when the present ones have finished, at the latest at `deadline`. Also called when
    /// start_service() failed or was never called. Yields. Errors: Cancelled; any other is ignored.
    virtual Result<void> drain_clients(Fiber& fiber, Instant deadline) = 0;
    /// Fields of /status behind those of group, log and Store. Called only while there is a group. Atomic.
    virtual void add_status(admin::JsonWriter& json) const = 0;
    /// The page of /metrics. Called at any time from the start on. Atomic.
    virtual std::string metrics_page() = 0;

    Env& env_;

 private:
    Result<void> start_admin();
    Result<void> start_peers();
    Result<void> wait_for_cluster(Fiber& fiber);
    Result<void> serve(Fiber& fiber);
    Result<void> drain(Fiber& fiber, Result<void> served);
    void hand_over(Fiber& fiber);
    std::string status_json() const;
    void add_retired(admin::JsonWriter& json) const;
    void add_group(admin::JsonWriter& json, const raft::Status& status) const;
    void add_disk(admin::JsonWriter& json, const raft::Status& status) const;

    ReplicaKind kind_;
    ReplicaOptions options_;
    std::unique_ptr<raft::NodeDirectory> directory_;
    rpc::Service peer_service_;
    std::unique_ptr<rpc::Server> peer_server_;
    std::unique_ptr<raft::GroupHost> host_;
    raft::Group* group_ = nullptr;
    std::optional<Address> service_address_;  // set once clients are let in
    std::unique_ptr<admin::AdminServer> admin_;
    Event stopping_;
    Notify founded_or_stopping_;
    std::string not_back_yet_;  // of a retired replica's successor: why the group has not taken it in
    Instant started_at_;
};

}  // namespace orrery::replica
