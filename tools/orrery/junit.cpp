#include "tools/orrery/junit.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

namespace orrery::cli {

namespace {

// XML 1.0 has no way to write most control characters, and readers refuse bytes that are no UTF-8.
std::string xml_text(std::string_view text) {
    std::string out;
    for (char c : text) {
        const unsigned char byte = static_cast<unsigned char>(c);
        out += (byte < 0x20 && c != '\n' && c != '\t') || byte >= 0x7f ? '?' : c;
    }
    return out;
}

pugi::xml_node add_case(pugi::xml_node suite, const std::string& scenario, const std::string& name) {
    pugi::xml_node test = suite.append_child("testcase");
    test.append_attribute("classname") = xml_text(scenario).c_str();
    test.append_attribute("name") = xml_text(name).c_str();
    return test;
}

void add_failure(pugi::xml_node test, const std::string& type, const std::string& message, const std::string& body) {
    pugi::xml_node failure = test.append_child("failure");
    failure.append_attribute("type") = xml_text(type).c_str();
    failure.append_attribute("message") = xml_text(message).c_str();
    failure.append_child(pugi::node_pcdata).set_value(xml_text(body).c_str());
}

}  // namespace

std::string junit_xml(const CampaignReport& report) {
    pugi::xml_document document;
    pugi::xml_node declaration = document.append_child(pugi::node_declaration);
    declaration.append_attribute("version") = "1.0";
    declaration.append_attribute("encoding") = "UTF-8";
    pugi::xml_node suites = document.append_child("testsuites");
    suites.append_attribute("name") = "orrery fuzz";
    suites.append_attribute("time") = fmt::format("{:.3f}", report.wall.as_seconds()).c_str();

    uint64_t all_tests = 0, all_failures = 0;
    for (const std::string& scenario : report.scenarios) {
        pugi::xml_node suite = suites.append_child("testsuite");
        suite.append_attribute("name") = xml_text(scenario).c_str();
        uint64_t tests = 0, failures = 0;
        for (const KnownFailure* failure : report.failures) {
            if (failure->scenario != scenario) continue;
            pugi::xml_node test = add_case(suite, scenario, failure->finding.signature);
            const std::string replay = failure->place.empty() ? fmt::format("orrery run {} --seed {}", failure->file, failure->seed)
                                                              : "orrery replay " + failure->place;
            add_failure(test, failure->finding.property, failure->finding.text,
                        fmt::format("{}\nscenario {} seed {}, seen {} times\n{}\n", failure->finding.text, scenario, failure->seed, failure->count, replay));
            ++tests, ++failures;
        }
        const auto seeds = report.totals.seeds_by_scenario.find(scenario);
        const uint64_t count = seeds == report.totals.seeds_by_scenario.end() ? 0 : seeds->second;
        if (failures == 0) {
            pugi::xml_node test = add_case(suite, scenario, "no property is violated");
            if (count == 0) test.append_child("skipped").append_attribute("message") = "no seed met this scenario";
            else test.append_child("system-out").append_child(pugi::node_pcdata).set_value(fmt::format("{} seeds", count).c_str());
            ++tests;
        }
        pugi::xml_node determinism = add_case(suite, scenario, "the same seed gives the same hash");
        ++tests;
        std::string differing;
        for (const std::string& text : report.determinism_failures)
            if (text.starts_with(scenario + " ")) differing += text + "\n";
        if (!differing.empty()) add_failure(determinism, "determinism", differing.substr(0, differing.find('\n')), differing), ++failures;
        suite.append_attribute("tests") = static_cast<unsigned long long>(tests);
        suite.append_attribute("failures") = static_cast<unsigned long long>(failures);
        suite.append_attribute("errors") = 0;
        all_tests += tests, all_failures += failures;
    }
    suites.append_attribute("tests") = static_cast<unsigned long long>(all_tests);
    suites.append_attribute("failures") = static_cast<unsigned long long>(all_failures);
    std::ostringstream out;
    document.save(out, "  ");
    return out.str();
}

}  // namespace orrery::cli
