#include "tools/orreryctl/master_commands.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace orrery::ctl {

namespace {

constexpr Duration kRepeat = Duration::seconds(2);
constexpr Duration kPoll = Duration::millis(500);  // of health, while it waits
constexpr const char* kClearTerminal = "\x1b[H\x1b[2J";
constexpr uint64_t kOnlyClient = 0;  // of this process
constexpr client::MasterClient::Options kOperator{.identity = {.role = rpc::Role::Operator}};

Result<void> print(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return {};
    return Error(Code::Io, std::string("standard output can not be written: ") + std::strerror(errno));
}

template <typename Record>
void append(std::vector<Record>& to, std::vector<Record>& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

/// Moves the query behind the last record of this page. False when there is none.
bool go_behind(const wire::MasterView& page, wire::MasterQuery& query) {
    switch (query.topic) {
        case wire::MasterTopic::Nodes:
            if (page.nodes.empty()) return false;
            query.after = page.nodes.back().node.value;
            return true;
        case wire::MasterTopic::Volumes:
            if (page.volumes.empty()) return false;
            query.name = page.volumes.back().name;
            return true;
        case wire::MasterTopic::Partitions:
            if (page.partitions.empty()) return false;
            query.after = page.partitions.back().partition.value;
            return true;
        case wire::MasterTopic::Tasks:
            if (page.tasks.empty()) return false;
            query.after = page.tasks.back().task.value;
            return true;
        case wire::MasterTopic::Volume:
        case wire::MasterTopic::Partition:
        case wire::MasterTopic::Task:
        case wire::MasterTopic::Node:
        case wire::MasterTopic::Counters: return false;
    }
    return false;
}

/// Every page of it. Yields. Errors: as MasterClient::query(); Stale (the volume of that name is another one now), Corrupt.
Result<Listing> all_pages(Fiber& fiber, client::MasterClient& masters, wire::MasterQuery query, Instant deadline) {
    TRY(wire::MasterView first, masters.query(fiber, query, deadline));
    Listing out{std::move(first), {}};
    out.last_version = out.all.version;
    const bool of_volume = query.topic == wire::MasterTopic::Partitions;
    if (of_volume && out.all.volumes.size() != 1) return Error(Code::Corrupt, "a master told of partitions without their volume");
    if (out.all.more && !go_behind(out.all, query)) return Error(Code::Corrupt, "a master says that there is more behind an empty page");
    for (bool more = out.all.more; more;) {
        TRY(wire::MasterView page, masters.query(fiber, query, deadline));
        if (of_volume && (page.volumes.size() != 1 || page.volumes.front().volume != out.all.volumes.front().volume))
            return Error(Code::Stale, "volume '" + query.name + "' was deleted and made anew while it was read; ask again");
        more = page.more;
        if (more && !go_behind(page, query)) return Error(Code::Corrupt, "a master says that there is more behind an empty page");
        append(out.all.nodes, page.nodes);
        if (!of_volume) append(out.all.volumes, page.volumes);
        append(out.all.partitions, page.partitions);
        append(out.all.tasks, page.tasks);
        out.last_version = page.version;
    }
    return out;
}

/// Everything that the masters keep. Yields. Errors: as all_pages().
Result<ClusterRecords> read_cluster(Fiber& fiber, client::MasterClient& masters, Instant deadline) {
    ClusterRecords out;
    TRY(out.counts, masters.query(fiber, {.topic = wire::MasterTopic::Counters}, deadline));
    TRY(Listing nodes, all_pages(fiber, masters, {.topic = wire::MasterTopic::Nodes}, deadline));
    TRY(Listing volumes, all_pages(fiber, masters, {.topic = wire::MasterTopic::Volumes}, deadline));
    TRY(Listing tasks, all_pages(fiber, masters, {.topic = wire::MasterTopic::Tasks}, deadline));
    out.nodes = std::move(nodes.all.nodes);
    out.tasks = std::move(tasks.all.tasks);
    for (wire::VolumeRecord& volume : volumes.all.volumes) {
        Result<Listing> partitions = all_pages(fiber, masters, {.topic = wire::MasterTopic::Partitions, .name = volume.name}, deadline);
        if (partitions.failed_with(Code::NotFound)) continue;  // deleted meanwhile
        if (!partitions.ok()) return partitions.error();
        append(out.partitions, partitions->all.partitions);
        out.volumes.push_back(std::move(volume));
    }
    return out;
}

/// Of a view that is shown again and again: another time it may go better.
bool passes(Code code) { return code == Code::Timeout || code == Code::NotReady || code == Code::Stale; }

}  // namespace

// ---- questions

Result<void> MasterViews::show(Fiber& fiber, Env& env, const Ask& ask) const {
    client::MasterClient masters(env, kOnlyClient, at, kOperator);
    const bool clear = form == Form::Table && isatty(STDOUT_FILENO) == 1;
    for (bool again = false;; again = true) {
        const Result<std::string> text = ask(fiber, masters, env.now() + timeout);
        if (!text.ok() && !(again && passes(text.code()))) return text.error();
        if (text.ok()) {
            const std::string before = !again || form == Form::Json ? "" : clear ? kClearTerminal : "\n";
            TRY(print(before + *text));
        } else {
            std::fprintf(stderr, "orreryctl: warning[W0306]: no answer, asking again: %s\n", text.error().text().c_str());
        }
        if (times == Times::Once) return masters.close(fiber);
        TRY(env.sleep(fiber, kRepeat));
    }
}

Result<void> MasterViews::status(Fiber& fiber, Env& env) const {
    return show(fiber, env, [this](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(wire::MasterView view, masters.query(asking, {.topic = wire::MasterTopic::Counters}, deadline));
        return status_text(view, form);
    });
}

Result<void> MasterViews::check(Fiber& fiber, Env& env, Health& worst) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(ClusterRecords records, read_cluster(asking, masters, deadline));
        const std::vector<Anomaly> anomalies = find_anomalies(records);
        worst = health_of(anomalies);
        return check_text(records, anomalies, form);
    });
}

