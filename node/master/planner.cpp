#include "node/master/planner.h"

#include <algorithm>
#include <set>

#include "node/master/master_state.h"
#include "node/master/placement.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

using Wide = unsigned __int128;
using DiskOf = std::pair<NodeId, DiskId>;

constexpr uint32_t kBadDisk = 100, kDecommission = 200, kBalance = 300;  // priorities; below: live members of the partition
constexpr Duration kRetryMax = Duration::seconds(3600);
constexpr uint32_t kExtendTenth = 10;

std::string number(uint64_t value) { return std::to_string(value); }

/// A member that should be elsewhere.
struct Want {
    uint32_t priority = 0;
    const wire::PartitionRecord* partition = nullptr;
    wire::PartitionMember member;
    wire::TaskKind kind = wire::TaskKind::Move;
    auto order() const { return std::tuple(priority, partition->partition, member.replica); }
};

class Planning {
 public:
    Planning(const PlanInput& input, const PlanLimits& limits, Instant now)
        : in_(input), limits_(limits), now_(now), tasks_(tasks_by_partition(input.placed)), nodes_(input.placed.nodes) {
        for (const wire::TaskRecord& task : in_.placed.tasks)
            if (!stands_still(in_.placed, in_.reports, task)) count(task.source, task.destination, task.priority);
        next_replica_ = in_.placed.counters.next_replica;
    }

    Plan run() {
        for (const wire::PartitionRecord& partition : in_.placed.partitions) look_at(partition);
        std::ranges::sort(wants_, {}, &Want::order);
        for (const Want& want : wants_) {
            const Start done = start(want);
            if (done.why.empty()) continue;
            short_of_room_ |= done.room == Room::Short;
            const std::string& why = done.why;
            out_.waiting.push_back({want.partition->partition, want.kind, want.member.node, why});
        }
        if (out_.commands.empty() && !short_of_room_) balance();
        extend_volumes();
        say_what_nodes_wait_for();
        return std::move(out_);
    }

 private:
    // ---- who should be elsewhere

    bool live(const wire::PartitionRecord& partition, const wire::PartitionMember& member) const {
        return is_live(in_.placed, in_.reports, partition.partition, member);
    }
    size_t live_members(const wire::PartitionRecord& partition) const {
        return static_cast<size_t>(std::ranges::count_if(partition.members, [&](const wire::PartitionMember& member) { return live(partition, member); }));
    }
    const wire::TaskRecord* task_of(const wire::PartitionRecord& partition) const {
        const auto found = tasks_.find(partition.partition);
        return found == tasks_.end() ? nullptr : found->second;
    }

    bool needs_repair(const wire::PartitionRecord& partition, const wire::PartitionMember& member, const wire::NodeRecord& node,
                      const std::optional<LeaderReport>& leader) const {
        if (node.state != wire::NodeState::Active) {
            const auto silent = in_.silent.find(node.node);
            return silent != in_.silent.end() && silent->second >= limits_.repair_after;
        }
        const wire::PartitionReport* report = in_.reports.find(member, partition.partition);
        if (report == nullptr) return member.created && in_.reports.told(node.node);
        if (report->state == wire::ReplicaState::Damaged) return true;
        return leader && leader->term >= report->term && leader->find(member.replica) == nullptr;
    }

    void look_at(const wire::PartitionRecord& partition) {
        const bool alone = ORRERY_DEFECT(decommission_checked_alone);
        if (task_of(partition) != nullptr && !alone) return;
        const std::optional<LeaderReport> leader = in_.reports.leader(partition, task_of(partition));
        std::optional<Want> first;
        for (const wire::PartitionMember& member : partition.members) {
            const wire::NodeRecord* node = in_.placed.node(member.node);
            const wire::DiskRecord* disk = in_.placed.disk(member.node, member.disk);
            if (node == nullptr || disk == nullptr) continue;
            Want want{0, &partition, member, wire::TaskKind::Move};
            if (needs_repair(partition, member, *node, leader)) {
                want.priority = static_cast<uint32_t>(live_members(partition));
                want.kind = wire::TaskKind::Repair;
            } else if (disk->bad) {
                want.priority = kBadDisk;
            } else if (node->leaving || disk->leaving) {
                want.priority = kDecommission;
                want.kind = wire::TaskKind::Decommission;
            } else {
                continue;
            }
            if (alone) wants_.push_back(want);
            if (!first || want.order() < first->order()) first = want;
        }
        if (first && !alone) wants_.push_back(*first);
    }

