// A handful of Cores, a bag of messages, disks that can be held, and the invariants that no schedule may break.
//
// Everything is explicit: nothing is delivered, synced or ticked unless a test says so (a disk that is not held syncs at
// once). The first broken invariant is kept in violation(); the cluster does not go on after it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "node/raft/core/core.h"

namespace orrery::raft::test {

/// The writable defect word of this test program.
void set_defects(uint64_t bits);

struct Disk {
    HardState hard;
    Floor floor;
    std::vector<Entry> entries;  // above the floor
    LogIndex applied;            // what the state machine's store has flushed
    void apply(const Output& batch);
    bool holds(LogPosition at) const;
};

struct Replica {
    Member self;
    Options options;
    std::unique_ptr<Core> core;   // null: down
    Disk disk;                    // synced
    std::deque<Output> unsynced;  // written, in order
    bool hold = false;
    uint64_t life = 0;
    Term term_seen;
    LogIndex commit_seen;
    Term led;  // the term it led when last looked at
    LogIndex applied;
    std::set<NodeId> cut;  // outgoing
    std::vector<Refusal> refusals;
    std::vector<ReadReady> reads_ready;
    std::vector<ReadFailed> reads_failed;
};

struct Parcel {
    Message message;
    std::optional<Floor> snapshot;  // a whole snapshot transfer in one piece
};

inline Member member(uint64_t id) { return {NodeId(id), ReplicaId(100 + id)}; }
Configuration voters(std::vector<uint64_t> ids, std::vector<uint64_t> outgoing = {},
                     std::vector<uint64_t> learners = {});
Options default_options();

class Cluster {
 public:
    /// Nodes 1..count run with this configuration, empty logs, campaigns allowed.
    Cluster(size_t count, Configuration configuration, Options options = default_options());

    Core& operator[](uint64_t id) { return *at(id).core; }
    Replica& at(uint64_t id) { return replicas_.at(id - 1); }
    size_t size() const { return replicas_.size(); }
    bool up(uint64_t id) { return at(id).core != nullptr; }
    Instant now() const { return now_; }
    const std::string& violation() const { return violation_; }
    std::deque<Parcel>& queue() { return queue_; }

    /// Replaces the state of a node that has done nothing yet.
    void preset(uint64_t id, HardState hard, std::vector<std::pair<uint64_t, std::string>> log,
                uint64_t applied = 0);
    void timeout(uint64_t id);
    Result<LogIndex> propose(uint64_t id, std::string text);
    Result<void> read(uint64_t id, uint64_t token);
    void pass(Duration time);
    /// Lets time pass in heartbeats, settling after each.
    void run(Duration time);
    /// Delivers the parcel at that place of the queue.
    void deliver(size_t place);
    void settle(size_t limit = 100'000);
    void drop_all() { queue_.clear(); }
    void drop(size_t place);
    void drop_from_to(uint64_t from, uint64_t to);
    void cut(uint64_t a, uint64_t b);
    void cut_off(uint64_t id);
    void heal();
    void hold(uint64_t id) { at(id).hold = true; }
    void release(uint64_t id);
    void sync_one(uint64_t id);
    /// `kept` of the unsynced batches survive.
    void crash(uint64_t id, size_t kept = 0);
    void restart(uint64_t id);
    void compact(uint64_t id, LogIndex index);
    /// Takes the outputs of that node and does what a driver does.
    void pump(uint64_t id);
    /// 0: none, or more than one of the highest term.
    uint64_t leader();
    std::string log_text(uint64_t id);
    /// All up, healed, disks released: a leader comes, a proposal is applied everywhere, logs are equal. Empty: yes.
    std::string converges();

 private:
    void handle(uint64_t id, Output out);
    void lost(const Parcel& parcel);
    void apply_ready(uint64_t id);
    void watch(uint64_t id);
    void note_commit(Replica& replica);
    void match_logs(Core& one, Core& other);
    void fail(std::string text);

    Instant now_{1'000'000'000};
    std::vector<Replica> replicas_;
    std::deque<Parcel> queue_;
    std::string violation_;
    std::map<Term, Member> leaders_;
    std::map<LogIndex, Entry> committed_;
    std::map<uint64_t, LogIndex> reads_;  // token -> what was committed when it was asked
};

// One case of the property test: a list of actions, and a configuration drawn from its first.
struct Action {
    uint16_t kind = 0, a = 0, b = 0;
};
/// Empty: all invariants held and the cluster converged.
std::string run_schedule(size_t nodes, const std::vector<Action>& actions, bool converge = true);

}  // namespace orrery::raft::test
