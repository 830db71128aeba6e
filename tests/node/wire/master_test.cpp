// What the masters keep and say comes back equal, and bytes that are not theirs are refused, never believed.
#include "node/wire/master.h"
#include "node/wire/master_list.h"

#include <algorithm>

#include "runtime/base/random.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::wire;

namespace {

// Fields that are too narrow lose these.
constexpr uint64_t kBig = 1ull << 60;
constexpr uint32_t kWide = 1u << 31;

NodeRecord full_node(uint64_t n) {
    return {.node = NodeId(kBig + n), .incarnation = Incarnation(kBig + n + 1), .zone = "zone " + std::to_string(n),
            .peer_address = "host" + std::to_string(n) + ":7100", .service_address = "host" + std::to_string(n) + ":7000",
            .disks = {{DiskId(kWide + 1), "/disk/1", kBig + n + 2, kWide + 3, true, false}, {DiskId(kWide + 2), "/disk/2", kBig + n + 3, kWide + 4, false, true}},
            .registered = LogIndex(kBig + n + 4), .modified = LogIndex(kBig + n + 5), .state = NodeState::Inactive, .leaving = true, .waits_for = "a place"};
}

VolumeRecord full_volume(uint64_t n) {
    return {.volume = VolumeId(kBig + n), .name = Bytes("a \0 name \xff", 10) + std::to_string(n), .state = VolumeState::Deleting,
            .replicas = kWide + 3, .partitions = kWide + 4, .capacity_bytes = kBig + n + 1, .created = LogIndex(kBig + n + 2),
            .modified = LogIndex(kBig + n + 3), .max_partitions = kWide + 6};
}

PartitionRecord full_partition(uint64_t n) {
    return {.partition = PartitionId(kBig + n), .volume = VolumeId(kBig + n + 1), .epoch = Epoch(kBig + n + 2),
            .members = {{NodeId(kBig + 1), DiskId(kWide + 1), ReplicaId(kBig + n + 3), true},
                        {NodeId(kBig + 2), DiskId(kWide + 2), ReplicaId(kBig + n + 4)},
                        {NodeId(kBig + 3), DiskId(kWide + 3), ReplicaId(kBig + n + 5)}},
            .created = LogIndex(kBig + n + 6), .modified = LogIndex(kBig + n + 7), .leader = NodeId(kBig + 2), .leader_term = Term(kBig + n + 8),
            .failures = kWide + 7, .failed_at = NodeId(kBig + 9), .last_error = "no space"};
}

TaskRecord full_task(uint64_t n) {
    return {.task = TaskId(kBig + n), .kind = TaskKind::Decommission, .partition = PartitionId(kBig + n + 1), .volume = VolumeId(kBig + n + 2),
            .epoch = Epoch(kBig + n + 3), .source = {NodeId(kBig + 4), DiskId(kWide + 5), ReplicaId(kBig + n + 6), true},
            .destination = {NodeId(kBig + 7), DiskId(kWide + 8), ReplicaId(kBig + n + 9)}, .step = TaskStep::BackOut, .priority = kWide + 10,
            .created = LogIndex(kBig + n + 11), .modified = LogIndex(kBig + n + 12), .waits_for = "a leader", .since = LogIndex(kBig + n + 13),
            .failures = kWide + 14, .last_error = "worn out"};
}

NodeHeartbeat full_heartbeat() {
    return {.node = NodeId(kBig + 1), .incarnation = Incarnation(kBig + 2), .partitions = kWide + 3, .loaded = kWide + 4,
            .disks = {{DiskId(kWide + 5), kBig + 6, "slow"}, {}}, .life = kBig + 7, .number = kBig + 8, .since = kBig + 9,
            .reports = {{.partition = PartitionId(kBig + 10), .replica = ReplicaId(kBig + 11), .disk = DiskId(kWide + 12), .role = ReplicaRole::Leader,
                         .term = Term(kBig + 13), .state = ReplicaState::Damaged, .used_bytes = kBig + 14, .configuration = LogIndex(kBig + 15),
                         .members = {{NodeId(kBig + 16), ReplicaId(kBig + 17), true, false}, {NodeId(kBig + 18), ReplicaId(kBig + 19), false, true}}},
                        {.members = {}}}};
}

HeartbeatAnswer full_heartbeat_answer() { return {Term(kBig + 1), LogIndex(kBig + 2), kBig + 3, true}; }

PartitionCreate full_create() {
    return {PartitionId(kBig + 1), ReplicaId(kBig + 2), VolumeId(kBig + 3), DiskId(kWide + 4), {{NodeId(kBig + 5), ReplicaId(kBig + 6), "host:7100"}, {}}};
}

PartitionDestroy full_destroy() { return {PartitionId(kBig + 1), ReplicaId(kBig + 2), Term(kBig + 3), LogIndex(kBig + 4)}; }

MasterCounters full_counters() {
    return {.next_volume = kBig + 1, .next_partition = kBig + 2, .next_replica = kBig + 3, .nodes = kBig + 4, .volumes = kBig + 5,
            .partitions = kBig + 6, .applied = LogIndex(kBig + 7), .forgotten = LogIndex(kBig + 8), .next_task = kBig + 9, .tasks = kBig + 10, .placed = LogIndex(kBig + 11)};
}

MasterAnswer full_answer() {
    return {.code = 255, .context = "there is one of this name", .index = LogIndex(kBig + 1), .volume = VolumeId(kBig + 2), .task = TaskId(kBig + 3)};
}

SessionRecord full_session() {
    return {.client = ClientId(kBig + 1), .sequence = kBig + 2, .used = LogIndex(kBig + 3),
            .answer = encode_master_answer(full_answer())};
}

MasterCommand full_command() {
    return {.kind = MasterCommandKind::DeleteVolume, .client = ClientId(kBig + 1), .sequence = kBig + 2, .since = LogIndex(kBig + 3), .node = full_node(3),
            .name = "a volume", .replicas = kWide + 4, .partitions = kWide + 5, .capacity_bytes = kBig + 6,
            .placements = {{{{NodeId(kBig + 7), DiskId(kWide + 8)}, {NodeId(kBig + 9), DiskId(kWide + 10)}}},
                           {},
                           {{{NodeId(kBig + 11), DiskId(kWide + 12)}}}},
            .unplaced = "no place",
            .marks = {{NodeId(kBig + 13), Incarnation(kBig + 14), NodeState::Inactive}, {}},
            .disk = DiskId(kWide + 15), .max_partitions = kWide + 16, .expected_partitions = kWide + 17,
            .disk_marks = {{NodeId(kBig + 18), Incarnation(kBig + 19), DiskId(kWide + 20), true}, {}},
            .partition_marks = {{PartitionId(kBig + 21), NodeId(kBig + 22), Term(kBig + 23), {ReplicaId(kBig + 24), ReplicaId(kBig + 25)}}, {.created = {}}},
            .waits = {{NodeId(kBig + 26), TaskId(kBig + 27), "nothing"}, {.waits_for = {}}}, .task = full_task(28), .next = TaskStep::Done,
            .voters = {ReplicaId(kBig + 29), ReplicaId(kBig + 30)}, .learners = {ReplicaId(kBig + 31)}, .reason = "why not"};
}

MasterQuery full_query() { return {.topic = MasterTopic::Partitions, .name = "a volume", .after = kBig + 1, .limit = kWide + 2, .max_age = Duration::nanos(3), .at_least = LogIndex(kBig + 4)}; }

MasterView full_view() {
    return {.server = NodeId(kBig + 7), .leader = NodeId(kBig + 1), .term = Term(kBig + 2), .version = LogIndex(kBig + 3), .age = Duration::nanos(8), .more = true, .counters = full_counters(),
            .nodes = {full_node(10), {}, full_node(20)}, .volumes = {full_volume(30), {}}, .partitions = {{}, full_partition(40)}, .tasks = {full_task(50), {}}};
}

MasterListRequest full_list_request() {
    return {.name = "a volume", .volume = {}, .since = LogIndex(kBig + 1), .at_least = LogIndex(UINT64_MAX), .max_age = Duration::micros(1 << 30), .wait = Duration::micros(4)};
}

MasterListAnswer full_list_answer() {
    Bytes records;
    put_list_record(records, encode_partition_record(full_partition(1)));
    put_list_record(records, encode_partition_record(full_partition(2)));
    return {.kind = ListKind::Delta, .volume = VolumeId(kBig + 1), .version = LogIndex(kBig + 2), .applied = LogIndex(kBig + 3), .term = Term(kBig + 4), .server = NodeId(kBig + 5),
            .age = Duration::micros(kWide), .held = Duration::micros(7), .volume_record = encode_volume_record(full_volume(1)), .partitions = kBig + 8,
            .stream_bytes = kBig + 9, .records = records};
}

MasterListAnswer unchanged_answer() {
    return {.kind = ListKind::Unchanged, .volume = VolumeId(1000), .version = LogIndex(1'000'000), .applied = LogIndex(1'000'100), .term = Term(100), .server = NodeId(3),
            .age = Duration::millis(900), .held = Duration(), .volume_record = {}, .records = {}};
}

/// Equal, also from a place in memory that is not aligned; and the form is the only one.
template <auto encode, auto decode>
bool comes_back(const auto& sent) {
    const Bytes payload = encode(sent);
    const Bytes shifted = "x" + payload;
    const auto got = decode(payload);
    const auto misaligned = decode(ByteView(shifted).substr(1));
    return got.ok() && misaligned.ok() && *got == sent && *misaligned == sent && encode(*got) == payload;
}

/// Whether `payload` was taken for something; that it comes back then, and that the refusal is the right one, is checked.
template <auto encode, auto decode>
bool decodes(ByteView payload) {
    const auto got = decode(payload);
    if (got.ok())
        REQUIRE(comes_back<encode, decode>(*got));
    else
        REQUIRE(got.failed_with(Code::Corrupt));
    return got.ok();
}

struct Sample {
    Bytes payload;
    bool (*decodes)(ByteView);
};

std::vector<Sample> samples() {
    return {{encode_node_record(full_node(1)), decodes<encode_node_record, decode_node_record>},
            {encode_volume_record(full_volume(1)), decodes<encode_volume_record, decode_volume_record>},
            {encode_partition_record(full_partition(1)), decodes<encode_partition_record, decode_partition_record>},
            {encode_master_counters(full_counters()), decodes<encode_master_counters, decode_master_counters>},
            {encode_session_record(full_session()), decodes<encode_session_record, decode_session_record>},
            {encode_master_command(full_command()), decodes<encode_master_command, decode_master_command>},
            {encode_master_answer(full_answer()), decodes<encode_master_answer, decode_master_answer>},
            {encode_master_query(full_query()), decodes<encode_master_query, decode_master_query>},
            {encode_master_view(full_view()), decodes<encode_master_view, decode_master_view>},
            {encode_master_confirmation({Term(kBig + 1), LogIndex(kBig + 2), "host:7000"}), decodes<encode_master_confirmation, decode_master_confirmation>},
            {encode_master_list_request(full_list_request()), decodes<encode_master_list_request, decode_master_list_request>},
            {encode_master_list_answer(unchanged_answer()), decodes<encode_master_list_answer, decode_master_list_answer>},
            {encode_task_record(full_task(1)), decodes<encode_task_record, decode_task_record>},
            {encode_node_heartbeat(full_heartbeat()), decodes<encode_node_heartbeat, decode_node_heartbeat>},
            {encode_heartbeat_answer(full_heartbeat_answer()), decodes<encode_heartbeat_answer, decode_heartbeat_answer>},
            {encode_partition_create(full_create()), decodes<encode_partition_create, decode_partition_create>},
            {encode_partition_destroy(full_destroy()), decodes<encode_partition_destroy, decode_partition_destroy>}};
}

MasterCommand command_with(size_t placements) {
    MasterCommand command{.kind = MasterCommandKind::CreateVolume, .client = {}, .node = {}, .name = "big", .placements = {}};
    for (uint64_t i = 0; i < placements; ++i)
        command.placements.push_back({{{NodeId(i), DiskId(1)}, {NodeId(i + 1), DiskId(2)}, {NodeId(i + 2), DiskId(3)}}});
    return command;
}

}  // namespace