    // ---- whether it may begin

    void count(const wire::PartitionMember& source, const wire::PartitionMember& destination, uint32_t priority) {
        ++all_;
        balancing_ += priority == kBalance;
        for (const wire::PartitionMember* member : {&source, &destination}) {
            ++of_node_[member->node];
            ++of_disk_[{member->node, member->disk}];
        }
        ++going_[{source.node, source.disk}];
    }
    bool room(NodeId node, DiskId disk) const {
        const auto of_node = of_node_.find(node);
        const auto of_disk = of_disk_.find({node, disk});
        return (of_node == of_node_.end() || of_node->second < limits_.tasks_of_node_max) && (of_disk == of_disk_.end() || of_disk->second < limits_.tasks_of_disk_max);
    }

    std::string quorum_trouble(const wire::PartitionRecord& partition, const wire::PartitionMember& source) const {
        const size_t members = partition.members.size(), alive = live_members(partition);
        if (alive < majority(members)) return "only " + number(alive) + " of " + number(members) + " members are live, and nothing can be changed without a majority";
        if (alive + 1 < majority(members + 1)) return "with another voter, " + number(alive + 1) + " of " + number(members + 1) + " would be live, which is no majority";
        const size_t others = alive - live(partition, source);
        if (others + 1 < majority(members)) return "without this member " + number(others + 1) + " of " + number(members) + " would be live, which is no majority";
        if (!in_.reports.leader(partition, nullptr)) return "its group has no leader that is heard of";
        return "";
    }

    std::string back_off(const wire::PartitionRecord& partition) const {
        const auto failed = in_.last_failed.find(partition.partition);
        if (partition.failures == 0 || failed == in_.last_failed.end()) return "";
        const Duration pause = std::min(kRetryMax, limits_.retry_after * (int64_t{1} << std::min<uint32_t>(partition.failures, 12)));
        if (now_ >= failed->second + pause) return "";
        return "it has failed, " + number(partition.failures) + " times by now, and is tried again later; last: " + partition.last_error;
    }

    enum class Room : uint8_t { Enough, Short };
    struct Start {
        std::string why;  // it is not in the plan; empty: it is
        Room room = Room::Enough;  // Short: it would be, if less ran now
    };
    Start start(const Want& want) {
        const wire::PartitionRecord& partition = *want.partition;
        if (const std::string why = back_off(partition); !why.empty()) return {why};
        if (const std::string why = quorum_trouble(partition, want.member); !why.empty()) return {why};
        if (all_ >= limits_.tasks_max) return {"as many tasks run in the cluster as may", Room::Short};
        // Nothing is read from a dead source.
        if (live(partition, want.member) && !room(want.member.node, want.member.disk)) return {"as many tasks run on its node or disk as may", Room::Short};
        // Zones of those that stay count, their nodes and the source's take no second member.
        std::vector<NodeId> stay;
        for (const wire::PartitionMember& member : partition.members)
            if (member.replica != want.member.replica) stay.push_back(member.node);
        auto elsewhere = [&](const wire::NodeRecord& node) { return node.node != want.member.node; };
        auto with_room = [&](const wire::NodeRecord& node, const wire::DiskRecord& disk) { return elsewhere(node) && room(node.node, disk.disk); };
        std::optional<wire::Place> place = place_one(nodes_, stay, [&](const wire::NodeRecord& node, const wire::DiskRecord& disk) {
            return with_room(node, disk) && node.node != partition.failed_at;
        });
        if (!place) place = place_one(nodes_, stay, with_room);
        if (!place) {
            const bool nowhere = !place_one(nodes_, stay, [&](const wire::NodeRecord& node, const wire::DiskRecord&) { return elsewhere(node); });
            if (nowhere) return {"no other active node takes a member of this partition"};
            return {"as many tasks run as may on every node that could take it", Room::Short};
        }
        add(want, *place);
        return {};
    }

