// What orreryctl check and health find in the masters' records.
#include "tools/orreryctl/cluster_check.h"

#include <doctest/doctest.h>

namespace orrery::ctl {
namespace {

/// Three nodes of two disks, one volume of two partitions with all their members there.
ClusterRecords sound() {
    ClusterRecords out;
    out.counts.leader = NodeId(1);
    for (uint64_t id = 1; id <= 3; ++id) {
        wire::NodeRecord node{.node = NodeId(id), .incarnation = Incarnation(id), .zone = "z", .service_address = "d" + std::to_string(id) + ":7000"};
        node.disks = {{.disk = DiskId(1), .path = "/a", .capacity_bytes = 1, .members = 2}, {.disk = DiskId(2), .path = "/b", .capacity_bytes = 1}};
        out.nodes.push_back(node);
    }
    out.volumes.push_back({.volume = VolumeId(1), .name = "v", .replicas = 3, .partitions = 2});
    for (uint64_t id = 1; id <= 2; ++id) {
        wire::PartitionRecord partition{.partition = PartitionId(id), .volume = VolumeId(1), .epoch = Epoch(1)};
        for (uint64_t node = 1; node <= 3; ++node) partition.members.push_back({NodeId(node), DiskId(1), ReplicaId(id * 10 + node), true});
        partition.leader = NodeId(1);
        out.partitions.push_back(partition);
    }
    return out;
}

bool says(const std::vector<Anomaly>& all, Health severity, const std::string& what) {
    for (const Anomaly& one : all)
        if (one.severity == severity && one.what.find(what) != std::string::npos) return true;
    return false;
}

TEST_CASE("a cluster in which nothing is missing is healthy") {
    const ClusterRecords records = sound();
    CHECK(find_anomalies(records).empty());
    CHECK(health_text(records, {}, Form::Table) == "healthy: 3 nodes, 1 volume, 2 partitions, 0 tasks\n");
    CHECK(check_text(records, {}, Form::Json).find(R"("health":"healthy")") != std::string::npos);
}

TEST_CASE("a silent node degrades its partitions, two of three make them unavailable, and the worst is told first") {
    ClusterRecords records = sound();
    records.nodes[1].state = wire::NodeState::Inactive;
    auto found = find_anomalies(records);
    CHECK(health_of(found) == Health::Degraded);
    CHECK(says(found, Health::Degraded, "node 2 (d2:7000, zone z) is silent, with 2 members"));
    CHECK(says(found, Health::Degraded, "partition 1 of volume 'v' has 2 of 3 members"));
    records.nodes[2].state = wire::NodeState::Inactive;
    found = find_anomalies(records);
    CHECK(health_of(found) == Health::Unavailable);
    CHECK(found.front().severity == Health::Unavailable);
    CHECK(says(found, Health::Unavailable, "partition 2 of volume 'v' has 1 of 3 members: nothing can be written there"));
}

TEST_CASE("bad disks, members that were never created, groups without a leader, and tasks that fail are told with what comes next") {
    ClusterRecords records = sound();
    records.nodes[0].disks[0].bad = true;
    records.partitions[1].members[0] = {NodeId(1), DiskId(2), ReplicaId(99), false};
    records.partitions[1].leader = NodeId();
    records.tasks.push_back({.task = TaskId(7), .kind = wire::TaskKind::Repair, .partition = PartitionId(1), .step = wire::TaskStep::CatchUp, .failures = 2, .last_error = "disk full"});
    const auto found = find_anomalies(records);
    CHECK(says(found, Health::Degraded, "disk 1 (/a) of node 1 is bad"));
    CHECK(says(found, Health::Degraded, "partition 1 of volume 'v' has 2 of 3 members"));
    CHECK(says(found, Health::Degraded, "partition 2 of volume 'v' has 2 of 3 members"));
    CHECK(says(found, Health::Degraded, "task 7 of partition 1 follows 2 failures"));
    const std::string text = check_text(records, found, Form::Table);
    CHECK(text.find("repair: task 7 is at catch-up") != std::string::npos);
    CHECK(text.find("why: disk full") != std::string::npos);
    CHECK(text.ends_with("degraded: 4 found\n"));
    records = sound();
    records.partitions[0].leader = NodeId();
    CHECK(says(find_anomalies(records), Health::Degraded, "partition 1 of volume 'v' has told of no leader"));
}

TEST_CASE("a table ends somewhere, JSON has everything") {
    ClusterRecords records = sound();
    for (uint64_t id = 3; id < 3 + 2 * kShownMax; ++id) {
        records.partitions.push_back(records.partitions[0]);
        records.partitions.back().partition = PartitionId(id);
        records.partitions.back().leader = NodeId();
    }
    const auto found = find_anomalies(records);
    REQUIRE(found.size() == 2 * kShownMax);
    CHECK(check_text(records, found, Form::Table).find("and 100 more") != std::string::npos);
    CHECK(check_text(records, found, Form::Json).find("partition " + std::to_string(2 + 2 * kShownMax)) != std::string::npos);
}

}  // namespace
}  // namespace orrery::ctl
