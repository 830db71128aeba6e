#include "node/client/volume_list.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::client {

namespace {

using Partitions = std::vector<std::shared_ptr<const wire::PartitionRecord>>;

PartitionId id_of(const std::shared_ptr<const wire::PartitionRecord>& one) { return one->partition; }

Error corrupt(const std::string& what) { return Error(Code::Corrupt, "list answer: " + what); }

/// By id, each of the volume and not younger than the list.
Result<Partitions> read_records(const wire::MasterListAnswer& answer, ByteView records) {
    Partitions out;
    TRY(wire::for_each_list_record(records, [&](ByteView bytes) -> Result<void> {
        TRY(wire::PartitionRecord record, wire::decode_partition_record(bytes));
        const std::string name = "partition " + std::to_string(record.partition.value);
        if (record.volume != answer.volume) return corrupt(name + " is of another volume");
        if (record.modified > answer.version) return corrupt(name + " is younger than the list");
        if (!out.empty() && id_of(out.back()) >= record.partition) return corrupt(name + " is out of order");
        out.push_back(std::make_shared<const wire::PartitionRecord>(std::move(record)));
        return {};
    }));
    if (out.size() != answer.partitions) return corrupt(std::to_string(out.size()) + " partitions instead of " + std::to_string(answer.partitions));
    return out;
}

/// `old` with those of `changed` in place of theirs, or in between.
Partitions merged(const Partitions& old, Partitions changed) {
    Partitions out;
    out.reserve(old.size() + changed.size());
    auto kept = old.begin();
    for (auto& now : changed) {
        while (kept != old.end() && id_of(*kept) < now->partition) out.push_back(*kept++);
        if (kept != old.end() && id_of(*kept) == now->partition) ++kept;
        out.push_back(std::move(now));
    }
    out.insert(out.end(), kept, old.end());
    return out;
}

}  // namespace

const wire::PartitionRecord* VolumeList::find(PartitionId partition) const {
    const auto at = std::ranges::lower_bound(partitions, partition, {}, id_of);
    return at == partitions.end() || (*at)->partition != partition ? nullptr : at->get();
}

Result<std::shared_ptr<const VolumeList>> list_behind(const std::shared_ptr<const VolumeList>& held, LogIndex since, const wire::MasterListAnswer& answer, ByteView records) {
    const bool same_volume = held && held->volume.volume == answer.volume;
    if (held && held->version == answer.version) {
        if (!same_volume) return corrupt("two volumes have one version");
        return held;  // it came another way meanwhile, or is unchanged
    }
    if (held && answer.version < held->version && !ORRERY_DEFECT(list_cache_takes_any_version))
        return Error(Code::Stale, "version " + std::to_string(answer.version.value) + " of the list is below " + std::to_string(held->version.value));
    if (answer.kind == wire::ListKind::Unchanged) return Error(Code::Stale, "unchanged is not what is held");
    if (answer.kind == wire::ListKind::Delta && (!same_volume || held->version != since)) return Error(Code::Stale, "a delta since another version");

    auto list = std::make_shared<VolumeList>();
    TRY(list->volume, wire::decode_volume_record(answer.volume_record));
    if (list->volume.volume != answer.volume || list->volume.modified != answer.version) return corrupt("the volume's record is of another one");
    list->version = answer.version;
    TRY(list->partitions, read_records(answer, records));
    if (answer.kind == wire::ListKind::Delta) list->partitions = merged(held->partitions, std::move(list->partitions));
    if (list->partitions.size() != list->volume.partitions)
        return Error(answer.kind == wire::ListKind::Delta ? Code::Stale : Code::Corrupt, "the list has " + std::to_string(list->partitions.size()) +
                                                                                             " partitions, its volume " + std::to_string(list->volume.partitions));
    return std::shared_ptr<const VolumeList>(std::move(list));
}

}  // namespace orrery::client
