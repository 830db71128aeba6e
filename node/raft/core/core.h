// The Raft algorithm of one replica of one group, as a value: messages, time and finished disk work go in, an Output
// comes out. It does no I/O, takes no clock and starts nothing.
//
// Its one promise towards the outside: a message in an Output may leave at once. Whatever speaks of a term, a vote or
// entries that are not synced yet (acknowledgements, vote answers, the own candidacy) is kept here until persisted()
// says so and comes with a later Output. A leader's appends speak of nothing of its own disk and leave before its sync.
//
// It is not the driver: it neither frames messages, nor writes the log, nor applies, nor moves snapshot bytes.
#pragma once

#include <map>

#include "node/raft/core/log_view.h"
#include "node/raft/core/message.h"
#include "node/raft/core/progress.h"
#include "runtime/base/flat_map.h"
#include "runtime/base/random.h"

namespace orrery::raft {

enum class Role : uint8_t { Follower, PreCandidate, Candidate, Leader };
/// "follower", "precandidate", "candidate", "leader".
std::string_view role_name(Role role);

struct Options {
    Member self;
    /// Each wait is drawn from [min, max]. Check-quorum and the refusal to unseat a live leader use min.
    /// Default 1 to 2 s. min below 3 heartbeats: leaders lose their place to one lost message.
    Duration election_timeout_min = Duration::millis(1000);
    Duration election_timeout_max = Duration::millis(2000);
    Duration heartbeat = Duration::millis(100);
    bool pre_vote = true;
    bool check_quorum = true;
    /// True: an idle follower is told of each new commit index at once (settles without heartbeats; one more small
    /// message a member and commit). False: with the next append, heartbeat or push_commit().
    bool eager_commit = false;
    /// Appends to one follower that are not answered yet.
    size_t max_inflight_messages = 64;
    uint64_t max_inflight_bytes = 8 << 20;
    /// One append: at least one entry, then up to these.
    uint64_t max_append_bytes = 1 << 20;
    size_t max_append_entries = 1024;
    /// Proposals not committed yet; above it propose() answers Overloaded (one proposal is always let through).
    uint64_t max_uncommitted_bytes = 64 << 20;
    /// Reads not confirmed yet.
    size_t max_pending_reads = 4096;
    /// From this index on configurations speak of us: a replica that joins reads a log that begins before it was named.
    LogIndex member_since;
};

/// What the disk gave back at start. `applied` is the state machine's; everything up to it counts as committed.
struct Recovered {
    HardState hard_state;
    Floor floor;
    std::vector<Entry> entries;  // floor.index + 1 and on, without a gap, all of them durable (but for holes)
    LogIndex applied;            // below floor.index counts as floor.index
    /// The state machine lost what it had applied; what lies at or below the floor can only come with a snapshot.
    bool stateless = false;
};

enum class RefusalReason : uint8_t {
    WrongReceiver,   // addressed to another replica id than ours
    WrongSender,     // the configuration names another replica id for that node
    Malformed,       // gaps, terms that fall, counters beyond kCounterLimit, a Config body that is none
    BelowCommit,     // a leader contradicts an entry known to be committed: somebody lost acknowledged bytes
    CampaignGate,    // TimeoutNow while campaigning is not allowed
    SecondLeader,    // another leader of the term we lead: a vote was forgotten somewhere
};
constexpr size_t kRefusalReasons = 6;
std::string_view refusal_reason_name(RefusalReason reason);

/// A message that was not acted upon, for the driver to answer or log with text.
struct Refusal {
    RefusalReason reason;
    MessageKind kind;
    Member from;
    Member to;
    Term term;
};

struct ReadReady {
    uint64_t token;
    LogIndex index;  // answer the read when this index is applied locally
};
struct ReadFailed {
    uint64_t token;
    Code code;  // NotLeader: nothing was read; ask again elsewhere
};
/// A member needs entries that are below our floor; serve it a snapshot.
struct SnapshotWanted {
    Member member;
    LogIndex from;  // first index it lacks
};
struct RoleChange {
    Role role;
    Term term;
    Member leader;  // zero: unknown
};

/// See README.md for the order of effects.
struct Output {
    // To persist, in this order, as one atomic batch; `sequence` names it. 0: nothing to persist.
    uint64_t sequence = 0;
    std::optional<HardState> hard_state;
    std::optional<LogIndex> truncate_from;  // a record: entries >= it that were handed out earlier are void
    std::vector<Entry> entries;
    std::vector<Entry> fills;  // bodies of holes: written in their place, nothing behind them goes

