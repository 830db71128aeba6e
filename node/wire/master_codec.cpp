// Codecs of the masters' records, commands, questions and answers. Bytes come from outside or from a disk: every refusal is Corrupt.
#include <capnp/message.h>

#include <algorithm>

#include "master.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/master.h"
#include "runtime/base/check.h"

namespace orrery::wire {

namespace {

// Every list and text is asked for once: asking again counts against the limit of traversal again.

std::string text_of(capnp::Text::Reader text) { return std::string(text.begin(), text.size()); }
capnp::Text::Reader text_from(const std::string& text) { return capnp::Text::Reader(text.c_str(), text.size()); }

template <typename Item>
unsigned count(const std::vector<Item>& items) {
    return static_cast<unsigned>(items.size());
}

/// False: not a time that anybody waits for.
bool take_duration(uint64_t ns, Duration& out) {
    if (ns > static_cast<uint64_t>(INT64_MAX) / 2) return false;
    out = Duration::nanos(static_cast<int64_t>(ns));
    return true;
}

void fill_node(schema::NodeRecord::Builder out, const NodeRecord& record) {
    out.setNode(record.node.value);
    out.setIncarnation(record.incarnation.value);
    out.setZone(text_from(record.zone));
    out.setPeerAddress(text_from(record.peer_address));
    out.setServiceAddress(text_from(record.service_address));
    auto disks = out.initDisks(count(record.disks));
    for (unsigned i = 0; i < disks.size(); ++i) {
        disks[i].setDisk(record.disks[i].disk.value);
        disks[i].setPath(text_from(record.disks[i].path));
        disks[i].setCapacityBytes(record.disks[i].capacity_bytes);
        disks[i].setMembers(record.disks[i].members);
        disks[i].setLeaving(record.disks[i].leaving);
        disks[i].setBad(record.disks[i].bad);
    }
    out.setRegistered(record.registered.value);
    out.setModified(record.modified.value);
    out.setState(static_cast<uint8_t>(record.state));
    out.setLeaving(record.leaving);
    out.setWaitsFor(text_from(record.waits_for));
}

Result<NodeRecord> read_node(schema::NodeRecord::Reader in) {
    NodeRecord record{.node = NodeId(in.getNode()),
                      .incarnation = Incarnation(in.getIncarnation()),
                      .zone = text_of(in.getZone()),
                      .peer_address = text_of(in.getPeerAddress()),
                      .service_address = text_of(in.getServiceAddress()),
                      .disks = {},
                      .registered = LogIndex(in.getRegistered()),
                      .modified = LogIndex(in.getModified()),
                      .leaving = in.getLeaving(),
                      .waits_for = text_of(in.getWaitsFor())};
    auto disks = in.getDisks();
    record.disks.reserve(disks.size());
    for (auto disk : disks)
        record.disks.push_back({DiskId(disk.getDisk()), text_of(disk.getPath()), disk.getCapacityBytes(), disk.getMembers(), disk.getLeaving(), disk.getBad()});
    // Written before nodes had a state: 0.
    if (in.getState() != 0 && !take_enum(in.getState(), NodeState::Active, NodeState::Inactive, record.state))
        return Error(Code::Corrupt, "node record: unknown state");
    return record;
}

void fill_volume(schema::VolumeRecord::Builder out, const VolumeRecord& record) {
    out.setVolume(record.volume.value);
    out.setName(text_from(record.name));
    out.setState(static_cast<uint8_t>(record.state));
    out.setReplicas(record.replicas);
    out.setPartitions(record.partitions);
    out.setCapacityBytes(record.capacity_bytes);
    out.setCreated(record.created.value);
    out.setModified(record.modified.value);
    out.setMaxPartitions(record.max_partitions);
}

Result<VolumeRecord> read_volume(schema::VolumeRecord::Reader in) {
    VolumeRecord record;
    if (!take_enum(in.getState(), VolumeState::Active, VolumeState::Deleting, record.state))
        return Error(Code::Corrupt, "volume record: unknown state");
    record.volume = VolumeId(in.getVolume());
    record.name = text_of(in.getName());
    record.replicas = in.getReplicas();
    record.partitions = in.getPartitions();
    record.capacity_bytes = in.getCapacityBytes();
    record.created = LogIndex(in.getCreated());
    record.modified = LogIndex(in.getModified());
    record.max_partitions = in.getMaxPartitions();
    return record;
}

void fill_member(schema::PartitionMember::Builder out, const PartitionMember& member) {
    out.setNode(member.node.value);
    out.setDisk(member.disk.value);
    out.setReplica(member.replica.value);
    out.setCreated(member.created);
}

PartitionMember read_member(schema::PartitionMember::Reader in) {
    return {NodeId(in.getNode()), DiskId(in.getDisk()), ReplicaId(in.getReplica()), in.getCreated()};
}

void fill_partition(schema::PartitionRecord::Builder out, const PartitionRecord& record) {
    out.setPartition(record.partition.value);
    out.setVolume(record.volume.value);
    out.setEpoch(record.epoch.value);
    auto members = out.initMembers(count(record.members));
    for (unsigned i = 0; i < members.size(); ++i) fill_member(members[i], record.members[i]);
    out.setCreated(record.created.value);
    out.setModified(record.modified.value);
    out.setLeader(record.leader.value);
    out.setLeaderTerm(record.leader_term.value);
    out.setFailures(record.failures);
    out.setFailedAt(record.failed_at.value);
    out.setLastError(text_from(record.last_error));
}

PartitionRecord read_partition(schema::PartitionRecord::Reader in) {
    PartitionRecord record{.partition = PartitionId(in.getPartition()),
                           .volume = VolumeId(in.getVolume()),
                           .epoch = Epoch(in.getEpoch()),
                           .members = {},
                           .created = LogIndex(in.getCreated()),
                           .modified = LogIndex(in.getModified()),
                           .leader = NodeId(in.getLeader()),
                           .leader_term = Term(in.getLeaderTerm()),
                           .failures = in.getFailures(),
                           .failed_at = NodeId(in.getFailedAt()),
                           .last_error = text_of(in.getLastError())};
    auto members = in.getMembers();
    record.members.reserve(members.size());
    for (auto member : members) record.members.push_back(read_member(member));
    return record;
}

void fill_task(schema::TaskRecord::Builder out, const TaskRecord& record) {
    out.setTask(record.task.value);
    out.setKind(static_cast<uint8_t>(record.kind));
    out.setPartition(record.partition.value);
    out.setVolume(record.volume.value);
    out.setEpoch(record.epoch.value);
    fill_member(out.initSource(), record.source);
    fill_member(out.initDestination(), record.destination);
    out.setStep(static_cast<uint8_t>(record.step));
    out.setPriority(record.priority);
    out.setCreated(record.created.value);
    out.setModified(record.modified.value);
    out.setWaitsFor(text_from(record.waits_for));
    out.setSince(record.since.value);
    out.setFailures(record.failures);
    out.setLastError(text_from(record.last_error));
}

Result<TaskRecord> read_task(schema::TaskRecord::Reader in) {
    TaskRecord record{.task = TaskId(in.getTask()),
                      .partition = PartitionId(in.getPartition()),
                      .volume = VolumeId(in.getVolume()),
                      .epoch = Epoch(in.getEpoch()),
                      .source = read_member(in.getSource()),
                      .destination = read_member(in.getDestination()),
                      .priority = in.getPriority(),
                      .created = LogIndex(in.getCreated()),
                      .modified = LogIndex(in.getModified()),
                      .waits_for = text_of(in.getWaitsFor()),
                      .since = LogIndex(in.getSince()),
                      .failures = in.getFailures(),
                      .last_error = text_of(in.getLastError())};
    if (!take_enum(in.getKind(), TaskKind::Move, TaskKind::Decommission, record.kind)) return Error(Code::Corrupt, "task record: unknown kind");
    if (!take_enum(in.getStep(), TaskStep::Create, TaskStep::Done, record.step)) return Error(Code::Corrupt, "task record: unknown step");
    return record;
}

void fill_replicas(capnp::List<uint64_t>::Builder out, const std::vector<ReplicaId>& from) {
    for (unsigned i = 0; i < out.size(); ++i) out.set(i, from[i].value);
}

Result<void> read_replicas(capnp::List<uint64_t>::Reader in, std::vector<ReplicaId>& out) {
    if (in.size() > MasterCommand::kMembersMax) return Error(Code::Corrupt, "master command: too many members");
    for (uint64_t replica : in) out.push_back(ReplicaId(replica));
    return {};
}

void fill_counters(schema::MasterCounters::Builder out, const MasterCounters& counters) {
    out.setNextVolume(counters.next_volume);
    out.setNextPartition(counters.next_partition);
    out.setNextReplica(counters.next_replica);
    out.setNodes(counters.nodes);
    out.setVolumes(counters.volumes);
    out.setPartitions(counters.partitions);
    out.setApplied(counters.applied.value);
    out.setForgotten(counters.forgotten.value);
    out.setNextTask(counters.next_task);
    out.setTasks(counters.tasks);
    out.setPlaced(counters.placed.value);
}

MasterCounters read_counters(schema::MasterCounters::Reader in) {
    return {.next_volume = in.getNextVolume(),
            .next_partition = in.getNextPartition(),
            .next_replica = in.getNextReplica(),
            .nodes = in.getNodes(),
            .volumes = in.getVolumes(),
            .partitions = in.getPartitions(),
            .applied = LogIndex(in.getApplied()),
            .forgotten = LogIndex(in.getForgotten()),
            .next_task = std::max<uint64_t>(1, in.getNextTask()),  // 0: written before there were tasks
            .tasks = in.getTasks(),
            .placed = LogIndex(in.getPlaced())};
}

}  // namespace

// ---- records

std::string_view node_state_name(NodeState state) {
    switch (state) {
        case NodeState::Active: return "active";
        case NodeState::Inactive: return "inactive";
    }
    return "?";
}

std::string_view volume_state_name(VolumeState state) {
    switch (state) {
        case VolumeState::Active: return "active";
        case VolumeState::Deleting: return "deleting";
    }
    return "?";
}

std::string_view task_kind_name(TaskKind kind) {
    switch (kind) {
        case TaskKind::Move: return "move";
        case TaskKind::Repair: return "repair";
        case TaskKind::Decommission: return "decommission";
    }
    return "?";
}

std::string_view task_step_name(TaskStep step) {
    switch (step) {
        case TaskStep::Create: return "create";
        case TaskStep::AddLearner: return "add-learner";
        case TaskStep::CatchUp: return "catch-up";
        case TaskStep::Promote: return "promote";
        case TaskStep::RemoveSource: return "remove-source";
        case TaskStep::BackOut: return "back-out";
        case TaskStep::Done: return "done";
    }
    return "?";
}

Bytes encode_node_record(const NodeRecord& record) {
    return encode_payload([&](capnp::MessageBuilder& builder) { fill_node(builder.initRoot<schema::NodeRecord>(), record); });
}

Result<NodeRecord> decode_node_record(ByteView bytes) {
    NodeRecord record;
    TRY(decode_payload(bytes, "node record", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        TRY(record, read_node(reader.getRoot<schema::NodeRecord>()));
        return {};
    }));
    return record;
}

