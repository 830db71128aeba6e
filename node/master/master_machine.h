// MasterMachine: the masters' records as the state machine of their Raft group, over the Store.
//
// Everything lies in the Store; memory holds the counters and the clients' sessions, both bounded.
#pragma once

#include <map>
#include <optional>

#include "node/master/master_state.h"
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
    Result<void> apply_all(Fiber& fiber, std::span<raft::ApplyItem> items);

    store::Store& store_;
    raft::StateSpace space_;
    MasterState state_;              // as of the batch that is being applied
    bool broken_off_ = false;        // a batch failed half-way: state_ is of nothing
    wire::MasterCounters shown_;     // as of the last one that was
    std::map<Bytes, std::optional<Bytes>> changed_;  // by the entries of this batch so far
};

}  // namespace orrery::master