    void add(const Want& want, const wire::Place& place) {
        wire::MasterCommand command;
        command.kind = wire::MasterCommandKind::StartTask;
        command.task.kind = want.kind;
        command.task.partition = want.partition->partition;
        command.task.epoch = want.partition->epoch;
        command.task.source = want.member;
        command.task.destination = {place.node, place.disk, ORRERY_DEFECT(master_allocates_before_applied) ? ReplicaId(next_replica_++) : ReplicaId(), false};
        command.task.priority = want.priority;
        count(want.member, command.task.destination, want.priority);
        arrives(place);
        started_.insert(want.partition->partition);
        out_.commands.push_back(std::move(command));
    }

    void arrives(const wire::Place& place) {
        const auto node = std::ranges::lower_bound(nodes_, place.node, {}, &wire::NodeRecord::node);
        const auto disk = std::ranges::find(node->disks, place.disk, &wire::DiskRecord::disk);
        ++disk->members;
    }

    // ---- balance

    struct Fill {
        NodeId node;
        std::string zone;
        wire::DiskRecord* disk;  // of nodes_: its members change with the plan
        int64_t members = 0;     // with those that arrive, without those that go
        uint64_t capacity() const { return std::max<uint64_t>(1, disk->capacity_bytes); }
    };
    static bool emptier(const Fill& a, const Fill& b) {
        const Wide left = Wide(static_cast<uint64_t>(std::max<int64_t>(0, a.members))) * b.capacity();
        const Wide right = Wide(static_cast<uint64_t>(std::max<int64_t>(0, b.members))) * a.capacity();
        return std::tuple(left, a.node, a.disk->disk) < std::tuple(right, b.node, b.disk->disk);
    }

    void balance() {
        std::vector<Fill> disks;
        Wide members = 0, capacity = 0;
        for (wire::NodeRecord& node : nodes_) {
            if (!takes_members(node)) continue;
            for (wire::DiskRecord& disk : node.disks) {
                if (!takes_members(disk)) continue;
                const auto going = going_.find({node.node, disk.disk});
                disks.push_back({node.node, node.zone, &disk, int64_t{disk.members} - (going == going_.end() ? 0 : going->second)});
                members += static_cast<uint64_t>(std::max<int64_t>(0, disks.back().members));
                capacity += disks.back().capacity();
            }
        }
        std::map<DiskOf, std::vector<const wire::PartitionRecord*>> on_disk;
        for (const wire::PartitionRecord& partition : in_.placed.partitions)
            if (task_of(partition) == nullptr)
                for (const wire::PartitionMember& member : partition.members) on_disk[{member.node, member.disk}].push_back(&partition);
        while (all_ < limits_.tasks_max && balancing_ < limits_.balance_tasks_max) {
            std::ranges::sort(disks, &emptier);
            // The emptiest that a move can be found for; the ones behind it that are within reach of the mean need none.
            bool moved = false;
            for (size_t to = 0; to < disks.size() && !moved; ++to) {
                const Wide after = Wide(static_cast<uint64_t>(std::max<int64_t>(0, disks[to].members)) + 1) * capacity * 100;
                if (after >= members * disks[to].capacity() * (100 - std::min(100u, limits_.balance_percent))) break;
                if (room(disks[to].node, disks[to].disk->disk)) moved = fill(disks[to], disks, on_disk);
            }
            if (!moved) return;
        }
    }

    /// One member from the fullest disk that has a suitable one, and stays no emptier than `to` becomes: so it comes to rest.
    bool fill(Fill& to, std::vector<Fill>& disks, const std::map<DiskOf, std::vector<const wire::PartitionRecord*>>& on_disk) {
        for (size_t i = disks.size(); i-- > 0;) {
            Fill& from = disks[i];
            if (from.members < 1 || Wide(static_cast<uint64_t>(from.members - 1)) * to.capacity() < Wide(static_cast<uint64_t>(to.members + 1)) * from.capacity()) return false;
            if (from.node == to.node || !room(from.node, from.disk->disk)) continue;
            const auto partitions = on_disk.find({from.node, from.disk->disk});
            if (partitions == on_disk.end()) continue;
            for (const wire::PartitionRecord* partition : partitions->second) {
                if (started_.contains(partition->partition) || !suits(*partition, from, to)) continue;
                const auto member = std::ranges::find(partition->members, from.node, &wire::PartitionMember::node);
                add({kBalance, partition, *member, wire::TaskKind::Move}, {to.node, to.disk->disk});
                --from.members;
                ++to.members;
                return true;
            }
        }
        return false;
    }