TEST_CASE("wire: what the masters keep and say comes back equal (all fields set)") {
    CHECK(comes_back<encode_node_record, decode_node_record>(full_node(1)));
    CHECK(comes_back<encode_volume_record, decode_volume_record>(full_volume(1)));
    CHECK(comes_back<encode_partition_record, decode_partition_record>(full_partition(1)));
    CHECK(comes_back<encode_master_counters, decode_master_counters>(full_counters()));
    CHECK(comes_back<encode_session_record, decode_session_record>(full_session()));
    CHECK(comes_back<encode_master_command, decode_master_command>(full_command()));
    CHECK(comes_back<encode_master_answer, decode_master_answer>(full_answer()));
    CHECK(comes_back<encode_master_query, decode_master_query>(full_query()));
    CHECK(comes_back<encode_master_view, decode_master_view>(full_view()));
    CHECK(comes_back<encode_task_record, decode_task_record>(full_task(1)));
    CHECK(comes_back<encode_node_heartbeat, decode_node_heartbeat>(full_heartbeat()));
    CHECK(comes_back<encode_heartbeat_answer, decode_heartbeat_answer>(full_heartbeat_answer()));
    CHECK(comes_back<encode_partition_create, decode_partition_create>(full_create()));
    CHECK(comes_back<encode_partition_destroy, decode_partition_destroy>(full_destroy()));
}