Bytes encode_volume_record(const VolumeRecord& record) {
    return encode_payload([&](capnp::MessageBuilder& builder) { fill_volume(builder.initRoot<schema::VolumeRecord>(), record); });
}

Result<VolumeRecord> decode_volume_record(ByteView bytes) {
    VolumeRecord record;
    TRY(decode_payload(bytes, "volume record", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        TRY(record, read_volume(reader.getRoot<schema::VolumeRecord>()));
        return {};
    }));
    return record;
}

Bytes encode_partition_record(const PartitionRecord& record) {
    return encode_payload([&](capnp::MessageBuilder& builder) { fill_partition(builder.initRoot<schema::PartitionRecord>(), record); });
}

Result<PartitionRecord> decode_partition_record(ByteView bytes) {
    PartitionRecord record;
    TRY(decode_payload(bytes, "partition record", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        record = read_partition(reader.getRoot<schema::PartitionRecord>());
        return {};
    }));
    return record;
}

Bytes encode_task_record(const TaskRecord& record) {
    return encode_payload([&](capnp::MessageBuilder& builder) { fill_task(builder.initRoot<schema::TaskRecord>(), record); });
}

Result<TaskRecord> decode_task_record(ByteView bytes) {
    TaskRecord record;
    TRY(decode_payload(bytes, "task record", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        TRY(record, read_task(reader.getRoot<schema::TaskRecord>()));
        return {};
    }));
    return record;
}

