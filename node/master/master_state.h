// MasterState: what an entry of the masters' log does to their records. Pure: no I/O, no clock, no chance; all that it reads
// comes through StateView, all that it changes is in what it returns.
//
// A refusal changes nothing but the client's session, and is an answer as any other: a repeated command gets it again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "node/master/state_format.h"
#include "node/wire/master.h"

namespace orrery::master {

/// The records as the next entry sees them, by the keys of state_format.h. May yield in its implementations; nothing changes
/// the records meanwhile. Errors: Io, Corrupt, Cancelled.
class StateView {
 public:
    virtual ~StateView() = default;
    virtual Result<std::optional<Bytes>> get(ByteView key) = 0;
    using Pairs = std::vector<std::pair<Bytes, Bytes>>;
    /// The first of a range, in key order: at least one if there is any, and all if fewer than `limit`.
    virtual Result<Pairs> scan(const KeyRange& range, size_t limit) = 0;
};

/// Bounds that take part in apply: all members of a cluster must agree on them.
struct MasterLimits {
    static constexpr uint32_t replicas_max = 7;
    static constexpr uint32_t partitions_of_command_max = 10'000;
    static constexpr uint32_t partitions_of_volume_max = 200'000;
    // Of the cluster: what a leader reads whole (planner, lists) has a bound.
    static constexpr uint64_t nodes_max = 10'000;
    static constexpr uint64_t volumes_max = 100'000;
    static constexpr uint64_t partitions_max = 1'000'000;
    static constexpr uint32_t disks_max = 256;
    static constexpr size_t name_bytes_max = 63;
    static constexpr size_t text_bytes_max = 255;  // paths and addresses
    static constexpr size_t sessions_max = 4096;
};

/// How far it may be extended.
inline uint32_t most_partitions(const wire::VolumeRecord& volume) {
    return volume.max_partitions == 0 ? MasterLimits::partitions_of_volume_max : volume.max_partitions;
}

/// Letters, digits, '.', '_' and '-', the first a letter or digit. Errors: Invalid.
Result<void> check_name(std::string_view what, ByteView name);

class MasterState {
 public:
    struct Change {
        Bytes key;
        std::optional<Bytes> value;  // nullopt: erased
    };
    struct Applied {
        wire::MasterAnswer answer;
        std::vector<Change> changes;  // in order; one key may come twice
        wire::MasterCounters counters;
    };

    /// As stored. Requires: a fresh MasterState.
    void load(wire::MasterCounters counters) { counters_ = counters; }
    void load(wire::SessionRecord session);
    const wire::MasterCounters& counters() const { return counters_; }

    /// Deterministic in (records, sessions, command, index), and takes effect here at once: the next call sees it. Whoever calls
    /// writes the changes before the next one reads them. Errors: of the view.
    Result<Applied> apply(const wire::MasterCommand& command, LogIndex index, StateView& view);

 private:
    struct Work;
    /// Empty: done.
    struct Verdict {
        std::optional<Error> refused;
    };
    static Verdict refuse(Code code, std::string why) { return {Error(code, std::move(why))}; }
    static Verdict check_node(wire::NodeRecord& node);
    Result<Verdict> register_node(const wire::MasterCommand& command, Work& work);
    Result<Verdict> create_volume(const wire::MasterCommand& command, Work& work);
    Result<Verdict> add_partitions(const wire::MasterCommand& command, wire::VolumeRecord& volume, Work& work);
    Result<Verdict> delete_volume(const wire::MasterCommand& command, Work& work);
    Result<Verdict> extend_volume(const wire::MasterCommand& command, Work& work);
    Result<Verdict> mark_nodes(const wire::MasterCommand& command, Work& work);
    // task_state.cpp
    Result<Verdict> mark_disks(const wire::MasterCommand& command, Work& work);
    Result<Verdict> mark_partitions(const wire::MasterCommand& command, Work& work);
    Result<Verdict> mark_waits(const wire::MasterCommand& command, Work& work);
    Result<Verdict> decommission(const wire::MasterCommand& command, Work& work);
    Result<Verdict> check_nodes_left(const wire::NodeRecord& leaving, Work& work);
    Result<Verdict> cancel_decommission(const wire::MasterCommand& command, Work& work);
    Result<Verdict> start_task(const wire::MasterCommand& command, Work& work);
    Result<Verdict> advance_task(const wire::MasterCommand& command, Work& work);
    Result<Verdict> fail_task(const wire::MasterCommand& command, Work& work);
    void remember(const wire::MasterCommand& command, LogIndex index, Applied& applied);

    wire::MasterCounters counters_;
    std::map<ClientId, wire::SessionRecord> sessions_;
    std::set<std::pair<LogIndex, ClientId>> by_use_;  // of sessions_
};

}  // namespace orrery::master
