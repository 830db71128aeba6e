// RecoveryReport: what open() found on disk, group by group, and every place that a checksum refused.
//
// Damage comes in three grades. A *hole* is an entry whose body is gone but whose (group, index, term) is known: its
// member keeps vote and last (index, term) and can fetch the body from a peer. *Named* damage is a lost hard state or
// configuration of a known group. *Unnamed* damage is a lost batch, or the lost rest of one: anything of the groups it
// held may be gone, so those replicas need a new replica id. The newest batch can not prove itself: it is a torn tail
// when it is bad, and nothing here tells otherwise until a seal stands behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/log/records.h"

namespace orrery::log {

/// What a group's state machine has made durable outside the log; entries at or below it are not missed.
struct DurableApplied {
    LogIndex index;
    Term term;
};

struct GroupReport;
/// Whether a group may run with holes: it has other members to fetch the bodies from.
using HolesLookup = std::function<bool(GroupId, const GroupReport&)>;

/// A bad place on disk.
struct DamagedPlace {
    std::string file;  // path relative to the data directory; empty when the file itself is missing
    uint64_t offset = 0;
    uint64_t batch = 0;  // its number
    std::string what;

    /// "log/segment-00000003 at 8192 (batch 17): what".
    std::string text() const;
};

struct Hole {
    LogIndex index;
    Term term;
    DamagedPlace place;
};

struct GroupReport {
    std::optional<HardState> hard_state;
    Floor floor;                            // {0, 0} when the group never had one
    std::optional<Bytes> configuration;
    /// Ascending, index floor + 1 .. last, without gaps when the group is undamaged; a hole is present with its index,
    /// term, kind and has_attachment, and an empty body.
    std::vector<Entry> entries;
    std::vector<Hole> holes;                // above durable_applied only
    /// Hard state or configuration lost, group known.
    std::vector<DamagedPlace> named_damage;
    /// Batches lost in which this group had records: the replica needs a new replica id.
    std::vector<DamagedPlace> unnamed_damage;
};

struct RecoveryReport {
    std::map<GroupId, GroupReport> groups;  // those with any state; a destroyed group has only tombstones
    std::map<GroupId, std::vector<ReplicaId>> tombstones;
    /// Damage that no names confine: counts for every group of the node, also for those not listed.
    std::vector<DamagedPlace> node_damage;
    /// Damaged entries at or below durable_applied: healed by moving the floor above them.
    std::vector<DamagedPlace> not_missed;
    /// A bad newest batch was found and cut: a write that no sync had confirmed, or class N (see above).
    std::optional<DamagedPlace> torn_tail;
    uint64_t log_id = 0;
    Epoch epoch;                  // the one that this start began
    uint64_t last_good_batch = 0;  // 0: none
    uint64_t segments = 0;
    uint64_t batches = 0;          // live ones that were replayed
    uint64_t records = 0;

    /// True when the log can not be opened as it is: damage other than holes, or holes of a group that `fetchable` does not
    /// take (empty: none).
    bool refused(const HolesLookup& fetchable) const;
    /// Every bad place, one a line, as the refusal prints them.
    std::string damage_text() const;
};

}  // namespace orrery::log
