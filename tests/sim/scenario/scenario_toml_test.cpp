#include "sim/scenario/run.h"
#include "sim/scenario/scenario_toml.h"
#include "tests/sim/scenario/in_child.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::sim;

namespace {
std::string problems_of(const std::string& text) {
    std::string out;
    for (const Problem& one : load_scenario(text, "x.toml").problems) out += one.line() + "\n";
    return out;
}
}  // namespace

TEST_CASE(
    "scenario files: what is written reads back as the same (every swarm family, several seeds)") {
    for (const char* name : {"kv-default", "kv-waitall", "kv-restart", "kv-partition",
                             "kv-snapshot", "kv-slow-disk", "kv-damage", "kv-expiry", "kv-members", "kv-leases", "kv-promises"}) {
        const Scenario family = scenario_of_file(std::string("scenarios/swarm/") + name + ".toml");
        CHECK(lint_scenario(family, name).empty());
        const Loaded again = load_scenario(scenario_to_toml(family), name);
        CHECK_MESSAGE(again.ok(), again.problems.front().line());
        CHECK(again.scenario == family);
        for (uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{3}, UINT64_MAX}) {
            Scenario plan = expand(family, seed);
            plan.plan.schedule.pins[{hash_name("net.delay"), 7, 3}] = UINT64_MAX;
            const std::string text = scenario_to_toml(plan);
            const Loaded loaded = load_scenario(text, name);
            CHECK_MESSAGE(loaded.ok(), loaded.problems.front().line());
            CHECK(loaded.scenario == plan);
            CHECK(scenario_to_toml(loaded.scenario) == text);
        }
    }
}

TEST_CASE("scenario files: a mistake is named with its line, its column and a suggestion") {
    CHECK(problems_of("schema = 1\nname = \"a\"\n[workload]\ncleints = 3\n") ==
          "x.toml:4:1: error[E0301]: unknown key 'workload.cleints'; did you mean 'clients'?\n");
    CHECK(problems_of("schema = 1\nname = 5\n")
              .find("x.toml:2:8: error[E0302]: 'name' must be a string") == 0);
    CHECK(problems_of("schema = 1\nname = \"a\"\n[workload]\nthink = \"5 parsecs\"\n")
              .find("must be a time with its unit") != std::string::npos);
    CHECK(problems_of("schema = 1\nname = \"a\"\n[[event]]\nat = \"1s\"\nwhen = \"raft.role\"\ndo "
                      "= \"net.reset\"\n")
              .find("E0303") != std::string::npos);
    CHECK(problems_of("schema = 1\nname = \"a\"\n[[event]]\nat = \"1s\"\ndo = \"net.rest\"\n")
              .find("did you mean 'net.reset'?") != std::string::npos);
    CHECK(problems_of("schema = 1\nname = \"a\"\n[[event]]\nat = \"1s\"\ndo = "
                      "\"net.reset\"\ntarget = \"n9\"\n")
              .find("there is no node 'n9'") != std::string::npos);
    CHECK(problems_of("schema = 1\nname = \"a\"\n[swarm]\ninclude = [\"partitions\"]\n")
              .find("did you mean 'partition'?") != std::string::npos);
    CHECK(problems_of("schema = 1\nname = \"a\"\ndefects = [\"x\"]\n").find("E0316") !=
          std::string::npos);
    CHECK(problems_of("schema = 1\nname = \n").find("E0300") != std::string::npos);
    CHECK(problems_of("").find("E0311") != std::string::npos);
    CHECK(problems_of("schema = 2\nname = \"a\"\n").find("E0310") != std::string::npos);
}

TEST_CASE("scenario files: all mistakes are told at once") {
    const std::string problems =
        problems_of("schema = 1\nnme = \"a\"\n[workload]\nops = \"many\"\n[cluster]\nkv = 12\n");
    for (const char* code : {"E0301", "E0302", "E0311", "E0312"})
        CHECK(problems.find(code) != std::string::npos);
}

TEST_CASE(
    "scenario files: lint sees triggers that nothing sets off, doubled ids, and damage beyond the "
    "budget") {
    auto lint = [](const std::string& events) {
        const Loaded loaded = load_scenario("schema = 1\nname = \"a\"\n" + events, "x.toml");
        CHECK(loaded.ok());
        std::string out;
        for (const Problem& one : lint_scenario(loaded.scenario, "x.toml"))
            out += one.line() + "\n";
        return out;
    };
    CHECK(lint("") == "");
    CHECK(lint("[[event]]\nafter = \"x\"\ndo = \"net.reset\"\n").find("E0331") !=
          std::string::npos);
    CHECK(lint("[[event]]\nid = \"a\"\nat = \"1s\"\ndo = \"net.reset\"\n[[event]]\nid = \"a\"\nat "
               "= \"1s\"\ndo = \"net.reset\"\n")
              .find("E0330") != std::string::npos);
    CHECK(lint("[[event]]\nat = \"1s\"\ndo = \"disk.wipe\"\ntarget = \"n1\"\n") == "");
    CHECK(lint("[[event]]\nat = \"1s\"\ndo = \"disk.wipe\"\ntarget = \"n1\"\n[[event]]\nat = "
               "\"2s\"\ndo = \"disk.bit_rot\"\ntarget = \"n2\"\n")
              .find("E0334") != std::string::npos);
    CHECK(lint("[budget]\nmode = \"none\"\n[[event]]\nat = \"1s\"\ndo = \"disk.wipe\"\ntarget = "
               "\"n1\"\n")
              .find("E0334") != std::string::npos);
}
