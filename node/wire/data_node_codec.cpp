// Codecs of what data nodes and masters say to each other. Bytes come from outside: every refusal is Corrupt.
#include <capnp/message.h>

#include "master.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/data_node.h"

namespace orrery::wire {

namespace {

// Every list and text is asked for once: asking again counts against the limit of traversal again.

std::string string_of(capnp::Text::Reader text) { return std::string(text.begin(), text.size()); }
capnp::Text::Reader string_from(const std::string& text) { return capnp::Text::Reader(text.c_str(), text.size()); }

template <typename Item>
unsigned size_of(const std::vector<Item>& items) {
    return static_cast<unsigned>(items.size());
}

void fill_report(schema::PartitionReport::Builder out, const PartitionReport& report) {
    out.setPartition(report.partition.value);
    out.setReplica(report.replica.value);
    out.setDisk(report.disk.value);
    out.setRole(static_cast<uint8_t>(report.role));
    out.setTerm(report.term.value);
    out.setState(static_cast<uint8_t>(report.state));
    out.setUsedBytes(report.used_bytes);
    out.setConfiguration(report.configuration.value);
    auto members = out.initMembers(size_of(report.members));
    for (unsigned i = 0; i < members.size(); ++i) {
        members[i].setNode(report.members[i].node.value);
        members[i].setReplica(report.members[i].replica.value);
        members[i].setVoter(report.members[i].voter);
        members[i].setCaughtUp(report.members[i].caught_up);
    }
}

Result<PartitionReport> read_report(schema::PartitionReport::Reader in) {
    PartitionReport report{.partition = PartitionId(in.getPartition()),
                           .replica = ReplicaId(in.getReplica()),
                           .disk = DiskId(in.getDisk()),
                           .term = Term(in.getTerm()),
                           .used_bytes = in.getUsedBytes(),
                           .configuration = LogIndex(in.getConfiguration()),
                           .members = {}};
    if (!take_enum(in.getRole(), ReplicaRole::Follower, ReplicaRole::Learner, report.role))
        return Error(Code::Corrupt, "report of a partition: unknown role");
    if (!take_enum(in.getState(), ReplicaState::Loading, ReplicaState::Gone, report.state))
        return Error(Code::Corrupt, "report of a partition: unknown state");
    auto members = in.getMembers();
    if (members.size() > PartitionReport::kMembersMax) return Error(Code::Corrupt, "report of a partition: too many members");
    report.members.reserve(members.size());
    for (auto member : members)
        report.members.push_back({NodeId(member.getNode()), ReplicaId(member.getReplica()), member.getVoter(), member.getCaughtUp()});
    return report;
}

}  // namespace

std::string_view replica_state_name(ReplicaState state) {
    switch (state) {
        case ReplicaState::Loading: return "loading";
        case ReplicaState::Ready: return "ready";
        case ReplicaState::Damaged: return "damaged";
        case ReplicaState::Gone: return "gone";
    }
    return "?";
}

Bytes encode_node_heartbeat(const NodeHeartbeat& heartbeat) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::NodeHeartbeat>();
        root.setNode(heartbeat.node.value);
        root.setIncarnation(heartbeat.incarnation.value);
        root.setPartitions(heartbeat.partitions);
        root.setLoaded(heartbeat.loaded);
        auto disks = root.initDisks(size_of(heartbeat.disks));
        for (unsigned i = 0; i < disks.size(); ++i) {
            disks[i].setDisk(heartbeat.disks[i].disk.value);
            disks[i].setUsedBytes(heartbeat.disks[i].used_bytes);
            disks[i].setTrouble(string_from(heartbeat.disks[i].trouble));
        }
        root.setLife(heartbeat.life);
        root.setNumber(heartbeat.number);
        root.setSince(heartbeat.since);
        auto reports = root.initReports(size_of(heartbeat.reports));
        for (unsigned i = 0; i < reports.size(); ++i) fill_report(reports[i], heartbeat.reports[i]);
    });
}

