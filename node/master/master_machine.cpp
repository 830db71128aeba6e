#include "node/master/master_machine.h"

#include <algorithm>

#include "node/wire/master_list.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr size_t kPageBytes = 4 << 20;
constexpr size_t kListPage = 512;  // keys read before others have their turn

template <typename Record>
Result<void> append(std::vector<Record>& out, const StateView::Pairs& pairs, Result<Record> (*decode)(ByteView)) {
    for (const auto& [key, value] : pairs) {
        TRY(Record record, decode(value));
        out.push_back(std::move(record));
    }
    return {};
}

}  // namespace

class MasterMachine::Records {
 public:
    Records(Fiber& fiber, const store::Store& store, const raft::StateSpace& space, const store::Snapshot* at = nullptr)
        : fiber_(fiber), store_(store), prefix_(raft::space_begin(space)), at_(at) {}

    Result<std::optional<Bytes>> get(ByteView key) const { return store_.get(fiber_, whole(key), at_); }
    /// Ends early, behind a pair, where it has more than `bytes`.
    Result<StateView::Pairs> scan(const KeyRange& range, size_t limit, size_t bytes = SIZE_MAX) const {
        StateView::Pairs out;
        Bytes from = whole(range.begin);
        const Bytes end = whole(range.end);
        for (size_t taken = 0; out.size() < limit && taken <= bytes;) {
            store::Store::ScanLimits limits;
            limits.pairs = limit - out.size();
            TRY(store::Store::Chunk chunk, store_.scan(fiber_, at_, from, end, limits));
            for (auto& [key, value] : chunk.pairs) {
                taken += key.size() + value.size();
                out.emplace_back(key.substr(prefix_.size()), std::move(value));
            }
            if (!chunk.next) break;
            from = std::move(*chunk.next);
        }
        return out;
    }

 private:
    Bytes whole(ByteView key) const { return Bytes(prefix_) += key; }

    Fiber& fiber_;
    const store::Store& store_;
    Bytes prefix_;
    const store::Snapshot* at_;
};

/// The records as the next entry of the batch sees them: the applied state, and on top what the entries before it did.
class MasterMachine::BatchView : public StateView {
 public:
    BatchView(const std::map<Bytes, std::optional<Bytes>>& changed, const Records& stored) : changed_(changed), stored_(stored) {}

    Result<std::optional<Bytes>> get(ByteView key) override {
        const auto changed = changed_.find(Bytes(key));
        if (changed != changed_.end()) return changed->second;
        return stored_.get(key);
    }

    Result<Pairs> scan(const KeyRange& range, size_t limit) override {
        Pairs out;
        Bytes from = range.begin;
        for (;;) {
            // As many more as may turn out to be erased.
            const size_t wanted = limit - out.size() + changed_.size();
            TRY(Pairs stored, stored_.scan({from, range.end}, wanted));
            const bool last = stored.size() < wanted;
            std::map<Bytes, Bytes> merged(std::make_move_iterator(stored.begin()), std::make_move_iterator(stored.end()));
            const Bytes up_to = last ? range.end : merged.rbegin()->first + '\0';
            for (auto at = changed_.lower_bound(from); at != changed_.end() && at->first < up_to; ++at) {
                if (at->second) {
                    merged.insert_or_assign(at->first, *at->second);
                } else {
                    merged.erase(at->first);
                }
            }
            for (auto& [key, value] : merged) {
                if (out.size() == limit) return out;
                out.emplace_back(key, std::move(value));
            }
            if (last || out.size() == limit) return out;
            from = up_to;
        }
    }

 private:
    const std::map<Bytes, std::optional<Bytes>>& changed_;
    const Records& stored_;
};

Result<void> MasterMachine::load(Fiber& fiber, const raft::StateSpace& space) {
    const Records records(fiber, store_, space);
    MasterState state;
    TRY(std::optional<Bytes> counters, records.get(counters_key()));
    if (counters) {
        TRY(wire::MasterCounters decoded, wire::decode_master_counters(*counters));
        state.load(decoded);
    }
    TRY(StateView::Pairs stored, records.scan(sessions(), 2 * MasterLimits::sessions_max));
    for (const auto& [key, value] : stored) {
        if (ORRERY_DEFECT(sessions_not_loaded)) break;
        TRY(wire::SessionRecord session, wire::decode_session_record(value));
        state.load(std::move(session));
    }
    // No yield from here on: readers see the old state or the new one.
    space_ = space;
    state_ = std::move(state);
    shown_ = state_.counters();
    lists_.drop_all();
    broken_off_ = false;
    return {};
}

