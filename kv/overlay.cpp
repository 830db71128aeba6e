#include "kv/overlay.h"

#include <algorithm>

namespace orrery::kv {

void Overlay::set(RecordRef record) {
    const Place place{record->hash(), record->key()};
    // The key of an item looks into its record, so one that is replaced goes whole.
    if (const auto old = records_.find(place); old != records_.end()) records_.erase(old);
    records_.emplace(place, std::move(record));
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
    std::erase_if(out.records, [&](const RecordRef& record) { return records_.contains(Place{record->hash(), record->key()}); });
    for (const auto& [place, record] : records_) {
        const uint64_t at = scan_position(place.hash);
        // Those behind the end of the stretch below are given with the next one.
        if (record->exists() && at >= position && (!out.next || at < *out.next)) out.records.push_back(record);
    }
    std::ranges::sort(out.records, {}, [](const RecordRef& record) { return Place{record->hash(), record->key()}; });
    return out;
}

}  // namespace orrery::kv
