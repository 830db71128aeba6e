// LiveIndex: which record of which group is live, and where it lies, as of the batches placed so far.
//
// Live are the entries above the floor, the newest hard state, floor and configuration of a group, and every tombstone.
// It follows placed records, never merely appended ones: a copy is left out only if the record that killed its original
// stands earlier in the log. Pure; recovery and the running log share it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/base/ids.h"

namespace orrery::log {

struct RecordHeader;

/// A record on disk. `segment` is a slot of the SegmentTable.
struct Location {
    uint32_t segment = 0;
    uint32_t bytes = 0;   // header, body and padding
    uint64_t offset = 0;

    bool operator==(const Location&) const = default;
};

class LiveIndex {
 public:
    struct EntryAt {
        Term term;
        Location at;
    };
    struct Group {
        std::optional<Location> hard_state;
        std::optional<Location> floor;
        std::optional<Location> configuration;
        LogIndex floor_index;
        Term floor_term;
        /// Without gaps in a running log. A replay fills it in the order of the newest copies.
        std::map<LogIndex, EntryAt> entries;
        uint64_t live_bytes = 0;

        LogIndex last() const { return entries.empty() ? floor_index : entries.rbegin()->first; }
    };

    /// The record takes its place in the log. Copies move what they are a copy of.
    void place(const RecordHeader& record, Location at);
    /// Whether the record at `at` is what the index has for it.
    bool is_live(const RecordHeader& record, const Location& at) const;

    const Group* find(GroupId group) const;
    const EntryAt* entry(GroupId group, LogIndex index) const;
    const std::map<GroupId, Group>& groups() const { return groups_; }

    uint64_t live_bytes() const { return live_bytes_; }
    uint64_t live_bytes(GroupId group) const;
    /// Of one segment slot.
    uint64_t live_records(uint32_t segment) const {
        return segment < live_.size() ? live_[segment].records : 0;
    }
    uint64_t live_bytes_of_segment(uint32_t segment) const {
        return segment < live_.size() ? live_[segment].bytes : 0;
    }

 private:
    void place_entry(Group& group, const RecordHeader& record, Location at);
    void take(Group* group, const Location& at);
    void drop(Group* group, const Location& at);
    void replace(Group& group, std::optional<Location>& slot, Location at);
    void truncate(Group& group, LogIndex from);
    void raise_floor(Group& group, LogIndex index);

    std::map<GroupId, Group> groups_;
    std::map<std::pair<GroupId, uint64_t>, Location> tombstones_;
    struct Live {
        uint64_t records = 0;
        uint64_t bytes = 0;
    };
    std::vector<Live> live_;  // by segment slot
    uint64_t live_bytes_ = 0;
};

}  // namespace orrery::log
