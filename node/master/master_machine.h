// MasterMachine: the masters' records as the state machine of their Raft group, over the Store.
//
// Everything lies in the Store; memory holds the counters and the clients' sessions, both bounded.
#pragma once

#include <map>
#include <optional>

#include "node/master/list_cache.h"
#include "node/master/master_state.h"
#include "node/master/partition_list.h"
#include "node/master/placed.h"
#include "node/raft/state_machine.h"

namespace orrery::master {

class MasterMachine : public raft::StateMachine {
 public:
    explicit MasterMachine(store::Store& store) : store_(store) {}

    Result<void> load(Fiber& fiber, const raft::StateSpace& space) override;
    Result<void> apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) override;
    void applied(LogIndex up_to) override;

    /// Of the applied state.
    const wire::MasterCounters& counters() const { return shown_; }
    /// What a query asks for, all of it as of one applied index: that at which it is called. A snapshot that is installed meanwhile
    /// does not disturb it. Requires: the caller holds the group's space(). Yields. Errors: NotFound (no such volume, partition, task or node),
    /// Io, Corrupt, Cancelled.
    Result<wire::MasterView> view(Fiber& fiber, const wire::MasterQuery& query) const;
    /// One node, and all of them, as view(). Yield.
    Result<std::optional<wire::NodeRecord>> node(Fiber& fiber, NodeId node) const;
    Result<std::vector<wire::NodeRecord>> nodes(Fiber& fiber) const;

    // ---- lists: what list_service answers from. Requires, for all that yield: the caller holds the group's space().

    /// Of the applied state at every moment.
    ListCache& lists() { return lists_; }
    const ListCache& lists() const { return lists_; }
    /// nullopt: there is no volume of that id. Yields. Errors: Io, Corrupt, Cancelled.
    Result<std::optional<std::string>> volume_name(Fiber& fiber, VolumeId volume) const;
    /// As stored; nullopt: there is no volume of that name. Yields. Errors: Io, Corrupt, Cancelled.
    Result<std::optional<Bytes>> volume_record(Fiber& fiber, const std::string& name) const;
    /// The whole list, as of the moment of the call. Yields, page by page. Errors: Io, Corrupt, Cancelled.
    Result<std::shared_ptr<const PartitionList>> read_list(Fiber& fiber, const wire::VolumeRecord& volume) const;
    /// The partitions that changed after `since`, as of the moment of the call; null: more than half of the volume's. Yields. Requires: since >=
    /// volume.created. Errors: Io, Corrupt, Cancelled.
    Result<std::shared_ptr<const PartitionList::Delta>> read_changes(Fiber& fiber, const wire::VolumeRecord& volume, LogIndex since) const;
    /// All that a plan is made of, as of one applied index. What is `Known` from an earlier call and has not changed since is kept, nodes
    /// aside, which are always read. Requires: the caller holds the group's space(). Yields. Errors: Io, Corrupt, Cancelled; `placed` is then
    /// as it was.
    enum class Known : uint8_t { Nothing, Before };
    Result<void> refresh(Fiber& fiber, Placed& placed, Known known) const;

    /// The most records that one view holds; it ends earlier where they are large.
    static constexpr uint32_t kPageMax = 5000;

 private:
    class BatchView;
    /// What readers and apply() use of the Store: one space, at one point of it or as it is now.
    class Records;
    static Result<std::vector<std::pair<Bytes, Bytes>>> partitions_at(const Records& records, const std::vector<PartitionId>& ids);
    Result<void> apply_all(Fiber& fiber, std::span<raft::ApplyItem> items);

    store::Store& store_;
    raft::StateSpace space_;
    MasterState state_;              // as of the batch that is being applied
    bool broken_off_ = false;        // a batch failed half-way: state_ is of nothing
    wire::MasterCounters shown_;     // as of the last one that was
    std::map<Bytes, std::optional<Bytes>> changed_;  // by the entries of this batch so far
    ListCache lists_;
};

}  // namespace orrery::master