    // To send, now, without waiting for the above.
    std::vector<Message> messages;

    LogIndex commit;      // of the group, as known here; may be ahead of our own disk
    LogIndex applicable;  // min(commit, own durable): apply up to here
    std::vector<ReadReady> reads_ready;
    std::vector<ReadFailed> reads_failed;
    std::vector<SnapshotWanted> snapshots_wanted;
    std::optional<RoleChange> role_change;
    std::vector<Refusal> refusals;  // at most 64; the status has the totals

    bool empty() const;
};

/// One line a member, for operators and checkers. Members other than self: valid on the leader only.
struct MemberStatus {
    Member member;
    bool voter = false;
    bool learner = false;
    bool promoting = false;  // a learner that is to become a voter
    ProgressState state = ProgressState::Replicate;
    LogIndex match;  // durable there
    LogIndex next;
    LogIndex applied;
    LogIndex received;  // there, perhaps not durable
    LogIndex claim;
    bool active = false;  // heard from within an election timeout
    Instant last_contact{INT64_MIN};  // of the leader's: when it was last heard
    uint64_t window_bytes = 0;
};

struct Status {
    Member self;
    Role role;
    HardState hard_state;
    Member leader;
    LogIndex commit;
    LogIndex applied;
    LogIndex durable;
    LogPosition last;
    LogPosition floor;
    Configuration configuration;
    LogIndex configuration_index;
    LogIndex lowest_claim;
    bool campaign_allowed;
    bool installing;
    bool removed;             // the committed removal of this replica is in its log
    bool own_term_committed;  // leader: reads and configuration changes are possible
    bool lease_holds;         // leader: reads need no round just now
    bool lease_given_up;      // leader: a TimeoutNow left in this term, there is no lease until the next
    std::optional<Member> transferring_to;
    size_t pending_reads;
    size_t held_messages;
    uint64_t refused[kRefusalReasons];
    size_t holes;                        // entries whose bodies the disk lost, not mended yet
    std::optional<LogPosition> first_hole;
    bool stateless;  // waits for a snapshot: the state up to the floor is lost
    std::vector<MemberStatus> members;  // by node id, self included
};

class Core {
 public:
    /// Passive until set_campaign_allowed(). Errors: Invalid (options), Corrupt (recovered state that contradicts
    /// itself).
    static Result<std::unique_ptr<Core>> create(Instant now, Options options, Recovered recovered,
                                                RandomStream random);

    // --- What happened. Any of these may leave something for take_output().

    /// A message arrived. Whatever it says, nothing fails; see Output::refusals.
    void step(Instant now, Message message);
    /// Due when next_deadline() <= now; harmless earlier. Fires at most one of each timer.
    void tick(Instant now);
    /// Nothing happens by itself before this instant.
    Instant next_deadline() const;
    /// Batch `sequence`, and all before it, is synced. Late and repeated calls are harmless.
    void persisted(Instant now, uint64_t sequence);
    /// Only the hard state of batch `sequence` and before is synced, its entries wait for attachments. Optional: votes
    /// then need not wait for attachments.
    void hard_state_persisted(Instant now, uint64_t sequence);
    /// The state machine has applied up to `index`. Requires: index <= commit.
    void applied(Instant now, LogIndex index);
    /// A session to that node broke: what was in flight is to be probed for.
    void unreachable(NodeId node);

    // --- Requests.