Result<void> MasterViews::health(Fiber& fiber, Env& env, std::optional<Health> wanted, Health& found) const {
    if (!wanted)
        return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
            TRY(ClusterRecords records, read_cluster(asking, masters, deadline));
            const std::vector<Anomaly> anomalies = find_anomalies(records);
            found = health_of(anomalies);
            return health_text(records, anomalies, form);
        });
    client::MasterClient masters(env, kOnlyClient, at, kOperator);
    const Instant end = env.now() + timeout;
    for (;;) {
        Result<ClusterRecords> records = read_cluster(fiber, masters, end);
        if (!records.ok() && !(passes(records.code()) && env.now() + kPoll < end)) return records.error();
        if (records.ok()) {
            const std::vector<Anomaly> anomalies = find_anomalies(*records);
            found = health_of(anomalies);
            if (found <= *wanted || env.now() + kPoll >= end) {
                TRY(print(health_text(*records, anomalies, form)));
                return masters.close(fiber);
            }
        }
        TRY(env.sleep(fiber, kPoll));
    }
}

Result<void> MasterViews::nodes(Fiber& fiber, Env& env) const {
    return show(fiber, env, [this](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(Listing listing, all_pages(asking, masters, {.topic = wire::MasterTopic::Nodes}, deadline));
        return nodes_text(listing, form);
    });
}

Result<void> MasterViews::volumes(Fiber& fiber, Env& env) const {
    return show(fiber, env, [this](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(Listing listing, all_pages(asking, masters, {.topic = wire::MasterTopic::Volumes}, deadline));
        return volumes_text(listing, form);
    });
}

Result<void> MasterViews::volume(Fiber& fiber, Env& env, const std::string& name) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(Listing listing, all_pages(asking, masters, {.topic = wire::MasterTopic::Partitions, .name = name}, deadline));
        return volume_text(listing, form);
    });
}

Result<void> MasterViews::partitions(Fiber& fiber, Env& env, const std::string& volume) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(Listing listing, all_pages(asking, masters, {.topic = wire::MasterTopic::Partitions, .name = volume}, deadline));
        return partitions_text(listing, form);
    });
}

Result<void> MasterViews::partition(Fiber& fiber, Env& env, PartitionId id) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(wire::MasterView view, masters.query(asking, {.topic = wire::MasterTopic::Partition, .after = id.value}, deadline));
        if (view.partitions.size() != 1) return Error(Code::Corrupt, "a master told of no partition, and of no refusal");
        return partition_text(view, form);
    });
}

Result<void> MasterViews::node(Fiber& fiber, Env& env, NodeId id) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(wire::MasterView view, masters.query(asking, {.topic = wire::MasterTopic::Node, .after = id.value}, deadline));
        if (view.nodes.size() != 1) return Error(Code::Corrupt, "a master told of no node, and of no refusal");
        return node_text(view, form);
    });
}

