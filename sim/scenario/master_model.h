// MasterModel: what the masters' state must be at every index of their log, by applying the committed entries to one
// undisturbed copy, and what must be true of it.
//
// The same pure apply as the masters', so this sees what goes wrong around it: entries lost or applied twice, reads of half a state,
// snapshots that leave something out. Against mistakes inside it there are rules of its own: ids are new, members of a partition
// are on different nodes, counts are right.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/client/volume_list.h"
#include "node/master/master_state.h"

namespace orrery::sim {

class MasterModel {
 public:
    /// The next committed entry; nullopt: one without a command. Requires: index is the one behind applied(). What is wrong with
    /// what it did, if anything.
    std::optional<std::string> apply(LogIndex index, std::optional<ByteView> body);
    LogIndex applied() const { return applied_; }

    /// What is wrong with an answer of that version; nullopt: it is right. Requires: view.version <= applied().
    std::optional<std::string> compare(const wire::MasterQuery& query, const wire::MasterView& view) const;
    /// The same of a client's copy of a volume's list, as of a master's state of that version. Requires: version <= applied().
    std::optional<std::string> compare(const client::VolumeList& list, LogIndex version) const;
    /// The records by their keys, as of that index.
    std::map<Bytes, Bytes> at(LogIndex index) const;
    /// Counts every disk, volume and counter anew. What is wrong, if anything.
    std::optional<std::string> count() const;

 private:
    class Records;
    struct Version {
        LogIndex index;
        std::optional<Bytes> value;
    };
    const std::optional<Bytes>* find(const Bytes& key, LogIndex index) const;
    std::optional<wire::VolumeRecord> volume(const std::string& name, LogIndex index) const;
    /// Of a volume, those behind that id.
    std::vector<wire::PartitionRecord> partitions(VolumeId volume, PartitionId after, LogIndex index) const;
    std::vector<std::pair<Bytes, Bytes>> range(const master::KeyRange& range, LogIndex index) const;
    std::optional<std::string> look_at(LogIndex index, const master::MasterState::Change& change);
    ReplicaId highest_replica() const { return replicas_.empty() ? ReplicaId() : replicas_.rbegin()->first; }

    master::MasterState state_;
    std::map<Bytes, std::vector<Version>> records_;
    LogIndex applied_;
    PartitionId highest_partition_;
    VolumeId highest_volume_;
    std::map<ReplicaId, PartitionId> replicas_;  // every one that was given, and to which partition
};

}  // namespace orrery::sim
