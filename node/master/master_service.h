// MasterService: what nodes, clients and operators ask of the masters, at whichever of them they ask.
//
// Changes go through the leader: the others ask it. A change is never repeated here once it may have taken effect: a
// client that gives itself an id may repeat it, and gets the first answer.
//
// Queries are answered by every master from its own applied state, once a leader has vouched for that (Freshness): a follower
// asks the leader what is committed, which costs that a dozen bytes for all queries that wait meanwhile.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "node/master/freshness.h"
#include "node/master/list_service.h"
#include "node/master/master_machine.h"
#include "node/master/node_watch.h"
#include "node/master/task_driver.h"
#include "node/raft/group_host.h"
#include "node/rpc/service.h"

namespace orrery::master {

inline constexpr GroupId kMasterGroup{1};

struct MasterServiceOptions {
    Duration request_timeout = Duration::seconds(10);
    /// The most that an answer's age may be, whatever the query allows.
    Duration age_max = Duration::seconds(10);
    /// How often the leader is asked when no query wants it.
    Duration refresh = Duration::seconds(1);
    /// For one answer of the leader, before it is asked again, or another one.
    Duration confirm_timeout = Duration::millis(500);
    /// Queries and changes that wait on this master.
    size_t waiting_max = 16'384;
    /// A data node that is silent for so long is marked inactive. After an election everybody has that long again.
    Duration node_silence = Duration::seconds(30);
    /// How often the leader looks.
    Duration node_check = Duration::seconds(1);
    ListServiceOptions lists{};
    TaskDriverOptions tasks;
};

class MasterService : public raft::GroupObserver {
 public:
    MasterService(Env& env, raft::GroupHost& host, raft::Group& group, MasterServiceOptions options);
    ~MasterService() override;

    /// Registers what peers and clients ask; `service` is null until the group runs, and outlives the Service's servers.
    static void handle_requests(rpc::Service& service_of, const std::unique_ptr<MasterService>& service);

    /// Yields. Errors, certainly without effect: NotLeader, NotReady, Overloaded, NoSpace, Invalid (refused before the log).
    /// Maybe done: Unknown, Timeout. Cancelled. What the state refused is an answer.
    Result<wire::MasterAnswer> change(Fiber& fiber, wire::MasterCommand command, Instant deadline);
    /// From the own applied state: of the query's age at most, or of everything committed when it came (max_age 0). Yields.
    /// Errors: NotFound, NotReady (stopped or out), Overloaded, NotLeader (nobody vouched for it by the deadline; with the leader and term that
    /// are known), Cancelled.
    Result<wire::MasterView> query(Fiber& fiber, const wire::MasterQuery& query, Instant deadline);
    const MasterMachine& machine() const { return machine_; }
    const MasterServiceOptions& options() const { return options_; }
    ListService& lists() { return lists_; }
    const ListService& lists() const { return lists_; }
    /// Where clients reach this master, HOST:PORT; as leader it tells the others, for their redirects. Empty: it tells nothing.
    void serves_at(std::string address) { service_address_ = std::move(address); }
    struct Counters {
        uint64_t changes = 0;        // committed here, as leader
        uint64_t queries = 0;        // answered here
        uint64_t forwarded = 0;      // changes sent on to the leader
        uint64_t unknown = 0;        // changes without a known outcome
        struct Redirected {          // queries and lists that were not answered from here
            uint64_t no_leader = 0;    // nobody vouched in time, and no leader is known
            uint64_t too_old = 0;      // nobody vouched in time, or while the answer was on its way
            uint64_t behind_token = 0; // what the asker has seen is not applied here
            uint64_t not_serving = 0;  // the group has stopped here, or this master is out of it
        } redirected;
        uint64_t confirmations = 0;  // had of a leader, or by this one for itself
        uint64_t confirmed = 0;      // given to followers
        uint64_t heartbeats = 0;     // of data nodes, taken here as leader
    };
    const Counters& counters() const { return counters_; }
    /// Queries and changes that wait here now.
    size_t waiting() const { return waiting_; }
    const TaskDriver::Counters& task_counters() const { return tasks_.counters(); }
    /// Of the applied state, at most; nullopt: nobody has vouched for any. Atomic.
    std::optional<Duration> age() const;

