#include "tools/orreryctl/cluster_check.h"

#include <algorithm>
#include <map>
#include <set>

#include "node/admin/json_writer.h"

namespace orrery::ctl {

namespace {

std::string numbered(std::string_view what, uint64_t number) { return std::string(what) + " " + std::to_string(number); }

std::string counted(uint64_t count, const std::string& what) { return std::to_string(count) + " " + what + (count == 1 ? "" : "s"); }

class Finder {
 public:
    explicit Finder(const ClusterRecords& records) : records_(records) {
        for (const wire::NodeRecord& node : records.nodes) {
            nodes_[node.node] = &node;
            for (const wire::DiskRecord& disk : node.disks)
                if (disk.bad) bad_.emplace(node.node, disk.disk);
        }
        for (const wire::VolumeRecord& volume : records.volumes) volumes_[volume.volume] = &volume;
        for (const wire::TaskRecord& task : records.tasks) tasks_[task.partition] = &task;
    }

    std::vector<Anomaly> all() {
        for (const wire::NodeRecord& node : records_.nodes) look_at(node);
        for (const wire::PartitionRecord& partition : records_.partitions) look_at(partition);
        for (const wire::TaskRecord& task : records_.tasks) look_at(task);
        std::ranges::stable_sort(out_, std::greater(), &Anomaly::severity);
        return std::move(out_);
    }

 private:
    void add(Health severity, std::string what, std::string next) { out_.push_back({severity, std::move(what), std::move(next)}); }

    void look_at(const wire::NodeRecord& node) {
        const std::string name = numbered("node", node.node.value);
        uint64_t members = 0;
        for (const wire::DiskRecord& disk : node.disks) members += disk.members;
        const std::string waits = node.waits_for.empty() ? "" : "; it waits: " + node.waits_for;
        if (node.state == wire::NodeState::Inactive)
            add(Health::Degraded, name + " (" + node.service_address + ", zone " + node.zone + ") is silent, with " + counted(members, "member"),
                "start it, or its network; what it has is brought elsewhere once it was silent for master.repair_after" + waits);
        for (const wire::DiskRecord& disk : node.disks)
            if (disk.bad)
                add(Health::Degraded, numbered("disk", disk.disk.value) + " (" + disk.path + ") of " + name + " is bad, with " + counted(disk.members, "member"),
                    disk.members > 0 ? "its members are being brought elsewhere" + waits : "replace it");
        if (node.leaving && members > 0 && !node.waits_for.empty())
            add(Health::Degraded, name + " is to be emptied and still has " + counted(members, "member"), "it waits: " + node.waits_for);
    }

    bool live(const wire::PartitionMember& member) const {
        const auto node = nodes_.find(member.node);
        return member.created && node != nodes_.end() && node->second->state == wire::NodeState::Active && !bad_.contains({member.node, member.disk});
    }

    void look_at(const wire::PartitionRecord& partition) {
        const size_t all = partition.members.size(), live_ones = static_cast<size_t>(std::ranges::count_if(partition.members, [&](const auto& one) { return live(one); }));
        const auto volume = volumes_.find(partition.volume);
        const std::string name = numbered("partition", partition.partition.value) + (volume == volumes_.end() ? "" : " of volume '" + volume->second->name + "'");
        const auto task = tasks_.find(partition.partition);
        std::string next = task != tasks_.end() ? std::string(wire::task_kind_name(task->second->kind)) + ": " + numbered("task", task->second->task.value) + " is at " +
                                                      std::string(wire::task_step_name(task->second->step))
                                                : "no task yet: it is planned when its turn comes";
        if (!partition.last_error.empty()) next += "; the last try failed: " + partition.last_error;
        const size_t not_created = static_cast<size_t>(std::ranges::count_if(partition.members, [](const auto& one) { return !one.created; }));
        if (live_ones < all / 2 + 1) {
            const bool is_new = not_created > all - (all / 2 + 1);
            add(Health::Unavailable, name + " has " + std::to_string(live_ones) + " of " + std::to_string(all) + " members: nothing can be written there",
                is_new ? "its members are being created on nodes" : "bring back the nodes of its members: without a majority of them it cannot be repaired");
        } else if (live_ones < all) {
            add(Health::Degraded, name + " has " + std::to_string(live_ones) + " of " + std::to_string(all) + " members", next);
        } else if (!partition.leader) {
            add(Health::Degraded, name + " has told of no leader", "it elects one; if that lasts, look at its nodes: " + numbered("partition info", partition.partition.value));
        }
    }

