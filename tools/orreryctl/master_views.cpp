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
        json.field("capacity_bytes", disk.capacity_bytes).field("members", disk.members).end_object();
    }
    json.end_array().field("registered", node.registered.value).field("modified", node.modified.value);
}

void fields_of(JsonWriter& json, const wire::VolumeRecord& volume) {
    json.field("volume", volume.volume.value).field("name", volume.name).field("state", wire::volume_state_name(volume.state));
    json.field("replicas", volume.replicas).field("partitions", volume.partitions).field("capacity_bytes", volume.capacity_bytes);
    json.field("created", volume.created.value).field("modified", volume.modified.value);
}

void fields_of(JsonWriter& json, const wire::PartitionRecord& partition) {
    json.field("partition", partition.partition.value).field("volume", partition.volume.value).field("epoch", partition.epoch.value);
    json.key("members").begin_array();
    for (const wire::PartitionMember& member : partition.members) {
        json.begin_object().field("node", member.node.value).field("disk", member.disk.value);
        json.field("replica", member.replica.value).end_object();
    }
    json.end_array().field("created", partition.created.value).field("modified", partition.modified.value);
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
        table.row({number(node.node.value), std::string(wire::node_state_name(node.state)), node.zone, node.service_address, number(node.disks.size()), size_for_people(total.capacity_bytes),
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
                  {"modified", "at version " + number(partition.modified.value)}}) +
           "\n" + (partition.members.empty() ? "it has no members\n" : members.text());
}

std::string status_text(const wire::MasterView& view, Form form) {
    if (form == Form::Json) {
        JsonWriter json;
        json.begin_object().field("leader", view.leader.value).field("term", view.term.value).field("version", view.version.value);
        json.field("nodes", view.counters.nodes).field("volumes", view.counters.volumes).field("partitions", view.counters.partitions);
        return end(json);
    }
    return lines({{"leader", "master " + number(view.leader.value)},
                  {"term", number(view.term.value)},
                  {"version", number(view.version.value)},
                  {"nodes", number(view.counters.nodes)},
                  {"volumes", number(view.counters.volumes)},
                  {"partitions", number(view.counters.partitions)}});
}

}  // namespace orrery::ctl
