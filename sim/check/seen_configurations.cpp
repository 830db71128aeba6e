// See the header. The table is only ever looked up, never walked, so its order decides nothing.
#include "sim/check/seen_configurations.h"

#include <algorithm>
#include <utility>

namespace orrery::check {

SeenConfigurations::Slot& SeenConfigurations::find(const ConfigurationPrint& print) {
    size_t mask = slots_.size() - 1;
    size_t at = print.a & mask;
    while (slots_[at].taken && slots_[at].print != print) at = (at + 1) & mask;
    return slots_[at];
}

void SeenConfigurations::grow() {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
    for (const Slot& slot : old)
        if (slot.taken) find(slot.print) = slot;
}

bool SeenConfigurations::is_subset(std::span<const uint64_t> small,
                                   std::span<const uint64_t> large) const {
    for (size_t i = 0; i < used_words_; ++i)
        if (small[i] & ~large[i]) return false;
    return true;
}

bool SeenConfigurations::visit(const ConfigurationPrint& print, std::span<const uint64_t> used) {
    Slot* slot = &find(print);
    if (slot->taken && used_words_ == 0) return false;
    for (uint32_t i = slot->first; i != kNone; i = next_[i]) {
        if (is_subset(set_at(i), used)) return false;
        if (is_subset(used, set_at(i))) {  // the newcomer is better and takes its place
            std::copy(used.begin(), used.end(), set_at(i).begin());
            return true;
        }
    }
    if (!slot->taken) {
        if ((slots_taken_ + 1) * 10 > slots_.size() * 7) {
            grow();
            slot = &find(print);
        }
        slot->taken = true;
        slot->print = print;
        ++slots_taken_;
    }
    if (used_words_ != 0) {
        sets_.insert(sets_.end(), used.begin(), used.end());
        next_.push_back(slot->first);
        slot->first = static_cast<uint32_t>(next_.size() - 1);
    }
    ++count_;
    return true;
}

}  // namespace orrery::check
