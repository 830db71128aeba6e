// ReplyCache: client -> last write and its reply, part of the replicated state. A repeated write is answered from here
// and has no second effect. Its size is bounded, and what goes first is decided by log order alone (the client whose
// last write has the lowest index), so that all members forget the same client at the same entry.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "kv/stored_format.h"

namespace orrery::kv {

class ReplyCache {
 public:
    struct Options {
        size_t clients_max = 4096;      // part of the format: all members of a group must agree
        size_t reply_bytes_max = 1024;  // encoded; larger replies are not kept. All members must agree
    };
    struct Change {
        uint64_t client;
        std::optional<SlotRecord> record;  // nullopt: removed
    };

    ReplyCache() = default;
    explicit ReplyCache(const Options& options) : options_(options) {}

    /// The answer to a repeat, or nullopt for a write that is new (or whose client was forgotten). Requires: slot.present().
    std::optional<resp::Reply> answer_of(const ClientSlot& slot) const;

    /// Remembers a write just executed; gives what the same batch must write. Requires: answer_of(slot) is nullopt;
    /// index above all remembered ones.
    std::vector<Change> remember(const ClientSlot& slot, LogIndex index, const resp::Reply& reply);

    /// At start: one stored record. Errors: Corrupt when it can not belong to the others (same client or index twice).
    Result<void> load(uint64_t client, SlotRecord record);
    void clear();
    size_t size() const { return records_.size(); }

 private:
    Options options_;
    std::map<uint64_t, SlotRecord> records_;
    std::map<LogIndex, uint64_t> by_use_;
};

}  // namespace orrery::kv
