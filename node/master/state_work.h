// What one command does to the records, while it does it. For the parts of MasterState alone: master_state.cpp, task_state.cpp.
#pragma once

#include <algorithm>
#include <string>

#include "node/master/master_state.h"

namespace orrery::master {

inline std::string number(uint64_t value) { return std::to_string(value); }

/// One command under way.
struct MasterState::Work {
    LogIndex index;
    StateView& view;
    Applied& applied;
    std::map<NodeId, wire::NodeRecord> nodes;  // that it changes
    std::map<VolumeId, wire::VolumeRecord> volumes;  // of partitions that it changes

    template <typename Record>
    Result<std::optional<Record>> read(ByteView key, Result<Record> (*decode)(ByteView)) {
        TRY(std::optional<Bytes> bytes, view.get(key));
        if (!bytes) return std::optional<Record>();
        TRY(Record record, decode(*bytes));
        return std::optional<Record>(std::move(record));
    }
    void put(Bytes key, Bytes value) { applied.changes.push_back({std::move(key), std::move(value)}); }
    void erase(Bytes key) { applied.changes.push_back({std::move(key), std::nullopt}); }

    /// A new partition of the volume, which the caller writes.
    void add_partition(wire::VolumeRecord& volume, wire::PartitionRecord now) { move_in_index(volume, nullptr, std::move(now)); }
    /// A partition that is another now, and its volume with it. Every change of a partition goes through here: lists of what changed are made
    /// from the index that it moves.
    Result<void> put_partition(const wire::PartitionRecord& before, wire::PartitionRecord now) {
        auto found = volumes.find(now.volume);
        if (found == volumes.end()) {
            TRY(wire::VolumeRecord volume, volume_of(now.volume));
            found = volumes.emplace(now.volume, std::move(volume)).first;
        }
        move_in_index(found->second, &before, std::move(now));
        return {};
    }
    /// By its id. Names were not always kept by id: then all volumes are looked through.
    Result<wire::VolumeRecord> volume_of(VolumeId id) {
        TRY(std::optional<Bytes> name, view.get(volume_name_key(id)));
        if (name) {
            TRY(std::optional<wire::VolumeRecord> volume, read(volume_key(*name), &wire::decode_volume_record));
            if (volume) return std::move(*volume);
        }
        constexpr size_t kPage = 1000;
        std::string after;
        for (bool more = !name; more;) {
            TRY(StateView::Pairs page, view.scan(volumes_after(after), kPage));
            more = page.size() == kPage;
            for (const auto& [key, value] : page) {
                TRY(wire::VolumeRecord volume, wire::decode_volume_record(value));
                if (volume.volume == id) return volume;
                after = std::move(volume.name);
            }
        }
        return Error(Code::Corrupt, "master store: volume " + number(id.value) + " has partitions and no record");
    }

    /// A disk on which a member is placed, or was; null when there is none such. Its node is written by put_nodes().
    Result<wire::DiskRecord*> disk(NodeId id, DiskId disk) {
        auto found = nodes.find(id);
        if (found == nodes.end()) {
            TRY(std::optional<wire::NodeRecord> node, read(node_key(id), &wire::decode_node_record));
            if (!node) return nullptr;
            found = nodes.emplace(id, std::move(*node)).first;
        }
        const auto on_it = std::ranges::find(found->second.disks, disk, &wire::DiskRecord::disk);
        if (on_it == found->second.disks.end()) return nullptr;
        found->second.modified = index;
        return &*on_it;
    }
    /// A member is on its disk no more.
    Result<void> leave(const wire::PartitionMember& member) {
        TRY(wire::DiskRecord * on, disk(member.node, member.disk));
        if (on != nullptr && on->members > 0) --on->members;
        return {};
    }
    Result<std::optional<wire::TaskRecord>> task_of(PartitionId partition) {
        TRY(std::optional<TaskId> id, read(partition_task_key(partition), &decode_task_id));
        if (!id) return std::optional<wire::TaskRecord>();
        TRY(std::optional<wire::TaskRecord> task, read(task_key(*id), &wire::decode_task_record));
        if (!task) return Error(Code::Corrupt, "master store: task " + number(id->value) + " has no record");
        return task;
    }
    void end(const wire::TaskRecord& task) {
        erase(task_key(task.task));
        erase(partition_task_key(task.partition));
        --applied.counters.tasks;
        applied.counters.placed = index;
    }
    void put_nodes() {
        for (const auto& [id, node] : nodes)
            if (node.modified == index) put(node_key(id), wire::encode_node_record(node));
    }
    void put_volumes() {
        for (const auto& [id, volume] : volumes) put(volume_key(volume.name), wire::encode_volume_record(volume));
    }

 private:
    void move_in_index(wire::VolumeRecord& volume, const wire::PartitionRecord* before, wire::PartitionRecord now) {
        if (before != nullptr && before->modified > volume.created) erase(volume_change_key(volume.volume, before->modified, before->partition));
        now.modified = volume.modified = index;
        if (index > volume.created) put(volume_change_key(volume.volume, index, now.partition), Bytes());
        put(partition_key(now.partition), wire::encode_partition_record(now));
    }
};

}  // namespace orrery::master
