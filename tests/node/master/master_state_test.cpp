#include "node/master/master_state.h"

#include <algorithm>
#include <set>

#include "node/master/placement.h"
#include "runtime/base/random.h"
#include "tests/node/master/records_in_memory.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

using wire::MasterAnswer;
using wire::MasterCommand;
using wire::MasterCommandKind;

Code code_of(const MasterAnswer& answer) { return static_cast<Code>(answer.code); }

std::vector<wire::NodeRecord> nodes_of(const Masters& masters) {
    std::vector<wire::NodeRecord> out;
    RecordsInMemory records = masters.records;
    const StateView::Pairs pairs = records.scan(nodes_after(NodeId()), SIZE_MAX).value();
    for (const auto& [key, value] : pairs) out.push_back(wire::decode_node_record(value).value());
    return out;
}

std::vector<wire::PartitionRecord> partitions_in(const Masters& masters, VolumeId volume) {
    std::vector<wire::PartitionRecord> out;
    RecordsInMemory records = masters.records;
    const StateView::Pairs pairs = records.scan(partitions_of(volume, PartitionId()), SIZE_MAX).value();
    for (const auto& [key, value] : pairs)
        out.push_back(records.find(partition_key(partition_of_key(key).value()), &wire::decode_partition_record).value());
    return out;
}

MasterCommand create(const Masters& masters, const std::string& name, uint32_t replicas, uint32_t partitions) {
    MasterCommand command;
    command.kind = MasterCommandKind::CreateVolume;
    command.name = name;
    command.replicas = replicas;
    command.partitions = partitions;
    if (auto placed = place(nodes_of(masters), replicas, partitions); placed.ok()) command.placements = *placed;
    return command;
}

Masters with_nodes(uint64_t count) {
    Masters masters;
    for (uint64_t node = 1; node <= count; ++node) REQUIRE(masters.apply(register_command(node, "z" + std::to_string(node % 3))).code == 0);
    return masters;
}

/// Everything but how far the log is applied.
std::map<Bytes, Bytes> records_without_index(const Masters& masters) {
    std::map<Bytes, Bytes> out = masters.records.all();
    out.erase(counters_key());
    return out;
}

TEST_CASE("a node is registered once, and again by the same directory only") {
    Masters masters;
    CHECK(masters.apply(register_command(7, "east", 2)).code == 0);
    const auto first = masters.records.find(node_key(NodeId(7)), &wire::decode_node_record);
    REQUIRE(first);
    CHECK(first->registered == LogIndex(1));
    CHECK(masters.state.counters().nodes == 1);

    CHECK(masters.apply(register_command(7, "east", 2)).code == 0);
    CHECK(masters.records.find(node_key(NodeId(7)), &wire::decode_node_record) == first);  // nothing is new

    CHECK(masters.apply(register_command(7, "west", 3)).code == 0);
    const auto moved = masters.records.find(node_key(NodeId(7)), &wire::decode_node_record);
    CHECK(moved->zone == "west");
    CHECK(moved->disks.size() == 3);
    CHECK(moved->registered == LogIndex(1));
    CHECK(moved->modified == LogIndex(3));

    MasterCommand other = register_command(7);
    other.node.incarnation = Incarnation(1);
    CHECK(code_of(masters.apply(other)) == Code::Exists);
    CHECK(masters.records.find(node_key(NodeId(7)), &wire::decode_node_record) == moved);
    CHECK(masters.state.counters().nodes == 1);
}

TEST_CASE("a node that makes no sense is refused") {
    Masters masters;
    auto refused = [&](auto spoil) {
        MasterCommand command = register_command(1, "z1", 2);
        spoil(command.node);
        const MasterAnswer answer = masters.apply(command);
        return code_of(answer) == Code::Invalid && !answer.context.empty() && nodes_of(masters).empty();
    };
    CHECK(refused([](wire::NodeRecord& node) { node.node = NodeId(); }));
    CHECK(refused([](wire::NodeRecord& node) { node.incarnation = Incarnation(); }));
    CHECK(refused([](wire::NodeRecord& node) { node.zone = ""; }));
    CHECK(refused([](wire::NodeRecord& node) { node.zone = "a/b"; }));
    CHECK(refused([](wire::NodeRecord& node) { node.peer_address = "host"; }));
    CHECK(refused([](wire::NodeRecord& node) { node.service_address = ":80"; }));
    CHECK(refused([](wire::NodeRecord& node) { node.service_address = std::string(300, 'h') + ":80"; }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks.clear(); }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks[1].disk = node.disks[0].disk; }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks[0].disk = DiskId(); }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks[0].capacity_bytes = 0; }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks[0].path = ""; }));
    CHECK(refused([](wire::NodeRecord& node) { node.disks.resize(MasterLimits::disks_max + 1, {DiskId(9), "/d", 1}); }));
}

