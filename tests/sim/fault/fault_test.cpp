#include "sim/fault/budget.h"
#include "sim/fault/fault_plan.h"

#include <doctest/doctest.h>

#include <set>

using namespace orrery;
using namespace orrery::sim;

TEST_CASE("faults: each has a name, a class and a default, and the name finds it") {
    std::set<std::string_view> names;
    for (const FaultInfo& info : fault_catalogue()) {
        CHECK(names.insert(info.name).second);
        const auto fault = fault_by_name(info.name);
        REQUIRE(fault.has_value());
        CHECK(fault_name(*fault) == info.name);
        CHECK(budget_class(*fault) == info.budget_class);
    }
    CHECK(!fault_by_name("net.partitio"));
}

TEST_CASE("faults: times are written in the largest exact unit and read back") {
    for (int64_t ns :
         {0ll, 1ll, 1500ll, 2'000'000ll, 61'000'000'000ll, 3'600'000'000'000ll, -5'000'000ll}) {
        const auto back = parse_duration(duration_text(Duration{ns}));
        REQUIRE(back.has_value());
        CHECK(back->ns == ns);
    }
    CHECK(duration_text(Duration::millis(1500)) == "1500ms");
    CHECK(parse_duration("1.5s")->ns == 1'500'000'000);
    for (const char* wrong :
         {"", "5", "s", "5 s", "5parsecs", "--5s", "9999999999h", "1e999s", "5s "})
        CHECK(!parse_duration(wrong));
}

TEST_CASE("faults: only what differs from the default is written, and texts are quoted") {
    ProcCrash crash;
    crash.node = "leader(kv)";
    crash.at_disk_operation = 7;
    const std::string text =
        events_to_toml({{"a\"b", TriggerWhen{"raft.role", "n1", 3, "role='leader'"}, crash}});
    CHECK(text ==
          "\n[[event]]\nid = \"a\\\"b\"\nwhen = \"raft.role\"\nnode = \"n1\"\nnth = 3\nwhere = "
          "\"role='leader'\"\ndo = \"proc.crash\"\n"
          "target = \"leader(kv)\"\nat_disk_operation = 7\n");
}

TEST_CASE("budget: at most f replicas lose bytes, and none where there is nothing to repair from") {
    const PlannedFault wipe1{"", TriggerAt{}, DiskWipe{"n1", {}}},
        wipe2{"", TriggerAt{}, DiskWipe{"n2", {}}}, rot1{"", TriggerAt{}, DiskBitRot{"n1", "log"}},
        any{"", TriggerAt{}, DiskWipe{"any(kv)", {}}};
    CHECK(beyond_budget({}, {wipe1}, 3).empty());
    CHECK(beyond_budget({}, {wipe1, rot1}, 3).empty());
    CHECK(!beyond_budget({}, {wipe1, wipe2}, 3).empty());
    CHECK(beyond_budget({}, {wipe1, wipe2}, 5).empty());
    CHECK(!beyond_budget({}, {wipe1, any}, 3).empty());
    CHECK(!beyond_budget({}, {wipe1}, 1).empty());
    CHECK(!beyond_budget({BudgetMode::None}, {wipe1}, 3).empty());
    // Nodes that are taken in again are gone one at a time.
    const PlannedFault add1{"", TriggerAt{}, MemberAdd{.node = "n1"}}, add2{"", TriggerAt{}, MemberAdd{.node = "n2"}};
    CHECK(beyond_budget({}, {wipe1, add1, wipe2, add2}, 3).empty());
    CHECK(!beyond_budget({}, {wipe1, wipe2, add2}, 3).empty());
    const PlannedFault replace1{"", TriggerAt{}, MemberReplace{.node = "n1"}}, replace2{"", TriggerAt{}, MemberReplace{.node = "n2"}};
    CHECK(beyond_budget({}, {replace1, replace2}, 3).empty());
    CHECK(!beyond_budget({}, {replace1, replace2, rot1}, 3).empty());
    CHECK(!beyond_budget({}, {replace1}, 2).empty());
    CHECK(beyond_budget({BudgetMode::Unlimited}, {wipe1, wipe2}, 3).empty());
}
