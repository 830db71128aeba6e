// GroupHost: all Raft groups of a node, and what they share: one log, one Store, one way to each peer.
//
// Messages of a turn leave together: heartbeats of all groups between two nodes are one message, everything else goes to
// the peer's session, whose writer gathers it. The log tells the host once what was synced; the host tells its groups.
#pragma once

#include <map>
#include <memory>

#include "node/raft/group.h"
#include "node/raft/node_directory.h"
#include "node/raft/peer_space.h"
#include "node/rpc/service.h"
#include "node/wire/raft_message.h"

namespace orrery::raft {

/// Whether a start repairs what others can make good: a damaged Store is set aside, a replica whose log lost its promises is
/// retired and asks to be replaced. Off: such a start fails, and changes nothing.
enum class DamageRepair : uint8_t { Automatic, Off };

struct GroupHostOptions {
    store::Options store;
    log::Options log;
    rpc::PeersOptions peers;
    /// Groups that this node is to have, beside those that its log and Store tell of.
    std::vector<GroupId> groups{};
    DamageRepair repair = DamageRepair::Automatic;
    /// Log bytes appended since the last flush of the Store after which the next is asked for.
    uint64_t flush_log_bytes = 32 << 20;
    /// Free space of the disk below which proposals are refused, so that what is committed can still be applied and flushed.
    /// 0: only what has failed for want of space counts.
    uint64_t reserve_bytes = 0;
    /// Log bytes of all groups that only claims of members keep, before the one that keeps most loses its claim, where this
    /// node leads. 0: only each group's own bound counts.
    uint64_t retain_bytes_node = 256 << 20;
    /// What transfers of snapshots from this node, of all its groups, may send; down to a sixteenth of it while processors are short. 0: no bound.
    uint64_t snapshot_bytes_per_second = 0;
    /// How long what a peer said of its disk is believed. Peers that are short repeat it with every heartbeat's answer.
    Duration peer_space_valid = Duration::seconds(5);
};

/// What the Store says of a group: where its state is, and up to where.
struct StoredGroup {
    std::optional<StatePointer> pointer;
    std::optional<AppliedRecord> applied;
};

using MachineFactory = UniqueFunction<std::unique_ptr<StateMachine>(store::Store&)>;

class GroupHost {
 public:
    /// Opens Store and log, recovers, begins the log's new epoch. Groups are not running yet.
    /// Damage that other members can make good is repaired here, with an Error event that says what was done. A replica that may
    /// not go on is retired: the answer is Stale then, and the directory belongs to no cluster any more (return_to_group.h).
    /// Requires: directory is founded. Yields. Errors: Corrupt (file, offset, what to do), Stale (see above), Exists, Invalid, Io,
    /// NoSpace, Cancelled.
    static Result<std::unique_ptr<GroupHost>> open(Fiber& fiber, Env& env, NodeDirectory& directory, GroupHostOptions options);
    ~GroupHost();

    /// Recovers or founds one group and starts it. Every group the log knows must be added before start().
    /// Yields. Errors: Corrupt, Io, Cancelled.
    Result<Group*> add_group(Fiber& fiber, GroupId id, MachineFactory machine, GroupOptions options);
    /// Registers what peers send and ask: raft messages and snapshots for `host` (null until the node is founded: they
    /// are dropped), identity and init for `directory`. Both outlive the service's servers.
    static void handle_peers(rpc::Service& service, NodeDirectory& directory, const std::unique_ptr<GroupHost>& host);
    /// Null when there is no such group here.
    Group* find(GroupId id);

    /// Set when this node can not go on without another start, which will repair what is damaged.
    const std::optional<Error>& failed() const { return failed_; }
    /// Yields: until it is. Errors: Cancelled.
    Result<void> wait_failed(Fiber& fiber) { return failed_event_.wait(fiber); }

    /// Ends in order: sessions, log (synced and sealed), Store (flushed). Yields. Errors: of the log or the Store.
    Result<void> stop(Fiber& fiber, Instant deadline);

    Env& env() { return env_; }
    NodeDirectory& directory() { return directory_; }
    log::SegmentedLog& log() { return *log_; }
    store::Store& store() { return *store_; }
    rpc::Peers& peers() { return *peers_; }
    const log::RecoveryReport& recovery() const { return recovery_; }
    /// Nothing more can be logged or flushed.
    bool out_of_space() const { return log_->no_space() || store_->health() == store::Health::NoSpace; }
    /// Proposals that take space are refused meanwhile.
    bool short_of_space() const { return below_reserve_ || out_of_space(); }
    wire::SpaceLevel space_level() const {
        return out_of_space() ? wire::SpaceLevel::None : below_reserve_ ? wire::SpaceLevel::Low : wire::SpaceLevel::Room;
    }
    /// As that node said last, if that is not long ago and the link holds; Room otherwise.
    wire::SpaceLevel peer_space(NodeId node) const { return peer_spaces_.level_of(node, env_.now()); }
    bool peers_may_be_short() const { return peer_spaces_.any(); }
    /// Of all groups: what could be cut but for members' claims.
    uint64_t retained_bytes() const;
    const GroupHostOptions& options() const { return options_; }

