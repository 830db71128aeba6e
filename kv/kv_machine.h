// KvMachine: the keyspace as the state machine of a Raft group, over the Store.
//
// apply() computes a batch against the Store and an overlay of itself, and changes nothing that readers see; applied()
// makes it so. Replies of clients with a deduplication slot are part of the state.
#pragma once

#include <map>
#include <optional>

#include "kv/created_keys.h"
#include "kv/execute.h"
#include "kv/overlay.h"
#include "kv/record_cache.h"
#include "kv/reply_cache.h"
#include "kv/state_time.h"
#include "kv/stored_format.h"
#include "node/raft/state_machine.h"

namespace orrery::kv {

class KvMachine : public raft::StateMachine {
 public:
    KvMachine(Env& env, store::Store& store, RecordCache::Options cache) : env_(env), store_(store), cache_(cache) {}

    Result<void> load(Fiber& fiber, const raft::StateSpace& space) override;
    Result<void> apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) override;
    void applied(LogIndex up_to) override;
    raft::TimeOffer time_offer() const override;
    void observe_heartbeat(const raft::TimeOffer& offer) override;
    void observe_vote(const raft::TimeOffer& offer, NodeId from, Term term) override;
    void elected(Term term, const raft::Entry* newest) override;

    /// A read of the applied state. Requires: a read barrier was passed, Route::Read. Yields. Errors: Io, Corrupt,
    /// Cancelled, Stale (a snapshot came in between: ask again).
    /// `draw` is for commands that choose (RANDOMKEY).
    Result<Executed> read(Fiber& fiber, const Request& request, LogTime now, uint64_t draw = 0);
    /// What GET sees of a key that the cache knows, a record or none, at once; nothing: read() has to look. Requires: as read().
    std::optional<RecordRef> get_known(ByteView key, LogTime now);
    /// Before a row of reads: has the processor fetch what is known of their first keys, all at once.
    void fetch(std::span<const Request> requests) const;
    /// State-machine time as this node knows it now.
    struct TimeView {
        TimeOrigin origin = TimeOrigin::None;
        LogTime time;     // a lower bound when origin is None
        WallTime wall;    // of this node
        Duration ahead() const { return Duration::nanos(time.ns - wall.ns); }
    };
    TimeView time_view() const;
    /// The leader has proposed an entry that moves time to `to`: nothing that it stamps from now on may lie before that.
    void advance_time(LogTime to) { time_.advance(to, env_.now()); }
    /// The leader's stamp for what it proposes now. Never goes back while it leads. Requires: it leads, or led.
    Stamp stamp() { return {time_.stamp(env_.now(), env_.clock.wall()), time_.tag().epoch}; }
    const Metadata& metadata() const { return metadata_; }
    uint64_t hits() const { return hits_; }
    uint64_t misses() const { return misses_; }

    /// Keys of one chunk of the keyspace that are expired at `time`, for a Purge entry. `cursor` is where the chunk begins,
    /// empty for the start, and is moved on. Yields. Errors: as read().
    Result<std::vector<Bytes>> expired_keys(Fiber& fiber, Bytes& cursor, LogTime time);

    /// The live keys of the applied state, in no order that means anything, as of one instant, until `visit` (atomic) says that it has
    /// enough. Reads everything up to there. Yields. Errors: as read().
    Result<void> for_each_key(Fiber& fiber, FunctionRef<bool(ByteView)> visit);

    /// A digest of the logical state at the applied index: equal on all members at the same index. Reads everything.
    /// Yields. Errors: as read().
    struct Digest {
        LogIndex applied;
        uint64_t digest = 0;
        uint64_t keys = 0;
    };
    Result<Digest> digest(Fiber& fiber);

 private:
    Result<void> for_each_record(Fiber& fiber, FunctionRef<bool(ByteView key, const ValueView& value)> visit);
    class AppliedView;
    class BatchView;
    Result<RecordRef> stored(Fiber& fiber, const Space& space, FlushEpoch epoch, const HashedKey& key, const store::Snapshot* at);
    void fetch_keys(std::span<const uint64_t> hashes) const;
    void put_time(store::Batch& batch);
    void set_floor();
    Result<KeyspaceView::Stretch> stored_stretch(Fiber& fiber, const Space& space, FlushEpoch epoch, uint64_t position, size_t records_max,
                                                 const store::Snapshot* at);
    Result<Executed> execute_entry(const LogEntry& entry, const ExecuteContext& context, KeyspaceView& view);
    void take_effects(Executed& done, LogIndex index, store::Batch& batch);
    LogIndex created_at(uint64_t key_hash) const;
    Space space() const { return {space_.group, space_.generation}; }

    Env& env_;
    store::Store& store_;
    raft::StateSpace space_;
    Metadata metadata_;
    ReplyCache replies_;
    StateTime time_;
    bool time_loaded_ = false;
    bool just_loaded_ = false;              // nothing was applied since; for a seeded defect
    bool flush_time_ = false;               // the stored pair is worth a flush of its own
    std::optional<StoredTime> flushed_time_;  // the pair when a flush was last asked for
    Instant flushed_time_at_;
    RecordCache cache_;  // equals the applied state
    CreatedKeys created_;
    uint64_t hits_ = 0;
    uint64_t misses_ = 0;

    // The batch that is being applied; applied() makes it the state.
    Metadata next_;
    std::vector<std::pair<LogTime, LogTime>> next_moves_;  // of state-machine time, by its SetTime entries
    Overlay overlay_;                          // what its entries so far did
    std::map<uint16_t, LogIndex> next_created_;  // bucket -> index
    Bytes key_bytes_, value_bytes_;              // for putting records together
};

}  // namespace orrery::kv
