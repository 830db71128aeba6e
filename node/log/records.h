// What goes into the log and comes out of it: entries, hard states, floors, and the Batch in which one group hands them
// over. The log knows no Raft: bodies, votes' opaque parts and configurations are bytes to it.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"

namespace orrery::log {

/// An entry as the log gives it back.
struct Entry {
    LogIndex index;
    Term term;
    uint8_t kind = 0;             // the caller's; the log only carries it
    bool has_attachment = false;  // bytes outside the log belong to it; the caller appends it once those are synced
    Bytes body;                   // empty where the report names a hole

    bool operator==(const Entry&) const = default;
};

/// An entry as it is handed in; `body` lives until append() returns.
struct EntryView {
    LogIndex index;
    Term term;
    uint8_t kind = 0;
    bool has_attachment = false;
    ByteView body;
};

struct HardState {
    Term term;
    ReplicaId vote;  // 0 = none in this term
    Bytes opaque;    // whatever else must move with the term and vote

    bool operator==(const HardState&) const = default;
};

/// Entries at or below are not in the log; (index, term) is what the next entry follows.
struct Floor {
    LogIndex index;
    Term term;

    auto operator<=>(const Floor&) const = default;
};

/// Records of one group that reach the disk together or not at all, in the order of the calls. Looks at the caller's
/// bytes, which live until append() has returned.
class Batch {
 public:
    /// At an index the log has: replaces that entry and all behind it, as a truncate() before it would. Otherwise the
    /// index is the last one's next.
    void entry(const EntryView& entry) {
        items_.push_back({Kind::Entry, entry.kind, entry.has_attachment, entry.index.value, entry.term, entry.body});
    }
    /// The lost body of an entry the log has: same index and term, nothing behind it goes. Requires: it was reported as a
    /// hole, and nothing was appended at or before its index since.
    void fill(const EntryView& entry) {
        items_.push_back({Kind::Entry, entry.kind, entry.has_attachment, entry.index.value, entry.term, entry.body, Place::Fill});
    }
    /// Replaces the group's earlier one.
    void hard_state(Term term, ReplicaId vote, ByteView opaque = {}) {
        items_.push_back({Kind::HardState, 0, false, vote.value, term, opaque});
    }
    /// Entries at and behind `from` are gone. Requires: from above the floor.
    void truncate(LogIndex from) { items_.push_back({Kind::Truncate, 0, false, from.value, Term(), {}}); }
    /// Entries at and below `index` are gone; with `index` behind the last entry, all are, and the next entry is
    /// index + 1 (an installed snapshot). A floor never sinks: a lower one is refused as Invalid.
    void floor(LogIndex index, Term term) { items_.push_back({Kind::Floor, 0, false, index.value, term, {}}); }
    /// Replaces the group's earlier one.
    void configuration(ByteView opaque) { items_.push_back({Kind::Configuration, 0, false, 0, Term(), opaque}); }
    /// This life of the group's replica is over: everything of the group before this record is gone, the tombstone
    /// itself stays for good. Records behind it are of a new life.
    void tombstone(ReplicaId replica) { items_.push_back({Kind::Tombstone, 0, false, replica.value, Term(), {}}); }

    bool empty() const { return items_.empty(); }
    void clear() { items_.clear(); }

    enum class Kind : uint8_t {  // stored; never renumber
        Entry = 1,
        HardState = 2,
        Truncate = 3,
        Floor = 4,
        Configuration = 5,
        Tombstone = 6,
    };
    enum class Place : uint8_t { End, Fill, Hole };  // of an entry
    struct Item {
        Kind kind;
        uint8_t entry_kind;
        bool has_attachment;
        uint64_t index;  // entry or floor index, truncation's from, hard state's vote, tombstone's replica
        Term term;
        ByteView body;
        Place place = Place::End;
    };
    const std::vector<Item>& items() const { return items_; }

 private:
    std::vector<Item> items_;
};

}  // namespace orrery::log