TEST_CASE("a volume: its partitions on different nodes, every id new, and nothing left of it when it is deleted") {
    Masters masters = with_nodes(5);
    const std::map<Bytes, Bytes> before = records_without_index(masters);
    const MasterAnswer made = masters.apply(create(masters, "logs", 3, 40));
    REQUIRE(made.code == 0);
    CHECK(made.volume == VolumeId(1));
    CHECK(masters.state.counters().partitions == 40);
    std::set<uint64_t> replicas;
    std::map<std::pair<NodeId, DiskId>, uint32_t> placed;
    for (const wire::PartitionRecord& partition : partitions_in(masters, made.volume)) {
        std::set<NodeId> nodes;
        for (const wire::PartitionMember& member : partition.members) {
            nodes.insert(member.node);
            CHECK(replicas.insert(member.replica.value).second);
            ++placed[{member.node, member.disk}];
        }
        CHECK(nodes.size() == 3);
        CHECK(partition.epoch == Epoch(1));
    }
    CHECK(replicas.size() == 120);
    for (const wire::NodeRecord& node : nodes_of(masters)) CHECK(node.disks[0].members == placed[{node.node, node.disks[0].disk}]);

    CHECK(code_of(masters.apply(create(masters, "logs", 1, 1))) == Code::Exists);
    CHECK(masters.apply(delete_command("logs")).volume == made.volume);
    CHECK(code_of(masters.apply(delete_command("logs"))) == Code::NotFound);
    // Of nodes only what they were last changed by differs.
    for (const auto& [key, value] : records_without_index(masters)) CHECK(before.contains(key));
    for (const wire::NodeRecord& node : nodes_of(masters)) CHECK(node.disks[0].members == 0);
    CHECK(masters.state.counters().partitions == 0);

    const MasterAnswer again = masters.apply(create(masters, "logs", 3, 2));
    CHECK(again.volume == VolumeId(2));
    CHECK(partitions_in(masters, again.volume).front().partition == PartitionId(41));
}

TEST_CASE("deleting takes more partitions than one page has") {
    Masters masters = with_nodes(3);
    const MasterAnswer made = masters.apply(create(masters, "big", 1, 2500));
    REQUIRE(made.code == 0);
    REQUIRE(masters.apply(create(masters, "other", 1, 3)).code == 0);
    CHECK(masters.apply(delete_command("big")).code == 0);
    CHECK(partitions_in(masters, made.volume).empty());
    CHECK(masters.state.counters().partitions == 3);
    CHECK(partitions_in(masters, VolumeId(2)).size() == 3);
}

TEST_CASE("a volume that cannot be is refused and changes nothing") {
    Masters masters = with_nodes(3);
    const std::map<Bytes, Bytes> before = records_without_index(masters);
    const wire::MasterCounters counters = masters.state.counters();
    auto refused = [&](Code code, auto spoil) {
        MasterCommand command = create(masters, "v", 3, 2);
        spoil(command);
        if (code_of(masters.apply(command)) != code) return false;
        wire::MasterCounters now = masters.state.counters();
        now.applied = counters.applied;
        return now == counters && records_without_index(masters) == before;
    };
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.name = ""; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.name = ".hidden"; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.name = std::string(64, 'a'); }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.replicas = 0; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.replicas = 8; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.partitions = 0; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.partitions = MasterLimits::partitions_of_command_max + 1; }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.placements.pop_back(); }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.placements[1].places.pop_back(); }));
    CHECK(refused(Code::Invalid, [](MasterCommand& c) { c.placements[1].places[2] = c.placements[1].places[0]; }));
    CHECK(refused(Code::Stale, [](MasterCommand& c) { c.placements[1].places[2].node = NodeId(99); }));
    CHECK(refused(Code::Stale, [](MasterCommand& c) { c.placements[1].places[2].disk = DiskId(99); }));
}

