// What nodes tell, in pieces: late and lost ones do not spoil the picture, and a gap is found.
#include "node/master/reports.h"

#include "runtime/base/random.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

wire::PartitionReport report(uint64_t partition, uint64_t replica, wire::ReplicaState state = wire::ReplicaState::Ready) {
    return {.partition = PartitionId(partition), .replica = ReplicaId(replica), .state = state, .members = {}};
}

wire::NodeHeartbeat told(uint64_t life, uint64_t number, uint64_t since, std::vector<wire::PartitionReport> reports) {
    return {.node = NodeId(1), .incarnation = Incarnation(1), .disks = {}, .life = life, .number = number, .since = since, .reports = std::move(reports)};
}

TEST_CASE("reports: a full one, changes, and what does not fit") {
    Reports reports;
    CHECK(reports.take(told(5, 3, 2, {report(1, 1)})).want_full);  // of which this office has heard nothing
    CHECK_FALSE(reports.told(NodeId(1)));
    CHECK(reports.take(told(5, 4, 0, {report(1, 1), report(2, 2)})).number == 4);
    CHECK(reports.told(NodeId(1)));
    const Reports before = reports;
    CHECK(reports.take(told(5, 5, 4, {report(2, 2, wire::ReplicaState::Gone), report(3, 9)})).number == 5);
    CHECK(reports.find(NodeId(1), PartitionId(2)) == nullptr);
    CHECK(reports.find(NodeId(1), PartitionId(3))->replica == ReplicaId(9));
    CHECK(reports.size() == 2);
    CHECK(before.find(NodeId(1), PartitionId(2)) != nullptr);  // a plan that is being made keeps what it had
    CHECK(before.find(NodeId(1), PartitionId(3)) == nullptr);
    CHECK(reports.take(told(5, 4, 0, {})).number == 5);  // late
    CHECK(reports.size() == 2);
    CHECK(reports.take(told(5, 7, 6, {report(1, 1)})).want_full);  // 6 never came
    CHECK(reports.take(told(5, 8, 4, {report(1, 1)})).want_full);  // what changed after 4 and is again as it was is not in it
    CHECK(reports.take(told(6, 2, 1, {})).want_full);  // the process started anew
    CHECK(reports.take(told(6, 3, 0, {report(1, 1)})).number == 3);
    CHECK(reports.size() == 1);
    CHECK(reports.take(told(0, 0, 0, {})).number == 0);  // tells nothing of replicas
    CHECK(reports.size() == 1);
    reports.clear();
    CHECK_FALSE(reports.told(NodeId(1)));
}

TEST_CASE("reports: the leader is the one of the highest term, no lower than is recorded, and a member") {
    Reports reports;
    auto leads = [&](uint64_t node, uint64_t replica, uint64_t term) {
        wire::PartitionReport one = report(1, replica);
        one.role = wire::ReplicaRole::Leader;
        one.term = Term(term);
        one.members = {{NodeId(node), ReplicaId(replica), true, true}};
        reports.take({.node = NodeId(node), .incarnation = Incarnation(1), .disks = {}, .life = 1, .number = 1, .since = 0, .reports = {one}});
    };
    leads(1, 11, 4);
    leads(2, 12, 6);
    leads(3, 13, 9);
    wire::PartitionRecord partition{.partition = PartitionId(1), .members = {{NodeId(1), DiskId(1), ReplicaId(11)}, {NodeId(2), DiskId(1), ReplicaId(12)}}};
    CHECK(reports.leader(partition, nullptr)->node == NodeId(2));
    const wire::TaskRecord task{.source = {}, .destination = {NodeId(3), DiskId(1), ReplicaId(13)}};
    CHECK(reports.leader(partition, &task)->node == NodeId(3));
    partition.members[1].replica = ReplicaId(99);
    CHECK(reports.leader(partition, nullptr)->term == Term(4));
    partition.leader_term = Term(5);
    CHECK_FALSE(reports.leader(partition, nullptr));
}

TEST_CASE("reports: whatever is lost, late or repeated, what is held is what the node had when it was last taken") {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        RandomStream draw(seed, "reports.test", 0);
        Reports reports;
        std::map<uint64_t, uint64_t> has, acknowledged;
        std::map<uint64_t, std::map<uint64_t, uint64_t>> had;  // by number
        std::vector<wire::NodeHeartbeat> late;
        uint64_t number = 0, since = 0, newest = 0;
        for (int i = 0; i < 300; ++i) {
            if (draw.chance(0.5)) {
                has[draw.below(8)] = 1 + draw.below(100);
            } else {
                has.erase(draw.below(8));
            }
            wire::NodeHeartbeat heartbeat = told(1, ++number, since, {});
            for (const auto& [partition, replica] : has)
                if (since == 0 || !acknowledged.contains(partition) || acknowledged[partition] != replica) heartbeat.reports.push_back(report(partition, replica));
            for (const auto& [partition, replica] : acknowledged)
                if (since != 0 && !has.contains(partition)) heartbeat.reports.push_back(report(partition, replica, wire::ReplicaState::Gone));
            had[number] = has;
            if (draw.chance(0.3)) {
                late.push_back(heartbeat);
                continue;
            }
            if (draw.chance(0.02)) reports.clear(), newest = 0;
            const Reports::Taken taken = reports.take(heartbeat);
            if (!taken.want_full) newest = number;
            if (draw.chance(0.8)) {
                since = taken.want_full ? 0 : number;
                acknowledged = has;
            }
            if (!late.empty() && draw.chance(0.5)) {
                const uint64_t of_it = late.back().number;
                const bool fits = !reports.take(late.back()).want_full && newest < of_it;
                if (fits) newest = of_it;
                late.pop_back();
            }
            if (newest == 0) continue;
            const Reports::OfNode* held = reports.of(NodeId(1));
            REQUIRE(held != nullptr);
            REQUIRE(held->size() == had[newest].size());
            for (const auto& [partition, replica] : had[newest]) REQUIRE(held->at(PartitionId(partition)).replica == ReplicaId(replica));
        }
    }
}

}  // namespace
}  // namespace orrery::master
