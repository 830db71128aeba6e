// KvService: commands of the group, from whichever node a client reached. On the leader they are executed here, elsewhere
// forwarded to it; the client sees one store.
//
// A write is never repeated after it may have taken effect: a lost reply is answered as "outcome unknown". What certainly
// had no effect (refused, not sent) is tried again at the leader that is known by then, until the request's deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kv/client_state.h"
#include "kv/kv_machine.h"
#include "kv/request_run.h"
#include "kv/wait_command.h"
#include "kv/wait_tracker.h"
#include "node/admin/duration_histogram.h"
#include "node/raft/group_host.h"

namespace orrery::kv {

inline constexpr GroupId kKvGroup{1};

struct KvServiceOptions {
    Duration request_timeout = Duration::seconds(5);  // of one command, forwarding included
    WaitZero wait_zero = WaitZero::Redis;
    /// Pause between two looks for expired keys, a chunk of the keyspace each; ten times as long while no key has an expiry.
    Duration purge_pause = Duration::millis(100);
    /// Of one transaction, encoded, watches included. Must fit one part of a log batch with 4 KiB to spare: KvNode sees to it.
    uint64_t transaction_bytes_max = 1 << 20;
    uint64_t first_client = 1;  // of the deduplication ids this life of the node gives out: random
};

/// What a command came to.
struct Outcome {
    Reply reply;
    LogIndex index;        // of the write, or applied index that the read observed; 0: no effect on the wait target
};

class KvService : private raft::GroupObserver {
 public:
    KvService(Env& env, raft::GroupHost& host, raft::Group& group, KvServiceOptions options);
    ~KvService() override;
    /// Registers what other nodes forward. Called before the service's server starts; `service` null: not serving yet.
    static void handle_forwards(rpc::Service& peer_service, const std::unique_ptr<KvService>& service);

    /// Writes of one connection, in order, with one commit wait for all. Each argv passed check_request() as
    /// Route::Write. `on_done` is called in order, once for each. Yields. Errors: Cancelled.
    Result<void> write_many(Fiber& fiber, uint64_t client, std::span<const Request> requests, FunctionRef<void(Outcome)> on_done);
    /// Reads of one connection, at one barrier, until all are done or `on_done` says that it has enough for now: how many
    /// were done. Yields. Errors: Cancelled.
    Result<size_t> read_many(Fiber& fiber, std::span<const Request> requests, FunctionRef<bool(Outcome)> on_done);
    /// The same from this node's own applied state, which may be behind and never is half of two: for READONLY connections. Yields.
    /// Errors: Cancelled.
    Result<size_t> read_stale(Fiber& fiber, std::span<const Request> requests, FunctionRef<bool(Outcome)> on_done);
    /// An operator's: moves state-machine time forward to `to`, here on the leader; the time it was moved from. Yields.
    /// Errors: Invalid (it would go back: says how long to wait, or is out of range), and those of Group::propose().
    Result<LogTime> set_time(Fiber& fiber, LogTime to, Instant deadline);
    /// MULTI/EXEC: one log entry, or none of it. The reply is the array of the commands' replies (reads and writes of the group
    /// only), the null array when a watched key changed, or an error reply as a write has one: unknown outcome, no effect. Each
    /// command passed check_request() as Route::Read or Route::Write. Yields. Errors: Cancelled.
    Result<Outcome> transact(Fiber& fiber, uint64_t client, const Transaction& transaction);
    /// Reads and writes of one connection as one log entry: how many, from the front, were done, with `on_done` for each in order. 0:
    /// nothing was done, and they must go their ways one by one. Each passed check_request() as Route::Read or Route::Write. Yields.
    /// Errors: Cancelled.
    Result<size_t> pipeline(Fiber& fiber, uint64_t client, std::span<const Request> requests, FunctionRef<void(Outcome)> on_done);
    /// What a transaction may have in bytes, encoded: more than the log takes is refused before a byte of it is logged.
    uint64_t transaction_bytes_max() const { return options_.transaction_bytes_max; }
    /// WAIT and WAITALL. Ends early when `leaver` says so: the client left, or another one unblocked it. Yields. Errors: Cancelled,
    /// Unreachable (the client left).
    class Leaver;
    enum class MayBlock : uint8_t { Yes, No };  // No: what is known now is answered, as inside MULTI
    Result<Reply> wait(Fiber& fiber, ArgvView argv, const WaitTarget& target, resp::Version version, Leaver& leaver,
                       MayBlock may_block = MayBlock::Yes);

    /// Counts from the next command on.
    void change(WaitZero wait_zero, Duration request_timeout) {
        options_.wait_zero = wait_zero;
        options_.request_timeout = request_timeout;
    }

