#include "node/log/report.h"

#include <sstream>

namespace orrery::log {

std::string DamagedPlace::text() const {
    std::ostringstream out;
    if (file.empty())
        out << "no segment file";
    else
        out << file << " at " << offset;
    if (batch != 0) out << " (batch " << batch << ")";
    out << ": " << what;
    return out.str();
}

bool RecoveryReport::refused(const HolesLookup& fetchable) const {
    if (!node_damage.empty()) return true;
    for (const auto& [id, group] : groups) {
        if (!group.named_damage.empty() || !group.unnamed_damage.empty()) return true;
        if (!group.holes.empty() && !(fetchable && fetchable(id, group))) return true;
    }
    return false;
}

std::string RecoveryReport::damage_text() const {
    std::ostringstream out;
    for (const DamagedPlace& place : node_damage) out << "every group: " << place.text() << "\n";
    for (const auto& [id, group] : groups) {
        for (const Hole& hole : group.holes)
            out << "group " << id << " entry " << hole.index << " of term " << hole.term << ": " << hole.place.text() << "\n";
        for (const DamagedPlace& place : group.named_damage) out << "group " << id << ": " << place.text() << "\n";
        for (const DamagedPlace& place : group.unnamed_damage)
            out << "group " << id << " needs a new replica id: " << place.text() << "\n";
    }
    return out.str();
}

}  // namespace orrery::log
