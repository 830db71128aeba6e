// MasterClient: a client's way to the masters. Any of them answers; what one does not is asked of the next.
//
// A change carries this client's id and a number of its own, so it is asked again until somebody knows what came of it, and
// takes effect once.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "node/rpc/session.h"
#include "node/wire/master.h"
#include "node/wire/master_list.h"
#include "runtime/env/env.h"
#include "runtime/fiber/sync.h"

namespace orrery::client {

class MasterClient {
 public:
    struct Options {
        rpc::Identity identity{.role = rpc::Role::Client};  // who asks; a node says which
        Duration attempt = Duration::seconds(3);  // for one master, before another is asked
        uint32_t hops_max = 3;                    // how often one request follows a master's word to the leader; 0: never
        uint32_t stream_credit_bytes = 1u << 20;  // of a list that is under way and not read yet. 4 KiB..1 GiB
    };
    /// `masters`: service addresses, at least one. `number`: of this client among all of this process; two that shared one would take
    /// each other's answers. Changes of one client are one after the other; questions may be asked by many fibers at the same time.
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
    struct ListReply {
        wire::MasterListAnswer answer;  // its own `records` are moved to these:
        Bytes records;
        Instant sent;  // when the request that was answered left, by Clock::reading()
    };
    /// The list of a volume, or what became of it since; `records` of stream and answer together, at most `bytes_max`. The answer may be held back
    /// for request.wait. Yields. Errors: NotFound, Invalid (too large), NotReady (none can answer now), Timeout, Corrupt, Cancelled.
    Result<ListReply> list(Fiber& fiber, const wire::MasterListRequest& request, uint64_t bytes_max, Instant deadline);
    /// The next request begins at another master. Atomic.
    void try_next() { at_ = (at_ + 1) % masters_.size(); }
    /// Ends the session. Yields. Errors: Cancelled.
    Result<void> close(Fiber& fiber);

 private:
    /// One request to whoever will answer it.
    struct Question {
        wire::Operation operation;
        const Bytes& body;
        Duration attempt;         // for one master
        bool has_effect = false;  // then it is asked until the deadline, however often it is sent on
        bool unknown = false;     // an attempt may have had one, without our knowing
        Bytes streamed;           // of the attempt that is answered
        uint64_t streamed_max = 0;
        Instant sent{};           // of the last attempt
    };
    /// Where one request has been, and in which term that was said to lead.
    struct Route {
        std::map<Address, Term> asked;
        uint32_t hops = 0;
        Address last;
    };
    Result<std::shared_ptr<rpc::Session>> connect(Fiber& fiber, const Address& master, Instant deadline);
    Result<std::shared_ptr<rpc::Session>> home(Fiber& fiber, Instant deadline);
    Result<Bytes> ask(Fiber& fiber, Question& question, Instant deadline);
    Result<Bytes> ask_home(Fiber& fiber, Question& question, Route& route, Instant deadline);
    Result<Bytes> ask_hop(Fiber& fiber, Question& question, const Address& leader, Instant deadline);
    Result<Bytes> ask_on(Fiber& fiber, rpc::Session& session, Question& question, Instant deadline);
    std::optional<Address> next_hop(Route& route, const Error& refusal) const;
    Result<void> leave(Fiber& fiber, const std::shared_ptr<rpc::Session>& session);

    Env& env_;
    std::vector<Address> masters_;
    Options options_;
    size_t at_ = 0;  // of masters_: the one that is asked
    std::shared_ptr<rpc::Session> session_;  // with masters_[session_at_]
    size_t session_at_ = 0;
    Mutex connecting_;
    RandomStream draws_;
    ClientId id_;
    uint64_t sequence_ = 0;
    LogIndex since_;  // a version of the masters' state before which nothing unanswered of ours was sent
};

}  // namespace orrery::client