    void look_at(const wire::TaskRecord& task) {
        if (task.step == wire::TaskStep::BackOut || task.failures > 0)
            add(Health::Degraded, numbered("task", task.task.value) + " of partition " + std::to_string(task.partition.value) +
                                      (task.step == wire::TaskStep::BackOut ? " is being given up" : " follows " + counted(task.failures, "failure")),
                task.last_error.empty() ? "another destination is tried" : "why: " + task.last_error);
    }

    const ClusterRecords& records_;
    std::map<NodeId, const wire::NodeRecord*> nodes_;
    std::set<std::pair<NodeId, DiskId>> bad_;
    std::map<VolumeId, const wire::VolumeRecord*> volumes_;
    std::map<PartitionId, const wire::TaskRecord*> tasks_;
    std::vector<Anomaly> out_;
};

void counts_of(admin::JsonWriter& json, const ClusterRecords& records, const std::vector<Anomaly>& anomalies) {
    json.field("health", health_name(health_of(anomalies))).field("leader", records.counts.leader.value).field("version", records.counts.version.value);
    json.field("nodes", uint64_t{records.nodes.size()}).field("volumes", uint64_t{records.volumes.size()}).field("partitions", uint64_t{records.partitions.size()});
    json.field("tasks", uint64_t{records.tasks.size()}).field("anomalies", uint64_t{anomalies.size()});
}

}  // namespace

std::string_view health_name(Health health) {
    switch (health) {
        case Health::Healthy: return "healthy";
        case Health::Degraded: return "degraded";
        case Health::Unavailable: return "unavailable";
    }
    return "?";
}

std::vector<Anomaly> find_anomalies(const ClusterRecords& records) { return Finder(records).all(); }

Health health_of(const std::vector<Anomaly>& anomalies) {
    Health worst = Health::Healthy;
    for (const Anomaly& one : anomalies) worst = std::max(worst, one.severity);
    return worst;
}

std::string health_text(const ClusterRecords& records, const std::vector<Anomaly>& anomalies, Form form) {
    if (form == Form::Json) {
        admin::JsonWriter json;
        json.begin_object();
        counts_of(json, records, anomalies);
        return json.end_object().text() + "\n";
    }
    std::string out(health_name(health_of(anomalies)));
    out += ": " + counted(records.nodes.size(), "node") + ", " + counted(records.volumes.size(), "volume") + ", " + counted(records.partitions.size(), "partition") + ", " +
           counted(records.tasks.size(), "task");
    if (anomalies.empty()) return out + "\n";
    return out + "; " + std::to_string(anomalies.size()) + (anomalies.size() == 1 ? " thing is" : " things are") + " not as they should be, the first: " + anomalies.front().what +
           " (orreryctl check tells all)\n";
}

std::string check_text(const ClusterRecords& records, const std::vector<Anomaly>& anomalies, Form form) {
    if (form == Form::Json) {
        admin::JsonWriter json;
        json.begin_object();
        counts_of(json, records, anomalies);
        json.key("found").begin_array();
        for (const Anomaly& one : anomalies)
            json.begin_object().field("severity", health_name(one.severity)).field("what", one.what).field("next", one.next).end_object();
        return json.end_array().end_object().text() + "\n";
    }
    if (anomalies.empty()) return health_text(records, anomalies, form);
    std::string out;
    for (size_t i = 0; i < anomalies.size() && i < kShownMax; ++i) {
        std::string severity(health_name(anomalies[i].severity));
        severity.resize(13, ' ');
        out += severity + anomalies[i].what + "\n             " + anomalies[i].next + "\n";
    }
    if (anomalies.size() > kShownMax) out += "and " + std::to_string(anomalies.size() - kShownMax) + " more: -o json has them all\n";
    return out + std::string(health_name(health_of(anomalies))) + ": " + std::to_string(anomalies.size()) + " found\n";
}

}  // namespace orrery::ctl
