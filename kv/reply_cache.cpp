#include "kv/reply_cache.h"

#include "runtime/base/check.h"

namespace orrery::kv {

std::optional<resp::Reply> ReplyCache::answer_of(const ClientSlot& slot) const {
    CHECK(slot.present());
    const auto at = records_.find(slot.client);
    if (at == records_.end() || slot.sequence > at->second.sequence) return std::nullopt;
    // The client has gone on since, so nobody waits for this answer any more; it was executed or overtaken.
    if (slot.sequence < at->second.sequence)
        return resp::Reply::error("UNKNOWN this write was overtaken by a later one of the same client");
    if (!at->second.reply_kept)
        return resp::Reply::error("UNKNOWN this write was executed once, its reply is no longer kept");
    return at->second.reply;
}

std::vector<ReplyCache::Change> ReplyCache::remember(const ClientSlot& slot, LogIndex index, const resp::Reply& reply) {
    CHECK(slot.present());
    CHECK(by_use_.empty() || index > by_use_.rbegin()->first, index);
    std::vector<Change> changes;
    SlotRecord record{.sequence = slot.sequence, .used = index};
    Bytes raw;
    resp::put_reply(raw, reply);
    record.reply_kept = raw.size() <= options_.reply_bytes_max;
    if (record.reply_kept) record.reply = reply;

    const auto at = records_.find(slot.client);
    if (at != records_.end()) {
        CHECK(slot.sequence > at->second.sequence, slot.sequence);
        by_use_.erase(at->second.used);
    } else {
        while (!records_.empty() && records_.size() >= options_.clients_max) {
            const auto oldest = by_use_.begin();
            changes.push_back({oldest->second, std::nullopt});
            records_.erase(oldest->second);
            by_use_.erase(oldest);
        }
    }
    by_use_[index] = slot.client;
    records_[slot.client] = record;
    changes.push_back({slot.client, std::move(record)});
    return changes;
}

Result<void> ReplyCache::load(uint64_t client, SlotRecord record) {
    if (client == 0 || records_.contains(client) || by_use_.contains(record.used))
        return Error(Code::Corrupt, "kv store: slot of client " + std::to_string(client) + " contradicts another");
    by_use_[record.used] = client;
    records_[client] = std::move(record);
    return {};
}

void ReplyCache::clear() {
    records_.clear();
    by_use_.clear();
}

}  // namespace orrery::kv