    /// Appends one Data entry; it travels with the next take_output(). The answer is its index; whether it committed is
    /// known when `applicable` reaches it with the same term. Errors: NotLeader (context: node id of the leader, empty
    /// if unknown), NotReady (handing over), Overloaded.
    Result<LogIndex> propose(Instant now, std::shared_ptr<const Bytes> body,
                             std::shared_ptr<const Bytes> attachment = nullptr);
    /// Appends a Config entry. Errors: as propose; NotReady also before an own-term entry is committed and while
    /// another change is not; Invalid (may not follow the present one).
    Result<LogIndex> propose_configuration(Instant now, const Configuration& next);
    /// Exactly one ReadReady or ReadFailed with `token` follows. Errors: NotLeader, Overloaded: none follows.
    Result<void> read_index(Instant now, uint64_t token);
    /// Every member is told at once when commit reaches `target` (or what is committed now, if lower than that), and
    /// reports at once when it has applied it. For WAIT.
    void push_commit(LogIndex target);
    /// Hands leadership to that voter once it has our whole log; proposals are refused meanwhile, for at most
    /// one election_timeout_max. Errors: NotLeader, Invalid (no voter, or ourselves), NotReady (already under way).
    Result<void> transfer(Instant now, NodeId to);
    /// The campaign gate. Not allowed: votes and appends are answered, never a candidate, TimeoutNow refused.
    void set_campaign_allowed(Instant now, bool allowed);
    /// The election timer fires now. No effect where campaigning is not allowed.
    void campaign(Instant now);

    // --- Log and snapshots.

    /// Moves the floor up to `index`; lower ones are ignored. Requires: index <= applied.
    void compact(LogIndex index);
    /// Leader: the transfer of the snapshot at `index` to that node lives. The first call takes the claim.
    void snapshot_progress(Instant now, NodeId node, LogIndex index);
    enum class Transfer : uint8_t { Done, Failed };
    void snapshot_finished(Instant now, NodeId node, LogIndex index, Transfer how);
    /// Leader: that member's match no longer holds back compaction, until it moves again.
    void revoke_claim(NodeId node);
    /// Leader: that member asks for something below our floor; it needs a snapshot.
    void want_snapshot(NodeId node);
    /// Follower: between start and end of an install we do not campaign.
    void set_installing(Instant now, bool installing);
    /// Follower: the snapshot at `floor` is durable and swapped in. False: stale, ignored (we have committed further).
    /// A tail of the log that holds exactly (index, term) is kept. Ends installing. The driver writes the floor record
    /// with the group's next batch.
    bool restore(Instant now, Floor floor);

    /// Entries whose bodies are missing, at most `most`, rising. While there is one we do not campaign, and acknowledge and
    /// apply nothing from the first one on; vote and last position stand. Source: README.md "Holes".
    std::vector<LogPosition> missing(size_t most) const;
    /// A member that has the entry at this very position gave its body. False: no such hole (any more), or the body is none.
    bool fill(LogPosition at, std::shared_ptr<const Bytes> body);

    // --- What is so.

    /// Everything that must be persisted or sent since the last call. Several may be in flight at once.
    Output take_output(Instant now);

