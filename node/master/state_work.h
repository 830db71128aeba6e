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

    template <typename Record>
    Result<std::optional<Record>> read(ByteView key, Result<Record> (*decode)(ByteView)) {
        TRY(std::optional<Bytes> bytes, view.get(key));
        if (!bytes) return std::optional<Record>();
        TRY(Record record, decode(*bytes));
        return std::optional<Record>(std::move(record));
    }
    void put(Bytes key, Bytes value) { applied.changes.push_back({std::move(key), std::move(value)}); }
    void erase(Bytes key) { applied.changes.push_back({std::move(key), std::nullopt}); }

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
};

}  // namespace orrery::master