Bytes encode_master_counters(const MasterCounters& counters) {
    return encode_payload([&](capnp::MessageBuilder& builder) { fill_counters(builder.initRoot<schema::MasterCounters>(), counters); });
}

Result<MasterCounters> decode_master_counters(ByteView bytes) {
    MasterCounters counters;
    TRY(decode_payload(bytes, "master counters", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        counters = read_counters(reader.getRoot<schema::MasterCounters>());
        return {};
    }));
    return counters;
}

Bytes encode_session_record(const SessionRecord& record) {
    CHECK(record.answer.size() < UINT32_MAX, record.answer.size());
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::SessionRecord>();
            root.setClient(record.client.value);
            root.setSequence(record.sequence);
            root.setUsed(record.used.value);
            root.setAnswerBytes(static_cast<uint32_t>(record.answer.size()));
        },
        record.answer.size());
    out.append(record.answer);
    return out;
}

Result<SessionRecord> decode_session_record(ByteView bytes) {
    SessionRecord record;
    TRY(decode_payload(bytes, "session record", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::SessionRecord>();
        record.client = ClientId(root.getClient());
        record.sequence = root.getSequence();
        record.used = LogIndex(root.getUsed());
        ByteView answer;
        if (!tail.take(root.getAnswerBytes(), answer)) return Error(Code::Corrupt, "session record: bytes are missing");
        record.answer = answer;
        return {};
    }));
    return record;
}

