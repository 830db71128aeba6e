#include "node/log/live_index.h"

#include <iterator>

#include "node/log/format.h"
#include "runtime/base/check.h"

namespace orrery::log {

void LiveIndex::take(Group* group, const Location& at) {
    if (at.segment >= live_.size()) live_.resize(at.segment + 1);
    ++live_[at.segment].records;
    live_[at.segment].bytes += at.bytes;
    live_bytes_ += at.bytes;
    if (group != nullptr) group->live_bytes += at.bytes;
}

void LiveIndex::drop(Group* group, const Location& at) {
    CHECK(live_.at(at.segment).records > 0 && live_bytes_ >= at.bytes, at.segment, live_bytes_);
    --live_[at.segment].records;
    live_[at.segment].bytes -= at.bytes;
    live_bytes_ -= at.bytes;
    if (group != nullptr) group->live_bytes -= at.bytes;
}

void LiveIndex::replace(Group& group, std::optional<Location>& slot, Location at) {
    if (slot) drop(&group, *slot);
    slot = at;
    take(&group, at);
}

void LiveIndex::truncate(Group& group, LogIndex from) {
    while (!group.entries.empty() && group.entries.rbegin()->first >= from) {
        drop(&group, group.entries.rbegin()->second.at);
        group.entries.erase(std::prev(group.entries.end()));
    }
}

void LiveIndex::raise_floor(Group& group, LogIndex index) {
    while (!group.entries.empty() && group.entries.begin()->first <= index) {
        drop(&group, group.entries.begin()->second.at);
        group.entries.erase(group.entries.begin());
    }
}

void LiveIndex::place_entry(Group& group, const RecordHeader& record, Location at) {
    LogIndex index(record.index);
    if (index <= group.floor_index) return;  // dead before it was read: a replay starts in the middle of things
    if (!record.is_copy()) truncate(group, index);
    auto entry = group.entries.try_emplace(group.entries.end(), index);
    if (entry->second.at.bytes != 0) drop(&group, entry->second.at);
    entry->second = {record.term, at};
    take(&group, at);
}

void LiveIndex::place(const RecordHeader& record, Location at) {
    switch (record.kind) {
        case Batch::Kind::Entry: return place_entry(groups_[record.group], record, at);
        case Batch::Kind::HardState: {
            Group& group = groups_[record.group];
            return replace(group, group.hard_state, at);
        }
        case Batch::Kind::Configuration: {
            Group& group = groups_[record.group];
            return replace(group, group.configuration, at);
        }
        case Batch::Kind::Floor: {
            Group& group = groups_[record.group];
            group.floor_index = LogIndex(record.index);
            group.floor_term = record.term;
            raise_floor(group, group.floor_index);
            return replace(group, group.floor, at);
        }
        case Batch::Kind::Truncate: {
            auto group = groups_.find(record.group);
            if (group != groups_.end()) truncate(group->second, LogIndex(record.index));
            return;
        }
        case Batch::Kind::Tombstone: {
            auto group = groups_.find(record.group);
            // A copy is of a tombstone that has done its work; the group may live anew since.
            if (group != groups_.end() && !record.is_copy()) {
                Group& dead = group->second;
                for (auto& [index, entry] : dead.entries) drop(&dead, entry.at);
                for (const auto& slot : {dead.hard_state, dead.floor, dead.configuration})
                    if (slot) drop(&dead, *slot);
                groups_.erase(group);
            }
            auto [tombstone, fresh] = tombstones_.try_emplace({record.group, record.index}, at);
            if (!fresh) drop(nullptr, tombstone->second);
            tombstone->second = at;
            return take(nullptr, at);
        }
    }
    UNREACHABLE(static_cast<int>(record.kind));
}

bool LiveIndex::is_live(const RecordHeader& record, const Location& at) const {
    if (record.kind == Batch::Kind::Tombstone) {
        auto found = tombstones_.find({record.group, record.index});
        return found != tombstones_.end() && found->second == at;
    }
    const Group* group = find(record.group);
    if (group == nullptr) return false;
    switch (record.kind) {
        case Batch::Kind::Entry: {
            const EntryAt* found = entry(record.group, LogIndex(record.index));
            return found != nullptr && found->at == at;
        }
        case Batch::Kind::HardState: return group->hard_state == at;
        case Batch::Kind::Floor: return group->floor == at;
        case Batch::Kind::Configuration: return group->configuration == at;
        default: return false;
    }
}

const LiveIndex::Group* LiveIndex::find(GroupId group) const {
    auto found = groups_.find(group);
    return found == groups_.end() ? nullptr : &found->second;
}

const LiveIndex::EntryAt* LiveIndex::entry(GroupId id, LogIndex index) const {
    const Group* group = find(id);
    if (group == nullptr) return nullptr;
    auto entry = group->entries.find(index);
    return entry == group->entries.end() ? nullptr : &entry->second;
}

uint64_t LiveIndex::live_bytes(GroupId group) const {
    const Group* found = find(group);
    return found == nullptr ? 0 : found->live_bytes;
}

}  // namespace orrery::log