Result<void> MasterMachine::apply_all(Fiber& fiber, std::span<raft::ApplyItem> items) {
    const Records stored(fiber, store_, space_);
    BatchView view(changed_, stored);
    for (raft::ApplyItem& item : items) {
        TRY(wire::MasterCommand command, wire::decode_master_command(item.body));
        TRY(MasterState::Applied done, state_.apply(command, item.index, view));
        for (MasterState::Change& change : done.changes) changed_.insert_or_assign(std::move(change.key), std::move(change.value));
        if (item.reply_wanted) item.reply = wire::encode_master_answer(done.answer);
    }
    return {};
}

Result<void> MasterMachine::apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) {
    if (broken_off_) TRY(load(fiber, space_));
    changed_.clear();
    if (Result<void> done = apply_all(fiber, items); !done.ok()) {
        broken_off_ = true;
        return done.error().within("entries from " + std::to_string(items.front().index.value));
    }
    const Bytes prefix = raft::space_begin(space_);
    for (const auto& [key, value] : changed_) {
        if (value) {
            batch.put(prefix + key, *value);
        } else {
            batch.erase(prefix + key);
        }
    }
    return {};
}

void MasterMachine::applied(LogIndex) {
    lists_.apply(changed_);
    changed_.clear();
    shown_ = state_.counters();
}

// ---- reading

Result<std::optional<wire::NodeRecord>> MasterMachine::node(Fiber& fiber, NodeId node) const {
    TRY(std::optional<Bytes> bytes, Records(fiber, store_, space_).get(node_key(node)));
    if (!bytes) return std::optional<wire::NodeRecord>();
    TRY(wire::NodeRecord record, wire::decode_node_record(*bytes));
    return std::optional(std::move(record));
}

Result<std::vector<wire::NodeRecord>> MasterMachine::nodes(Fiber& fiber) const {
    std::vector<wire::NodeRecord> out;
    const std::unique_ptr<store::Snapshot> at = store_.snapshot();
    TRY(StateView::Pairs pairs, Records(fiber, store_, space_, at.get()).scan(nodes_after(NodeId()), SIZE_MAX));
    TRY(append(out, pairs, &wire::decode_node_record));
    return out;
}

Result<void> MasterMachine::refresh(Fiber& fiber, Placed& placed, Known known) const {
    constexpr size_t kAtOnce = 1000;
    Placed out;
    out.counters = shown_;
    const std::unique_ptr<store::Snapshot> at = store_.snapshot();
    const Records records(fiber, store_, space_, at.get());
    auto read_all = [&](KeyRange range, auto& into, auto decode) -> Result<void> {
        for (;;) {
            TRY(StateView::Pairs pairs, records.scan(range, kAtOnce));
            TRY(append(into, pairs, decode));
            if (pairs.size() < kAtOnce) return {};
            range.begin = pairs.back().first + '\0';
        }
    };
    TRY(read_all(nodes_after(NodeId()), out.nodes, &wire::decode_node_record));
    if (known == Known::Before && out.counters.placed == placed.counters.placed) {
        placed.counters = out.counters;
        placed.nodes = std::move(out.nodes);
        return {};
    }
    TRY(read_all(volumes_after({}), out.volumes, &wire::decode_volume_record));
    TRY(read_all(partitions_after(PartitionId()), out.partitions, &wire::decode_partition_record));
    TRY(read_all(tasks_after(TaskId()), out.tasks, &wire::decode_task_record));
    placed = std::move(out);
    return {};
}