TEST_CASE("wire: what the masters keep and say comes back equal (nothing set)") {
    CHECK(comes_back<encode_node_record, decode_node_record>(NodeRecord{}));
    CHECK(comes_back<encode_volume_record, decode_volume_record>(VolumeRecord{}));
    CHECK(comes_back<encode_partition_record, decode_partition_record>(PartitionRecord{}));
    CHECK(comes_back<encode_master_counters, decode_master_counters>(MasterCounters{}));
    CHECK(comes_back<encode_session_record, decode_session_record>(SessionRecord{}));
    CHECK(comes_back<encode_master_command, decode_master_command>(MasterCommand{}));
    CHECK(comes_back<encode_master_answer, decode_master_answer>(MasterAnswer{}));
    CHECK(comes_back<encode_master_query, decode_master_query>(MasterQuery{}));
    CHECK(comes_back<encode_master_view, decode_master_view>(MasterView{}));
    CHECK(comes_back<encode_master_confirmation, decode_master_confirmation>(MasterConfirmation{}));
    CHECK(comes_back<encode_node_heartbeat, decode_node_heartbeat>(NodeHeartbeat{}));
    CHECK(comes_back<encode_task_record, decode_task_record>(TaskRecord{}));
    CHECK(comes_back<encode_heartbeat_answer, decode_heartbeat_answer>(HeartbeatAnswer{}));
    CHECK(comes_back<encode_partition_create, decode_partition_create>(PartitionCreate{}));
    CHECK(comes_back<encode_partition_destroy, decode_partition_destroy>(PartitionDestroy{}));
    NodeHeartbeat many;
    many.disks.resize(NodeHeartbeat::kDisksMax + 1);
    CHECK(decode_node_heartbeat(encode_node_heartbeat(many)).failed_with(Code::Corrupt));
    many = full_heartbeat();
    many.reports[0].members.resize(PartitionReport::kMembersMax + 1);
    CHECK(decode_node_heartbeat(encode_node_heartbeat(many)).failed_with(Code::Corrupt));
    many.reports[0].members.clear();
    many.reports.resize(NodeHeartbeat::kReportsMax);
    CHECK(comes_back<encode_node_heartbeat, decode_node_heartbeat>(many));
    many.reports.resize(NodeHeartbeat::kReportsMax + 1);
    CHECK(decode_node_heartbeat(encode_node_heartbeat(many)).failed_with(Code::Corrupt));
    PartitionCreate wide = full_create();
    wide.members.resize(PartitionCreate::kMembersMax + 1);
    CHECK(decode_partition_create(encode_partition_create(wide)).failed_with(Code::Corrupt));
    auto too_many = [](auto spoil) {
        MasterCommand command = full_command();
        spoil(command);
        return decode_master_command(encode_master_command(command)).failed_with(Code::Corrupt);
    };
    CHECK(too_many([](MasterCommand& c) { c.marks.resize(MasterCommand::kMarksMax + 1); }));
    CHECK(too_many([](MasterCommand& c) { c.disk_marks.resize(MasterCommand::kMarksMax + 1); }));
    CHECK(too_many([](MasterCommand& c) { c.partition_marks.resize(MasterCommand::kMarksMax + 1); }));
    CHECK(too_many([](MasterCommand& c) { c.waits.resize(MasterCommand::kMarksMax + 1); }));
    CHECK(too_many([](MasterCommand& c) { c.voters.resize(MasterCommand::kMembersMax + 1); }));
    CHECK(too_many([](MasterCommand& c) { c.partition_marks[0].created.resize(MasterCommand::kMembersMax + 1); }));
    CHECK(comes_back<encode_master_confirmation, decode_master_confirmation>(MasterConfirmation{Term(kBig + 1), LogIndex(kBig + 2), "host:7000"}));
}

