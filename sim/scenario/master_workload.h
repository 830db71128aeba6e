// MasterWorkload: what clients ask of masters. Each is a fiber on a host of its own with a MasterClient: some create, delete and
// read volumes, through any master; readers ask for lists, each of one master, with an age they allow and, at times, a version they
// have seen. Every second reader keeps lists of volumes instead (PartitionCache), of whichever master answers.
//
// A volume's quota is what tells one creation from another: it is the value of the key that the volume's name is in the history.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "node/client/master_client.h"
#include "node/client/partition_cache.h"
#include "sim/check/convergence.h"
#include "sim/check/history.h"
#include "sim/check/list_checker.h"
#include "sim/scenario/cluster.h"
#include "sim/scenario/master_model.h"

namespace orrery::sim {

class MasterWorkload {
 public:
    /// All outlive it, and it outlives the hosts' fibers.
    MasterWorkload(World& world, Cluster& cluster, const Scenario& plan, check::History& history, check::Liveness& liveness, check::ListChecker& lists,
                   const MasterModel& model, check::Violations& violations);
    ~MasterWorkload();

    /// Spawns one fiber a client.
    void start();
    /// Clients begin no new operation; those under way end.
    void stop() { stopping_ = true; }
    bool finished() const { return running_ == 0; }
    /// Reads every volume that was ever asked for, as one more client of the history. Yields. Errors: Timeout: which could not be read.
    Result<void> read_all(Fiber& fiber, Env& env, Instant deadline, const std::function<void(const Bytes&, const check::Value&)>& on_value);

    uint64_t ok() const { return ok_; }
    uint64_t unknown() const { return unknown_; }
    /// Answers of masters that were compared with the model.
    uint64_t compared() const { return compared_; }

 private:
    struct Client;
    void run_client(Fiber& fiber, Client& client);
    void run_reader(Fiber& fiber, Client& client);
    void run_cache(Fiber& fiber, Client& client, const std::vector<Address>& masters);
    void create(Fiber& fiber, Client& client, const Bytes& name);
    void remove(Fiber& fiber, Client& client, const Bytes& name);
    void read(Fiber& fiber, Client& client, const Bytes& name);
    void change(Fiber& fiber, Client& client, check::Operation operation, wire::MasterCommand command, Code no);
    /// One question, judged when it is answered. Yields.
    Result<wire::MasterView> ask(Fiber& fiber, Client& client, const wire::MasterQuery& query, Instant deadline);
    wire::MasterQuery draw_query(Client& client);
    Bytes draw_name(Client& client);
    void end(check::History::OpId id, check::OpStatus status, check::Output output);
    check::Stamp stamp() { return {world_.now(), history_.mark()}; }

    World& world_;
    Cluster& cluster_;
    const WorkloadSpec& spec_;
    check::History& history_;
    check::Liveness& liveness_;
    check::ListChecker& lists_;
    const MasterModel& model_;
    check::Violations& violations_;
    const Duration readers_read_;
    Instant readers_until_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::set<Bytes> names_;  // that were asked for
    LogIndex highest_seen_;  // by anybody
    bool stopping_ = false;
    size_t running_ = 0;
    uint64_t next_client_ = 1, next_value_ = 1;
    uint64_t ok_ = 0, unknown_ = 0, compared_ = 0;
};

}  // namespace orrery::sim