// ---- commands

std::string_view master_command_name(MasterCommandKind kind) {
    switch (kind) {
        case MasterCommandKind::RegisterNode: return "register_node";
        case MasterCommandKind::CreateVolume: return "create_volume";
        case MasterCommandKind::DeleteVolume: return "delete_volume";
        case MasterCommandKind::MarkNodes: return "mark_nodes";
        case MasterCommandKind::DecommissionNode: return "decommission_node";
        case MasterCommandKind::DecommissionDisk: return "decommission_disk";
        case MasterCommandKind::CancelDecommission: return "cancel_decommission";
        case MasterCommandKind::ExtendVolume: return "extend_volume";
        case MasterCommandKind::MarkDisks: return "mark_disks";
        case MasterCommandKind::MarkPartitions: return "mark_partitions";
        case MasterCommandKind::MarkWaits: return "mark_waits";
        case MasterCommandKind::StartTask: return "start_task";
        case MasterCommandKind::AdvanceTask: return "advance_task";
        case MasterCommandKind::FailTask: return "fail_task";
    }
    return "?";
}

bool is_leaders_own(MasterCommandKind kind) {
    switch (kind) {
        case MasterCommandKind::RegisterNode:
        case MasterCommandKind::CreateVolume:
        case MasterCommandKind::DeleteVolume:
        case MasterCommandKind::DecommissionNode:
        case MasterCommandKind::DecommissionDisk:
        case MasterCommandKind::CancelDecommission:
        case MasterCommandKind::ExtendVolume: return false;
        case MasterCommandKind::MarkNodes:
        case MasterCommandKind::MarkDisks:
        case MasterCommandKind::MarkPartitions:
        case MasterCommandKind::MarkWaits:
        case MasterCommandKind::StartTask:
        case MasterCommandKind::AdvanceTask:
        case MasterCommandKind::FailTask: return true;
    }
    return true;
}

