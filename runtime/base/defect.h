// Seeded defects: known ways to get this wrong, planted so that the testbed can prove that it finds them.
//
// `if (ORRERY_DEFECT(ack_before_sync) || synced) ...` at the site. Node code is compiled once; the set that the macro
// reads is the single process global of the project. Daemons link runtime/real's constant, empty definition and have
// no way to set it; the testbed links sim/core's writable one and sets it before its world starts.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>

namespace orrery {

// name, what is wrong
#define ORRERY_DEFECT_LIST(X)                                                                              \
    X(ack_before_sync, "a follower acknowledges an append before its log is synced")                       \
    X(vote_not_durable, "a vote is answered before the term and vote are synced")                          \
    X(commit_old_term_by_count, "an entry of an earlier term is committed by counting replicas")           \
    X(commit_not_capped, "a follower takes the leader's commit index beyond what the message vouched for") \
    X(truncate_on_every_append, "a delayed older append removes acknowledged entries behind it")           \
    X(vote_ignores_last_term, "the up-to-date check of a vote compares log length only")                   \
    X(read_without_quorum, "a leader answers reads without a quorum round")                                \
    X(read_before_apply, "a read is answered although applied is behind its read index")                   \
    X(read_before_own_term, "ReadIndex is answered before an entry of the leader's own term committed")    \
    X(applied_index_apart, "the applied index is written in another batch than the state it describes")    \
    X(snapshot_merges, "installing a snapshot merges into the old state instead of replacing it")          \
    X(waitall_counts_connected, "WAITALL counts the members that are reachable instead of the configured") \
    X(wait_counts_received, "WAIT counts entries received instead of synced and applied")                  \
    X(wait_target_global, "WAIT's target is the last write of any client")                                 \
    X(torn_tail_is_corruption, "a torn last batch of the log is refused as corruption")                    \
    X(damage_is_torn_tail, "damage in the middle of the log is cut like a torn tail")                      \
    X(match_by_arrival_order, "a session gives the next data frame to the oldest open request")            \
    X(forward_retries_write, "the proxy repeats a write whose reply was lost")                             \
    X(unknown_reported_as_failed, "a write that may still commit is answered as certainly failed")         \
    X(outage_time_by_leader_clock, "after an outage of all members time goes by the leader's wall clock")  \
    X(expiry_by_local_clock, "a read judges expiry by the wall clock of its node")                         \
    X(joint_counts_new_only, "a joint configuration asks for the new half's majority only")                \
    X(learner_counts, "a learner's acknowledgement counts for commit")                                     \
    X(removed_leader_counts, "a leader that removed itself still counts its own disk for commit")          \
    X(change_over_pending, "a second change of members is accepted while the first is pending")            \
    X(wait_counts_replaced, "WAIT takes acknowledgements of a replaced member's old replica for the new")  \
    X(lease_ignores_drift, "a lease runs for the whole promise, whatever the clocks' rates are")           \
    X(lease_kept_on_transfer, "a lease is kept although TimeoutNow was sent in this term")                 \
    X(lease_from_answer, "a lease runs from the arrival of the answers, not from the round's sending")     \
    X(lease_promise_broken, "a member votes for another although it promised not to")                      \
    X(lease_promise_forgotten, "a member that restarts votes at once, whatever it promised before")        \
    X(lease_not_looked_at, "where leases are on the leader answers reads without a look at its lease")     \
    X(damaged_keeps_replica_id, "a replica whose log lost its promises goes on, empty, under its old id")  \
    X(store_damage_served, "a fresh Store in place of a damaged one takes part before its snapshot came")  \
    X(transaction_not_atomic, "EXEC is applied as two batches, the first write before the others")         \
    X(watch_ignored, "EXEC takes effect though a watched key has changed")                                 \
    X(append_applied_twice, "the first entry after a restart is applied twice")                            \
    X(exec_compares_at_proposal, "WATCH is compared when EXEC is proposed instead of when it is applied")  \
    X(increment_from_applied, "INCRBY adds to what the leader has applied when it is proposed")\
    X(wait_counts_last_index, "a follower tells its last index, matched or not, and WAIT counts it")       \
    X(wait_counts_sent, "WAIT counts what was sent to a member")                                           \
    X(wait_counts_unapplied, "WAIT counts what is synced and not applied yet")                             \
    X(wait_counts_snapshot_begun, "WAIT counts a snapshot from the moment its transfer begins")            \
    X(wait_keeps_old_acks, "a leader goes on with the acknowledgements of its earlier leadership")         \
    X(wait_answers_with_office, "the count of a leader that lost its office is passed on as the answer")   \
    X(wait_members_frozen, "who must hold an entry is not looked at again while somebody waits")           \
    X(wait_members_shrink_on_silence, "a member that was silent for an election timeout is not required")  \
    X(wait_members_shrink_at_append, "a member is not required from the append of its removal on")         \
    X(wait_members_grow_at_commit, "a new member is required only once its addition is committed")         \
    X(wait_forwarded_without_target, "a wait that is forwarded to the leader loses its target")            \
    X(wait_target_unknown_outcome, "a write of unknown outcome raises the target of its connection")       \
    X(wait_reuses_count, "a wait is answered with the count of the one before it")                         \
    X(wait_without_push, "nobody is told the commit index when somebody begins to wait")                   \
    X(wait_timer_restarts, "a wait's time begins anew when it is taken up again")                          \
    X(wait_leaks_waiter, "a client that leaves stays in the table of waiters")                             \
    X(wait_more_than_members_hangs, "WAIT for more than there are members waits for them")                 \
    X(waitall_omits_leader, "WAITALL does not ask whether the leader itself holds the entry")              \
    X(waitall_without_round, "WAITALL trusts leadership without a quorum round")                           \
    X(round_quorum_of_others, "a leader's round needs half of the others, itself not counted among all")   \
    X(list_confirmed_by_anyone, "a master vouches for another's lists whether it leads or not")            \
    X(list_without_round, "a leader vouches for a master's lists without a round behind the question")     \
    X(list_stamped_on_receipt, "a vouched-for list counts as of when the word arrived")                    \
    X(list_served_before_applied, "a list is served as vouched for before it is applied")                  \
    X(change_applied_again, "a change that a client repeats is done again")                                \
    X(sessions_not_loaded, "a master that starts or installs a snapshot knows of no client's last change") \
    X(ids_given_again, "the ids of a volume that was deleted at once are given to the next one")           \
    X(read_of_many_moments, "records are read one by one as they are then, and an install drops old ones") \
    X(install_clears_in_place, "a snapshot is installed in place of the state, which is cleared first")    \
    X(install_index_before_data, "a snapshot counts as the state before its data has come")                \
    X(log_cut_before_state_durable, "the log is cut up to what is applied, durable or not")                \
    X(snapshot_end_exclusive, "the last record is left out of a snapshot")                                 \
    X(list_served_while_not_ready, "a master answers lists before a leader has vouched for anything")      \
    X(list_torn_by_apply, "a list that is streamed out takes later pages as they are by then")             \
    X(list_cache_takes_any_version, "a client's copy of a list is replaced by whatever a master says")     \
    X(redirect_keeps_target, "a redirect to the leader is followed to the master that gave it")             \
    X(decommission_checked_alone, "members of one partition are moved without a look at its other tasks")  \
    X(master_allocates_before_applied, "a new leader of the masters plans before it has applied its log")  \
    X(source_removed_first, "the source of a move goes before the destination is a voter")                 \
    X(attachment_before_truncation, "bytes of a replaced entry are overwritten before its truncation is durable") \
    X(extent_unlinked_before_tombstone, "the file of a deleted extent goes before its tombstone is durable") \
    X(overwrite_in_place_before_commit, "an overwrite reaches the leader's file as it is proposed")        \
    X(extent_bytes_after_store, "what an overwrite changed is synced after the Store speaks of it")        \
    X(reserve_from_applied, "an append goes to the end of what is applied instead of what is logged")      \
    X(block_crc_unchecked, "bytes of an extent are served without a look at their checksum")

enum class Defect : uint8_t {
#define ORRERY_DEFECT_ENUM(name, text) name,
    ORRERY_DEFECT_LIST(ORRERY_DEFECT_ENUM)
#undef ORRERY_DEFECT_ENUM
};

struct DefectInfo {
    Defect id;
    std::string_view name;
    std::string_view text;
};

inline constexpr std::array kDefects = {
#define ORRERY_DEFECT_INFO(name, text) DefectInfo{Defect::name, #name, text},
    ORRERY_DEFECT_LIST(ORRERY_DEFECT_INFO)
#undef ORRERY_DEFECT_INFO
};
static_assert(kDefects.size() <= 256);  // enum Defect

using DefectSet = std::bitset<kDefects.size()>;
inline DefectSet only(Defect id) { return DefectSet().set(static_cast<size_t>(id)); }

/// Which are on. Constant and empty in daemons, writable in the testbed.
const DefectSet& active_defects();

inline bool defect_is_on(Defect id) { return active_defects()[static_cast<size_t>(id)]; }

constexpr std::optional<Defect> find_defect(std::string_view name) {
    for (const DefectInfo& info : kDefects)
        if (info.name == name) return info.id;
    return std::nullopt;
}

}  // namespace orrery

#define ORRERY_DEFECT(name) (::orrery::defect_is_on(::orrery::Defect::name))
