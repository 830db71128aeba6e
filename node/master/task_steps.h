// What a task wants next, by the records and by what data nodes have reported. Pure: whoever drives tasks asks again and again, and a
// leader that has just begun gets the same answer as the one before it would have.
#pragma once

#include <string>
#include <vector>

#include "node/master/placed.h"
#include "runtime/base/time.h"

namespace orrery::master {

struct TaskAction {
    enum class What : uint8_t {
        Wait,               // `text` says for what
        Create,             // at the destination
        AddLearner,         // at the partition's leader, as the next three
        Promote,
        RemoveSource,
        RemoveDestination,
        Advance,            // an entry: to `next`, by what `voters` and `learners` say
        Fail,               // an entry: it ends without effect, because of `text`; empty: it is not wanted any more
    };
    What what = What::Wait;
    NodeId at;  // whom to ask
    std::string text;
    wire::TaskStep next = wire::TaskStep::Create;
    std::vector<ReplicaId> voters, learners;
    std::optional<LogIndex> configuration;  // for the requests to the leader: what it reported, and what must still be so
    wire::PartitionMember source;  // Advance from RemoveSource to RemoveSource: who goes instead
};

/// How the step has gone so far, as this office knows.
struct StepSoFar {
    Duration tried;          // since when
    std::string last_error;  // of an attempt
};

struct StepLimits {
    /// A destination that cannot be had for so long is given up. 10 s..1 d
    Duration create_max = Duration::seconds(300);
};

/// Requires: the task's partition is in `placed`.
TaskAction next_action(const Placed& placed, const Reports& reports, const wire::TaskRecord& task, const StepSoFar& so_far, const StepLimits& limits);

}  // namespace orrery::master
