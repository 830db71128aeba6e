// Group: one replica of one Raft group, driven. The core decides, this does: persist -> send -> apply, in one flat loop.
//
// Three fibers: the driver (the only one that takes outputs of the core), the applier (committed entries into the Store)
// and, while needed, one for each snapshot on its way out. Messages and synced batches arrive as atomic calls that only
// step the core and wake the driver, so that one loop turn's worth of them shares one output, one log batch and one
// write per peer.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/log/segmented_log.h"
#include "node/raft/core/core.h"
#include "node/raft/core/membership.h"
#include "node/raft/pace.h"
#include "node/raft/state_machine.h"
#include "node/rpc/peers.h"
#include "node/rpc/service.h"
#include "node/wire/membership.h"
#include "node/wire/raft_message.h"
#include "runtime/store/store.h"

namespace orrery::raft {

class GroupHost;

struct GroupOptions {
    raft::Options core;  // `self` is filled in by the host
    uint64_t apply_batch_bytes = 1 << 20;
    size_t apply_batch_entries = 1024;
    /// Entries and their bytes kept above the floor before a member that lags loses its claim and gets a snapshot.
    uint64_t retain_bytes = 64 << 20;
    /// Entries that the log has not taken yet (full or slow disk); beyond it appends are dropped unanswered.
    uint64_t max_unlogged_bytes = 64 << 20;
    /// Proposals and read barriers that wait on this node.
    size_t max_waiting = 16384;
    /// What is sent, and written to the receiver's Store, in one go: longer ones are felt by whoever waits for a processor.
    uint64_t snapshot_chunk_bytes = 64 << 10;
    /// A transfer that gets nowhere for so long loses its claim; also the time of one attempt.
    Duration snapshot_timeout = Duration::seconds(60);
    /// While transfers hold back more than twice retain_bytes: what proposals may bring in; halved with each quarter of
    /// retain_bytes more, down to 1/1024. At least 1.
    uint64_t slowed_bytes_per_second = 16 << 20;
};

/// What a proposal does to a disk that is nearly full: only what frees space may use the last of it.
enum class SpaceUse : uint8_t { Takes, Frees };

/// Whom leadership may go to: with room on its disk if there is one, or nobody without.
enum class Successor : uint8_t { Any, WithRoom };

/// A proposal that took effect.
struct Committed {
    LogIndex index;
    Term term;
    Bytes reply;
};

/// A change of members that took effect.
struct MembersChanged {
    bool changed = false;  // false: it was so already
    LogIndex index;        // of the committed configuration in which it is so
};

/// Told of what services on top need to know; calls are atomic.
class GroupObserver {
 public:
    virtual ~GroupObserver() = default;
    /// Role, term or known leader changed.
    virtual void role_changed(const RoleChange& /*change*/) {}
    /// Something in the core moved: acknowledgements, commit, configuration, confirmed rounds. Once a driver turn, and in the step in which there is another configuration.
    virtual void progressed() {}
};

class Group {
 public:
    ~Group();
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    GroupId id() const { return id_; }
    Member self() const { return core_->options().self; }
    /// Null when the leader is not known.
    Member leader() const { return stopped_ ? Member() : core_->leader(); }
    bool leads() const { return !stopped_ && core_->role() == Role::Leader; }
    raft::Status status() const;
    const Core& core() const { return *core_; }
    LogIndex applied() const { return applied_.applied.index; }
    /// Set when the group has stopped for good on this node (log sealed, Store failed, damage).
    const std::optional<Error>& stopped() const { return stopped_; }
    /// Yields: until it has stopped. Errors: Cancelled.
    Result<void> wait_stopped(Fiber& fiber) { return stopped_event_.wait(fiber); }
    /// The state that readers use; its generation lives until the last holder lets go.
    std::shared_ptr<const StateSpace> space() const { return space_; }

