// What the masters told, as operators and their programs see it.
#include "tools/orreryctl/master_views.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::ctl {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

wire::NodeRecord node(uint64_t id, std::string zone, std::vector<wire::DiskRecord> disks) {
    const std::string host = "data" + std::to_string(id);
    return {.node = NodeId(id), .incarnation = Incarnation(0xab00 + id), .zone = std::move(zone), .peer_address = host + ":7100",
            .service_address = host + ":7000", .disks = std::move(disks), .registered = LogIndex(id), .modified = LogIndex(20 + id),
            .state = id == 12 ? wire::NodeState::Inactive : wire::NodeState::Active};
}

wire::PartitionRecord partition(uint64_t id, std::vector<wire::PartitionMember> members) {
    return {.partition = PartitionId(id), .volume = VolumeId(3), .epoch = Epoch(1), .members = std::move(members), .created = LogIndex(30),
            .modified = LogIndex(31)};
}

Listing at_version(uint64_t version) {
    Listing out;
    out.all.leader = NodeId(2);
    out.all.term = Term(5);
    out.all.version = out.last_version = LogIndex(version);
    return out;
}

Listing nodes() {
    Listing out = at_version(40);
    out.all.nodes = {node(1, "east", {{DiskId(1), "/disk/1", 100 * kGiB, 7}, {DiskId(2), "/disk/2", 50 * kGiB, 3}}),
                     node(12, "w", {{DiskId(1), "/disk/1", 1536 * kGiB, 10}})};
    return out;
}

Listing volume() {
    Listing out = at_version(40);
    out.all.volumes = {{.volume = VolumeId(3), .name = "photos", .state = wire::VolumeState::Active, .replicas = 2, .partitions = 2,
                        .capacity_bytes = 100 * kGiB, .created = LogIndex(30), .modified = LogIndex(31)}};
    out.all.partitions = {partition(9, {{NodeId(1), DiskId(1), ReplicaId(17)}, {NodeId(12), DiskId(1), ReplicaId(18)}}),
                          partition(10, {{NodeId(1), DiskId(2), ReplicaId(19)}, {NodeId(12), DiskId(1), ReplicaId(20)}})};
    return out;
}

const std::string kPartitionsJson =
    R"("partitions":[{"partition":9,"volume":3,"epoch":1,"members":[{"node":1,"disk":1,"replica":17,"created":false},{"node":12,"disk":1,"replica":18,"created":false}],)"
    R"("created":30,"modified":31,"leader":0,"leader_term":0,"failures":0,"last_error":""},{"partition":10,"volume":3,"epoch":1,"members":[{"node":1,"disk":2,"replica":19,"created":false},)"
    R"({"node":12,"disk":1,"replica":20,"created":false}],"created":30,"modified":31,"leader":0,"leader_term":0,"failures":0,"last_error":""}])";

TEST_CASE("master views: nodes are a table with the sums of their disks") {
    CHECK(nodes_text(nodes(), Form::Table) ==
          "node  state     zone  address      disks  capacity  members\n"
          "   1  active    east  data1:7000       2   150 GiB       10\n"
          "  12  inactive  w     data12:7000      1   1.5 TiB       10\n");
}

TEST_CASE("master views: nodes are JSON with every disk, sizes in bytes") {
    Listing one = nodes();
    one.all.nodes.resize(1);
    CHECK(nodes_text(one, Form::Json) ==
          R"({"version":40,"last_version":40,"nodes":[{"node":1,"state":"active","zone":"east","address":"data1:7000","peer_address":"data1:7100",)"
          R"("incarnation":"000000000000ab01","capacity_bytes":161061273600,"members":10,"disks":[)"
          R"({"disk":1,"path":"/disk/1","capacity_bytes":107374182400,"members":7,"leaving":false,"bad":false},)"
          R"({"disk":2,"path":"/disk/2","capacity_bytes":53687091200,"members":3,"leaving":false,"bad":false}],"registered":1,"modified":21,"leaving":false,"waits_for":""}]})"
          "\n");
}

