#include "kv/overlay.h"

#include <algorithm>

namespace orrery::kv {

Result<std::optional<ValueRecord>> Overlay::get(ByteView key, KeyspaceView& below) const {
    if (const std::optional<ValueRecord>* known = find(key)) return *known;
    if (flushed_) return std::optional<ValueRecord>();
    return below.get(key);
}

Result<KeyspaceView::Stretch> Overlay::stretch(uint64_t position, size_t records_max, KeyspaceView& below) const {
    KeyspaceView::Stretch out;
    if (!flushed_) {
        TRY(out, below.stretch(position, records_max));
    }
    if (records_.empty()) return out;
    std::erase_if(out.records, [&](const auto& item) { return records_.contains(item.first); });
    for (const auto& [key, record] : records_) {
        const uint64_t at = scan_position(key_hash(key));
        if (record && at >= position && (!out.next || at < *out.next)) out.records.emplace_back(key, *record);
    }
    // Those behind the end of the stretch below are given with the next one.
    std::ranges::sort(out.records, [](const auto& a, const auto& b) {
        return std::pair(key_hash(a.first), ByteView(a.first)) < std::pair(key_hash(b.first), ByteView(b.first));
    });
    return out;
}

}  // namespace orrery::kv
