#include "node/master/placement.h"

#include <algorithm>
#include <map>

namespace orrery::master {

namespace {

struct Disk {
    NodeId node;
    DiskId disk;
    size_t node_number = 0, zone_number = 0;
    uint64_t capacity_bytes = 1;
    uint64_t members = 0;
};

/// Fewer members for the capacity, the new one counted; then the lower id.
bool emptier(const Disk& a, const Disk& b) {
    using Wide = unsigned __int128;
    const Wide left = Wide(a.members + 1) * b.capacity_bytes, right = Wide(b.members + 1) * a.capacity_bytes;
    if (left != right) return left < right;
    return std::pair(a.node, a.disk) < std::pair(b.node, b.disk);
}

}  // namespace

bool takes_members(const wire::DiskRecord& disk) { return !disk.leaving && !disk.bad; }
bool takes_members(const wire::NodeRecord& node) {
    return node.state == wire::NodeState::Active && !node.leaving && std::ranges::any_of(node.disks, [](const wire::DiskRecord& disk) { return takes_members(disk); });
}

std::optional<wire::Place> place_one(const std::vector<wire::NodeRecord>& nodes, const std::vector<NodeId>& surviving, FunctionRef<bool(const wire::NodeRecord&, const wire::DiskRecord&)> allowed) {
    std::map<std::string, uint32_t> in_zone;
    for (const wire::NodeRecord& node : nodes)
        if (std::ranges::find(surviving, node.node) != surviving.end()) ++in_zone[node.zone];
    std::optional<Disk> best;
    uint32_t best_in_zone = 0;
    for (const wire::NodeRecord& node : nodes) {
        if (!takes_members(node) || std::ranges::find(surviving, node.node) != surviving.end()) continue;
        const auto zone = in_zone.find(node.zone);
        const uint32_t shared = zone == in_zone.end() ? 0 : zone->second;
        for (const wire::DiskRecord& disk : node.disks) {
            if (!takes_members(disk) || !allowed(node, disk)) continue;
            const Disk one{node.node, disk.disk, 0, 0, std::max<uint64_t>(1, disk.capacity_bytes), disk.members};
            if (best && (shared > best_in_zone || (shared == best_in_zone && !emptier(one, *best)))) continue;
            best = one;
            best_in_zone = shared;
        }
    }
    if (!best) return std::nullopt;
    return wire::Place{best->node, best->disk};
}

Result<std::vector<wire::Placement>> place(const std::vector<wire::NodeRecord>& nodes, uint32_t replicas, uint32_t partitions) {
    std::vector<Disk> disks;
    std::map<std::string, size_t> zones;
    size_t usable = 0;
    for (const wire::NodeRecord& node : nodes) {
        if (!takes_members(node)) continue;
        const size_t zone = zones.try_emplace(node.zone, zones.size()).first->second;
        for (const wire::DiskRecord& disk : node.disks)
            if (takes_members(disk)) disks.push_back({node.node, disk.disk, usable, zone, std::max<uint64_t>(1, disk.capacity_bytes), disk.members});
        ++usable;
    }
    if (usable < replicas)
        return Error(Code::Invalid, std::to_string(replicas) + " replicas need as many active nodes with a disk, and there are " + std::to_string(usable));
    std::vector<wire::Placement> out(partitions);
    std::vector<uint32_t> in_zone(zones.size());
    std::vector<bool> taken(usable);
    for (wire::Placement& placement : out) {
        std::ranges::fill(in_zone, 0u);
        taken.assign(usable, false);
        while (placement.places.size() < replicas) {
            Disk* best = nullptr;
            for (Disk& disk : disks) {
                if (taken[disk.node_number]) continue;
                const bool better = best == nullptr || in_zone[disk.zone_number] < in_zone[best->zone_number] ||
                                    (in_zone[disk.zone_number] == in_zone[best->zone_number] && emptier(disk, *best));
                if (better) best = &disk;
            }
            ++best->members;
            ++in_zone[best->zone_number];
            taken[best->node_number] = true;
            placement.places.push_back({best->node, best->disk});
        }
        std::ranges::sort(placement.places, {}, &wire::Place::node);
    }
    return out;
}

}  // namespace orrery::master