    LogIndex applicable() const { return stateless_ ? LogIndex() : std::min({commit_, durable_, whole()}); }
    /// The state up to the floor is lost, and no snapshot has brought it yet: log, votes and acknowledgements stand, but
    /// nothing is applied, applied is told as 0, and we do not campaign. Source: README.md "Without a state".
    bool stateless() const { return stateless_; }
    LogIndex lowest_claim() const;
    /// Leader: up to where that member may need our log; nothing when it has no claim, or is no other member.
    std::optional<LogIndex> claim_of(NodeId node) const;
    /// Leader: that member was heard from within an election timeout, or could not be missed yet.
    bool in_touch(Instant now, Member member) const;
    /// Leader: until then nobody else is one, by this clock; far in the past without a lease. Who has read a value, and then
    /// finds with a clock read anew that this has not passed, answers without a round. Source: lease.cpp.
    Instant lease_until() const;
    /// Leader: reads may try the lease: it is configured, and all entries of earlier terms are applied.
    bool may_read_under_lease() const;
    Role role() const { return role_; }
    Term term() const { return hard_.term; }
    Member leader() const { return leader_; }
    LogIndex commit() const { return commit_; }
    /// The committed configuration does not name this replica any more: it takes no part in anything.
    bool removed() const;
    /// Leader: an entry of its own term is committed, and no change of members is under way.
    bool may_change_members() const;
    /// Leader: who is no member any more but is still told so.
    std::vector<Member> departing() const;
    LogIndex applied_index() const { return applied_; }
    LogIndex durable() const { return durable_; }
    /// term(), once no crash can forget that it was reached; zero until then.
    Term durable_term() const { return hard_persisted_ >= hard_sequence() ? hard_.term : Term(); }
    const LogView& log() const { return log_; }
    const Options& options() const { return options_; }
    Status status(Instant now) const;

 private:
    struct Held {
        Message message;
        uint64_t hard_sequence;  // hard state that must be durable
        LogIndex durable;        // entries that must be durable
    };
    struct Batch {
        uint64_t sequence;
        LogIndex last;  // entries up to here are durable with it
    };
    struct PendingRead {
        uint64_t token;
        bool indexed;    // false: waits for an own-term commit
        LogIndex index;
        uint64_t round;  // confirmed when a quorum answered this round or a later one
    };

    Core(Instant now, Options options, Recovered recovered, LogView log, RandomStream random);

    // elections (election.cpp)
    void become_follower(Instant now, Term term, Member leader);
    void become_leader(Instant now);
    void start_campaign(Instant now, bool transfer);
    void start_pre_vote(Instant now);
    void start_vote(Instant now, bool transfer);
    void count_votes(Instant now);
    bool electable() const;
    bool may_campaign() const;
    bool has_live_leader(Instant now, Member candidate) const;
    bool up_to_date(LogPosition candidate) const;
    void arm_election(Instant now);
    void on_pre_vote(Instant now, const Message& message, const PreVote& body);
    void on_vote(Instant now, const Message& message, const Vote& body);
    void on_vote_answer(Instant now, const Message& message, bool granted);
    void on_timeout_now(Instant now, const Message& message);

    // following (follower.cpp)
    void on_append(Instant now, const Message& message, Append& body);
    void on_heartbeat(Instant now, const Message& message, const Heartbeat& body);
    void reject_append(const Message& message, const Append& body);
    bool follow(Instant now, const Message& message);
    void truncate(LogIndex from);
    void commit_to(LogIndex index);
    FollowerState own_state() const;
    void tell_leader();
    void forget_holes(LogIndex from, LogIndex to);
    LogIndex whole() const { return holes_.empty() ? LogIndex(kCounterLimit) : holes_.begin()->first.previous(); }

    // leases (lease.cpp)
    void renew_promise(Instant now);
    bool promised_to_another(Instant now, Member candidate) const;
    void note_round_begun(Instant now);
    uint64_t answered_under_lease() const;

    // leading (leader.cpp)
    void on_append_reply(Instant now, const Message& message, const AppendReply& body);
    void on_heartbeat_reply(Instant now, const Message& message, const HeartbeatReply& body);
    bool note_follower(Instant now, const Message& message, const FollowerState& state, uint64_t round);
    Progress* progress_of(Member member);
    void append_own(Instant now, EntryKind kind, std::shared_ptr<const Bytes> body,
                    std::shared_ptr<const Bytes> attachment);
    void after_configuration_change(Instant now);
    void advance_commit(Instant now);
    void begin_round(Instant now);
    void send_heartbeat(Progress& progress, bool push);
    void send_appends(Progress& progress);
    bool send_one_append(Progress& progress);
    void send_news(Progress& progress, bool of_round);
    void index_reads();
    void answer_reads();
    void fail_reads(Code code);
    bool in_touch(Instant now);
    void tick_leader(Instant now);
    void watch_own_disk(Instant now);
    void finish_transfer();
    void see_off(Instant now);
    void leave(Instant now);
    Instant quorum_contact(Instant now) const;
    bool own_term_committed() const { return commit_ >= own_term_first_; }
    Error not_leader() const;