 private:
    friend class Group;
    /// The members of a group in these configurations (the newest last) are reached at their contacts, `also` as they were;
    /// nobody else is.
    void follow_members(GroupId group, std::initializer_list<const Configuration*> configurations, const std::vector<Member>& also);
    static Result<wire::GroupChangeReply> change_members(Fiber& fiber, Group& group, const wire::GroupChange& change, Instant deadline);
    GroupHost(Env& env, NodeDirectory& directory, GroupHostOptions options);

    /// Payload of one append to the log: room is left for headers, a hard state and a configuration.
    uint64_t log_part_bytes() const { return options_.log.batch_bytes - options_.log.batch_bytes / 8; }
    void send(GroupId group, Message message, TimeOffer time);
    /// A group has said what it has to say in this turn. Heartbeats of several groups share a message to each node: they wait
    /// for the turns of the others that are due now.
    void turn_ended();
    void refused(GroupId group, const Refusal& refusal);
    /// Waits until a piece of a snapshot may leave, and counts it. `gives_way`: slower while processors are short (GiveWay).
    /// Yields. Errors: Cancelled.
    Result<void> pace_transfer(Fiber& fiber, uint64_t bytes, bool gives_way);
    void note_applied(uint64_t bytes);
    void note_no_space();
    void keep_within_bound();
    void outbox_loop(Fiber& fiber);
    void flush_outbox();
    void caretaker(Fiber& fiber);
    // group_host_repair.cpp
    bool others_have(GroupId id, const std::map<GroupId, StoredGroup>& stored, const log::GroupReport* report) const;
    Result<std::optional<std::string>> open_store(Fiber& fiber, std::map<GroupId, StoredGroup>& stored);
    Result<void> renew_store(Fiber& fiber, const std::string& damage);
    std::string broken_promises(const std::map<GroupId, StoredGroup>& stored) const;
    Error retire(Fiber& fiber, const Error& damage, const std::map<GroupId, StoredGroup>& stored);
    bool others_vote() const;
    void look_at_log();
    void end_for_repair(std::string why);
    void watch_store(Fiber& fiber);
    Result<void> record_store_damage(Fiber& fiber);
    void drop_retired(Fiber& fiber);
    void watch_space(Fiber& fiber);
    void on_raft_message(rpc::Message& message);
    void on_heartbeats(rpc::Message& message);
    void on_heartbeat_replies(rpc::Message& message);

    struct Outbox {
        std::vector<wire::Heartbeat> heartbeats;
        std::vector<wire::HeartbeatReplyBatch::Progress> replies;
        uint64_t number = 0;
        bool space_is_news = false;  // an answer leaves even if no group has one
        wire::SpaceLevel space_told = wire::SpaceLevel::Room;
    };

    Env& env_;
    NodeDirectory& directory_;
    GroupHostOptions options_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<log::SegmentedLog> log_;
    std::unique_ptr<rpc::Peers> peers_;
    log::RecoveryReport recovery_;
    std::map<GroupId, std::unique_ptr<Group>> groups_;
    struct Reached {
        Address address;
        Incarnation incarnation;
        bool operator==(const Reached&) const = default;
    };
    std::map<GroupId, std::map<NodeId, Reached>> members_;
    std::map<NodeId, Outbox> outbox_;
    Notify outbox_filled_;
    bool outbox_dirty_ = false;
    Notify care_;
    bool stopping_ = false;
    std::optional<Error> failed_;
    Event failed_event_;
    bool damage_recorded_ = false;
    Instant handed_over_at_{INT64_MIN / 2};
    bool trouble_ = false;  // a disk or log was full when last looked at
    bool below_reserve_ = false;
    PeerSpaces peer_spaces_;
    Pace transfer_pace_{Duration::millis(4)};
    GiveWay transfers_give_way_;
    uint64_t applied_since_look_ = 0;  // bytes
    Notify look_at_space_;
    uint64_t flushed_at_ = 0;  // log bytes appended when the last flush was asked for
    std::map<std::pair<GroupId, Member>, uint64_t> refusals_told_;
};

/// Every group that has a pointer. One seek per group. Yields. Errors: Corrupt, Io, Cancelled.
Result<std::map<GroupId, StoredGroup>> read_stored_groups(Fiber& fiber, store::Store& store);
/// Of the founders; empty for a node that joined later.
Result<Configuration> founding_configuration(const NodeDirectory& directory);

}  // namespace orrery::raft
