#include "sim/scenario/master_model.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {

template <typename Record>
std::vector<Record> decoded(const std::vector<std::pair<Bytes, Bytes>>& pairs, Result<Record> (*decode)(ByteView)) {
    std::vector<Record> out;
    for (const auto& [key, value] : pairs) {
        Result<Record> record = decode(value);
        CHECK(record.ok(), record.error().text());
        out.push_back(std::move(*record));
    }
    return out;
}

/// One page of a list: `shown` are the first of `all`, and all of them unless there is more.
template <typename Record>
std::optional<std::string> compare_page(std::string_view what, const std::vector<Record>& all, const std::vector<Record>& shown, const wire::MasterQuery& query,
                                        const wire::MasterView& view) {
    const std::string of = " of " + std::string(what) + " at version " + std::to_string(view.version.value);
    if (shown.size() > all.size()) return std::to_string(shown.size()) + of + " are shown, and there are " + std::to_string(all.size());
    for (size_t i = 0; i < shown.size(); ++i)
        if (!(shown[i] == all[i])) return "number " + std::to_string(i) + of + " is not what it was then";
    if (shown.size() < all.size() && !view.more) return std::to_string(shown.size()) + of + " are shown as all, and there are " + std::to_string(all.size());
    if (shown.size() == all.size() && view.more) return "more than all" + of + " are promised";
    if (shown.size() > std::max<uint32_t>(1, query.limit)) return "a page" + of + " is larger than it was asked to be";
    return std::nullopt;
}

}  // namespace

/// The newest records.
class MasterModel::Records : public master::StateView {
 public:
    explicit Records(const MasterModel& model) : model_(model) {}
    Result<std::optional<Bytes>> get(ByteView key) override {
        const std::optional<Bytes>* found = model_.find(Bytes(key), LogIndex(UINT64_MAX));
        return found != nullptr ? *found : std::optional<Bytes>();
    }
    Result<Pairs> scan(const master::KeyRange& range, size_t limit) override {
        Pairs all = model_.range(range, LogIndex(UINT64_MAX));
        if (all.size() > limit) all.resize(limit);
        return all;
    }

 private:
    const MasterModel& model_;
};

const std::optional<Bytes>* MasterModel::find(const Bytes& key, LogIndex index) const {
    const auto found = records_.find(key);
    if (found == records_.end()) return nullptr;
    const auto behind = std::ranges::upper_bound(found->second, index, {}, &Version::index);
    return behind == found->second.begin() ? nullptr : &std::prev(behind)->value;
}

std::vector<std::pair<Bytes, Bytes>> MasterModel::range(const master::KeyRange& range, LogIndex index) const {
    std::vector<std::pair<Bytes, Bytes>> out;
    for (auto at = records_.lower_bound(range.begin); at != records_.end() && at->first < range.end; ++at)
        if (const std::optional<Bytes>* value = find(at->first, index); value != nullptr && *value) out.emplace_back(at->first, **value);
    return out;
}

std::map<Bytes, Bytes> MasterModel::at(LogIndex index) const {
    const auto pairs = range({Bytes(), Bytes(1, '\xff')}, index);
    return {pairs.begin(), pairs.end()};
}

std::optional<std::string> MasterModel::apply(LogIndex index, std::optional<ByteView> body) {
    CHECK(index == applied_.next(), index, applied_);
    applied_ = index;
    if (!body) return std::nullopt;
    Result<wire::MasterCommand> command = wire::decode_master_command(*body);
    if (!command.ok()) return "entry " + std::to_string(index.value) + ": " + command.error().text();
    Records records(*this);
    Result<master::MasterState::Applied> applied = state_.apply(*command, index, records);
    if (!applied.ok()) return "entry " + std::to_string(index.value) + ": " + applied.error().text();
    std::optional<std::string> wrong;
    for (const master::MasterState::Change& change : applied->changes) {
        if (std::optional<std::string> one = look_at(index, change); one && !wrong) wrong = std::move(one);
        std::vector<Version>& versions = records_[change.key];
        if (!versions.empty() && versions.back().index == index) versions.pop_back();
        versions.push_back({index, change.value});
    }
    return wrong;
}

