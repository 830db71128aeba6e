#include "node/master/list_cache.h"

#include <algorithm>

#include "node/master/state_format.h"
#include "runtime/base/check.h"

namespace orrery::master {

namespace {

constexpr uint64_t kEntryBytes = 1024;      // of one without a list, about
constexpr uint64_t kPartitionBytes = 32;    // beside its record
constexpr size_t kDeltasMax = 16;           // remembered for one version
constexpr size_t kEndedMax = 4096;

/// Beyond half of the list the list itself is the better answer: it needs no encoding, and all share it.
uint64_t delta_bytes_max(const PartitionList& list) { return list.bytes() / 2; }

}  // namespace

// ---- finding

ListCache::Held ListCache::find(const std::string& name) {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : find(found->second);
}

ListCache::Held ListCache::find(VolumeId volume) {
    const auto found = entries_.find(volume);
    return found == entries_.end() ? nullptr : touch(found->second);
}

void ListCache::remember_ended(VolumeId volume) {
    if (ended_.size() >= kEndedMax) ended_.clear();
    ended_.insert(volume);
}

Result<ListCache::Held> ListCache::Reading::finish(std::optional<Bytes> read) {
    if (replaced_) return Error(Code::Stale, "a snapshot was installed meanwhile");
    if (applied_) read = std::move(*applied_);
    if (!read) return Held();
    if (Held known = cache_.find(name_)) return known;  // another was faster
    TRY(wire::VolumeRecord volume, wire::decode_volume_record(*read));
    const auto entry = std::make_shared<Entry>();
    entry->volume = std::move(volume);
    entry->record = std::move(*read);
    cache_.entries_.emplace(entry->volume.volume, entry);
    cache_.names_.emplace(name_, entry->volume.volume);
    (void)cache_.touch(entry);
    cache_.count(*entry);
    cache_.make_room(*entry);
    return entry;
}

// ---- lists and changes

std::shared_ptr<const PartitionList> ListCache::list(Entry& entry) {
    if (!entry.list || entry.filling || entry.changed.empty()) return entry.filling ? nullptr : entry.list;
    entry.list = entry.list->with(entry.changed, options_.page_partitions, counters_.encodings);
    entry.changed.clear();
    entry.changed_bytes = 0;
    count(entry);
    return entry.list;
}

void ListCache::begin_fill(Entry& entry) {
    CHECK(!entry.list && !entry.filling, entry.volume.volume);
    entry.filling = true;
}

void ListCache::end_fill(Entry& entry, std::shared_ptr<const PartitionList> read) {
    entry.filling = false;
    entry.list = std::move(read);
    if (entry.list) ++counters_.fills;
    if (!entry.list || entry.gone) {
        entry.list = nullptr;
        entry.changed.clear();
        entry.changed_bytes = 0;
    }
    if (entry.gone) return;
    count(entry);
    make_room(entry);
}

ListCache::Changes ListCache::changes(Entry& entry, LogIndex since) {
    // Before the volume was made there was no list; the index of changes begins behind that.
    if (since < entry.volume.created || since > entry.volume.modified) return {true, nullptr};
    for (const auto& delta : entry.deltas)
        if (delta->since == since) return {true, delta};
    const std::shared_ptr<const PartitionList> whole = list(entry);
    if (!whole) return {};
    std::shared_ptr<const PartitionList::Delta> delta = whole->changed_since(since, delta_bytes_max(*whole));
    (void)remember(entry, entry.volume.modified, since, delta);
    return {true, std::move(delta)};
}

bool ListCache::remember(Entry& entry, LogIndex version, LogIndex since, std::shared_ptr<const PartitionList::Delta> delta) {
    if (entry.gone || entry.volume.modified != version) return false;
    if (!delta) return true;
    CHECK(delta->since == since, delta->since, since);
    ++counters_.encodings;
    if (entry.deltas.size() >= kDeltasMax) entry.deltas.erase(entry.deltas.begin());
    entry.deltas.push_back(std::move(delta));
    count(entry);
    make_room(entry);
    return true;
}

// ---- moving on

void ListCache::apply(const std::map<Bytes, std::optional<Bytes>>& changed) {
    if (entries_.empty() && readings_.empty()) return;
    const KeyRange heads = volumes();
    for (auto at = changed.lower_bound(heads.begin); at != changed.end() && at->first < heads.end; ++at) {
        const std::string name = at->first.substr(heads.begin.size());
        for (auto [reading, last] = readings_.equal_range(name); reading != last; ++reading) reading->second->applied_ = at->second;
        const auto known = names_.find(name);
        if (known == names_.end()) continue;
        const Held entry = entries_.at(known->second);
        Result<wire::VolumeRecord> now = at->second ? wire::decode_volume_record(*at->second) : Result<wire::VolumeRecord>(Code::NotFound);
        if (!now.ok() || now->volume != entry->volume.volume) {
            remember_ended(entry->volume.volume);
            end(entry);
            continue;
        }
        const bool moved = now->modified != entry->volume.modified;
        entry->volume = std::move(*now);
        entry->record = *at->second;
        if (!moved) continue;
        entry->deltas.clear();
        entry->moved.notify_all();
    }
    const KeyRange moves = volume_changes();
    for (auto at = changed.lower_bound(moves.begin); at != changed.end() && at->first < moves.end; ++at) {
        if (!at->second) continue;
        const VolumeChange change = volume_change_of_key(at->first).value();
        const auto known = entries_.find(change.volume);
        if (known == entries_.end()) continue;
        Entry& entry = *known->second;
        if (!entry.list && !entry.filling) continue;
        const auto record = changed.find(partition_key(change.partition));
        CHECK(record != changed.end() && record->second, change.partition);
        ListedPartition& listed = entry.changed[change.partition];
        entry.changed_bytes += record->second->size() + kPartitionBytes - (listed.record.empty() ? 0 : listed.record.size() + kPartitionBytes);
        listed = {change.modified, *record->second};
        count(entry);
    }
    if (!entries_.empty() && bytes_ > options_.bytes_max) make_room(*entries_.at(by_use_.rbegin()->second));
}

void ListCache::drop_all() {
    for (auto& [name, reading] : readings_) reading->replaced_ = true;
    while (!entries_.empty()) end(entries_.begin()->second);
}

// ---- room

ListCache::Held ListCache::touch(const Held& entry) {
    by_use_.erase(entry->used);
    entry->used = ++uses_;
    by_use_.emplace(entry->used, entry->volume.volume);
    return entry;
}

void ListCache::count(Entry& entry) {
    uint64_t bytes = kEntryBytes + entry.record.size() + entry.changed_bytes;
    if (entry.list) bytes += entry.list->bytes() + entry.list->partitions() * kPartitionBytes;
    for (const auto& delta : entry.deltas) bytes += delta->records.size();
    bytes_ += bytes - entry.bytes;
    entry.bytes = bytes;
}

void ListCache::end(const Held& held) {
    const Held entry = held;
    entry->gone = true;
    bytes_ -= entry->bytes;
    by_use_.erase(entry->used);
    names_.erase(entry->volume.name);
    entries_.erase(entry->volume.volume);
    entry->moved.notify_all();
}

/// First lists, then volumes, in the order of their last use. Who waits for a change keeps its volume, and whoever waits is counted
/// elsewhere.
void ListCache::make_room(const Entry& keep) {
    for (const bool volumes_too : {false, true}) {
        for (auto at = by_use_.begin(); at != by_use_.end() && bytes_ > options_.bytes_max;) {
            const Held entry = entries_.at((at++)->second);
            if (entry.get() == &keep || entry->filling) continue;
            if (volumes_too) {
                if (entry->moved.has_waiters()) continue;
                ++counters_.dropped;
                end(entry);
            } else if (entry->list || !entry->deltas.empty()) {
                ++counters_.dropped;
                entry->list = nullptr;
                entry->changed.clear();
                entry->changed_bytes = 0;
                entry->deltas.clear();
                count(*entry);
            }
        }
    }
}

}  // namespace orrery::master
