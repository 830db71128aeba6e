#include "node/master/state_work.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr size_t kPage = 1000;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/// "HOST:PORT", as far as state needs it: the text is for others to resolve.
bool is_address(const std::string& text) {
    const size_t colon = text.rfind(':');
    return colon != std::string::npos && colon > 0 && colon + 1 < text.size() && text.size() <= MasterLimits::text_bytes_max &&
           std::all_of(text.begin() + static_cast<ptrdiff_t>(colon) + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<void> check_name(std::string_view what, ByteView name) {
    const bool right = !name.empty() && name.size() <= MasterLimits::name_bytes_max && is_letter_or_digit(name.front()) &&
                       std::all_of(name.begin(), name.end(), [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
    if (right) return {};
    return Error(Code::Invalid, std::string(what) + " has 1 to " + number(MasterLimits::name_bytes_max) +
                                    " letters, digits, '.', '_' or '-', and begins with a letter or digit");
}

void MasterState::load(wire::SessionRecord session) {
    by_use_.emplace(session.used, session.client);
    const ClientId client = session.client;
    sessions_.insert_or_assign(client, std::move(session));
}

Result<MasterState::Applied> MasterState::apply(const wire::MasterCommand& command, LogIndex index, StateView& view) {
    Applied applied;
    applied.counters = counters_;
    applied.answer.index = index;
    const auto known = command.client ? sessions_.find(command.client) : sessions_.end();
    if (known != sessions_.end() && command.sequence <= known->second.sequence && !ORRERY_DEFECT(change_applied_again)) {
        if (command.sequence == known->second.sequence) {
            TRY(applied.answer, wire::decode_master_answer(known->second.answer));
        } else {
            applied.answer = {static_cast<uint8_t>(Code::Stale), "this client has asked for something later meanwhile", index, {}};
        }
    } else if (command.client && known == sessions_.end() && counters_.forgotten && command.since <= counters_.forgotten) {
        // It may have been applied, answered, and forgotten with its client.
        applied.answer = {static_cast<uint8_t>(Code::Unknown), "this client was silent for too long: what it asked for before is not known any more", index, {}};
    } else {
        Work work{index, view, applied, {}};
        Verdict verdict;
        switch (command.kind) {
            case wire::MasterCommandKind::RegisterNode: {
                TRY(verdict, register_node(command, work));
                break;
            }
            case wire::MasterCommandKind::CreateVolume: {
                TRY(verdict, create_volume(command, work));
                break;
            }
            case wire::MasterCommandKind::DeleteVolume: {
                TRY(verdict, delete_volume(command, work));
                break;
            }
            case wire::MasterCommandKind::MarkNodes: {
                TRY(verdict, mark_nodes(command, work));
                break;
            }
            case wire::MasterCommandKind::DecommissionNode:
            case wire::MasterCommandKind::DecommissionDisk: {
                TRY(verdict, decommission(command, work));
                break;
            }
            case wire::MasterCommandKind::CancelDecommission: {
                TRY(verdict, cancel_decommission(command, work));
                break;
            }
            case wire::MasterCommandKind::ExtendVolume: {
                TRY(verdict, extend_volume(command, work));
                break;
            }
            case wire::MasterCommandKind::MarkDisks: {
                TRY(verdict, mark_disks(command, work));
                break;
            }
            case wire::MasterCommandKind::MarkPartitions: {
                TRY(verdict, mark_partitions(command, work));
                break;
            }
            case wire::MasterCommandKind::MarkWaits: {
                TRY(verdict, mark_waits(command, work));
                break;
            }
            case wire::MasterCommandKind::StartTask: {
                TRY(verdict, start_task(command, work));
                break;
            }
            case wire::MasterCommandKind::AdvanceTask: {
                TRY(verdict, advance_task(command, work));
                break;
            }
            case wire::MasterCommandKind::FailTask: {
                TRY(verdict, fail_task(command, work));
                break;
            }
        }
        if (verdict.refused) {
            applied.answer = {static_cast<uint8_t>(verdict.refused->code), verdict.refused->context, index, {}};
            applied.changes.clear();
            applied.counters = counters_;
        } else {
            work.put_nodes();
            work.put_volumes();
        }
        remember(command, index, applied);
    }
    applied.counters.applied = index;
    counters_ = applied.counters;
    applied.changes.push_back({counters_key(), wire::encode_master_counters(counters_)});
    return applied;
}

void MasterState::remember(const wire::MasterCommand& command, LogIndex index, Applied& applied) {
    if (!command.client) return;
    const auto known = sessions_.find(command.client);
    if (known != sessions_.end()) {
        by_use_.erase({known->second.used, command.client});
    } else if (sessions_.size() >= MasterLimits::sessions_max) {
        const auto [used, oldest] = *by_use_.begin();
        applied.counters.forgotten = used;
        applied.changes.push_back({session_key(oldest), std::nullopt});
        sessions_.erase(oldest);
        by_use_.erase(by_use_.begin());
    }
    by_use_.emplace(index, command.client);
    wire::SessionRecord& session = sessions_[command.client];
    session = {command.client, command.sequence, index, wire::encode_master_answer(applied.answer)};
    applied.changes.push_back({session_key(command.client), wire::encode_session_record(session)});
}

// ---- nodes

MasterState::Verdict MasterState::check_node(wire::NodeRecord& node) {
    if (!node.node || !node.incarnation) return refuse(Code::Invalid, "a node has an id and an incarnation, neither of them 0");
    if (Result<void> zone = check_name("a zone", node.zone); !zone.ok()) return {zone.error()};
    if (!is_address(node.peer_address) || !is_address(node.service_address))
        return refuse(Code::Invalid, "a node's addresses are HOST:PORT, at most " + number(MasterLimits::text_bytes_max) + " bytes");
    if (node.disks.empty() || node.disks.size() > MasterLimits::disks_max)
        return refuse(Code::Invalid, "a node has 1 to " + number(MasterLimits::disks_max) + " disks");
    node.state = wire::NodeState::Active;
    node.leaving = false;
    node.waits_for.clear();
    std::ranges::sort(node.disks, {}, &wire::DiskRecord::disk);
    for (size_t i = 0; i < node.disks.size(); ++i) {
        wire::DiskRecord& disk = node.disks[i];
        disk.members = 0;
        disk.leaving = disk.bad = false;
        if (!disk.disk || (i > 0 && node.disks[i - 1].disk == disk.disk)) return refuse(Code::Invalid, "a disk has an id of its own, not 0");
        if (disk.path.empty() || disk.path.size() > MasterLimits::text_bytes_max || disk.capacity_bytes == 0)
            return refuse(Code::Invalid, "disk " + number(disk.disk.value) + " has no path, too long a path, or no capacity");
    }
    return {};
}

Result<MasterState::Verdict> MasterState::register_node(const wire::MasterCommand& command, Work& work) {
    wire::NodeRecord node = command.node;
    if (Verdict wrong = check_node(node); wrong.refused) return wrong;
    TRY(std::optional<wire::NodeRecord> known, work.read(node_key(node.node), &wire::decode_node_record));
    if (!known) {
        if (work.applied.counters.nodes >= MasterLimits::nodes_max) return refuse(Code::Invalid, "the cluster has " + number(MasterLimits::nodes_max) + " nodes, and takes no more");
        node.registered = node.modified = work.index;
        ++work.applied.counters.nodes;
        work.put(node_key(node.node), wire::encode_node_record(node));
        return Verdict();
    }
    if (known->incarnation != node.incarnation)
        return refuse(Code::Exists, "node id " + number(node.node.value) + " is taken by another data directory; give this one an id of its own");
    for (const wire::DiskRecord& before : known->disks) {
        const auto now = std::ranges::find(node.disks, before.disk, &wire::DiskRecord::disk);
        if (now != node.disks.end()) {
            now->members = before.members;
            now->leaving = before.leaving;
            now->bad = before.bad;
        } else if (before.members > 0) {
            return refuse(Code::Invalid, "disk " + number(before.disk.value) + " of node " + number(node.node.value) + " is missing, and " +
                                             number(before.members) + " members of partitions are placed on it");
        }
    }
    node.leaving = known->leaving;
    node.waits_for = known->waits_for;
    node.registered = known->registered;
    node.modified = known->modified;  // and it is active: it has just been heard of
    if (node == *known) return Verdict();
    node.modified = work.index;
    work.put(node_key(node.node), wire::encode_node_record(node));
    return Verdict();
}

/// What was heard of another life of a node says nothing of this one.
Result<MasterState::Verdict> MasterState::mark_nodes(const wire::MasterCommand& command, Work& work) {
    for (const wire::NodeMark& mark : command.marks) {
        TRY(std::optional<wire::NodeRecord> node, work.read(node_key(mark.node), &wire::decode_node_record));
        if (!node || node->incarnation != mark.incarnation || node->state == mark.state) continue;
        node->state = mark.state;
        node->modified = work.index;
        work.put(node_key(mark.node), wire::encode_node_record(*node));
    }
    return Verdict();
}

// ---- volumes

Result<MasterState::Verdict> MasterState::create_volume(const wire::MasterCommand& command, Work& work) {
    if (Result<void> named = check_name("a volume's name", command.name); !named.ok()) return Verdict{named.error()};
    if (command.replicas == 0 || command.replicas > MasterLimits::replicas_max)
        return refuse(Code::Invalid, "a volume has 1 to " + number(MasterLimits::replicas_max) + " replicas");
    if (command.max_partitions > MasterLimits::partitions_of_volume_max || (command.max_partitions != 0 && command.max_partitions < command.partitions))
        return refuse(Code::Invalid, "a volume's most partitions are no fewer than it begins with, and at most " + number(MasterLimits::partitions_of_volume_max));
    if (command.partitions == 0 || command.partitions > MasterLimits::partitions_of_command_max)
        return refuse(Code::Invalid, "a volume begins with 1 to " + number(MasterLimits::partitions_of_command_max) + " partitions");
    TRY(std::optional<wire::VolumeRecord> known, work.read(volume_key(command.name), &wire::decode_volume_record));
    if (known) return refuse(Code::Exists, "there is a volume '" + command.name + "'");
    if (!command.unplaced.empty()) return refuse(Code::Invalid, command.unplaced);

    wire::MasterCounters& counters = work.applied.counters;
    if (counters.volumes >= MasterLimits::volumes_max) return refuse(Code::Invalid, "the cluster has " + number(MasterLimits::volumes_max) + " volumes, and takes no more");
    wire::VolumeRecord volume{VolumeId(counters.next_volume++), command.name, wire::VolumeState::Active, command.replicas, 0,
                              command.capacity_bytes, work.index, work.index, command.max_partitions};
    TRY(Verdict added, add_partitions(command, volume, work));
    if (added.refused) return added;
    work.put(volume_key(command.name), wire::encode_volume_record(volume));
    work.put(volume_name_key(volume.volume), command.name);
    ++counters.volumes;
    work.applied.answer.volume = volume.volume;
    return Verdict();
}

/// `command.partitions` more for the volume, at the command's placements.
Result<MasterState::Verdict> MasterState::add_partitions(const wire::MasterCommand& command, wire::VolumeRecord& volume, Work& work) {
    if (command.placements.size() != command.partitions) return refuse(Code::Invalid, "there is not one placement a partition");
    wire::MasterCounters& counters = work.applied.counters;
    if (counters.partitions + command.partitions > MasterLimits::partitions_max)
        return refuse(Code::Invalid, "the cluster has " + number(counters.partitions) + " partitions, and takes " + number(MasterLimits::partitions_max) + " at most");
    for (const wire::Placement& placement : command.placements) {
        if (placement.places.size() != volume.replicas) return refuse(Code::Invalid, "a placement has another number of replicas");
        wire::PartitionRecord partition{.partition = PartitionId(counters.next_partition++), .volume = volume.volume, .epoch = Epoch(1), .members = {},
                                        .created = work.index, .modified = work.index};
        for (const wire::Place& place : placement.places) {
            if (std::ranges::find(partition.members, place.node, &wire::PartitionMember::node) != partition.members.end())
                return refuse(Code::Invalid, "two members of a partition on node " + number(place.node.value));
            TRY(wire::DiskRecord * disk, work.disk(place.node, place.disk));
            if (disk == nullptr)
                return refuse(Code::Stale, "node " + number(place.node.value) + " or its disk " + number(place.disk.value) + " is not registered any more");
            ++disk->members;
            partition.members.push_back({place.node, place.disk, ReplicaId(counters.next_replica++)});
        }
        std::ranges::sort(partition.members, {}, &wire::PartitionMember::node);
        work.put(volume_partition_key(volume.volume, partition.partition), Bytes());
        work.add_partition(volume, std::move(partition));
    }
    volume.partitions += command.partitions;
    counters.partitions += command.partitions;
    counters.placed = work.index;
    return Verdict();
}

/// Partitions beyond the first ones have no directory slots: those were given out when the volume was made. Also the planner's, which says how many partitions it has seen: what it planned for is not done twice.
Result<MasterState::Verdict> MasterState::extend_volume(const wire::MasterCommand& command, Work& work) {
    if (Result<void> named = check_name("a volume's name", command.name); !named.ok()) return Verdict{named.error()};
    if (command.partitions == 0 || command.partitions > MasterLimits::partitions_of_command_max)
        return refuse(Code::Invalid, "a volume is extended by 1 to " + number(MasterLimits::partitions_of_command_max) + " partitions at a time");
    TRY(std::optional<wire::VolumeRecord> volume, work.read(volume_key(command.name), &wire::decode_volume_record));
    if (!volume) return refuse(Code::NotFound, "there is no volume '" + command.name + "'");
    if (volume->state != wire::VolumeState::Active) return refuse(Code::Invalid, "volume '" + command.name + "' is being deleted");
    if (command.expected_partitions != 0 && command.expected_partitions != volume->partitions)
        return refuse(Code::Stale, "volume '" + command.name + "' has " + number(volume->partitions) + " partitions meanwhile");
    const uint64_t most = most_partitions(*volume);
    if (volume->partitions + uint64_t{command.partitions} > most)
        return refuse(Code::Invalid, "volume '" + command.name + "' has " + number(volume->partitions) + " partitions, and may have " + number(most));
    if (!command.unplaced.empty()) return refuse(Code::Invalid, command.unplaced);
    TRY(Verdict added, add_partitions(command, *volume, work));
    if (added.refused) return added;
    work.put(volume_key(command.name), wire::encode_volume_record(*volume));
    work.applied.answer.volume = volume->volume;
    return Verdict();
}

Result<MasterState::Verdict> MasterState::delete_volume(const wire::MasterCommand& command, Work& work) {
    if (Result<void> named = check_name("a volume's name", command.name); !named.ok()) return Verdict{named.error()};
    TRY(std::optional<wire::VolumeRecord> volume, work.read(volume_key(command.name), &wire::decode_volume_record));
    if (!volume) return refuse(Code::NotFound, "there is no volume '" + command.name + "'");
    uint64_t gone = 0;
    PartitionId after;
    for (bool more = true; more;) {
        TRY(StateView::Pairs page, work.view.scan(partitions_of(volume->volume, after), kPage));
        more = page.size() == kPage;
        for (const auto& [key, nothing] : page) {
            TRY(after, partition_of_key(key));
            TRY(std::optional<wire::PartitionRecord> partition, work.read(partition_key(after), &wire::decode_partition_record));
            if (!partition) return Error(Code::Corrupt, "master store: partition " + number(after.value) + " has no record");
            for (const wire::PartitionMember& member : partition->members) TRY(work.leave(member));
            TRY(std::optional<wire::TaskRecord> task, work.task_of(after));
            if (task) {
                TRY(work.leave(task->destination));
                work.end(*task);
            }
            if (partition->modified > volume->created) work.erase(volume_change_key(volume->volume, partition->modified, after));
            work.erase(partition_key(after));
            work.erase(key);
            ++gone;
        }
    }
    work.erase(volume_key(command.name));
    work.erase(volume_name_key(volume->volume));
    --work.applied.counters.volumes;
    work.applied.counters.partitions -= gone;
    work.applied.counters.placed = work.index;
    if (ORRERY_DEFECT(ids_given_again) && work.applied.counters.next_volume == volume->volume.value + 1) --work.applied.counters.next_volume;
    work.applied.answer.volume = volume->volume;
    return Verdict();
}

}  // namespace orrery::master