TEST_CASE("what a cluster may have in all: the last one is taken, the next refused, and nothing is changed by that") {
    const Masters masters = with_nodes(3);
    auto with = [&](auto change) {
        Masters out = masters;
        wire::MasterCounters counters = out.state.counters();
        change(counters);
        out.records.change({{counters_key(), wire::encode_master_counters(counters)}});
        return out.started_anew();
    };
    Masters nodes = with([](wire::MasterCounters& counters) { counters.nodes = MasterLimits::nodes_max - 1; });
    CHECK(nodes.apply(register_command(8, "z1")).code == 0);
    Masters volumes = with([](wire::MasterCounters& counters) { counters.volumes = MasterLimits::volumes_max - 1; });
    CHECK(volumes.apply(create(volumes, "last", 3, 1)).code == 0);
    Masters partitions = with([](wire::MasterCounters& counters) { counters.partitions = MasterLimits::partitions_max - 5; });
    CHECK(partitions.apply(create(partitions, "five", 3, 5)).code == 0);
    auto refused = [](Masters& full, const MasterCommand& command) {
        const auto before = records_without_index(full);
        const MasterAnswer answer = full.apply(command);
        CHECK(code_of(answer) == Code::Invalid);
        CHECK(answer.context.find("the cluster has") == 0);
        CHECK(records_without_index(full) == before);
    };
    refused(nodes, register_command(9, "z1"));
    CHECK(nodes.apply(register_command(8, "z1")).code == 0);  // one of those that are there
    refused(volumes, create(volumes, "more", 3, 1));
    refused(partitions, create(partitions, "more", 3, 1));
    MasterCommand extend = create(partitions, "five", 3, 1);
    extend.kind = MasterCommandKind::ExtendVolume;
    refused(partitions, extend);
}

TEST_CASE("a node is marked inactive and active, and only that life of it") {
    Masters masters = with_nodes(2);
    auto state_of = [&] { return masters.records.find(node_key(NodeId(1)), &wire::decode_node_record)->state; };
    MasterCommand marks;
    marks.kind = MasterCommandKind::MarkNodes;
    marks.marks = {{NodeId(1), Incarnation(5), wire::NodeState::Inactive}, {NodeId(77), Incarnation(1), wire::NodeState::Inactive}};
    const std::map<Bytes, Bytes> before = records_without_index(masters);
    CHECK(masters.apply(marks).code == 0);
    CHECK(records_without_index(masters) == before);
    marks.marks[0].incarnation = Incarnation(1001);
    CHECK(masters.apply(marks).code == 0);
    CHECK(state_of() == wire::NodeState::Inactive);
    CHECK(create(masters, "v", 2, 1).placements.empty());
    CHECK(create(masters, "v", 1, 1).placements[0].places[0].node == NodeId(2));
    CHECK(masters.apply(register_command(1, "z1")).code == 0);  // which is a sign of life
    CHECK(state_of() == wire::NodeState::Active);
}

TEST_CASE("a disk with members on it cannot be left out") {
    Masters masters;
    REQUIRE(masters.apply(register_command(1, "z1", 2)).code == 0);
    MasterCommand volume = create(masters, "v", 1, 1);
    volume.placements = {{{{NodeId(1), DiskId(2)}}}};
    REQUIRE(masters.apply(volume).code == 0);
    CHECK(code_of(masters.apply(register_command(1, "z1", 1))) == Code::Invalid);
    CHECK(masters.apply(register_command(1, "z1", 3)).code == 0);
    CHECK(nodes_of(masters)[0].disks[1].members == 1);  // as the master counts them, not as the node says
}

TEST_CASE("a repeated command has one effect and one answer, also after a start") {
    Masters masters = with_nodes(3);
    MasterCommand command = create(masters, "v", 2, 4);
    command.client = ClientId(77);
    command.sequence = 5;
    const MasterAnswer first = masters.apply(command);
    REQUIRE(first.code == 0);
    const std::map<Bytes, Bytes> after = records_without_index(masters);
    CHECK(masters.apply(command) == first);
    Masters anew = masters.started_anew();
    CHECK(anew.apply(command) == first);
    CHECK(records_without_index(anew) == after);

    MasterCommand refused = delete_command("nothing");
    refused.client = ClientId(77);
    refused.sequence = 6;
    const MasterAnswer no = masters.apply(refused);
    CHECK(code_of(no) == Code::NotFound);
    REQUIRE(masters.apply(create(masters, "nothing", 1, 1)).code == 0);
    CHECK(masters.apply(refused) == no);  // a refusal is an answer too
    CHECK(code_of(masters.apply(command)) == Code::Stale);
    CHECK(masters.state.counters().volumes == 2);
}

