#include "kv/overlay.h"

#include <algorithm>
#include <utility>

namespace orrery::kv {

namespace {
constexpr size_t kSlotsMin = 64;
}  // namespace

size_t Overlay::slot_of(const HashedKey& key) const {
    // Each hash steps its own way, by bits that do not choose where it begins: who makes up keys that begin alike gains nothing.
    const size_t step = static_cast<size_t>(key.hash >> 40) | 1;
    size_t slot = key.hash & (slots_.size() - 1);
    for (; slots_[slot] != 0; slot = (slot + step) & (slots_.size() - 1)) {
        const Record& record = *records_[slots_[slot] - 1];
        if (record.hash() == key.hash && record.key() == key.text) break;
    }
    return slot;
}

void Overlay::make_slots(size_t count) {
    slots_.assign(count, 0);
    for (size_t i = 0; i < records_.size(); ++i) slots_[slot_of(records_[i]->hashed_key())] = static_cast<uint32_t>(i + 1);
}

void Overlay::set(RecordRef record) {
    if ((records_.size() + 1) * 2 > slots_.size()) make_slots(std::max(kSlotsMin, slots_.size() * 2));
    uint32_t& place = slots_[slot_of(record->hashed_key())];
    if (place != 0) {
        records_[place - 1] = std::move(record);
        return;
    }
    records_.push_back(std::move(record));
    place = static_cast<uint32_t>(records_.size());
}

void Overlay::clear() {
    // After a large batch the slots are given back, or every small one after it would clear them all.
    const bool too_many = slots_.size() > kSlotsMin && slots_.size() > records_.size() * 8;
    records_.clear();
    make_slots(too_many ? kSlotsMin : slots_.size());
    flushed_ = false;
}

Result<RecordRef> Overlay::get(const HashedKey& key, KeyspaceView& below) const {
    if (RecordRef known = find(key)) return known->exists() ? std::move(known) : RecordRef();
    if (flushed_) return RecordRef();
    return below.get(key);
}

Result<KeyspaceView::Stretch> Overlay::stretch(uint64_t position, size_t records_max, KeyspaceView& below) const {
    KeyspaceView::Stretch out;
    if (!flushed_) {
        TRY(out, below.stretch(position, records_max));
    }
    if (records_.empty()) return out;
    std::erase_if(out.records, [&](const RecordRef& record) { return bool(find(record->hashed_key())); });
    for (const RecordRef& record : records_) {
        const uint64_t at = scan_position(record->hash());
        // Those behind the end of the stretch below are given with the next one.
        if (record->exists() && at >= position && (!out.next || at < *out.next)) out.records.push_back(record);
    }
    std::ranges::sort(out.records, {}, [](const RecordRef& record) { return std::pair(record->hash(), record->key()); });
    return out;
}

}  // namespace orrery::kv