/// Ids are given once, in order, and members of one partition lie on different nodes. Before the change is among the records.
std::optional<std::string> MasterModel::look_at(LogIndex index, const master::MasterState::Change& change) {
    if (!change.value) return std::nullopt;
    const std::string at = "entry " + std::to_string(index.value) + ": ";
    const std::optional<Bytes>* before = find(change.key, index);
    const bool made = before == nullptr || !*before;
    if (change.key.starts_with(master::partition_key(PartitionId()).substr(0, 1))) {
        Result<wire::PartitionRecord> partition = wire::decode_partition_record(*change.value);
        if (!partition.ok()) return at + partition.error().text();
        const std::string name = at + "partition " + std::to_string(partition->partition.value);
        if (partition->modified != index) return name + " changes without saying so";
        std::set<NodeId> nodes;
        const ReplicaId highest = highest_replica();
        for (const wire::PartitionMember& member : partition->members) {
            if (!nodes.insert(member.node).second) return name + " has two members on node " + std::to_string(member.node.value);
            const auto given = replicas_.try_emplace(member.replica, partition->partition).first;
            if ((made && member.replica <= highest) || given->second != partition->partition) return name + " has a replica id that was given before";
        }
        if (made && partition->partition <= highest_partition_) return name + " has an id that was given before";
        highest_partition_ = std::max(highest_partition_, partition->partition);
    } else if (change.key.starts_with(master::task_key(TaskId()).substr(0, 1))) {
        Result<wire::TaskRecord> task = wire::decode_task_record(*change.value);
        if (!task.ok()) return at + task.error().text();
        const ReplicaId highest = highest_replica();
        replicas_.try_emplace(task->destination.replica, task->partition);
        if (made && task->destination.replica <= highest)
            return at + "task " + std::to_string(task->task.value) + " has a replica id that was given before";
    } else if (change.key.starts_with(master::volume_key("").substr(0, 1))) {
        Result<wire::VolumeRecord> volume = wire::decode_volume_record(*change.value);
        if (!volume.ok()) return at + volume.error().text();
        if (made && volume->volume <= highest_volume_) return at + "volume " + volume->name + " has an id that was given before";
        highest_volume_ = std::max(highest_volume_, volume->volume);
    }
    return std::nullopt;
}

std::optional<std::string> MasterModel::compare(const wire::MasterQuery& query, const wire::MasterView& view) const {
    CHECK(view.version <= applied_, view.version, applied_);
    const LogIndex version = view.version;
    wire::MasterCounters counters;
    if (const std::optional<Bytes>* stored = find(master::counters_key(), version); stored != nullptr && *stored) {
        Result<wire::MasterCounters> read = wire::decode_master_counters(**stored);
        CHECK(read.ok(), read.error().text());
        counters = *read;
    }
    if (!(view.counters == counters)) return "the counts are not those of version " + std::to_string(version.value);
    switch (query.topic) {
        case wire::MasterTopic::Nodes:
            return compare_page("nodes", decoded(range(master::nodes_after(NodeId(query.after)), version), &wire::decode_node_record), view.nodes, query, view);
        case wire::MasterTopic::Volumes:
            return compare_page("volumes", decoded(range(master::volumes_after(query.name), version), &wire::decode_volume_record), view.volumes, query, view);
        case wire::MasterTopic::Volume:
        case wire::MasterTopic::Partitions: {
            const std::optional<wire::VolumeRecord> known = volume(query.name, version);
            if (!known || view.volumes.size() != 1 || !(view.volumes.front() == *known))
                return "volume " + query.name + " is not what it was at version " + std::to_string(version.value);
            if (query.topic == wire::MasterTopic::Volume) return std::nullopt;
            return compare_page("the partitions of " + query.name, partitions(known->volume, PartitionId(query.after), version), view.partitions, query, view);
        }
        case wire::MasterTopic::Tasks:
            return compare_page("tasks", decoded(range(master::tasks_after(TaskId(query.after)), version), &wire::decode_task_record), view.tasks, query, view);
        case wire::MasterTopic::Counters: return std::nullopt;  // looked at above
        case wire::MasterTopic::Partition:
        case wire::MasterTopic::Task:
        case wire::MasterTopic::Node: return "this model does not know what that question's answer must be";
    }
    return std::nullopt;
}

std::optional<wire::VolumeRecord> MasterModel::volume(const std::string& name, LogIndex index) const {
    const std::optional<Bytes>* stored = find(master::volume_key(name), index);
    if (stored == nullptr || !*stored) return std::nullopt;
    return wire::decode_volume_record(**stored).value();
}

std::vector<wire::PartitionRecord> MasterModel::partitions(VolumeId volume, PartitionId after, LogIndex index) const {
    std::vector<wire::PartitionRecord> out;
    for (const auto& [key, nothing] : range(master::partitions_of(volume, after), index)) {
        const Result<PartitionId> id = master::partition_of_key(key);
        const std::optional<Bytes>* stored = find(master::partition_key(*id), index);
        CHECK(stored != nullptr && *stored, id->value, index);
        out.push_back(wire::decode_partition_record(**stored).value());
    }
    return out;
}