    // ---- freshness, for what else is answered from the applied state. All but wait_fresh() are atomic.

    /// An instant behind every question that has been sent to a leader: what is vouched for as of it is what is committed by now.
    Instant stamp_now() const { return std::max(env_.now(), last_stamp_ + Duration::nanos(1)); }
    /// As of when a state must be vouched for, at this moment: of `max_age` (at most age_max), or of `stamp` if that is 0.
    Instant oldest(Duration max_age, Instant stamp) const;
    bool vouched(Instant oldest, LogIndex at_least) const;
    /// Returns when vouched(). Yields, if at all. Errors: NotReady, Overloaded, NotLeader (by the deadline nobody vouched, or `at_least` was not
    /// applied; with what is known of the leader), Cancelled.
    Result<void> wait_fresh(Fiber& fiber, Instant oldest, LogIndex at_least, Instant deadline);
    /// Requires: vouched() for something.
    Instant as_of() const { return freshness_.as_of().value_or(env_.clock.reading()); }
    /// Of the leader whose word was taken last.
    Term vouched_term() const { return vouched_term_; }
    /// The answer became too old on its way out: counted, and where the leader is.
    Error too_old();

    void role_changed(const raft::RoleChange& change) override;
    void progressed() override;

 private:
    Result<wire::MasterAnswer> change_here(Fiber& fiber, const wire::MasterCommand& command, Instant deadline);
    /// One of those who wait, for as long as it lives.
    class Waiting {
     public:
        explicit Waiting(size_t& count) : count_(&count) { ++count; }
        Waiting(Waiting&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
        Waiting& operator=(Waiting&&) = delete;
        ~Waiting() {
            if (count_ != nullptr) --*count_;
        }

     private:
        size_t* count_;
    };
    Result<Waiting> begin_waiting();
    Result<void> usable() const;
    Error not_vouched() const;
    void confirm_loop(Fiber& fiber);
    Result<LogIndex> confirm(Fiber& fiber);
    Result<LogIndex> confirm_by_anyone(Fiber& fiber, Instant deadline);  // defect list_confirmed_by_anyone
    Instant deadline_of(const rpc::Request& request) const;
    void handle_change(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    void handle_query(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    void handle_list(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    void handle_confirm(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    void handle_heartbeat(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    Result<void> take_heartbeat(Fiber& fiber, wire::NodeHeartbeat heartbeat, Instant deadline);
    void watch_nodes(Fiber& fiber);
    Result<void> mark_nodes(Fiber& fiber);
    std::vector<wire::NodeRecord> without_bad_disks(std::vector<wire::NodeRecord> nodes) const;
    Result<void> place_new(Fiber& fiber, wire::MasterCommand& command, Instant deadline);

    Env& env_;
    raft::GroupHost& host_;
    raft::Group& group_;
    MasterMachine& machine_;
    MasterServiceOptions options_;
    Freshness freshness_;
    Instant last_stamp_{};  // of the last question; no two have one
    bool confirm_wanted_ = false;
    Notify confirm_wanted_changed_;
    Notify fresher_;  // a confirmation came, or more is applied
    LogIndex applied_told_;
    Term vouched_term_;
    struct Told {
        NodeId leader;
        Term term;
        std::string service_address;
    } told_;  // by the leader that vouched last
    std::string service_address_;  // own
    size_t waiting_ = 0;
    Notify leader_changed_;
    NodeWatch watch_;
    TaskDriver tasks_;
    Counters counters_;
    ListService lists_;
};

}  // namespace orrery::master