TEST_CASE("master views: a quote in a zone is escaped in JSON, and stands as it is in a table") {
    Listing listing = at_version(1);
    listing.all.nodes = {node(1, "a\"b\\c", {})};
    CHECK(nodes_text(listing, Form::Json).find(R"("zone":"a\"b\\c",)") != std::string::npos);
    CHECK(nodes_text(listing, Form::Table).find("   1  active  a\"b\\c  data1:7000      0       0 B        0\n") != std::string::npos);
}

TEST_CASE("master views: volumes, with and without a limit, and while they are taken away") {
    Listing volumes = volume();
    volumes.all.partitions.clear();
    volumes.all.volumes.push_back({.volume = VolumeId(11), .name = "q", .state = wire::VolumeState::Deleting, .replicas = 3, .partitions = 1000});
    CHECK(volumes_text(volumes, Form::Table) ==
          "volume  name    state     replicas  partitions  capacity\n"
          "     3  photos  active           2           2   100 GiB\n"
          "    11  q       deleting         3        1000         -\n");
    CHECK(volumes_text(volumes, Form::Json) ==
          R"({"version":40,"last_version":40,"volumes":[{"volume":3,"name":"photos","state":"active","replicas":2,"partitions":2,)"
          R"("capacity_bytes":107374182400,"created":30,"modified":31,"max_partitions":0},{"volume":11,"name":"q","state":"deleting","replicas":3,)"
          R"("partitions":1000,"capacity_bytes":0,"created":0,"modified":0,"max_partitions":0}]})"
          "\n");
}

TEST_CASE("master views: a volume is its record and its partitions") {
    CHECK(volume_text(volume(), Form::Table) ==
          "volume      3\n"
          "name        photos\n"
          "state       active\n"
          "replicas    2\n"
          "partitions  2\n"
          "capacity    100 GiB\n"
          "created     at version 30\n"
          "modified    at version 31\n"
          "\n"
          "partition  epoch  members (node/disk)\n"
          "        9      1  1/1 12/1\n"
          "       10      1  1/2 12/1\n");
    CHECK(volume_text(volume(), Form::Json) ==
          R"({"version":40,"last_version":40,"volume":{"volume":3,"name":"photos","state":"active","replicas":2,"partitions":2,)"
          R"("capacity_bytes":107374182400,"created":30,"modified":31,"max_partitions":0},)" +
              kPartitionsJson + "}\n");
}

TEST_CASE("master views: the partitions of a volume") {
    CHECK(partitions_text(volume(), Form::Table) ==
          "partition  epoch  members (node/disk)\n"
          "        9      1  1/1 12/1\n"
          "       10      1  1/2 12/1\n");
    CHECK(partitions_text(volume(), Form::Json) == R"({"version":40,"last_version":40,"volume":3,"name":"photos",)" + kPartitionsJson + "}\n");
}

TEST_CASE("master views: one partition, and one whose members are all gone") {
    wire::MasterView view = volume().all;
    view.partitions.resize(1);
    CHECK(partition_text(view, Form::Table) ==
          "partition  9\n"
          "volume     3\n"
          "epoch      1\n"
          "created    at version 30\n"
          "modified   at version 31\n"
          "leader     none was reported yet\n"
          "failures   none\n"
          "\n"
          "node  disk  replica\n"
          "   1     1       17\n"
          "  12     1       18\n");
    CHECK(partition_text(view, Form::Json) ==
          R"({"version":40,"partition":{"partition":9,"volume":3,"epoch":1,"members":[{"node":1,"disk":1,"replica":17,"created":false},)"
          R"({"node":12,"disk":1,"replica":18,"created":false}],"created":30,"modified":31,"leader":0,"leader_term":0,"failures":0,"last_error":""}})"
          "\n");
    view.partitions.front().members.clear();
    CHECK(partition_text(view, Form::Table).ends_with("\n\nit has no members\n"));
}

TEST_CASE("master views: who leads, and how much there is") {
    wire::MasterView view = at_version(120).all;
    view.counters.nodes = 3;
    view.counters.volumes = 1;
    view.counters.partitions = 10;
    CHECK(status_text(view, Form::Table) ==
          "leader      master 2\n"
          "term        5\n"
          "version     120\n"
          "nodes       3\n"
          "volumes     1\n"
          "partitions  10\n"
          "tasks       0\n");
    CHECK(status_text(view, Form::Json) == R"({"leader":2,"term":5,"version":120,"nodes":3,"volumes":1,"partitions":10,"tasks":0})"
                                           "\n");
}

TEST_CASE("master views: an empty list says so, and is an empty array in JSON") {
    const Listing nothing = at_version(4);
    CHECK(nodes_text(nothing, Form::Table) == "no node is registered\n");
    CHECK(nodes_text(nothing, Form::Json) == "{\"version\":4,\"last_version\":4,\"nodes\":[]}\n");
    CHECK(volumes_text(nothing, Form::Table) == "there are no volumes\n");
    CHECK(volumes_text(nothing, Form::Json) == "{\"version\":4,\"last_version\":4,\"volumes\":[]}\n");
    Listing bare = volume();
    bare.all.partitions.clear();
    CHECK(partitions_text(bare, Form::Table) == "volume 'photos' has no partitions\n");
    CHECK(partitions_text(bare, Form::Json).ends_with("\"partitions\":[]}\n"));
    CHECK(volume_text(bare, Form::Table).ends_with("\n\nvolume 'photos' has no partitions\n"));
}

TEST_CASE("master views: pages of different versions are said to be that") {
    Listing changed = nodes();
    changed.last_version = LogIndex(42);
    CHECK(nodes_text(changed, Form::Table).ends_with("10\nsomething changed while this was read: it begins at version 40 and ends at 42\n"));
    CHECK(nodes_text(changed, Form::Json).starts_with("{\"version\":40,\"last_version\":42,"));
}

TEST_CASE("master views: sizes for people are rounded to a tenth of the largest unit that fits") {
    CHECK(size_for_people(0) == "0 B");
    CHECK(size_for_people(1023) == "1023 B");
    CHECK(size_for_people(1024) == "1 KiB");
    CHECK(size_for_people(1536) == "1.5 KiB");
    CHECK(size_for_people(100 * kGiB) == "100 GiB");
    CHECK(size_for_people(1000 * kGiB + kGiB / 4) == "1000.3 GiB");
    CHECK(size_for_people(1024 * kGiB - 1) == "1 TiB");
    CHECK(size_for_people(UINT64_MAX) == "16 EiB");
}

TEST_CASE("master views: a size for people is off by at most a twentieth of its unit (any size)") {
    CHECK(rc::check([](uint64_t bytes) {
        const std::string text = size_for_people(bytes);
        const size_t blank = text.find(' ');
        const std::string unit = text.substr(blank + 1);
        const size_t power = std::string("BKMGTPE").find(unit.front());
        const double factor = static_cast<double>(uint64_t{1} << (10 * power));
        const double said = std::stod(text.substr(0, blank)) * factor;
        RC_ASSERT(said - static_cast<double>(bytes) <= factor * 0.0501);
        RC_ASSERT(static_cast<double>(bytes) - said <= factor * 0.0501);
    }));
}

wire::TaskRecord task(uint64_t id) {
    return {.task = TaskId(id), .kind = wire::TaskKind::Decommission, .partition = PartitionId(9), .volume = VolumeId(3), .epoch = Epoch(1),
            .source = {NodeId(1), DiskId(2), ReplicaId(17)}, .destination = {NodeId(12), DiskId(1), ReplicaId(40)}, .step = wire::TaskStep::CatchUp,
            .priority = 200, .created = LogIndex(50), .modified = LogIndex(55), .waits_for = id == 7 ? "the new replica to catch up" : "", .since = LogIndex(54)};
}

TEST_CASE("master views: a task says its step, what it waits for, since when, and what comes next") {
    Listing tasks = at_version(60);
    CHECK(tasks_text(tasks, Form::Table) == "nothing is being moved or repaired\n");
    tasks.all.tasks = {task(7), task(12)};
    CHECK(tasks_text(tasks, Form::Table) ==
          "task  kind          partition  from  to    step      since  waits for\n"
          "   7  decommission          9  1/2   12/1  catch-up     54  the new replica to catch up\n"
          "  12  decommission          9  1/2   12/1  catch-up     54  -\n");
    tasks.all.tasks.resize(1);
    CHECK(task_text(tasks.all, Form::Table) ==
          "task       7\n"
          "kind       decommission\n"
          "partition  9\n"
          "from       node 1, disk 2 (replica 17)\n"
          "to         node 12, disk 1 (replica 40)\n"
          "step       catch-up\n"
          "waits for  the new replica to catch up\n"
          "since      version 54\n"
          "next       the new replica becomes a voter\n"
          "created    at version 50\n"
          "modified   at version 55\n");
    const std::string json =
        R"({"task":7,"kind":"decommission","partition":9,"volume":3,"epoch":1,"source":{"node":1,"disk":2,"replica":17},)"
        R"("destination":{"node":12,"disk":1,"replica":40},"step":"catch-up","waits_for":"the new replica to catch up","since":54,)"
        R"("next":"the new replica becomes a voter","priority":200,"failures":0,"last_error":"","created":50,"modified":55})";
    CHECK(tasks_text(tasks, Form::Json) == R"({"version":60,"last_version":60,"tasks":[)" + json + "]}\n");
    CHECK(task_text(tasks.all, Form::Json) == R"({"version":60,"task":)" + json + "}\n");
    tasks.all.tasks[0].step = wire::TaskStep::BackOut;
    tasks.all.tasks[0].failures = 2;
    tasks.all.tasks[0].last_error = "node 12 is inactive";
    CHECK(task_text(tasks.all, Form::Table).ends_with("failures   2 before this one\nbacks out  node 12 is inactive\n"));
}

TEST_CASE("master views: one node with its disks, why it is not empty yet, and its tasks") {
    wire::MasterView view = nodes().all;
    view.nodes.resize(1);
    view.nodes[0].leaving = true;
    view.nodes[0].waits_for = "partition 10: no other active node takes a member of this partition";
    view.nodes[0].disks[1].bad = true;
    view.tasks = {task(12)};
    CHECK(node_text(view, Form::Table) ==
          "node          1\n"
          "state         active, leaving\n"
          "zone          east\n"
          "address       data1:7000\n"
          "peer address  data1:7100\n"
          "capacity      150 GiB\n"
          "members       10\n"
          "registered    at version 1\n"
          "modified      at version 21\n"
          "waits for     partition 10: no other active node takes a member of this partition\n"
          "\n"
          "disk  state  path     capacity  members\n"
          "   1  good   /disk/1   100 GiB        7\n"
          "   2  bad    /disk/2    50 GiB        3\n"
          "\n"
          "task  kind          partition  from  to    step      since  waits for\n"
          "  12  decommission          9  1/2   12/1  catch-up     54  -\n");
    CHECK(node_text(view, Form::Json).starts_with(R"({"version":40,"node":{"node":1,"state":"active",)"));
    CHECK(node_text(view, Form::Json).ends_with(R"("modified":55}],"more_tasks":false})" "\n"));
    view.nodes[0].disks[0].members = view.nodes[0].disks[1].members = 0;
    view.more = true;
    CHECK(node_text(view, Form::Table).find("left          nothing is placed on it any more\n") != std::string::npos);
    CHECK(node_text(view, Form::Table).ends_with("and more tasks: see `orreryctl task list`\n"));
}

}  // namespace
}  // namespace orrery::ctl