TEST_CASE("of too many clients the one that was silent longest is forgotten") {
    Masters masters = with_nodes(1);
    auto ask = [&](uint64_t client, uint64_t sequence) {
        MasterCommand command = delete_command("nothing");
        command.client = ClientId(client);
        command.sequence = sequence;
        return masters.apply(command).index;
    };
    for (uint64_t client = 1; client <= MasterLimits::sessions_max; ++client) ask(client, 1);
    const LogIndex of_two = ask(2, 2);
    ask(1, 2);
    ask(5000, 1);  // takes the place of 3
    CHECK(ask(2, 2) == of_two);
    CHECK(ask(3, 1) == masters.index);
    CHECK(masters.records.find(session_key(ClientId(3)), &wire::decode_session_record) == std::nullopt);
    CHECK(masters.records.find(session_key(ClientId(4)), &wire::decode_session_record) != std::nullopt);
    CHECK(masters.records.scan(sessions(), SIZE_MAX).value().size() == MasterLimits::sessions_max);
}

TEST_CASE("who was forgotten is told so, and nothing is done for it again") {
    Masters masters = with_nodes(1);
    MasterCommand command = create(masters, "v", 1, 1);
    command.client = ClientId(9);
    command.sequence = 1;
    command.since = masters.index;
    REQUIRE(masters.apply(command).code == 0);
    MasterCommand other = delete_command("nothing");
    for (uint64_t client = 100; client < 100 + MasterLimits::sessions_max; ++client) {
        other.client = ClientId(client);
        other.since = masters.index;
        REQUIRE(code_of(masters.apply(other)) == Code::NotFound);
    }
    REQUIRE(masters.apply(delete_command("v")).code == 0);  // of somebody without a session
    const std::map<Bytes, Bytes> before = records_without_index(masters);
    CHECK(code_of(masters.apply(command)) == Code::Unknown);
    CHECK(records_without_index(masters) == before);
    Masters anew = masters.started_anew();
    CHECK(code_of(anew.apply(command)) == Code::Unknown);
    command.since = masters.index;  // asked for anew, by one who knows that
    CHECK(masters.apply(command).code == 0);
}

TEST_CASE("a volume grows, its list has a new version, and the index of changes names what is new") {
    Masters masters = with_nodes(5);
    const std::map<Bytes, Bytes> before = records_without_index(masters);
    const MasterAnswer made = masters.apply(create(masters, "logs", 3, 4));
    REQUIRE(made.code == 0);
    auto changes = [&](LogIndex since) {
        std::vector<std::pair<LogIndex, PartitionId>> out;
        const StateView::Pairs keys = masters.records.scan(volume_changes_after(made.volume, since), SIZE_MAX).value();
        for (const auto& [key, nothing] : keys) {
            const VolumeChange change = volume_change_of_key(key).value();
            REQUIRE(change.volume == made.volume);
            out.emplace_back(change.modified, change.partition);
        }
        return out;
    };
    CHECK(changes(LogIndex()).empty());  // all as they were made: nothing to say
    CHECK(masters.records.all().at(volume_name_key(made.volume)) == "logs");

    MasterCommand grow = create(masters, "logs", 3, 2);
    grow.kind = MasterCommandKind::ExtendVolume;
    const MasterAnswer grown = masters.apply(grow);
    REQUIRE(grown.code == 0);
    CHECK(grown.volume == made.volume);
    const auto volume = masters.records.find(volume_key("logs"), &wire::decode_volume_record).value();
    CHECK(volume.partitions == 6);
    CHECK(volume.created == made.index);
    CHECK(volume.modified == grown.index);
    CHECK(masters.state.counters().partitions == 6);
    CHECK(partitions_in(masters, made.volume).size() == 6);
    CHECK(changes(made.index) == std::vector{std::pair(grown.index, PartitionId(5)), std::pair(grown.index, PartitionId(6))});
    CHECK(changes(grown.index).empty());

    auto refused = [&](auto spoil, Code code) {
        MasterCommand command = grow;
        spoil(command);
        return code_of(masters.apply(command)) == code;
    };
    CHECK(refused([](MasterCommand& one) { one.name = "nothing"; }, Code::NotFound));
    CHECK(refused([](MasterCommand& one) { one.name = "a/b"; }, Code::Invalid));
    CHECK(refused([](MasterCommand& one) { one.partitions = 0; }, Code::Invalid));
    CHECK(refused([](MasterCommand& one) { one.partitions = MasterLimits::partitions_of_command_max + 1; }, Code::Invalid));
    CHECK(refused([](MasterCommand& one) { one.placements.pop_back(); }, Code::Invalid));
    CHECK(refused([](MasterCommand& one) { one.placements[0].places.pop_back(); }, Code::Invalid));
    CHECK(refused([](MasterCommand& one) { one.placements[0].places[0].node = NodeId(77); }, Code::Stale));
    CHECK(refused([](MasterCommand& one) { one.unplaced = "no place"; }, Code::Invalid));
    CHECK(masters.records.find(volume_key("logs"), &wire::decode_volume_record) == volume);

    REQUIRE(masters.apply(delete_command("logs")).code == 0);
    std::map<Bytes, Bytes> after = records_without_index(masters);
    for (const wire::NodeRecord& node : nodes_of(masters)) after[node_key(node.node)] = before.at(node_key(node.node));  // their indexes rose
    CHECK(after == before);
}

