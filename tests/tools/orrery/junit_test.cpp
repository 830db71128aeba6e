// The XML parses, counts rightly, and survives any text.
#include "tools/orrery/junit.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <pugixml.hpp>

using namespace orrery;
using namespace orrery::cli;

TEST_CASE("junit: a suite for each scenario, with the failures and the replay commands") {
    const KnownFailure failure{.scenario = "kv",
                               .file = "kv.toml",
                               .seed = 5,
                               .finding = {"durability.lost-write", "the write <a> & \"b\" is gone", "durability.lost-write@final", {}},
                               .count = 3,
                               .place = "runs/kv/5"};
    CampaignReport report{.failures = {&failure}, .determinism_failures = {"kv seed 8: hash 1 and hash 2"}, .scenarios = {"kv", "idle"}};
    report.totals.seeds_by_scenario = {{"kv", 20}};
    pugi::xml_document document;
    REQUIRE(document.load_string(junit_xml(report).c_str()));
    const pugi::xml_node suites = document.child("testsuites");
    CHECK(suites.attribute("tests").as_int() == 4);
    CHECK(suites.attribute("failures").as_int() == 2);
    const pugi::xml_node kv = suites.find_child_by_attribute("testsuite", "name", "kv");
    CHECK(kv.attribute("failures").as_int() == 2);
    const pugi::xml_node test = kv.find_child_by_attribute("testcase", "name", "durability.lost-write@final");
    CHECK(std::string(test.child("failure").attribute("message").value()) == "the write <a> & \"b\" is gone");
    CHECK(std::string(test.child("failure").text().get()).find("orrery replay runs/kv/5") != std::string::npos);
    const pugi::xml_node idle = suites.find_child_by_attribute("testsuite", "name", "idle");
    CHECK(idle.attribute("failures").as_int() == 0);
    CHECK(idle.find_child_by_attribute("testcase", "name", "no property is violated").child("skipped"));
}

TEST_CASE("junit: any bytes in a failure's text give XML that parses (property)") {
    CHECK(rc::check([](const std::string& text, const std::vector<uint8_t>& bytes) {
        const KnownFailure failure{.scenario = "kv", .finding = {"p", text + std::string(bytes.begin(), bytes.end()), "s@" + text, {}}};
        const CampaignReport report{.failures = {&failure}, .scenarios = {"kv"}};
        pugi::xml_document document;
        RC_ASSERT(document.load_string(junit_xml(report).c_str()));
    }));
}
