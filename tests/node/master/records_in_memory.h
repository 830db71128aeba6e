// The masters' records in a map, as apply() reads and changes them.
#pragma once

#include <map>

#include "node/master/master_state.h"

namespace orrery::master {

class RecordsInMemory : public StateView {
 public:
    Result<std::optional<Bytes>> get(ByteView key) override {
        const auto found = records_.find(Bytes(key));
        return found == records_.end() ? std::optional<Bytes>() : found->second;
    }
    Result<Pairs> scan(const KeyRange& range, size_t limit) override {
        Pairs out;
        for (auto at = records_.lower_bound(range.begin); at != records_.end() && at->first < range.end && out.size() < limit; ++at) out.push_back(*at);
        return out;
    }
    void change(const std::vector<MasterState::Change>& changes) {
        for (const MasterState::Change& change : changes) {
            if (change.value) {
                records_[change.key] = *change.value;
            } else {
                records_.erase(change.key);
            }
        }
    }
    const std::map<Bytes, Bytes>& all() const { return records_; }

    template <typename Record>
    std::optional<Record> find(const Bytes& key, Result<Record> (*decode)(ByteView)) const {
        const auto found = records_.find(key);
        if (found == records_.end()) return std::nullopt;
        return decode(found->second).value();
    }

 private:
    std::map<Bytes, Bytes> records_;
};

/// A master's state with its records: one line a command.
struct Masters {
    MasterState state;
    RecordsInMemory records;
    LogIndex index;

    wire::MasterAnswer apply(const wire::MasterCommand& command) {
        index = index.next();
        MasterState::Applied applied = state.apply(command, index, records).value();
        records.change(applied.changes);
        return applied.answer;
    }
    /// As a master does that starts with these records.
    Masters started_anew() const {
        Masters out;
        out.records = records;
        out.index = index;
        if (const auto counters = records.find(counters_key(), &wire::decode_master_counters)) out.state.load(*counters);
        const StateView::Pairs pairs = out.records.scan(sessions(), SIZE_MAX).value();
        for (const auto& [key, value] : pairs) out.state.load(wire::decode_session_record(value).value());
        return out;
    }
};

inline wire::MasterCommand register_command(uint64_t node, const std::string& zone = "z1", uint32_t disks = 1, uint64_t capacity = 1 << 30) {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::RegisterNode;
    command.node.node = NodeId(node);
    command.node.incarnation = Incarnation(1000 + node);
    command.node.zone = zone;
    command.node.peer_address = "n" + std::to_string(node) + ":7100";
    command.node.service_address = "n" + std::to_string(node) + ":7000";
    for (uint32_t disk = 1; disk <= disks; ++disk) command.node.disks.push_back({DiskId(disk), "/disk/" + std::to_string(disk), capacity});
    return command;
}

inline wire::MasterCommand delete_command(const std::string& volume) {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::DeleteVolume;
    command.name = volume;
    return command;
}

}  // namespace orrery::master