Bytes encode_master_command(const MasterCommand& command) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::MasterCommand>();
        root.setKind(static_cast<uint8_t>(command.kind));
        root.setClient(command.client.value);
        root.setSequence(command.sequence);
        fill_node(root.initNode(), command.node);
        root.setName(text_from(command.name));
        root.setReplicas(command.replicas);
        root.setPartitions(command.partitions);
        root.setCapacityBytes(command.capacity_bytes);
        auto placements = root.initPlacements(count(command.placements));
        for (unsigned i = 0; i < placements.size(); ++i) {
            const std::vector<Place>& from = command.placements[i].places;
            auto places = placements[i].initPlaces(count(from));
            for (unsigned j = 0; j < places.size(); ++j) {
                places[j].setNode(from[j].node.value);
                places[j].setDisk(from[j].disk.value);
            }
        }
        root.setUnplaced(text_from(command.unplaced));
        root.setSince(command.since.value);
        auto marks = root.initMarks(count(command.marks));
        for (unsigned i = 0; i < marks.size(); ++i) {
            marks[i].setNode(command.marks[i].node.value);
            marks[i].setIncarnation(command.marks[i].incarnation.value);
            marks[i].setState(static_cast<uint8_t>(command.marks[i].state));
        }
        root.setDisk(command.disk.value);
        root.setMaxPartitions(command.max_partitions);
        root.setExpectedPartitions(command.expected_partitions);
        auto disk_marks = root.initDiskMarks(count(command.disk_marks));
        for (unsigned i = 0; i < disk_marks.size(); ++i) {
            disk_marks[i].setNode(command.disk_marks[i].node.value);
            disk_marks[i].setIncarnation(command.disk_marks[i].incarnation.value);
            disk_marks[i].setDisk(command.disk_marks[i].disk.value);
            disk_marks[i].setBad(command.disk_marks[i].bad);
        }
        auto partition_marks = root.initPartitionMarks(count(command.partition_marks));
        for (unsigned i = 0; i < partition_marks.size(); ++i) {
            const PartitionMark& from = command.partition_marks[i];
            partition_marks[i].setPartition(from.partition.value);
            partition_marks[i].setLeader(from.leader.value);
            partition_marks[i].setTerm(from.term.value);
            fill_replicas(partition_marks[i].initCreated(count(from.created)), from.created);
        }
        auto waits = root.initWaits(count(command.waits));
        for (unsigned i = 0; i < waits.size(); ++i) {
            waits[i].setNode(command.waits[i].node.value);
            waits[i].setTask(command.waits[i].task.value);
            waits[i].setWaitsFor(text_from(command.waits[i].waits_for));
        }
        if (command.task != TaskRecord()) fill_task(root.initTask(), command.task);
        root.setNext(static_cast<uint8_t>(command.next));
        fill_replicas(root.initVoters(count(command.voters)), command.voters);
        fill_replicas(root.initLearners(count(command.learners)), command.learners);
        root.setReason(text_from(command.reason));
    });
}

