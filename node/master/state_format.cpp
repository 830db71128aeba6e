#include "node/master/state_format.h"

namespace orrery::master {

namespace {

enum class Area : uint8_t {  // stored; never renumber. Area 0 is the driver's.
    Counters = 1,
    Nodes = 2,
    Volumes = 3,
    Partitions = 4,
    VolumePartitions = 5,
    Sessions = 6,
    Tasks = 7,
    PartitionTasks = 8,
    VolumeNames = 32,
    VolumeChanges = 33,
};

Bytes begin_of(Area area) { return Bytes(1, static_cast<char>(area)); }
Bytes end_of(Area area) { return Bytes(1, static_cast<char>(static_cast<uint8_t>(area) + 1)); }

Bytes with_id(Bytes key, uint64_t id) {
    put_be64(key, id);
    return key;
}

/// The first key behind `key`.
Bytes behind(Bytes key) {
    key.push_back('\0');
    return key;
}

}  // namespace

Bytes counters_key() { return begin_of(Area::Counters); }
Bytes node_key(NodeId node) { return with_id(begin_of(Area::Nodes), node.value); }
Bytes volume_key(ByteView name) { return begin_of(Area::Volumes) += name; }
Bytes partition_key(PartitionId partition) { return with_id(begin_of(Area::Partitions), partition.value); }
Bytes volume_partition_key(VolumeId volume, PartitionId partition) {
    return with_id(with_id(begin_of(Area::VolumePartitions), volume.value), partition.value);
}
Bytes session_key(ClientId client) { return with_id(begin_of(Area::Sessions), client.value); }

Bytes volume_name_key(VolumeId volume) { return with_id(begin_of(Area::VolumeNames), volume.value); }
Bytes volume_change_key(VolumeId volume, LogIndex modified, PartitionId partition) {
    return with_id(with_id(with_id(begin_of(Area::VolumeChanges), volume.value), modified.value), partition.value);
}
Bytes task_key(TaskId task) { return with_id(begin_of(Area::Tasks), task.value); }
Bytes partition_task_key(PartitionId partition) { return with_id(begin_of(Area::PartitionTasks), partition.value); }

KeyRange nodes_after(NodeId node) { return {behind(node_key(node)), end_of(Area::Nodes)}; }
KeyRange volumes_after(ByteView name) { return {behind(volume_key(name)), end_of(Area::Volumes)}; }
KeyRange partitions_of(VolumeId volume, PartitionId after) {
    return {behind(volume_partition_key(volume, after)), with_id(begin_of(Area::VolumePartitions), volume.value + 1)};
}
KeyRange sessions() { return {begin_of(Area::Sessions), end_of(Area::Sessions)}; }

KeyRange volumes() { return {begin_of(Area::Volumes), end_of(Area::Volumes)}; }
KeyRange volume_changes() { return {begin_of(Area::VolumeChanges), end_of(Area::VolumeChanges)}; }
KeyRange volume_changes_after(VolumeId volume, LogIndex since) {
    return {volume_change_key(volume, since.next(), PartitionId()), with_id(begin_of(Area::VolumeChanges), volume.value + 1)};
}
KeyRange partitions_between(PartitionId first, PartitionId last) { return {partition_key(first), behind(partition_key(last))}; }

Result<VolumeChange> volume_change_of_key(ByteView key) {
    if (key.size() != 1 + 3 * sizeof(uint64_t)) return Error(Code::Corrupt, "master store: a key of a volume's change is cut short or too long");
    auto number = [&](size_t i) { return get_be64(key.data() + 1 + i * sizeof(uint64_t)); };
    return VolumeChange{VolumeId(number(0)), LogIndex(number(1)), PartitionId(number(2))};
}

KeyRange partitions_after(PartitionId partition) { return {behind(partition_key(partition)), end_of(Area::Partitions)}; }
KeyRange tasks_after(TaskId task) { return {behind(task_key(task)), end_of(Area::Tasks)}; }

Bytes encode_task_id(TaskId task) { return with_id(Bytes(), task.value); }

Result<TaskId> decode_task_id(ByteView bytes) {
    if (bytes.size() != sizeof(uint64_t)) return Error(Code::Corrupt, "master store: the id of a partition's task is cut short or too long");
    return TaskId(get_be64(bytes.data()));
}

Result<PartitionId> partition_of_key(ByteView key) {
    if (key.size() != 1 + 2 * sizeof(uint64_t)) return Error(Code::Corrupt, "master store: a key of a volume's partition is cut short or too long");
    return PartitionId(get_be64(key.data() + 1 + sizeof(uint64_t)));
}

}  // namespace orrery::master