TEST_CASE("wire: questions for lists and their answers come back equal, and those that make no sense are Corrupt") {
    CHECK(comes_back<encode_master_list_request, decode_master_list_request>(full_list_request()));
    CHECK(comes_back<encode_master_list_request, decode_master_list_request>(MasterListRequest{.name = {}, .volume = VolumeId(kBig)}));
    CHECK(comes_back<encode_master_list_answer, decode_master_list_answer>(full_list_answer()));
    CHECK(comes_back<encode_master_list_answer, decode_master_list_answer>(unchanged_answer()));
    CHECK(decode_master_list_request(encode_master_list_request({})).failed_with(Code::Corrupt));
    CHECK(decode_master_list_request(encode_master_list_request({.name = "a", .volume = VolumeId(1)})).failed_with(Code::Corrupt));
    // Times are rounded to the safe side.
    MasterListAnswer rounded = unchanged_answer();
    rounded.age = Duration::nanos(1001);
    rounded.held = Duration::nanos(1999);
    const MasterListAnswer got = decode_master_list_answer(encode_master_list_answer(rounded)).value();
    CHECK(got.age == Duration::micros(2));
    CHECK(got.held == Duration::micros(1));
    for (unsigned kind = 0; kind < 256; ++kind) {
        CAPTURE(kind);
        MasterListAnswer answer = full_list_answer();
        answer.kind = static_cast<ListKind>(kind);
        CHECK(decode_master_list_answer(encode_master_list_answer(answer)).ok() == (kind >= 1 && kind <= 3));
        CHECK((list_kind_name(answer.kind) != "?") == (kind >= 1 && kind <= 3));
    }
    // Numbers have one form.
    Bytes longer = encode_master_list_request(full_list_request());
    longer.back() = static_cast<char>(0x84);
    CHECK(decode_master_list_request(longer + Bytes(1, '\0')).failed_with(Code::Corrupt));
    CHECK(decode_master_list_request(longer + Bytes(10, '\xff')).failed_with(Code::Corrupt));
}