    // gathering output (core.cpp)
    bool accepts_sender(const Message& message);
    bool well_formed(const Message& message) const;
    void dispatch(Instant now, Message& message);
    void answer_stale(const Message& message);
    void refuse(const Message& message, RefusalReason reason);
    void send(Member to, Term term, Message::Body body);
    void send_held(Member to, Term term, Message::Body body, LogIndex durable, uint64_t hard_sequence);
    void release_held(Instant now);
    uint64_t hard_sequence() const { return hard_dirty_ ? next_sequence_ : hard_latest_; }
    void set_hard_state(HardState state);

    Options options_;
    RandomStream random_;
    LogView log_;
    HardState hard_;
    Role role_ = Role::Follower;
    Member leader_;
    LogIndex commit_;
    LogIndex applied_;
    LogIndex durable_;
    // Entries whose bodies are missing (0) or on their way to the disk (the sequence that has them).
    std::map<LogIndex, uint64_t> holes_;
    std::vector<LogIndex> filled_;  // for the next Output
    bool campaign_allowed_ = false;
    bool installing_ = false;
    bool stateless_ = false;
    Duration election_timeout_;  // drawn anew with every role, leader and granted vote
    Instant election_deadline_;
    Instant leader_heard_{INT64_MIN};  // when a message of the present leader last arrived

    // Follower.
    LogIndex matched_;        // our log equals the present leader's up to here
    LogIndex claim_heard_;    // lowest claim, as the leader last said
    Term called_in_;          // TimeoutNow of that term waits until a committed configuration is applied; 0: none does
    LogIndex applied_asked_;  // report when this is applied; 0: nobody asked
    // Leases: of whoever answered a leader's rounds, whatever its role is by now. Volatile.
    Member promised_to_;  // zero: to nobody known, of before our start
    Instant promised_until_{INT64_MIN};

    // Candidate and pre-candidate.
    FlatMap<Member, bool> votes_;  // by replica: two lives of one node are two voters

    // Leader.
    FlatMap<NodeId, Progress> progress_;  // every node's present replica but ourselves; and who departs
    LogIndex own_term_first_;
    uint64_t round_ = 0;
    bool round_wanted_ = false;
    std::deque<std::pair<uint64_t, Instant>> rounds_begun_;  // rising; with leases only, at most kMaxRoundsBegun
    bool lease_given_up_ = false;                            // a TimeoutNow left in this term
    Instant heartbeat_due_;
    Instant lead_since_;
    Instant touched_;         // when a majority of configuration touched_index_ had been heard, as last looked at; see in_touch()
    LogIndex touched_index_;
    uint64_t uncommitted_bytes_ = 0;
    std::deque<PendingRead> reads_;
    LogIndex push_target_;
    std::optional<Member> transfer_to_;
    Instant transfer_deadline_;
    bool transfer_sent_ = false;
    bool leaving_ = false;  // a committed configuration does not have us: step down once the commit has left
    LogIndex lag_index_;  // committed by others, not on our disk since lag_since_; 0: none
    Instant lag_since_;

    // Persistence in flight.
    uint64_t next_sequence_ = 1;
    uint64_t hard_latest_ = 0;     // sequence that carries the newest hard state
    uint64_t hard_persisted_ = 0;  // every hard state up to this sequence is durable
    bool hard_dirty_ = false;
    LogIndex unsaved_;  // first index that no Output has carried
    std::optional<LogIndex> truncate_from_;
    std::deque<Batch> batches_;
    std::deque<Held> held_;

    Output out_;
    RoleChange told_;
    uint64_t refused_[kRefusalReasons] = {};
};

}  // namespace orrery::raft