    /// Proposes and waits until the entry is applied here. Yields.
    /// Errors, certainly without effect: NotLeader (hint), NotReady, Overloaded (also: slowed beyond the deadline), NoSpace
    /// (here, or no majority with room; says which nodes), Stale (another entry took its place).
    /// Maybe done: Unknown (deadline passed or the group stopped while it was under way). Cancelled.
    Result<Committed> propose(Fiber& fiber, Bytes body, std::shared_ptr<const Bytes> attachment, Instant deadline,
                              SpaceUse space = SpaceUse::Takes);
    /// Waits while proposals are slowed, because the log is kept for transfers; in order of arrival. propose() does so itself,
    /// begin() does not. Yields only then. Errors: Overloaded (at the deadline: certainly without effect), Cancelled.
    Result<void> admit(Fiber& fiber, uint64_t bytes, Instant deadline);
    bool slowed() const { return pace_.rate() > 0; }
    /// The two halves of propose(), for many proposals of one fiber under way at once: begin() is atomic and fails as
    /// propose() does without effect; finish() waits. A Proposal that is destroyed is not waited for any more.
    class Proposal;
    Result<std::unique_ptr<Proposal>> begin(Bytes body, std::shared_ptr<const Bytes> attachment = nullptr,
                                            SpaceUse space = SpaceUse::Takes);
    Result<Committed> finish(Fiber& fiber, Proposal& proposal, Instant deadline);
    /// Returns when everything committed before the call is applied here, leadership confirmed after it: a read of the
    /// Store is then linearizable. Yields. Errors: NotLeader (hint), NotReady, Overloaded, Timeout, Cancelled.
    Result<LogIndex> read_barrier(Fiber& fiber, Instant deadline);
    /// A read without a round, where the configuration has leases. First, before the value is read: the term under whose lease
    /// that may be tried; nullopt: take read_barrier(). Then, when the value is there: whether it may be answered. Between that
    /// and the answer nothing may yield. Atomic. Source: core/lease.cpp.
    std::optional<Term> lease_term() const;
    bool lease_vouches(Term term) const;
    /// Everybody is told of the commit index at once, and answers when it is applied: for WAIT.
    void push_commit(LogIndex target);
    /// Hands leadership to that voter; proposals are refused meanwhile. Errors: NotLeader, Invalid, NotReady.
    Result<void> transfer(NodeId to);
    /// transfer() to the voter that is nearest, if this leads and one is in touch. WithRoom: only if a majority has room
    /// without this node. False: not begun.
    bool hand_over(Successor successor);
    /// What members' claims keep of the log, and what that costs. For operators.
    struct SlowCounters {
        uint64_t periods = 0;
        uint64_t waited = 0;   // proposals
        uint64_t refused = 0;  // of those, at their deadline
    };
    struct Retention {
        uint64_t retained_bytes = 0;  // that could be cut but for a claim
        size_t transfers = 0;         // snapshots and the catching up behind them
        uint64_t slowed_to_bytes_per_second = 0;  // 0: not slowed
        SlowCounters slow;
    };
    Retention retention() const;
    StateMachine& machine() { return *machine_; }

    /// Takes a replica in: the answer comes when its name is committed; it is invited, fed and (as a voter) promoted by the
    /// leader after that, see members(). Yields.
    /// Errors, without effect: NotLeader (hint), NotReady (another change is under way and did not end in time), Invalid
    /// (refused; the text says why). Maybe done: Unknown. Cancelled.
    /// `if_configuration`: Stale unless the newest configuration is of this entry, in the step that proposes the change (0: the founding one).
    Result<MembersChanged> add_member(Fiber& fiber, Member member, AddAs as, Bytes contact, std::optional<LogIndex> if_configuration, Instant deadline);
    /// Takes a node out: the answer comes when a configuration without it is committed. Refused (Invalid) where it would
    /// leave a majority that is not in touch. As this replica only, if one is named. Yields. Errors: as add_member().
    Result<MembersChanged> remove_member(Fiber& fiber, Member member, std::optional<LogIndex> if_configuration, Instant deadline);
    /// Reads under leases from the committed configuration on, or not any more (zero promise). Yields. Errors: as add_member().
    Result<MembersChanged> set_lease(Fiber& fiber, Lease lease, Instant deadline);
    const GroupOptions& options() const { return options_; }
    /// Puts a node's new life in the place of `ended` ones of it, as what they were: the answer comes when it is named, as for
    /// add_member(). Refused (Invalid) for a node that is no member, or is one as any other life. Yields. Errors: as add_member().
    Result<MembersChanged> replace_member(Fiber& fiber, Member member, const std::vector<ReplicaId>& ended, Bytes contact, Instant deadline);
    /// As this replica knows it; complete on the leader. Atomic.
    wire::GroupMembersReply members() const;
    /// A leader's word of the committed configuration at `index`: only for where members are reached, until the own log is
    /// as far. Atomic.
    void hear_configuration(LogIndex index, const Configuration& configuration);
    /// Why this replica takes no part any more, or is said not to; empty: it does.
    std::string exclusion() const;
    /// In force at `index`. Requires: from the log's floor to its last index.
    Configuration configuration_at(LogIndex index) const;

    /// One at a time; null ends it.
    void set_observer(GroupObserver* observer) { observer_ = observer; }

 private:
    friend class GroupHost;