Result<void> MasterViews::tasks(Fiber& fiber, Env& env) const {
    return show(fiber, env, [this](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(Listing listing, all_pages(asking, masters, {.topic = wire::MasterTopic::Tasks}, deadline));
        return tasks_text(listing, form);
    });
}

Result<void> MasterViews::task(Fiber& fiber, Env& env, TaskId id) const {
    return show(fiber, env, [&](Fiber& asking, client::MasterClient& masters, Instant deadline) -> Result<std::string> {
        TRY(wire::MasterView view, masters.query(asking, {.topic = wire::MasterTopic::Task, .after = id.value}, deadline));
        if (view.tasks.size() != 1) return Error(Code::Corrupt, "a master told of no task, and of no refusal");
        return task_text(view, form);
    });
}

// ---- changes

Result<wire::MasterAnswer> MasterChanges::change(Fiber& fiber, Env& env, wire::MasterCommand command, const std::string& look) const {
    client::MasterClient masters(env, kOnlyClient, at, kOperator);
    const Result<wire::MasterAnswer> answer = masters.change(fiber, std::move(command), env.now() + timeout);
    if (answer.failed_with(Code::Unknown))
        return Error(Code::Unknown, "it may or may not have taken effect, look with `orreryctl " + look + "`; " + answer.error().context);
    if (!answer.ok()) return answer.error();
    TRY(masters.close(fiber));
    if (answer->code == 0) return *answer;
    const std::optional<Code> code = code_from_number(answer->code);
    if (!code) return Error(Code::Unsupported, answer->context + " (refused with code " + std::to_string(answer->code) + " of a newer master)");
    return Error(*code, answer->context);
}

Result<void> MasterChanges::create_volume(Fiber& fiber, Env& env, const NewVolume& volume) const {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::CreateVolume;
    command.name = volume.name;
    command.replicas = volume.replicas;
    command.partitions = volume.partitions;
    command.capacity_bytes = volume.capacity_bytes;
    command.max_partitions = volume.max_partitions;
    TRY(wire::MasterAnswer answer, change(fiber, env, std::move(command), "volume info " + volume.name));
    const std::string capacity = volume.capacity_bytes == 0 ? "no limit" : size_for_people(volume.capacity_bytes);
    return print("volume '" + volume.name + "' is there: id " + std::to_string(answer.volume.value) + ", replicas " + std::to_string(volume.replicas) +
                 ", partitions " + std::to_string(volume.partitions) + ", capacity " + capacity + "\n");
}

Result<void> MasterChanges::delete_volume(Fiber& fiber, Env& env, const std::string& name) const {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::DeleteVolume;
    command.name = name;
    TRY(wire::MasterAnswer answer, change(fiber, env, std::move(command), "volume info " + name));
    return print("volume '" + name + "' (id " + std::to_string(answer.volume.value) + ") is deleted\n");
}

Result<void> MasterChanges::extend_volume(Fiber& fiber, Env& env, const std::string& name, uint32_t partitions) const {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::ExtendVolume;
    command.name = name;
    command.partitions = partitions;
    TRY(change(fiber, env, std::move(command), "volume info " + name));
    return print("volume '" + name + "' has " + std::to_string(partitions) + " partitions more\n");
}

namespace {

wire::MasterCommand of_node(wire::MasterCommandKind kind, NodeId node, DiskId disk) {
    wire::MasterCommand command;
    command.kind = kind;
    command.node.node = node;
    command.disk = disk;
    return command;
}

std::string node_name(NodeId node, DiskId disk) {
    return (disk ? "disk " + std::to_string(disk.value) + " of node " : std::string("node ")) + std::to_string(node.value);
}

}  // namespace

Result<void> MasterChanges::decommission(Fiber& fiber, Env& env, NodeId node, DiskId disk) const {
    const auto kind = disk ? wire::MasterCommandKind::DecommissionDisk : wire::MasterCommandKind::DecommissionNode;
    const std::string look = "node info " + std::to_string(node.value);
    TRY(change(fiber, env, of_node(kind, node, disk), look));
    return print(node_name(node, disk) + " is leaving: what is on it goes elsewhere; `orreryctl " + look + "` shows how far it is\n");
}

Result<void> MasterChanges::cancel_decommission(Fiber& fiber, Env& env, NodeId node, DiskId disk) const {
    TRY(change(fiber, env, of_node(wire::MasterCommandKind::CancelDecommission, node, disk), "node info " + std::to_string(node.value)));
    return print(node_name(node, disk) + " stays; what has gone elsewhere already is not brought back\n");
}

}  // namespace orrery::ctl