std::optional<std::string> MasterModel::compare(const client::VolumeList& list, LogIndex version) const {
    CHECK(version <= applied_, version, applied_);
    const std::string at = list.volume.name + " at version " + std::to_string(version.value);
    const std::optional<wire::VolumeRecord> known = volume(list.volume.name, version);
    if (!known || !(*known == list.volume) || list.version != known->modified) return "the list of volume " + at + " is of another one";
    const std::vector<wire::PartitionRecord> all = partitions(known->volume, PartitionId(), version);
    if (all.size() != list.partitions.size())
        return "the list of volume " + at + " has " + std::to_string(list.partitions.size()) + " partitions, not " + std::to_string(all.size());
    for (size_t i = 0; i < all.size(); ++i)
        if (!(*list.partitions[i] == all[i])) return "the list of volume " + at + " has partition " + std::to_string(all[i].partition.value) + " as it was not then";
    return std::nullopt;
}

std::optional<std::string> MasterModel::count() const {
    const LogIndex now(UINT64_MAX);
    const auto nodes = decoded(range(master::nodes_after(NodeId()), now), &wire::decode_node_record);
    const auto volumes = decoded(range(master::volumes_after(""), now), &wire::decode_volume_record);
    const auto partitions = decoded(range({master::partition_key(PartitionId()), master::partition_key(PartitionId(UINT64_MAX))}, now), &wire::decode_partition_record);
    std::map<std::pair<NodeId, DiskId>, uint64_t> members;
    std::map<VolumeId, uint64_t> of_volume;
    // The index that deltas are made from: one key for each partition that changed after its volume was made, at its last change.
    std::map<VolumeId, LogIndex> made;
    for (const wire::VolumeRecord& volume : volumes) made[volume.volume] = volume.created;
    std::set<Bytes> changes;
    for (const auto& [key, nothing] : range(master::volume_changes(), now)) changes.insert(key);
    for (const wire::PartitionRecord& partition : partitions) {
        if (partition.modified > made[partition.volume] && changes.erase(master::volume_change_key(partition.volume, partition.modified, partition.partition)) == 0)
            return "partition " + std::to_string(partition.partition.value) + " changed and is not in the index of changes";
        ++of_volume[partition.volume];
        for (const wire::PartitionMember& member : partition.members) ++members[{member.node, member.disk}];
    }
    const auto tasks = decoded(range(master::tasks_after(TaskId()), now), &wire::decode_task_record);
    for (const wire::TaskRecord& task : tasks) ++members[{task.destination.node, task.destination.disk}];  // a place is taken before the member comes
    for (const wire::NodeRecord& node : nodes)
        for (const wire::DiskRecord& disk : node.disks) {
            const uint64_t there = members[{node.node, disk.disk}];
            members.erase({node.node, disk.disk});
            if (disk.members != there)
                return "disk " + std::to_string(disk.disk.value) + " of node " + std::to_string(node.node.value) + " counts " + std::to_string(disk.members) +
                       " members, and has " + std::to_string(there);
        }
    if (!members.empty()) return "members are placed on a disk that nobody has";
    if (!changes.empty()) return "the index of changes has " + std::to_string(changes.size()) + " keys of what is no more";
    for (const wire::VolumeRecord& volume : volumes) {
        if (volume.partitions != of_volume[volume.volume])
            return "volume " + volume.name + " counts " + std::to_string(volume.partitions) + " partitions, and has " + std::to_string(of_volume[volume.volume]);
        of_volume.erase(volume.volume);
    }
    if (!of_volume.empty()) return "a partition is of volume " + std::to_string(of_volume.begin()->first.value) + ", which is not there";
    const wire::MasterCounters& counters = state_.counters();
    if (counters.tasks != tasks.size()) return "the state counts " + std::to_string(counters.tasks) + " tasks, and has " + std::to_string(tasks.size());
    if (counters.nodes != nodes.size() || counters.volumes != volumes.size() || counters.partitions != partitions.size())
        return "the state counts " + std::to_string(counters.nodes) + " nodes, " + std::to_string(counters.volumes) + " volumes, " + std::to_string(counters.partitions) +
               " partitions, and has " + std::to_string(nodes.size()) + ", " + std::to_string(volumes.size()) + ", " + std::to_string(partitions.size());
    return std::nullopt;
}

}  // namespace orrery::sim
