// VolumeList: a client's copy of the list of one volume, and what an answer makes of it. Pure.
//
// A delta is taken for what it was asked for only: changes since exactly the version that is held. Whatever does not fit is
// refused, and asked for as a whole.
#pragma once

#include <memory>
#include <vector>

#include "node/wire/master_list.h"

namespace orrery::client {

/// Never changes once it is made; lists that follow each other share the records that stay.
struct VolumeList {
    wire::VolumeRecord volume;
    LogIndex version;
    std::vector<std::shared_ptr<const wire::PartitionRecord>> partitions;  // by id

    /// Null: there is no such partition.
    const wire::PartitionRecord* find(PartitionId partition) const;
};

/// The list behind an answer to who asked with `since`. `held`: what there is now; null: nothing. `records`: all of the answer.
/// Returns `held` itself where the answer says that it is the list still.
/// Errors: Stale: the answer changes something else than `held`, or is of an older list: ask for the whole list. Corrupt: the answer
/// contradicts itself.
Result<std::shared_ptr<const VolumeList>> list_behind(const std::shared_ptr<const VolumeList>& held, LogIndex since, const wire::MasterListAnswer& answer, ByteView records);

}  // namespace orrery::client