Result<MasterCommand> decode_master_command(ByteView bytes) {
    MasterCommand command;
    TRY(decode_payload(bytes, "master command", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::MasterCommand>();
        if (!take_enum(root.getKind(), MasterCommandKind::RegisterNode, MasterCommandKind::FailTask, command.kind))
            return Error(Code::Corrupt, "master command: unknown kind");
        command.client = ClientId(root.getClient());
        command.sequence = root.getSequence();
        TRY(command.node, read_node(root.getNode()));
        command.name = text_of(root.getName());
        command.replicas = root.getReplicas();
        command.partitions = root.getPartitions();
        command.capacity_bytes = root.getCapacityBytes();
        auto placements = root.getPlacements();
        if (placements.size() > MasterCommand::kPlacementsMax) return Error(Code::Corrupt, "master command: too many placements");
        command.placements.reserve(placements.size());
        for (auto in : placements) {
            auto places = in.getPlaces();
            std::vector<Place>& out = command.placements.emplace_back().places;
            out.reserve(places.size());
            for (auto place : places) out.push_back({NodeId(place.getNode()), DiskId(place.getDisk())});
        }
        command.unplaced = text_of(root.getUnplaced());
        command.since = LogIndex(root.getSince());
        auto marks = root.getMarks();
        if (marks.size() > MasterCommand::kMarksMax) return Error(Code::Corrupt, "master command: too many marks");
        command.marks.reserve(marks.size());
        for (auto in : marks) {
            NodeMark mark{NodeId(in.getNode()), Incarnation(in.getIncarnation()), {}};
            if (!take_enum(in.getState(), NodeState::Active, NodeState::Inactive, mark.state))
                return Error(Code::Corrupt, "master command: unknown state of a node");
            command.marks.push_back(mark);
        }
        command.disk = DiskId(root.getDisk());
        command.max_partitions = root.getMaxPartitions();
        command.expected_partitions = root.getExpectedPartitions();
        auto disk_marks = root.getDiskMarks();
        auto partition_marks = root.getPartitionMarks();
        auto waits = root.getWaits();
        if (std::max({disk_marks.size(), partition_marks.size(), waits.size()}) > MasterCommand::kMarksMax)
            return Error(Code::Corrupt, "master command: too many marks");
        for (auto in : disk_marks)
            command.disk_marks.push_back({NodeId(in.getNode()), Incarnation(in.getIncarnation()), DiskId(in.getDisk()), in.getBad()});
        for (auto in : partition_marks) {
            PartitionMark& mark = command.partition_marks.emplace_back(PartitionMark{PartitionId(in.getPartition()), NodeId(in.getLeader()), Term(in.getTerm()), {}});
            TRY(read_replicas(in.getCreated(), mark.created));
        }
        for (auto in : waits) command.waits.push_back({NodeId(in.getNode()), TaskId(in.getTask()), text_of(in.getWaitsFor())});
        if (root.hasTask()) {
            TRY(command.task, read_task(root.getTask()));
        }
        // 0: written before there were tasks.
        if (root.getNext() != 0 && !take_enum(root.getNext(), TaskStep::Create, TaskStep::Done, command.next))
            return Error(Code::Corrupt, "master command: unknown step");
        TRY(read_replicas(root.getVoters(), command.voters));
        TRY(read_replicas(root.getLearners(), command.learners));
        command.reason = text_of(root.getReason());
        return {};
    }));
    return command;
}

Bytes encode_master_answer(const MasterAnswer& answer) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::MasterAnswer>();
        root.setCode(answer.code);
        root.setContext(text_from(answer.context));
        root.setIndex(answer.index.value);
        root.setVolume(answer.volume.value);
        root.setTask(answer.task.value);
    });
}

Result<MasterAnswer> decode_master_answer(ByteView bytes) {
    MasterAnswer answer;
    TRY(decode_payload(bytes, "master answer", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::MasterAnswer>();
        answer.code = root.getCode();
        answer.context = text_of(root.getContext());
        answer.index = LogIndex(root.getIndex());
        answer.volume = VolumeId(root.getVolume());
        answer.task = TaskId(root.getTask());
        return {};
    }));
    return answer;
}

// ---- questions

Bytes encode_master_query(const MasterQuery& query) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::MasterQuery>();
        root.setTopic(static_cast<uint8_t>(query.topic));
        root.setName(text_from(query.name));
        root.setAfter(query.after);
        root.setLimit(query.limit);
        root.setMaxAgeNs(static_cast<uint64_t>(query.max_age.ns));
        root.setAtLeast(query.at_least.value);
    });
}