    bool suits(const wire::PartitionRecord& partition, const Fill& from, const Fill& to) const {
        if (live_members(partition) != partition.members.size() || partition.failures > 0 || !in_.reports.leader(partition, nullptr)) return false;
        std::set<std::string> before, after{to.zone};
        for (const wire::PartitionMember& member : partition.members) {
            if (member.node == to.node) return false;
            const wire::NodeRecord* node = in_.placed.node(member.node);
            before.insert(node->zone);
            if (member.node != from.node) after.insert(node->zone);
        }
        return after.size() >= before.size();
    }

    // ---- volumes

    void extend_volumes() {
        std::map<VolumeId, uint64_t> used;
        for (const wire::PartitionRecord& partition : in_.placed.partitions) {
            uint64_t most = 0;
            for (const wire::PartitionMember& member : partition.members)
                if (const wire::PartitionReport* report = in_.reports.find(member, partition.partition)) most = std::max(most, report->used_bytes);
            used[partition.volume] += most;
        }
        for (const wire::VolumeRecord& volume : in_.placed.volumes) {
            const Wide whole = Wide(volume.partitions) * limits_.partition_bytes;
            if (volume.state != wire::VolumeState::Active || Wide(used[volume.volume]) * 100 < whole * limits_.full_percent) continue;
            // What its quota allows fits in already.
            if (volume.capacity_bytes != 0 && whole >= volume.capacity_bytes) continue;
            const uint32_t most = most_partitions(volume);
            const uint32_t more = std::min({std::max(1u, volume.partitions / kExtendTenth), most - std::min(most, volume.partitions), MasterLimits::partitions_of_command_max});
            const std::string is_full = "volume '" + volume.name + "' is nearly full, and ";
            if (more == 0) {
                out_.volumes_full.push_back(is_full + "has as many partitions as it may");
                continue;
            }
            Result<std::vector<wire::Placement>> placed = place(nodes_, volume.replicas, more);
            if (!placed.ok()) {
                out_.volumes_full.push_back(is_full + placed.error().context);
                continue;
            }
            wire::MasterCommand command;
            command.kind = wire::MasterCommandKind::ExtendVolume;
            command.name = volume.name;
            command.partitions = more;
            command.expected_partitions = volume.partitions;
            for (const wire::Placement& placement : *placed)
                for (const wire::Place& one : placement.places) arrives(one);
            command.placements = std::move(*placed);
            out_.commands.push_back(std::move(command));
        }
    }

    // ---- what people are told

    void say_what_nodes_wait_for() {
        std::map<NodeId, std::string> first;
        for (const Waiting& waiting : out_.waiting) first.try_emplace(waiting.node, "partition " + number(waiting.partition.value) + ": " + waiting.why);
        for (const wire::NodeRecord& node : in_.placed.nodes) {
            std::string text = first[node.node];
            if (text.size() > MasterLimits::text_bytes_max) text.resize(MasterLimits::text_bytes_max);
            if (text == node.waits_for || out_.waits.size() == wire::MasterCommand::kMarksMax) continue;
            out_.waits.push_back({node.node, TaskId(), std::move(text)});
        }
    }

    const PlanInput& in_;
    const PlanLimits& limits_;
    Instant now_;
    std::map<PartitionId, const wire::TaskRecord*> tasks_;
    std::vector<wire::NodeRecord> nodes_;  // as the plan leaves them
    uint64_t next_replica_ = 0;            // defect master_allocates_before_applied
    std::vector<Want> wants_;
    uint32_t all_ = 0, balancing_ = 0;
    bool short_of_room_ = false;
    std::map<NodeId, uint32_t> of_node_;
    std::map<DiskOf, uint32_t> of_disk_, going_;
    std::set<PartitionId> started_;
    Plan out_;
};

}  // namespace

bool stands_still(const Placed& placed, const Reports& reports, const wire::TaskRecord& task) {
    const wire::PartitionRecord* partition = placed.partition(task.partition);
    if (task.step == wire::TaskStep::Create || partition == nullptr) return false;
    const std::optional<LeaderReport> leader = reports.leader(*partition, &task);
    const wire::NodeRecord* node = leader ? placed.node(leader->node) : nullptr;
    return node == nullptr || node->state != wire::NodeState::Active;
}

Plan plan(const PlanInput& input, const PlanLimits& limits, Instant now) { return Planning(input, limits, now).run(); }

}  // namespace orrery::master