/// What a volume is to somebody who knows nothing of records.
struct Model {
    std::map<std::string, std::pair<uint32_t, uint32_t>> volumes;  // name -> replicas, partitions
    std::set<uint64_t> partition_ids, volume_ids;
};

TEST_CASE("random commands against a model, and a start anywhere in between changes nothing") {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        RandomStream draw(seed, "master.test", 0);
        Masters masters;
        Model model;
        for (int step = 0; step < 120; ++step) {
            if (draw.chance(0.05)) masters = masters.started_anew();
            const uint64_t what = draw.below(10);
            const std::string name = "v" + std::to_string(draw.below(6));
            if (what < 3) {
                masters.apply(register_command(1 + draw.below(6), "z" + std::to_string(draw.below(3)), 2 + static_cast<uint32_t>(draw.below(2)), 1000 + draw.below(9) * 500));
            } else if (what < 7) {
                const MasterCommand command = create(masters, name, 1 + static_cast<uint32_t>(draw.below(3)), 1 + static_cast<uint32_t>(draw.below(5)));
                const bool possible = !command.placements.empty() && !model.volumes.contains(name);
                const MasterAnswer answer = masters.apply(command);
                REQUIRE((answer.code == 0) == possible);
                if (!possible) continue;
                model.volumes[name] = {command.replicas, command.partitions};
                REQUIRE(model.volume_ids.insert(answer.volume.value).second);
                for (const wire::PartitionRecord& partition : partitions_in(masters, answer.volume))
                    REQUIRE(model.partition_ids.insert(partition.partition.value).second);
            } else {
                REQUIRE((masters.apply(delete_command(name)).code == 0) == (model.volumes.erase(name) > 0));
            }
            uint64_t partitions = 0;
            std::map<std::pair<NodeId, DiskId>, uint32_t> placed;
            for (const auto& [volume, shape] : model.volumes) {
                const auto record = masters.records.find(volume_key(volume), &wire::decode_volume_record);
                REQUIRE(record);
                const auto of_it = partitions_in(masters, record->volume);
                REQUIRE(of_it.size() == shape.second);
                partitions += of_it.size();
                for (const wire::PartitionRecord& partition : of_it) {
                    std::set<NodeId> nodes;
                    for (const wire::PartitionMember& member : partition.members) {
                        nodes.insert(member.node);
                        ++placed[{member.node, member.disk}];
                    }
                    REQUIRE(nodes.size() == shape.first);
                }
            }
            REQUIRE(masters.state.counters().volumes == model.volumes.size());
            REQUIRE(masters.state.counters().partitions == partitions);
            const auto nodes = nodes_of(masters);
            REQUIRE(masters.state.counters().nodes == nodes.size());
            for (const wire::NodeRecord& node : nodes)
                for (const wire::DiskRecord& disk : node.disks) REQUIRE(disk.members == placed[{node.node, disk.disk}]);
        }
    }
}

}  // namespace
}  // namespace orrery::master
