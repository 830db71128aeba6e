#include "tools/orreryctl/master_views.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "node/admin/json_writer.h"
#include "runtime/base/check.h"

namespace orrery::ctl {

namespace {

using admin::JsonWriter;

std::string number(uint64_t value) { return std::to_string(value); }

// ---- tables

enum class Align : uint8_t { Left, Right };
struct Column {
    std::string title;
    Align align = Align::Left;
};

/// Columns two blanks apart, as wide as their widest cell; no blanks at the end of a line.
class Table {
 public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {
        for (const Column& column : columns_) widths_.push_back(column.title.size());
    }
    /// Requires: one cell a column.
    void row(std::vector<std::string> cells) {
        CHECK(cells.size() == columns_.size(), cells.size());
        for (size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], cells[i].size());
        rows_.push_back(std::move(cells));
    }
    std::string text() const {
        std::vector<std::string> titles;
        for (const Column& column : columns_) titles.push_back(column.title);
        std::string out = line(titles);
        for (const std::vector<std::string>& row : rows_) out += line(row);
        return out;
    }

 private:
    std::string line(const std::vector<std::string>& cells) const {
        std::string out;
        for (size_t i = 0; i < cells.size(); ++i) {
            const std::string blanks(widths_[i] - cells[i].size(), ' ');
            out += i == 0 ? "" : "  ";
            out += columns_[i].align == Align::Right ? blanks + cells[i] : cells[i] + blanks;
        }
        out.erase(out.find_last_not_of(' ') + 1);
        return out + "\n";
    }

    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
    std::vector<size_t> widths_;
};

/// One record: a name and a value a line.
std::string lines(const std::vector<std::pair<std::string, std::string>>& fields) {
    size_t wide = 0;
    for (const auto& [name, value] : fields) wide = std::max(wide, name.size());
    std::string out;
    for (const auto& [name, value] : fields) out += name + std::string(wide + 2 - name.size(), ' ') + value + "\n";
    return out;
}

std::string changed_note(const Listing& listing) {
    if (listing.last_version == listing.all.version) return "";
    return "something changed while this was read: it begins at version " + number(listing.all.version.value) + " and ends at " +
           number(listing.last_version.value) + "\n";
}

std::string quota(const wire::VolumeRecord& volume, const char* none) {
    return volume.capacity_bytes == 0 ? none : size_for_people(volume.capacity_bytes);
}

std::string members_cell(const wire::PartitionRecord& partition) {
    std::string out;
    for (const wire::PartitionMember& member : partition.members)
        out += (out.empty() ? "" : " ") + number(member.node.value) + "/" + number(member.disk.value);
    return out.empty() ? "-" : out;
}

std::string partition_table(const Listing& volume) {
    if (volume.all.partitions.empty()) return "volume '" + volume.all.volumes.front().name + "' has no partitions\n";
    Table table({{"partition", Align::Right}, {"epoch", Align::Right}, {"members (node/disk)"}});
    for (const wire::PartitionRecord& partition : volume.all.partitions)
        table.row({number(partition.partition.value), number(partition.epoch.value), members_cell(partition)});
    return table.text();
}

std::string_view what_comes_next(wire::TaskStep step) {
    switch (step) {
        case wire::TaskStep::Create: return "the group takes the new replica in, as a learner";
        case wire::TaskStep::AddLearner: return "the new replica catches up";
        case wire::TaskStep::CatchUp: return "the new replica becomes a voter";
        case wire::TaskStep::Promote: return "the old replica leaves the group";
        case wire::TaskStep::RemoveSource: return "the old replica is destroyed";
        case wire::TaskStep::BackOut: return "the new replica is destroyed; the move is planned anew if it is still wanted";
        case wire::TaskStep::Done: break;
    }
    return "";
}

std::string place_cell(const wire::PartitionMember& member) { return number(member.node.value) + "/" + number(member.disk.value); }

std::string task_table(const std::vector<wire::TaskRecord>& tasks) {
    Table table({{"task", Align::Right}, {"kind"}, {"partition", Align::Right}, {"from"}, {"to"}, {"step"}, {"since", Align::Right}, {"waits for"}});
    for (const wire::TaskRecord& task : tasks)
        table.row({number(task.task.value), std::string(wire::task_kind_name(task.kind)), number(task.partition.value), place_cell(task.source), place_cell(task.destination),
                   std::string(wire::task_step_name(task.step)), number(task.since.value), task.waits_for.empty() ? "-" : task.waits_for});
    return table.text();
}

/// "active", "inactive, leaving".
std::string state_cell(const wire::NodeRecord& node) { return std::string(wire::node_state_name(node.state)) + (node.leaving ? ", leaving" : ""); }

std::string state_cell(const wire::DiskRecord& disk) {
    if (disk.bad) return disk.leaving ? "bad, leaving" : "bad";
    return disk.leaving ? "leaving" : "good";
}

struct NodeTotals {
    uint64_t capacity_bytes = 0, members = 0;
};
NodeTotals totals(const wire::NodeRecord& node) {
    NodeTotals out;
    for (const wire::DiskRecord& disk : node.disks) {
        out.capacity_bytes += disk.capacity_bytes;
        out.members += disk.members;
    }
    return out;
}

// ---- JSON

void begin(JsonWriter& json, const Listing& listing) {
    json.begin_object().field("version", listing.all.version.value).field("last_version", listing.last_version.value);
}

std::string end(JsonWriter& json) { return json.end_object().text() + "\n"; }

void fields_of(JsonWriter& json, const wire::NodeRecord& node) {
    char incarnation[17];  // of 64 bits, which not every reader of JSON numbers can hold
    std::snprintf(incarnation, sizeof incarnation, "%016llx", static_cast<unsigned long long>(node.incarnation.value));
    const NodeTotals total = totals(node);
    json.field("node", node.node.value).field("state", wire::node_state_name(node.state)).field("zone", node.zone);
    json.field("address", node.service_address).field("peer_address", node.peer_address).field("incarnation", incarnation);
    json.field("capacity_bytes", total.capacity_bytes).field("members", total.members);
    json.key("disks").begin_array();
    for (const wire::DiskRecord& disk : node.disks) {
        json.begin_object().field("disk", disk.disk.value).field("path", disk.path);
        json.field("capacity_bytes", disk.capacity_bytes).field("members", disk.members);
        json.field("leaving", disk.leaving).field("bad", disk.bad).end_object();
    }
    json.end_array().field("registered", node.registered.value).field("modified", node.modified.value);
    json.field("leaving", node.leaving).field("waits_for", node.waits_for);
}

void fields_of(JsonWriter& json, const wire::VolumeRecord& volume) {
    json.field("volume", volume.volume.value).field("name", volume.name).field("state", wire::volume_state_name(volume.state));
    json.field("replicas", volume.replicas).field("partitions", volume.partitions).field("capacity_bytes", volume.capacity_bytes);
    json.field("created", volume.created.value).field("modified", volume.modified.value).field("max_partitions", volume.max_partitions);
}

void fields_of(JsonWriter& json, const wire::PartitionRecord& partition) {
    json.field("partition", partition.partition.value).field("volume", partition.volume.value).field("epoch", partition.epoch.value);
    json.key("members").begin_array();
    for (const wire::PartitionMember& member : partition.members) {
        json.begin_object().field("node", member.node.value).field("disk", member.disk.value);
        json.field("replica", member.replica.value).field("created", member.created).end_object();
    }
    json.end_array().field("created", partition.created.value).field("modified", partition.modified.value);
    json.field("leader", partition.leader.value).field("leader_term", partition.leader_term.value);
    json.field("failures", partition.failures).field("last_error", partition.last_error);
}

void fields_of(JsonWriter& json, const wire::TaskRecord& task) {
    json.field("task", task.task.value).field("kind", wire::task_kind_name(task.kind)).field("partition", task.partition.value);
    json.field("volume", task.volume.value).field("epoch", task.epoch.value);
    auto member = [&](const char* name, const wire::PartitionMember& one) {
        json.key(name).begin_object().field("node", one.node.value).field("disk", one.disk.value).field("replica", one.replica.value).end_object();
    };
    member("source", task.source);
    member("destination", task.destination);
    json.field("step", wire::task_step_name(task.step)).field("waits_for", task.waits_for).field("since", task.since.value);
    json.field("next", what_comes_next(task.step)).field("priority", task.priority).field("failures", task.failures).field("last_error", task.last_error);
    json.field("created", task.created.value).field("modified", task.modified.value);
}

template <typename Record>
void array_of(JsonWriter& json, const char* name, const std::vector<Record>& records) {
    json.key(name).begin_array();
    for (const Record& record : records) {
        json.begin_object();
        fields_of(json, record);
        json.end_object();
    }
    json.end_array();
}

}  // namespace