    struct Barrier {
        uint64_t token = 0;
        std::optional<Result<LogIndex>> outcome;
        Notify done;
    };
    struct Persist {
        uint64_t sequence = 0;
        std::optional<HardState> hard_state;
        std::optional<LogIndex> truncate_from;
        std::vector<Entry> entries;
        std::vector<Entry> fills;
        size_t attachments_missing = 0;
        bool hard_state_logged = false;
    };
    struct Logged {
        log::Ticket ticket;
        uint64_t sequence = 0;
        bool whole = true;  // false: the hard state only
        std::optional<HardState> hard_state;  // for the trace: what is durable with it
    };
    static constexpr int64_t kStateTimeLimit = int64_t{1} << 62;
    struct Install {  // what a receiver has of a snapshot that is on its way in
        uint64_t snapshot_id = 0;
        Floor floor;
        StateSpace space;  // the fresh generation
        Term sender_term;
        uint64_t next_sequence = 0;
        uint64_t bytes = 0;
        Bytes carry;  // the front of a pair that the next chunk ends
    };

    struct InstallOutcome {
        std::optional<Result<void>> result;
        Notify done;
    };

    Group(GroupHost& host, GroupId id, std::unique_ptr<StateMachine> machine, GroupOptions options);

    // group.cpp
    Result<void> start(Fiber& fiber, Recovered recovered, AppliedRecord applied, StateSpace space, std::optional<Floor> reset);
    void stop_group(Error why);
    void wake();
    void drive(Fiber& fiber);
    void turn();
    void take_reads(Output& output);
    // group_persist.cpp
    void persist(Output& output);
    void log_ready();
    bool log_floor();
    bool log_fills(Persist& item);
    bool log_item(Persist& item);
    bool log_hard_state(Persist& item);
    bool log_truncation(Persist& item);
    bool replaced_are_gone(const Persist& item) const;
    bool append(const log::Batch& batch, log::Use use, log::Ticket& ticket);
    void queue_floor(Floor floor, std::optional<LogIndex> cut);
    void store_attachments(std::shared_ptr<Persist> item);
    void on_log_synced();

    void receive(Message message, TimeOffer time);
    void observe_time(const Message& message, TimeOffer time);
    void note_election();
    void send(std::vector<Message> messages);
    void trace_output(const Output& output);
    void trace_progress();
    Error not_leader() const;
    void fail_waiting(Code code, const std::string& why);

    // group_claims.cpp
    struct Holder {
        NodeId node;
        uint64_t bytes = 0;  // that could be cut but for it
    };
    struct Transfer {
        bool streaming = false;  // a fiber is at it; else the member catches up behind a snapshot that has arrived
        Instant progressed_at;
        LogIndex seen;       // catching up: as far as it was when last looked at
        LogIndex caught_up;  // and where it ends
    };
    void on_durable(LogIndex applied);
    void compact();
    void cut_log();
    uint64_t held_above(LogIndex claim) const;
    uint64_t retained_bytes() const;
    std::optional<Holder> lowest_holder() const;
    void revoke_claims();
    void revoke(const Holder& holder, const char* bound);
    bool transfer_lives(NodeId node) const;
    bool begin_transfer(NodeId node);
    void end_transfer(NodeId node, bool arrived);
    void look_at_transfers();
    uint64_t transfer_bytes() const;
    void review_pace();
    Result<void> wait_for_turn(Fiber& fiber, uint64_t bytes, Instant deadline);
    bool majority_has(wire::SpaceLevel at_worst) const;
    Result<void> check_space(SpaceUse use) const;
    // group_members.cpp
    void follow_configuration();
    void advance_members();
    bool caught_up(Member member);
    Result<void> silent(std::optional<Member> present) const;
    Result<void> reachable(const Configuration& next, std::string_view what, Instant since) const;
    using NextConfiguration = FunctionRef<Result<std::optional<Configuration>>(const Configuration&)>;
    Result<void> still(std::optional<LogIndex> configuration) const;
    Result<std::optional<LogIndex>> propose_members(Fiber& fiber, NextConfiguration next, std::string_view what, Instant deadline);
    Result<LogIndex> await_members(Fiber& fiber, LogIndex index, Term term, FunctionRef<bool(const Configuration&)> done, Instant deadline);
    void invite_loop(Fiber& fiber);
    void invite(Fiber& fiber, Member member);
    void ask_whether_member(Fiber& fiber);

    // group_apply.cpp
    void apply_loop(Fiber& fiber);
    Result<void> apply_some(Fiber& fiber);
    Result<void> write_applied(Fiber& fiber, store::Batch& batch);
    void finish_waiters(LogIndex up_to);

    // group_holes.cpp
    void fill_holes(Fiber& fiber);
    Result<bool> fetch_body(Fiber& fiber, LogPosition hole);
    void handle_fetch(const rpc::Request& request, rpc::Responder& responder);
    void fetch_state(Fiber& fiber);
    void handle_want_snapshot(const rpc::Request& request, rpc::Responder& responder);

