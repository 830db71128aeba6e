// Workload: what the clients of a run do. Each client is a fiber on a host of its own that speaks
// RESP over simulated TCP, writes values that occur once in the run, and records every call and
// return in the history.
//
// Keys have kinds, so that every checker can judge every key: plain ones are set, deleted and
// compared; some are only appended to, some only counted up, down or both ways. Transactions are over
// lists and counters that go up. Those that expire have one writer each
// and a checker of their own; they are not in the history. After an unknown outcome a client goes
// on under a new number, on a new connection.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/check/convergence.h"
#include "sim/check/expiry.h"
#include "sim/check/history.h"
#include "sim/check/wait_checker.h"
#include "sim/scenario/cluster.h"
#include "sim/scenario/resp_client.h"
#include "sim/scenario/script.h"
#include "sim/scenario/watcher.h"

namespace orrery::sim {

class Workload {
 public:
    /// All outlive the workload, which outlives the hosts' fibers.
    Workload(World& world, Cluster& cluster, Watcher& watcher, const Scenario& plan,
             check::History& history, check::WaitChecker& waits, check::Liveness& liveness,
             check::ExpiryChecker& expiry);
    ~Workload();

    /// Spawns one fiber a client.
    void start();
    /// Clients begin no new operation; those under way end.
    void stop() { stopping_ = true; }
    bool finished() const { return running_ == 0; }

    /// Keys that were ever written, in order.
    std::vector<Bytes> keys() const;
    /// Reads every key, as one more client of the history, until all are read or the deadline
    /// passes. Yields. Errors: Timeout: which key could not be read.
    Result<void> read_all(Fiber& fiber, Env& env, Instant deadline,
                          const std::function<void(const Bytes&, const check::Value&)>& on_value);
    /// Writes once, is silent, and then waits for all members. Yields. The number that held it, and
    /// that were required.
    struct Held {
        int64_t acked = 0;
        int64_t required = 0;
    };
    Result<Held> write_and_wait_all(Fiber& fiber, Env& env, Duration idle, Duration timeout,
                                    Instant deadline);

    /// Waits in a group where nobody else does anything: each must end without the help of a heartbeat or a further
    /// write. Yields. Errors: Timeout: nothing could be said.
    Result<void> idle_rounds(Fiber& fiber, Env& env, Duration heartbeat, size_t voters, Instant deadline);
    /// Writes, waits for all without a limit in time at each of these nodes, and leaves while it waits. Yields. The
    /// number of waits that were left. Errors: Cancelled.
    Result<size_t> leave_while_waiting(Fiber& fiber, Env& env, std::vector<size_t> members, Instant deadline);

    uint64_t ok() const { return ok_; }
    uint64_t failed() const { return failed_; }
    uint64_t unknown() const { return unknown_; }
    const check::WaitChecker& waits() const { return waits_; }

 private:
    struct Client;
    /// One operation on its way: sent, not yet answered.
    struct Sent {
        check::History::OpId id = 0;
        check::Operation operation;
        Duration wait_timeout;
        bool may_block = true;
        uint64_t contact = 0;
        std::optional<NodeId> contact_leader;
        uint64_t member_changes = 0;  // when it was sent
        Instant at;
    };

    void run_client(Fiber& fiber, size_t index);
    void run_script(Fiber& fiber, Client& client);
    void run_reader(Fiber& fiber, Client& client);
    /// `given`: in place of drawn ones.
    void run_batch(Fiber& fiber, Client& client, size_t count, std::optional<check::Operation> given = {});
    void run_expiring(Fiber& fiber, Client& client, check::ExpiryOp op);
    /// `watched` first; `commands` behind MULTI, after a pause.
    void run_transaction(Fiber& fiber, Client& client, std::vector<check::TxnPart> watched, Duration pause, std::vector<check::TxnPart> commands);
    void run_drawn_transaction(Fiber& fiber, Client& client);
    bool watch_and_read(Fiber& fiber, Client& client, const std::vector<check::TxnPart>& watched, std::vector<check::Value>& values);
    void settle_transaction(Client& client, Sent& sent, const resp::Reply& reply, std::vector<check::Value> watched);
    std::vector<check::TxnPart> draw_commands(Client& client);
    Bytes draw_value(const Client& client);
    Bytes list_key(uint64_t number) const;
    /// Into the history. False: it is full, and the operation must not be sent.
    bool begin(Client& client, Sent& sent);
    /// One more of `sent`; false: the history is full, and it must not be sent.
    bool begin(Client& client, check::Operation operation, std::vector<Sent>& sent);
    void send_and_settle(Fiber& fiber, Client& client, std::vector<Sent>& sent);
    void run_odd_wait(Fiber& fiber, Client& client);
    void run_between_writes(Fiber& fiber, Client& client);
    void run_wait_aof(Fiber& fiber, Client& client);
    void run_in_transaction(Fiber& fiber, Client& client);
    void run_and_leave(Fiber& fiber, Client& client);
    void run_unblocked(Fiber& fiber, Client& client);
    check::Operation draw_wait(Client& client, bool all);
    Instant deadline_of(const Client& client, const std::vector<Sent>& sent) const;
    check::ExpiryOp draw_expiring(Client& client);
    check::Operation draw_operation(Client& client);
    Bytes command_of(const check::Operation& operation) const;
    void connect(Fiber& fiber, Client& client);
    void settle(Client& client, Sent& sent, const resp::Reply& reply);
    void settle_wait(Client& client, Sent& sent, const resp::Reply& reply);
    void give_up(Client& client, std::vector<Sent>& sent, size_t from);
    void end(Sent& sent, check::OpStatus status, check::Output output);
    check::Stamp stamp() { return {world_.now(), history_.mark()}; }

    World& world_;
    Cluster& cluster_;
    Watcher& watcher_;
    const WorkloadSpec& spec_;
    check::History& history_;
    check::WaitChecker& waits_;
    check::Liveness& liveness_;
    check::ExpiryChecker& expiry_;
    std::vector<std::unique_ptr<Client>> clients_;
    const Duration readers_read_;
    Instant readers_until_;
    bool stopping_ = false;
    size_t running_ = 0;
    uint64_t next_client_ = 1;
    uint64_t next_value_ = 1;
    uint64_t next_wait_ = 1;
    uint64_t ok_ = 0, failed_ = 0, unknown_ = 0;
    std::map<Bytes, bool> written_;
};

/// What an answer to a write or read says of its effect.
enum class Answer : uint8_t { Took, NoEffect, Unknown };
Answer judge_answer(const resp::Reply& reply, bool write);

}  // namespace orrery::sim