std::string size_for_people(uint64_t bytes) {
    static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    using Wide = unsigned __int128;
    size_t unit = 0;
    auto tenths = [&] { return static_cast<uint64_t>((Wide(bytes) * 10 + (Wide(1) << (10 * unit)) / 2) >> (10 * unit)); };
    while (unit + 1 < std::size(kUnits) && tenths() >= 10'240) ++unit;
    const uint64_t rounded = tenths();
    return number(rounded / 10) + (rounded % 10 == 0 ? "" : "." + number(rounded % 10)) + " " + kUnits[unit];
}

std::string nodes_text(const Listing& nodes, Form form) {
    if (form == Form::Json) {
        JsonWriter json;
        begin(json, nodes);
        array_of(json, "nodes", nodes.all.nodes);
        return end(json);
    }
    if (nodes.all.nodes.empty()) return "no node is registered\n";
    Table table({{"node", Align::Right}, {"state"}, {"zone"}, {"address"}, {"disks", Align::Right}, {"capacity", Align::Right}, {"members", Align::Right}});
    for (const wire::NodeRecord& node : nodes.all.nodes) {
        const NodeTotals total = totals(node);
        table.row({number(node.node.value), state_cell(node), node.zone, node.service_address, number(node.disks.size()), size_for_people(total.capacity_bytes),
                   number(total.members)});
    }
    return table.text() + changed_note(nodes);
}

std::string volumes_text(const Listing& volumes, Form form) {
    if (form == Form::Json) {
        JsonWriter json;
        begin(json, volumes);
        array_of(json, "volumes", volumes.all.volumes);
        return end(json);
    }
    if (volumes.all.volumes.empty()) return "there are no volumes\n";
    Table table({{"volume", Align::Right}, {"name"}, {"state"}, {"replicas", Align::Right}, {"partitions", Align::Right}, {"capacity", Align::Right}});
    for (const wire::VolumeRecord& volume : volumes.all.volumes)
        table.row({number(volume.volume.value), volume.name, std::string(wire::volume_state_name(volume.state)), number(volume.replicas),
                   number(volume.partitions), quota(volume, "-")});
    return table.text() + changed_note(volumes);
}

std::string volume_text(const Listing& volume, Form form) {
    CHECK(volume.all.volumes.size() == 1, volume.all.volumes.size());
    const wire::VolumeRecord& record = volume.all.volumes.front();
    if (form == Form::Json) {
        JsonWriter json;
        begin(json, volume);
        json.key("volume").begin_object();
        fields_of(json, record);
        json.end_object();
        array_of(json, "partitions", volume.all.partitions);
        return end(json);
    }
    return lines({{"volume", number(record.volume.value)},
                  {"name", record.name},
                  {"state", std::string(wire::volume_state_name(record.state))},
                  {"replicas", number(record.replicas)},
                  {"partitions", number(record.partitions)},
                  {"capacity", quota(record, "no limit")},
                  {"created", "at version " + number(record.created.value)},
                  {"modified", "at version " + number(record.modified.value)}}) +
           "\n" + partition_table(volume) + changed_note(volume);
}

std::string partitions_text(const Listing& volume, Form form) {
    CHECK(volume.all.volumes.size() == 1, volume.all.volumes.size());
    if (form == Form::Table) return partition_table(volume) + changed_note(volume);
    JsonWriter json;
    begin(json, volume);
    json.field("volume", volume.all.volumes.front().volume.value).field("name", volume.all.volumes.front().name);
    array_of(json, "partitions", volume.all.partitions);
    return end(json);
}

std::string partition_text(const wire::MasterView& view, Form form) {
    CHECK(view.partitions.size() == 1, view.partitions.size());
    const wire::PartitionRecord& partition = view.partitions.front();
    if (form == Form::Json) {
        JsonWriter json;
        json.begin_object().field("version", view.version.value).key("partition").begin_object();
        fields_of(json, partition);
        json.end_object();
        return end(json);
    }
    Table members({{"node", Align::Right}, {"disk", Align::Right}, {"replica", Align::Right}});
    for (const wire::PartitionMember& member : partition.members)
        members.row({number(member.node.value), number(member.disk.value), number(member.replica.value)});
    return lines({{"partition", number(partition.partition.value)},
                  {"volume", number(partition.volume.value)},
                  {"epoch", number(partition.epoch.value)},
                  {"created", "at version " + number(partition.created.value)},
                  {"modified", "at version " + number(partition.modified.value)},
                  {"leader", partition.leader ? "node " + number(partition.leader.value) + ", as last reported" : "none was reported yet"},
                  {"failures", partition.failures == 0 ? "none" : number(partition.failures) + "; last: " + partition.last_error}}) +
           "\n" + (partition.members.empty() ? "it has no members\n" : members.text());
}

std::string node_text(const wire::MasterView& view, Form form) {
    CHECK(view.nodes.size() == 1, view.nodes.size());
    const wire::NodeRecord& node = view.nodes.front();
    if (form == Form::Json) {
        JsonWriter json;
        json.begin_object().field("version", view.version.value).key("node").begin_object();
        fields_of(json, node);
        json.end_object();
        array_of(json, "tasks", view.tasks);
        json.field("more_tasks", view.more);
        return end(json);
    }
    const NodeTotals total = totals(node);
    std::vector<std::pair<std::string, std::string>> fields = {{"node", number(node.node.value)},
                                                               {"state", state_cell(node)},
                                                               {"zone", node.zone},
                                                               {"address", node.service_address},
                                                               {"peer address", node.peer_address},
                                                               {"capacity", size_for_people(total.capacity_bytes)},
                                                               {"members", number(total.members)},
                                                               {"registered", "at version " + number(node.registered.value)},
                                                               {"modified", "at version " + number(node.modified.value)}};
    if (!node.waits_for.empty()) fields.emplace_back("waits for", node.waits_for);
    if (node.leaving && total.members == 0) fields.emplace_back("left", "nothing is placed on it any more");
    Table disks({{"disk", Align::Right}, {"state"}, {"path"}, {"capacity", Align::Right}, {"members", Align::Right}});
    for (const wire::DiskRecord& disk : node.disks)
        disks.row({number(disk.disk.value), state_cell(disk), disk.path, size_for_people(disk.capacity_bytes), number(disk.members)});
    return lines(fields) + "\n" + disks.text() + (view.tasks.empty() ? "" : "\n" + task_table(view.tasks)) +
           (view.more ? "and more tasks: see `orreryctl task list`\n" : "");
}

std::string tasks_text(const Listing& tasks, Form form) {
    if (form == Form::Json) {
        JsonWriter json;
        begin(json, tasks);
        array_of(json, "tasks", tasks.all.tasks);
        return end(json);
    }
    return (tasks.all.tasks.empty() ? "nothing is being moved or repaired\n" : task_table(tasks.all.tasks)) + changed_note(tasks);
}

std::string task_text(const wire::MasterView& view, Form form) {
    CHECK(view.tasks.size() == 1, view.tasks.size());
    const wire::TaskRecord& task = view.tasks.front();
    if (form == Form::Json) {
        JsonWriter json;
        json.begin_object().field("version", view.version.value).key("task").begin_object();
        fields_of(json, task);
        json.end_object();
        return end(json);
    }
    auto member = [](const wire::PartitionMember& one) {
        return "node " + number(one.node.value) + ", disk " + number(one.disk.value) + " (replica " + number(one.replica.value) + ")";
    };
    std::vector<std::pair<std::string, std::string>> fields = {{"task", number(task.task.value)},
                                                               {"kind", std::string(wire::task_kind_name(task.kind))},
                                                               {"partition", number(task.partition.value)},
                                                               {"from", member(task.source)},
                                                               {"to", member(task.destination)},
                                                               {"step", std::string(wire::task_step_name(task.step))},
                                                               {"waits for", task.waits_for.empty() ? "nothing: it goes on" : task.waits_for},
                                                               {"since", "version " + number(task.since.value)},
                                                               {"next", std::string(what_comes_next(task.step))},
                                                               {"created", "at version " + number(task.created.value)},
                                                               {"modified", "at version " + number(task.modified.value)}};
    if (task.failures > 0) fields.emplace_back("failures", number(task.failures) + " before this one");
    if (!task.last_error.empty()) fields.emplace_back(task.step == wire::TaskStep::BackOut ? "backs out" : "last failure", task.last_error);
    return lines(fields);
}

std::string status_text(const wire::MasterView& view, Form form) {
    if (form == Form::Json) {
        JsonWriter json;
        json.begin_object().field("leader", view.leader.value).field("term", view.term.value).field("version", view.version.value);
        json.field("nodes", view.counters.nodes).field("volumes", view.counters.volumes).field("partitions", view.counters.partitions);
        json.field("tasks", view.counters.tasks);
        return end(json);
    }
    return lines({{"leader", "master " + number(view.leader.value)},
                  {"term", number(view.term.value)},
                  {"version", number(view.version.value)},
                  {"nodes", number(view.counters.nodes)},
                  {"volumes", number(view.counters.volumes)},
                  {"partitions", number(view.counters.partitions)},
                  {"tasks", number(view.counters.tasks)}});
}

}  // namespace orrery::ctl
