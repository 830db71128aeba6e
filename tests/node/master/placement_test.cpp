#include "node/master/placement.h"

#include <algorithm>
#include <map>
#include <set>

#include "tests/node/master/records_in_memory.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

std::vector<wire::NodeRecord> nodes(std::initializer_list<std::pair<uint64_t, const char*>> places, uint64_t capacity = 1000) {
    std::vector<wire::NodeRecord> out;
    for (const auto& [node, zone] : places) out.push_back(register_command(node, zone, 1, capacity).node);
    return out;
}

std::vector<wire::Placement> all_of(Result<std::vector<wire::Placement>> placed) { return std::move(placed).value(); }

TEST_CASE("members of a partition lie in different zones where there are enough") {
    const auto three = nodes({{1, "a"}, {2, "a"}, {3, "b"}, {4, "b"}, {5, "c"}, {6, "c"}});
    std::map<uint64_t, std::string> zone_of;
    for (const wire::NodeRecord& node : three) zone_of[node.node.value] = node.zone;
    for (const wire::Placement& placement : all_of(place(three, 3, 50))) {
        std::set<std::string> zones;
        for (const wire::Place& at : placement.places) zones.insert(zone_of[at.node.value]);
        CHECK(zones.size() == 3);
    }
    // With two zones three members are two and one, never three in one.
    for (const wire::Placement& placement : all_of(place(nodes({{1, "a"}, {2, "a"}, {3, "a"}, {4, "b"}}), 3, 20)))
        CHECK(std::ranges::count(placement.places, NodeId(4), &wire::Place::node) == 1);
}

TEST_CASE("disks fill evenly, by their size and by what is on them") {
    auto two = nodes({{1, "a"}, {2, "a"}});
    two[1].disks[0].capacity_bytes = 3000;
    std::map<uint64_t, int> placed;
    for (const wire::Placement& placement : all_of(place(two, 1, 400))) ++placed[placement.places[0].node.value];
    CHECK(placed[1] == 100);
    CHECK(placed[2] == 300);

    auto full = nodes({{1, "a"}, {2, "a"}});
    full[0].disks[0].members = 10;
    placed.clear();
    for (const wire::Placement& placement : all_of(place(full, 1, 10))) ++placed[placement.places[0].node.value];
    CHECK(placed[1] == 0);
}

TEST_CASE("too few nodes are said to be too few; one node without a disk does not count") {
    auto some = nodes({{1, "a"}, {2, "b"}, {3, "c"}});
    some[2].disks.clear();
    const auto placed = place(some, 3, 1);
    REQUIRE(!placed.ok());
    CHECK(placed.code() == Code::Invalid);
    CHECK(placed.error().context == "3 replicas need as many active nodes with a disk, and there are 2");
    CHECK(place({}, 1, 1).failed_with(Code::Invalid));
    CHECK(place(some, 2, 1).value()[0].places.size() == 2);
}

}  // namespace
}  // namespace orrery::master