TEST_CASE("wire: an unchanged list costs about a dozen bytes, and the records of a list are as stored") {
    const size_t bytes = encode_master_list_answer(unchanged_answer()).size();
    MESSAGE("unchanged: " << bytes << " bytes of payload, asked with " << encode_master_list_request({.name = "volume-7", .since = LogIndex(1'000'000)}).size());
    CHECK(bytes <= 14);
    std::vector<Bytes> seen;
    const MasterListAnswer answer = full_list_answer();
    CHECK(for_each_list_record(answer.records, [&](ByteView record) -> Result<void> {
        seen.emplace_back(record);
        return {};
    }).ok());
    CHECK(seen == std::vector<Bytes>{encode_partition_record(full_partition(1)), encode_partition_record(full_partition(2))});
    for (size_t size = 1; size < answer.records.size(); ++size) {
        auto read = for_each_list_record(ByteView(answer.records).substr(0, size), [](ByteView) { return Result<void>(); });
        CHECK(read.ok() == (size == answer.records.size() / 2));
    }
}

TEST_CASE("wire: of states, commands and topics of the masters the known ones come back, all others are Corrupt") {
    for (unsigned number = 0; number < 256; ++number) {
        CAPTURE(number);
        VolumeRecord volume = full_volume(1);
        volume.state = static_cast<VolumeState>(number);
        MasterView view = full_view();
        view.volumes.push_back(volume);
        if (number == 1 || number == 2) {
            CHECK(comes_back<encode_volume_record, decode_volume_record>(volume));
            CHECK(comes_back<encode_master_view, decode_master_view>(view));
            CHECK(volume_state_name(volume.state) != "?");
        } else {
            CHECK(decode_volume_record(encode_volume_record(volume)).failed_with(Code::Corrupt));
            CHECK(decode_master_view(encode_master_view(view)).failed_with(Code::Corrupt));
            CHECK(volume_state_name(volume.state) == "?");
        }

        MasterCommand command = full_command();
        command.kind = static_cast<MasterCommandKind>(number);
        if (number >= 1 && number <= 14) {
            CHECK(comes_back<encode_master_command, decode_master_command>(command));
            CHECK(master_command_name(command.kind) != "?");
        } else {
            CHECK(decode_master_command(encode_master_command(command)).failed_with(Code::Corrupt));
            CHECK(master_command_name(command.kind) == "?");
        }

        TaskRecord task = full_task(1);
        task.step = static_cast<TaskStep>(number);
        CHECK(decode_task_record(encode_task_record(task)).ok() == (number >= 1 && number <= 7));
        CHECK((task_step_name(task.step) != "?") == (number >= 1 && number <= 7));
        task = full_task(1);
        task.kind = static_cast<TaskKind>(number);
        CHECK(decode_task_record(encode_task_record(task)).ok() == (number >= 1 && number <= 3));
        CHECK((task_kind_name(task.kind) != "?") == (number >= 1 && number <= 3));
        NodeHeartbeat heartbeat = full_heartbeat();
        heartbeat.reports[0].state = static_cast<ReplicaState>(number);
        CHECK(decode_node_heartbeat(encode_node_heartbeat(heartbeat)).ok() == (number >= 1 && number <= 4));
        heartbeat = full_heartbeat();
        heartbeat.reports[0].role = static_cast<ReplicaRole>(number);
        CHECK(decode_node_heartbeat(encode_node_heartbeat(heartbeat)).ok() == (number >= 1 && number <= 3));

        MasterQuery query = full_query();
        query.topic = static_cast<MasterTopic>(number);
        if (number >= 1 && number <= 9)
            CHECK(comes_back<encode_master_query, decode_master_query>(query));
        else
            CHECK(decode_master_query(encode_master_query(query)).failed_with(Code::Corrupt));
    }
    CHECK(volume_state_name(VolumeState::Active) == "active");
    CHECK(volume_state_name(VolumeState::Deleting) == "deleting");
    CHECK(master_command_name(MasterCommandKind::RegisterNode) == "register_node");
    CHECK(master_command_name(MasterCommandKind::CreateVolume) == "create_volume");
    CHECK(master_command_name(MasterCommandKind::DeleteVolume) == "delete_volume");
}

