// Where the masters' records lie in the Store, below the (group, generation) that the caller puts in front.
//
// Numbers are big-endian, so that keys of one kind lie in the order of their ids; volumes lie in the order of their names.
#pragma once

#include "node/wire/master.h"
#include "runtime/base/bytes.h"
#include "runtime/base/result.h"

namespace orrery::master {

/// A range of keys [begin, end).
struct KeyRange {
    Bytes begin, end;
};

Bytes counters_key();
Bytes node_key(NodeId node);
Bytes volume_key(ByteView name);
Bytes partition_key(PartitionId partition);
/// Says that the partition is of the volume; its value is empty.
Bytes volume_partition_key(VolumeId volume, PartitionId partition);
Bytes session_key(ClientId client);
/// Holds the volume's name. Volumes that were made before there was this area have none.
Bytes volume_name_key(VolumeId volume);
/// The index that lists of what changed are made from; its value is empty. There is one for every partition that changed after its
/// volume was made, at its last change: none for those still as they were made, and so none in a Store of an older version, in
/// which no partition ever changed.
Bytes volume_change_key(VolumeId volume, LogIndex modified, PartitionId partition);
Bytes task_key(TaskId task);
/// Its value is the id of the partition's task, by encode_task_id().
Bytes partition_task_key(PartitionId partition);

KeyRange nodes_after(NodeId node);
KeyRange volumes_after(ByteView name);
KeyRange partitions_of(VolumeId volume, PartitionId after);
KeyRange sessions();
KeyRange volumes();
/// Of all volumes; and of one, by later entries than `since`.
KeyRange volume_changes();
KeyRange volume_changes_after(VolumeId volume, LogIndex since);
/// Both included.
KeyRange partitions_between(PartitionId first, PartitionId last);
KeyRange partitions_after(PartitionId partition);
KeyRange tasks_after(TaskId task);

struct VolumeChange {
    VolumeId volume;
    LogIndex modified;
    PartitionId partition;
};
/// What a volume_change_key() says. Errors: Corrupt.
Result<VolumeChange> volume_change_of_key(ByteView key);
/// The partition that a volume_partition_key() names. Errors: Corrupt.
Result<PartitionId> partition_of_key(ByteView key);
Bytes encode_task_id(TaskId task);
/// Errors: Corrupt.
Result<TaskId> decode_task_id(ByteView bytes);

}  // namespace orrery::master