    /// A deduplication id, never given before.
    uint64_t new_client() { return next_client_++; }
    raft::Group& group() { return group_; }
    KvMachine& machine() { return machine_; }
    raft::GroupHost& host() { return host_; }
    uint64_t waiting() const { return tracker_.waiting(); }
    LogIndex newest_write() const { return newest_write_; }
    /// Waits of this node as leader, for checkers: every answered WAIT with what it claimed.
    struct Counters {
        uint64_t writes = 0, reads = 0, lease_reads = 0, stale_reads = 0, forwarded = 0, ticks = 0, unknown = 0, purged = 0;
        admin::DurationHistogram write_time, read_time;  // of this node as leader
    };
    const Counters& counters() const { return counters_; }

 private:
    struct Waiting {
        Tracer& tracer;
        std::optional<WaitOutcome> outcome;
        Notify done;
    };

    void role_changed(const raft::RoleChange& change) override;
    void progressed() override;

    Result<Outcome> write_here(Fiber& fiber, ArgvView argv, ClientSlot slot, Instant deadline);
    Result<Outcome> commit_here(Fiber& fiber, Bytes entry, raft::SpaceUse space, Instant deadline);
    Result<Outcome> transact_here(Fiber& fiber, const Transaction& transaction, ClientSlot slot, Instant deadline);
    Result<Outcome> transact_routed(Fiber& fiber, uint64_t client, const Transaction& transaction);
    Result<Outcome> read_here(Fiber& fiber, const Request& request, Instant deadline);
    uint64_t draw_for(const Request& request);
    Result<Outcome> read_applied(Fiber& fiber, const Request& request, Instant deadline);
    /// A quorum round that begins after this call, one for all that ask before it does. Atomic.
    WaitRound join_round();
    Result<WaitOutcome> wait_here(Fiber& fiber, const WaitRequest& request, Leaver* leaver, rpc::Responder* asker);
    Result<Outcome> forward(Fiber& fiber, NodeId to, ArgvView argv, ClientSlot slot, bool read, Instant deadline);
    Result<Outcome> route(Fiber& fiber, ArgvView argv, ClientSlot slot, bool read, Instant deadline);
    Result<WaitOutcome> forward_wait(Fiber& fiber, NodeId to, const WaitRequest& request, Leaver& leaver);
    void handle_forward(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    Reply error_reply(const Error& error) const;
    void refresh_tracker();
    void settle(std::vector<WaitOutcome> outcomes);
    void tell(const WaitOutcome& outcome);
    void push();
    void timekeeper(Fiber& fiber);
    void watch_time(Fiber& fiber);
    void handle_wait(Fiber& fiber, const wire::ForwardedCommand& command, rpc::Responder& responder);
    void handle_time(Fiber& fiber, const wire::ForwardedCommand& command, Instant deadline, rpc::Responder& responder);
    void purger(Fiber& fiber);

    Env& env_;
    raft::GroupHost& host_;
    raft::Group& group_;
    KvMachine& machine_;
    KvServiceOptions options_;
    RandomStream draws_;  // for RANDOMKEY
    WaitTracker tracker_;
    std::map<uint64_t, Waiting*> waiting_;
    uint64_t next_wait_ = 1;
    WaitRound round_{0};          // the last that a wait asked for
    bool round_to_come_ = false;  // it has not begun: others may join
    bool answering_ = false;
    Duration time_off_told_;  // the difference to wall time that was told last; 0 below the limit
    uint64_t next_client_;
    uint64_t forward_sequence_ = 0;
    Term tracker_term_;
    LogIndex config_index_;
    bool config_appended_ = false;
    LogIndex newest_write_;
    Notify timer_changed_;
    Notify leader_changed_;
    Counters counters_;
};

/// How a wait learns that its client has left, or that CLIENT UNBLOCK ends it. One wait at a time.
class KvService::Leaver {
 public:
    void leave() {
        left_ = true;
        if (wake_ != nullptr) wake_->notify_all();
    }
    bool left() const { return left_; }
    /// False: no wait is under way, or it has its answer already.
    bool unblock(Unblock how);

 private:
    friend class KvService;
    bool interrupted() const { return left_ || unblock_ != Unblock::No; }

    bool left_ = false;
    bool waits_ = false;
    Unblock unblock_ = Unblock::No;  // of the wait that is under way
    Notify* wake_ = nullptr;
    rpc::Exchange* exchange_ = nullptr;  // while another node is asked
    const Waiting* waiting_ = nullptr;   // while the own tracker has it
};

}  // namespace orrery::kv