    // group_snapshot.cpp
    void send_snapshot(Fiber& fiber, Member to);
    Result<LogIndex> stream_snapshot(Fiber& fiber, Member to, LogIndex& claimed);
    void handle_install(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);
    Result<void> begin_wrongly(Fiber& fiber, const Install& install);  // seeded defects
    Result<void> receive_chunks(Fiber& fiber, rpc::Request& request, Install& install);
    Result<void> flush_pointer(Fiber& fiber);
    Result<void> swap_in(Fiber& fiber, Install& install);
    Result<void> wait_term_durable(Fiber& fiber, Term term, Instant deadline);
    Result<void> swap_in_locked(Fiber& fiber, Install& install);
    void retire(std::shared_ptr<const StateSpace> old);
    void drop_later(StateSpace space);
    Result<void> drop_generation(Fiber& fiber, StateSpace space);

    GroupHost& host_;
    Env& env_;
    GroupId id_;
    std::unique_ptr<StateMachine> machine_;
    GroupOptions options_;
    std::unique_ptr<Core> core_;
    GroupObserver* observer_ = nullptr;
    std::optional<Error> stopped_;
    Event stopped_event_;

    Notify changed_;  // the driver's
    bool dirty_ = true;
    Notify applicable_changed_;  // the applier's
    Mutex applying_;             // held by an apply batch, or by an install from verification to swap

    // Persistence: outputs in order; the front may wait for attachments.
    std::deque<std::shared_ptr<Persist>> persisting_;
    std::deque<Logged> logged_;
    std::optional<Floor> floor_to_log_;    // to be logged before anything else
    std::optional<LogIndex> floor_cut_;    // the log's tail from here on is void: truncated in the same batch
    LogIndex log_floor_;                   // as the log has it
    uint64_t unlogged_bytes_ = 0;          // of the entries in persisting_
    bool log_waits_ = false;             // the log answered Overloaded or NoSpace
    Mutex attachment_order_;
    log::Ticket truncation_ticket_;      // of the last truncation
    Notify log_synced_;                  // also when the group stops

    // Applied state.
    AppliedRecord applied_;
    std::shared_ptr<const StateSpace> space_;
    Generation highest_generation_;
    LogIndex durable_applied_;

    struct Waiter {
        LogIndex index;
        Proposal* proposal;
    };
    using Waiters = std::deque<Waiter>;
    std::pair<Waiters::iterator, Waiters::iterator> waiters_at(LogIndex index);
    Waiters waiters_;  // by index: added at the end and ended from the front, but for rare ones. Those of one index differ in their terms
    size_t waiting_ = 0;
    std::shared_ptr<Barrier> open_barrier_;
    std::map<uint64_t, std::shared_ptr<Barrier>> barriers_;              // handed to the core
    std::multimap<LogIndex, std::shared_ptr<Barrier>> barriers_to_apply_;  // confirmed, index not applied yet
    uint64_t next_token_ = 1;

    std::map<NodeId, Transfer> transfers_;
    Pace pace_;
    Notify pace_changed_;
    Mutex admission_;
    Instant slowed_since_;
    SlowCounters slow_counters_;
    uint64_t snapshots_begun_ = 0;
    std::shared_ptr<Install> partial_;  // of a transfer that broke off; the sender may resume it
    bool receiving_ = false;
    bool installing_ = false;
    Term led_last_, led_before_;  // in which answers came to us as leader; for a probe
    Term elected_told_;  // the machine was told that we lead in this term
    LogIndex commit_told_;
    LogIndex durable_told_;

    // Members.
    std::optional<std::pair<LogIndex, Configuration>> configuration_told_;  // index and configuration last acted upon
    std::vector<Member> reached_departing_;  // beside those of the newest and reached_committed_
    Member reached_leader_;                  // and this one
    Configuration reached_committed_;
    std::pair<LogIndex, Configuration> hint_;  // as a leader told us: where members are that our log does not know of yet
    bool hint_moved_ = false;
    bool removed_told_ = false;
    Notify members_moved_;  // a driver turn went by
    struct CatchUp {
        LogIndex target;  // the end of the log when the round began
        Instant began;
    };
    std::map<Member, CatchUp> catching_up_;
    std::map<Member, std::string> invite_trouble_;
    std::string said_removed_;  // by another member, while we hear no leader
    Instant leader_known_at_;
};

class Group::Proposal {
 public:
    ~Proposal();
    Proposal(const Proposal&) = delete;
    Proposal& operator=(const Proposal&) = delete;

 private:
    friend class Group;
    Proposal(Group& group, LogIndex index, Term term) : group_(group), index_(index), term_(term) {}
    void end(Result<Committed> outcome);

    Group& group_;
    LogIndex index_;
    Term term_;
    std::optional<Result<Committed>> outcome_;
    WaitQueue queue_;
};

}  // namespace orrery::raft
