// A handful of Cores, a bag of messages, disks that can be held, and the invariants that no schedule may break.
//
// Everything is explicit: nothing is delivered, synced or ticked unless the caller says so (a disk that is not held syncs
// at once). The first broken invariant is kept in violation(); the cluster does not go on after it. Shared by raft-script
// and the tests of node/raft/core. A program that links this has its CHECKs and seeded defects here (cluster.cpp).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "node/raft/core/core.h"
#include "runtime/base/defect.h"

namespace orrery::raft::script {

/// The writable set of defects of this program.
void set_defects(const DefectSet& set);

/// What a failed CHECK throws here: one more violation, not the end of the program.
struct CheckFailed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Disk {
    HardState hard;
    Floor floor;
    std::vector<Entry> entries;  // above the floor
    LogIndex applied;            // what the state machine's store has flushed
    LogIndex snapshot;           // taken by take_snapshot(); served while the log has not been cut beyond it
    void apply(const Output& batch);
    bool holds(LogPosition at) const;
};

struct Replica {
    Member self;
    Options options;
    std::unique_ptr<Core> core;   // null: down
    Disk disk;                    // synced
    std::deque<Output> unsynced;  // written, in order; also those of a process that crashed
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
    Duration ahead;          // ticks of this node alone
    Instant deadline_seen;   // the core's election deadline when last looked at,
    Instant armed_at;        // and when it was set
};

/// A message of the core, or of what its driver does with a snapshot: a whole transfer in one piece, and its answer.
struct Parcel {
    Message message;                // of a snapshot and its answer only sender, receiver and term count
    std::optional<Floor> snapshot;
    std::optional<LogIndex> installed;  // the answer: the snapshot at that index is in; 0: refused
};

inline Member member(uint64_t id) { return {NodeId(id), ReplicaId(100 + id)}; }
Configuration voters(std::vector<uint64_t> ids, std::vector<uint64_t> outgoing = {},
                     std::vector<uint64_t> learners = {});
Options default_options();

class Cluster {
 public:
    /// Nodes 1..count run with this configuration, empty logs, campaigns allowed.
    Cluster(size_t count, Configuration configuration, Options options = default_options());
    Cluster(const std::vector<uint64_t>& ids, Configuration configuration, Options options);

    Core& operator[](uint64_t id) { return *at(id).core; }
    Replica& at(uint64_t id) { return replicas_.at(id); }
    const std::map<uint64_t, Replica>& replicas() const { return replicas_; }
    bool up(uint64_t id) { return at(id).core != nullptr; }
    Instant now() const { return now_; }
    Instant now(uint64_t id) { return now_ + at(id).ahead; }
    const std::string& violation() const { return violation_; }
    /// A CHECK failed in a call that the caller made itself.
    void broke(const CheckFailed& failed) { fail("check", failed.what()); }
    std::deque<Parcel>& queue() { return queue_; }

    /// A leader whose joint configuration is committed proposes to leave it, as the driver does.
    void leave_joint_by_itself() { leave_joint_ = true; }
    /// Called with a node's id whenever that node has come to rest, to look at what it did.
    void set_observer(std::function<void(uint64_t)> observer) { observer_ = std::move(observer); }

    /// Replaces the state of a node that has done nothing yet.
    void preset(uint64_t id, HardState hard, std::vector<std::pair<uint64_t, std::string>> log,
                uint64_t applied = 0);
    /// Entries 1 and on; counts as committed up to `applied`.
    void preset(uint64_t id, HardState hard, std::vector<Entry> log, LogIndex applied);
    void timeout(uint64_t id);
    Result<LogIndex> propose(uint64_t id, std::string text);
    Result<void> read(uint64_t id, uint64_t token);
    void pass(Duration time);
    /// `period` passes for that node alone. An election timer fires after twice its least time, whatever was drawn.
    void tick(uint64_t id, Duration period);
    /// Lets time pass in heartbeats, settling after each.
    void run(Duration time);
    /// Delivers the parcel at that place of the queue. To a node that is down: it keeps waiting.
    void deliver(size_t place);
    /// Delivers in the order of the queue until nothing moves, between these nodes (empty: all). False: `limit` parcels
    /// were not enough.
    bool settle(size_t limit = 100'000, const std::set<uint64_t>& among = {});
    void drop_all() { queue_.clear(); }
    void drop(size_t place);
    void drop_from_to(uint64_t from, uint64_t to);
    void cut(uint64_t a, uint64_t b);
    void cut_off(uint64_t id);
    void heal();
    void hold(uint64_t id) { at(id).hold = true; }
    void release(uint64_t id);
    void sync_one(uint64_t id);
    /// Power loss: `kept` of the unsynced batches survive.
    void crash(uint64_t id, size_t kept = 0);
    /// What was written stays with the kernel until the power goes; the restart syncs it.
    void crash_process(uint64_t id);
    void restart(uint64_t id);
    /// At most up to what is applied and durable there.
    void compact(uint64_t id, LogIndex index);
    /// Of what is applied; its store is flushed.
    void take_snapshot(uint64_t id);
    /// Takes the outputs of that node and does what a driver does.
    void pump(uint64_t id);
    /// The one of the highest term; 0: none.
    uint64_t leader();
    std::string log_text(uint64_t id);

 private:
    struct Committed {
        Entry entry;
        Term by;  // of the node that was seen first to have committed it; leaders of later terms must hold it
    };

    void handle(uint64_t id, Output out);
    void send_snapshot(Replica& replica, const SnapshotWanted& wanted);
    void install(const Parcel& parcel);
    void lost(const Parcel& parcel);
    void apply_ready(uint64_t id);
    bool leave_joint(uint64_t id);
    void note_deadline(uint64_t id);

    // The invariants (invariants.cpp). `name` is one word, the text says what was seen.
    void fail(std::string_view name, const std::string& text);
    void watch(uint64_t id);
    void watch_leader(Replica& replica);
    void note_commit(Replica& replica);
    void match_logs(Core& one, Core& other);
    void check_applied(uint64_t id, const Entry& entry);
    void check_read(uint64_t id, const ReadReady& read);

    Instant now_{1'000'000'000};
    std::map<uint64_t, Replica> replicas_;
    std::deque<Parcel> queue_;
    std::string violation_;
    std::map<Term, Member> leaders_;
    std::map<LogIndex, Committed> committed_;
    std::map<uint64_t, LogIndex> reads_;  // token -> what was committed when it was asked
    std::function<void(uint64_t)> observer_;
    bool leave_joint_ = false;
};

}  // namespace orrery::raft::script