Result<wire::MasterView> MasterMachine::view(Fiber& fiber, const wire::MasterQuery& query) const {
    wire::MasterView out;
    out.counters = shown_;
    out.version = shown_.applied;
    // One point of the Store, and nothing yields before it is taken: it is the state that the counters are of.
    const std::unique_ptr<store::Snapshot> at = ORRERY_DEFECT(read_of_many_moments) ? nullptr : store_.snapshot();
    const Records records(fiber, store_, space_, at.get());
    const size_t limit = std::clamp<uint32_t>(query.limit, 1, kPageMax);
    auto volume = [&]() -> Result<wire::VolumeRecord> {
        TRY(std::optional<Bytes> bytes, records.get(volume_key(query.name)));
        if (!bytes) return Error(Code::NotFound, "there is no volume '" + query.name + "'");
        return wire::decode_volume_record(*bytes);
    };
    // A page ends at `limit`, or where it is long enough for one answer: one pair more is read to know whether there is more.
    auto page = [&](const KeyRange& range) -> Result<StateView::Pairs> {
        TRY(StateView::Pairs found, records.scan(range, limit + 1, kPageBytes));
        size_t bytes = 0, kept = 0;
        while (kept < found.size() && kept < limit && (kept == 0 || bytes <= kPageBytes)) bytes += found[kept++].second.size();
        out.more = kept < found.size();
        found.resize(kept);
        return found;
    };
    StateView::Pairs pairs;
    switch (query.topic) {
        case wire::MasterTopic::Counters: break;
        case wire::MasterTopic::Nodes: {
            TRY(pairs, page(nodes_after(NodeId(query.after))));
            break;
        }
        case wire::MasterTopic::Volumes: {
            TRY(pairs, page(volumes_after(query.name)));
            break;
        }
        case wire::MasterTopic::Volume: {
            TRY(wire::VolumeRecord found, volume());
            out.volumes.push_back(std::move(found));
            break;
        }
        case wire::MasterTopic::Partitions: {
            TRY(wire::VolumeRecord found, volume());
            TRY(StateView::Pairs keys, page(partitions_of(found.volume, PartitionId(query.after))));
            for (const auto& [key, nothing] : keys) {
                TRY(PartitionId id, partition_of_key(key));
                TRY(std::optional<Bytes> bytes, records.get(partition_key(id)));
                if (!bytes) return Error(Code::Corrupt, "master store: partition " + std::to_string(id.value) + " has no record");
                pairs.emplace_back(key, std::move(*bytes));
            }
            out.volumes.push_back(std::move(found));
            break;
        }
        case wire::MasterTopic::Partition: {
            TRY(std::optional<Bytes> bytes, records.get(partition_key(PartitionId(query.after))));
            if (!bytes) return Error(Code::NotFound, "there is no partition " + std::to_string(query.after));
            pairs.emplace_back(Bytes(), std::move(*bytes));
            break;
        }
        case wire::MasterTopic::Tasks: {
            TRY(pairs, page(tasks_after(TaskId(query.after))));
            break;
        }
        case wire::MasterTopic::Task: {
            TRY(std::optional<Bytes> bytes, records.get(task_key(TaskId(query.after))));
            if (!bytes) return Error(Code::NotFound, "there is no task " + std::to_string(query.after) + ", or it is over");
            pairs.emplace_back(Bytes(), std::move(*bytes));
            break;
        }
        case wire::MasterTopic::Node: {
            TRY(std::optional<Bytes> bytes, records.get(node_key(NodeId(query.after))));
            if (!bytes) return Error(Code::NotFound, "node " + std::to_string(query.after) + " is not registered");
            TRY(wire::NodeRecord node, wire::decode_node_record(*bytes));
            out.nodes.push_back(std::move(node));
            TRY(pairs, records.scan(tasks_after(TaskId()), SIZE_MAX));
            break;
        }
    }
    switch (query.topic) {
        case wire::MasterTopic::Nodes: TRY(append(out.nodes, pairs, &wire::decode_node_record)); break;
        case wire::MasterTopic::Volumes: TRY(append(out.volumes, pairs, &wire::decode_volume_record)); break;
        case wire::MasterTopic::Partitions:
        case wire::MasterTopic::Partition: TRY(append(out.partitions, pairs, &wire::decode_partition_record)); break;
        case wire::MasterTopic::Tasks:
        case wire::MasterTopic::Task: TRY(append(out.tasks, pairs, &wire::decode_task_record)); break;
        case wire::MasterTopic::Node:
            TRY(append(out.tasks, pairs, &wire::decode_task_record));
            std::erase_if(out.tasks, [&](const wire::TaskRecord& task) { return task.source.node != NodeId(query.after) && task.destination.node != NodeId(query.after); });
            out.more = out.tasks.size() > limit;
            out.tasks.resize(std::min(out.tasks.size(), limit));
            break;
        case wire::MasterTopic::Volume:
        case wire::MasterTopic::Counters: break;
    }
    return out;
}

// ---- lists

Result<std::optional<std::string>> MasterMachine::volume_name(Fiber& fiber, VolumeId volume) const {
    const std::unique_ptr<store::Snapshot> at = store_.snapshot();
    const Records records(fiber, store_, space_, at.get());
    const uint64_t ids_given = shown_.next_volume;
    TRY(std::optional<Bytes> name, records.get(volume_name_key(volume)));
    if (name || volume.value >= ids_given) return name;
    // It may be of a time in which names were not kept by id.
    std::string after;
    for (bool more = true; more;) {
        TRY(StateView::Pairs pairs, records.scan(volumes_after(after), kListPage));
        more = pairs.size() == kListPage;
        for (const auto& [key, value] : pairs) {
            TRY(wire::VolumeRecord record, wire::decode_volume_record(value));
            if (record.volume == volume) return std::optional(std::move(record.name));
            after = std::move(record.name);
        }
    }
    return std::optional<std::string>();
}