Result<NodeHeartbeat> decode_node_heartbeat(ByteView bytes) {
    NodeHeartbeat heartbeat;
    TRY(decode_payload(bytes, "node heartbeat", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::NodeHeartbeat>();
        heartbeat.node = NodeId(root.getNode());
        heartbeat.incarnation = Incarnation(root.getIncarnation());
        heartbeat.partitions = root.getPartitions();
        heartbeat.loaded = root.getLoaded();
        auto disks = root.getDisks();
        if (disks.size() > NodeHeartbeat::kDisksMax) return Error(Code::Corrupt, "node heartbeat: too many disks");
        heartbeat.disks.reserve(disks.size());
        for (auto in : disks) heartbeat.disks.push_back({DiskId(in.getDisk()), in.getUsedBytes(), string_of(in.getTrouble())});
        heartbeat.life = root.getLife();
        heartbeat.number = root.getNumber();
        heartbeat.since = root.getSince();
        auto reports = root.getReports();
        if (reports.size() > NodeHeartbeat::kReportsMax) return Error(Code::Corrupt, "node heartbeat: too many partitions");
        heartbeat.reports.reserve(reports.size());
        for (auto in : reports) {
            TRY(PartitionReport report, read_report(in));
            heartbeat.reports.push_back(std::move(report));
        }
        return {};
    }));
    return heartbeat;
}

Bytes encode_heartbeat_answer(const HeartbeatAnswer& answer) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::HeartbeatAnswer>();
        root.setTerm(answer.term.value);
        root.setVersion(answer.version.value);
        root.setNumber(answer.number);
        root.setWantFull(answer.want_full);
    });
}

Result<HeartbeatAnswer> decode_heartbeat_answer(ByteView bytes) {
    HeartbeatAnswer answer;
    TRY(decode_payload(bytes, "answer to a heartbeat", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::HeartbeatAnswer>();
        answer = {Term(root.getTerm()), LogIndex(root.getVersion()), root.getNumber(), root.getWantFull()};
        return {};
    }));
    return answer;
}

Bytes encode_partition_create(const PartitionCreate& order) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::PartitionCreate>();
        root.setPartition(order.partition.value);
        root.setReplica(order.replica.value);
        root.setVolume(order.volume.value);
        root.setDisk(order.disk.value);
        auto members = root.initMembers(size_of(order.members));
        for (unsigned i = 0; i < members.size(); ++i) {
            members[i].setNode(order.members[i].node.value);
            members[i].setReplica(order.members[i].replica.value);
            members[i].setPeerAddress(string_from(order.members[i].peer_address));
        }
    });
}

Result<PartitionCreate> decode_partition_create(ByteView bytes) {
    PartitionCreate order;
    TRY(decode_payload(bytes, "order to create a replica", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::PartitionCreate>();
        order.partition = PartitionId(root.getPartition());
        order.replica = ReplicaId(root.getReplica());
        order.volume = VolumeId(root.getVolume());
        order.disk = DiskId(root.getDisk());
        auto members = root.getMembers();
        if (members.size() > PartitionCreate::kMembersMax) return Error(Code::Corrupt, "order to create a replica: too many members");
        for (auto in : members) order.members.push_back({NodeId(in.getNode()), ReplicaId(in.getReplica()), string_of(in.getPeerAddress())});
        return {};
    }));
    return order;
}

Bytes encode_partition_destroy(const PartitionDestroy& order) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::PartitionDestroy>();
        root.setPartition(order.partition.value);
        root.setReplica(order.replica.value);
        root.setTerm(order.term.value);
        root.setRemovedBy(order.removed_by.value);
    });
}

Result<PartitionDestroy> decode_partition_destroy(ByteView bytes) {
    PartitionDestroy order;
    TRY(decode_payload(bytes, "order to destroy a replica", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::PartitionDestroy>();
        order = {PartitionId(root.getPartition()), ReplicaId(root.getReplica()), Term(root.getTerm()), LogIndex(root.getRemovedBy())};
        return {};
    }));
    return order;
}

}  // namespace orrery::wire
