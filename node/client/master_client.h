// MasterClient: a client's way to the masters. Any of them answers; what one does not is asked of the next.
//
// A change carries this client's id and a number of its own, so it is asked again until somebody knows what came of it, and
// takes effect once.
#pragma once

#include <memory>
#include <vector>

#include "node/rpc/session.h"
#include "node/wire/master.h"
#include "runtime/env/env.h"

namespace orrery::client {

class MasterClient {
 public:
    struct Options {
        rpc::Role role = rpc::Role::Client;
        Duration attempt = Duration::seconds(3);  // for one master, before another is asked
    };
    /// `masters`: service addresses, at least one. `number`: of this client among all of this process; two that shared one would take
    /// each other's answers. Not shared by fibers that ask at the same time: changes of one client are one after the other.
    MasterClient(Env& env, uint64_t number, std::vector<Address> masters, Options options);
    ~MasterClient();
    MasterClient(const MasterClient&) = delete;
    MasterClient& operator=(const MasterClient&) = delete;

    /// What came of it, refusals too. Yields. Errors, certainly without effect: Timeout (nobody took it), Invalid (makes no sense to
    /// a master), NotReady, NoSpace. Maybe done: Unknown (no answer by the deadline). Cancelled.
    Result<wire::MasterAnswer> change(Fiber& fiber, wire::MasterCommand command, Instant deadline);
    /// Linearizable. Yields. Errors: NotFound, Invalid, NotReady (none can answer now), Timeout (nobody answered), Cancelled.
    Result<wire::MasterView> query(Fiber& fiber, const wire::MasterQuery& query, Instant deadline);
    /// A data node's sign of life, and what the leader makes of it: see NodeHeartbeat. Yields. Errors: NotFound (not registered), Exists (its id is another directory's), Timeout, NotReady (no
    /// leader took it), Cancelled.
    Result<wire::HeartbeatAnswer> heartbeat(Fiber& fiber, const wire::NodeHeartbeat& heartbeat, Instant deadline);
    /// Ends the session. Yields. Errors: Cancelled.
    Result<void> close(Fiber& fiber);

 private:
    Result<void> connect(Fiber& fiber, Instant deadline);
    Result<Bytes> ask(Fiber& fiber, wire::Operation operation, const Bytes& body, bool& unknown, Instant deadline);
    Result<Bytes> ask_one(Fiber& fiber, wire::Operation operation, const Bytes& body, Instant deadline);

    Env& env_;
    std::vector<Address> masters_;
    Options options_;
    size_t at_ = 0;  // of masters_: the one that is asked
    std::shared_ptr<rpc::Session> session_;
    RandomStream draws_;
    ClientId id_;
    uint64_t sequence_ = 0;
    LogIndex since_;  // a version of the masters' state before which nothing unanswered of ours was sent
};

}  // namespace orrery::client