Result<std::optional<Bytes>> MasterMachine::volume_record(Fiber& fiber, const std::string& name) const {
    return Records(fiber, store_, space_).get(volume_key(name));
}

/// Records of partitions that are named by increasing ids, in that order. Ids are given in rows, so most are neighbours.
Result<StateView::Pairs> MasterMachine::partitions_at(const Records& records, const std::vector<PartitionId>& ids) {
    StateView::Pairs out;
    if (ids.empty()) return out;
    if (ids.back().value - ids.front().value + 1 == ids.size()) {
        TRY(out, records.scan(partitions_between(ids.front(), ids.back()), SIZE_MAX));
        if (out.size() != ids.size()) return Error(Code::Corrupt, "master store: a partition behind " + std::to_string(ids.front().value) + " has no record");
        return out;
    }
    for (PartitionId id : ids) {
        TRY(std::optional<Bytes> record, records.get(partition_key(id)));
        if (!record) return Error(Code::Corrupt, "master store: partition " + std::to_string(id.value) + " has no record");
        out.emplace_back(partition_key(id), std::move(*record));
    }
    return out;
}

Result<std::shared_ptr<const PartitionList>> MasterMachine::read_list(Fiber& fiber, const wire::VolumeRecord& asked) const {
    const wire::VolumeRecord volume = asked;
    const std::unique_ptr<store::Snapshot> at = store_.snapshot();
    const Records records(fiber, store_, space_, at.get());
    // Who is not in the index of changes is as it was made.
    std::map<PartitionId, LogIndex> modified;
    KeyRange changes = volume_changes_after(volume.volume, volume.created);
    for (bool more = true; more;) {
        TRY(StateView::Pairs keys, records.scan(changes, kListPage));
        more = keys.size() >= kListPage;
        for (const auto& [key, nothing] : keys) {
            TRY(VolumeChange change, volume_change_of_key(key));
            modified.insert_or_assign(change.partition, change.modified);
        }
        if (more) changes.begin = keys.back().first + '\0';
        TRY(fiber.yield());
    }
    PartitionList::Builder builder(lists_.options().page_partitions);
    PartitionId after;
    for (bool more = true; more;) {
        TRY(StateView::Pairs keys, records.scan(partitions_of(volume.volume, after), kListPage));
        more = keys.size() >= kListPage;
        std::vector<PartitionId> ids;
        for (const auto& [key, nothing] : keys) {
            TRY(PartitionId id, partition_of_key(key));
            ids.push_back(id);
        }
        TRY(StateView::Pairs pairs, partitions_at(records, ids));
        for (size_t i = 0; i < ids.size(); ++i) {
            const auto moved = modified.find(ids[i]);
            builder.add(ids[i], moved == modified.end() ? volume.created : moved->second, pairs[i].second);
        }
        if (!ids.empty()) after = ids.back();
        TRY(fiber.yield());
    }
    return builder.finish();
}

Result<std::shared_ptr<const PartitionList::Delta>> MasterMachine::read_changes(Fiber& fiber, const wire::VolumeRecord& volume, LogIndex since) const {
    const VolumeId id = volume.volume;
    const size_t most = volume.partitions / 2 + 1;
    const std::unique_ptr<store::Snapshot> at = store_.snapshot();
    const Records records(fiber, store_, space_, at.get());
    TRY(StateView::Pairs keys, records.scan(volume_changes_after(id, since), most + 1));
    if (keys.size() > most) return std::shared_ptr<const PartitionList::Delta>();
    std::vector<PartitionId> ids;
    for (const auto& [key, nothing] : keys) {
        TRY(VolumeChange change, volume_change_of_key(key));
        ids.push_back(change.partition);
    }
    std::ranges::sort(ids);
    auto delta = std::make_shared<PartitionList::Delta>();
    delta->since = since;
    delta->partitions = ids.size();
    for (size_t done = 0; done < ids.size();) {
        const size_t end = std::min(ids.size(), done + kListPage);
        TRY(StateView::Pairs pairs, partitions_at(records, {ids.begin() + static_cast<ptrdiff_t>(done), ids.begin() + static_cast<ptrdiff_t>(end)}));
        for (const auto& [key, record] : pairs) wire::put_list_record(delta->records, record);
        done = end;
        if (done < ids.size()) TRY(fiber.yield());
    }
    return std::shared_ptr<const PartitionList::Delta>(std::move(delta));
}

}  // namespace orrery::master