TEST_CASE("wire: the largest command of the masters comes back, one placement more is Corrupt") {
    CHECK(comes_back<encode_master_command, decode_master_command>(command_with(MasterCommand::kPlacementsMax)));
    CHECK(decode_master_command(encode_master_command(command_with(MasterCommand::kPlacementsMax + 1))).failed_with(Code::Corrupt));
}

TEST_CASE("wire: a view of thousands of records comes back equal") {
    MasterView view = full_view();
    for (uint64_t i = 0; i < 5000; ++i) {
        view.nodes.push_back(full_node(i));
        view.volumes.push_back(full_volume(i));
        view.partitions.push_back(full_partition(i));
    }
    CHECK(comes_back<encode_master_view, decode_master_view>(view));
}

TEST_CASE("wire: what the masters keep and say, cut or damaged, is refused or makes sense (70,000 damages)") {
    const std::vector<Sample> all = samples();
    RandomStream draws(1, "wire.master", 0);
    for (const Sample& sample : all) {
        REQUIRE(sample.decodes(sample.payload));
        CHECK_FALSE(sample.decodes(sample.payload + "x"));
        for (size_t size = 0; size < sample.payload.size(); ++size) CHECK_FALSE(sample.decodes(ByteView(sample.payload).substr(0, size)));
        for (int i = 0; i < 5000; ++i) {
            Bytes bent = sample.payload;
            // Half of the damage goes where the lengths and pointers are.
            const size_t reach = draws.chance(0.5) ? std::min<size_t>(bent.size(), 96) : bent.size();
            for (uint64_t flips = 1 + draws.below(5); flips > 0; --flips) bent[draws.below(reach)] = static_cast<char>(draws.below(256));
            if (draws.chance(0.1)) bent.resize(draws.below(bent.size()));
            (void)sample.decodes(bent);
            (void)all[draws.below(all.size())].decodes(bent);
        }
    }
}