Result<MasterQuery> decode_master_query(ByteView bytes) {
    MasterQuery query;
    TRY(decode_payload(bytes, "master query", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::MasterQuery>();
        if (!take_enum(root.getTopic(), MasterTopic::Nodes, MasterTopic::Node, query.topic))
            return Error(Code::Corrupt, "master query: unknown topic");
        query.name = text_of(root.getName());
        query.after = root.getAfter();
        query.limit = root.getLimit();
        query.at_least = LogIndex(root.getAtLeast());
        if (!take_duration(root.getMaxAgeNs(), query.max_age)) return Error(Code::Corrupt, "master query: an age beyond all bounds");
        return {};
    }));
    return query;
}

Bytes encode_master_view(const MasterView& view) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::MasterView>();
        root.setLeader(view.leader.value);
        root.setTerm(view.term.value);
        root.setVersion(view.version.value);
        root.setMore(view.more);
        root.setServer(view.server.value);
        root.setAgeNs(static_cast<uint64_t>(view.age.ns));
        fill_counters(root.initCounters(), view.counters);
        auto nodes = root.initNodes(count(view.nodes));
        for (unsigned i = 0; i < nodes.size(); ++i) fill_node(nodes[i], view.nodes[i]);
        auto volumes = root.initVolumes(count(view.volumes));
        for (unsigned i = 0; i < volumes.size(); ++i) fill_volume(volumes[i], view.volumes[i]);
        auto partitions = root.initPartitions(count(view.partitions));
        for (unsigned i = 0; i < partitions.size(); ++i) fill_partition(partitions[i], view.partitions[i]);
        auto tasks = root.initTasks(count(view.tasks));
        for (unsigned i = 0; i < tasks.size(); ++i) fill_task(tasks[i], view.tasks[i]);
    });
}

Result<MasterView> decode_master_view(ByteView bytes) {
    MasterView view;
    TRY(decode_payload(bytes, "master view", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::MasterView>();
        view.leader = NodeId(root.getLeader());
        view.term = Term(root.getTerm());
        view.version = LogIndex(root.getVersion());
        view.more = root.getMore();
        view.server = NodeId(root.getServer());
        if (!take_duration(root.getAgeNs(), view.age)) return Error(Code::Corrupt, "master view: an age beyond all bounds");
        view.counters = read_counters(root.getCounters());
        auto nodes = root.getNodes();
        view.nodes.reserve(nodes.size());
        for (auto in : nodes) {
            TRY(NodeRecord node, read_node(in));
            view.nodes.push_back(std::move(node));
        }
        auto volumes = root.getVolumes();
        view.volumes.reserve(volumes.size());
        for (auto in : volumes) {
            TRY(auto volume, read_volume(in));
            view.volumes.push_back(std::move(volume));
        }
        auto partitions = root.getPartitions();
        view.partitions.reserve(partitions.size());
        for (auto in : partitions) view.partitions.push_back(read_partition(in));
        auto tasks = root.getTasks();
        view.tasks.reserve(tasks.size());
        for (auto in : tasks) {
            TRY(TaskRecord task, read_task(in));
            view.tasks.push_back(std::move(task));
        }
        return {};
    }));
    return view;
}

Bytes encode_master_confirmation(const MasterConfirmation& confirmation) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::MasterConfirmation>();
        root.setTerm(confirmation.term.value);
        root.setVersion(confirmation.version.value);
        root.setServiceAddress(text_from(confirmation.service_address));
    });
}

Result<MasterConfirmation> decode_master_confirmation(ByteView bytes) {
    MasterConfirmation confirmation;
    TRY(decode_payload(bytes, "master confirmation", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::MasterConfirmation>();
        confirmation = {Term(root.getTerm()), LogIndex(root.getVersion()), text_of(root.getServiceAddress())};
        return {};
    }));
    return confirmation;
}

}  // namespace orrery::wire
