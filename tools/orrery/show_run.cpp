#include "tools/orrery/show_run.h"

#include <fmt/format.h>

#include "tools/orrery/quantity.h"

namespace orrery::cli {

std::string headline(const Console& console, const sim::Scenario& scenario, uint64_t seed) {
    std::string line = fmt::format("{}  seed {}  {} {}{}, {} client{}", console.paint(Paint::Strong, scenario.name), seed, scenario.cluster.founders(),
                                   scenario.cluster.of_masters() ? "master" : "kv node", scenario.cluster.founders() == 1 ? "" : "s", scenario.workload.clients,
                                   scenario.workload.clients == 1 ? "" : "s");
    if (!scenario.defects.empty()) line += fmt::format(", seeded defect{} {}", scenario.defects.size() == 1 ? "" : "s", fmt::join(scenario.defects, ", "));
    return line;
}

std::string show_counts(const std::map<std::string, uint64_t>& counts) {
    std::string out;
    for (const auto& [name, count] : counts) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, count);
    return out.empty() ? "none" : out;
}

std::vector<std::string> verdict_lines(const Console& console, const RunOutcome& outcome, const std::string& replay) {
    const RunRecord& record = outcome.record;
    std::vector<std::string> lines;
    if (record.outcome == check::Outcome::Violated && !record.findings.empty()) {
        const Finding& first = record.findings.front();
        const std::string when = outcome.came_to_end ? fmt::format(" at {} of simulated time", show_exact(first.at)) : "";
        lines.push_back(record.expected ? fmt::format("{}  {}{} (the scenario expects it)", console.paint(Paint::Good, "EXPECTED"), first.property, when)
                                        : fmt::format("{}      {}{}", console.paint(Paint::Bad, "FAIL"), first.property, when));
        lines.push_back("          " + first.text);
        if (record.findings.size() > 1) {
            std::map<std::string, uint64_t> others;
            for (size_t i = 1; i < record.findings.size(); ++i) ++others[record.findings[i].property];
            lines.push_back("          after it: " + show_counts(others));
        }
        lines.push_back("          signature  " + first.signature);
    } else if (record.outcome == check::Outcome::Violated) {
        lines.push_back(console.paint(Paint::Bad, "FAIL") + "      a violation without a finding");
    } else if (record.outcome == check::Outcome::Inconclusive) {
        lines.push_back(fmt::format("{}   inconclusive: {}", console.paint(Paint::Doubt, "UNCLEAR"), record.reason));
    } else if (!record.expected) {
        lines.push_back(console.paint(Paint::Bad, "FAIL") + "      no property was violated, but the scenario expects a violation");
    } else {
        lines.push_back(console.paint(Paint::Good, "PASS") + "      no property is violated");
    }
    if (outcome.came_to_end) {
        lines.push_back(fmt::format("          {} simulated, {} steps, hash {}", show(record.simulated), show_count(record.steps), show_hash(record.hash)));
        lines.push_back(fmt::format("          operations {}: {} ok, {} unknown", show_count(record.operations), show_count(record.operations_ok),
                                    show_count(record.operations_unknown)));
        uint64_t fired = 0;
        for (const auto& [name, count] : record.faults_fired) fired += count;
        lines.push_back(fmt::format("          faults fired {}, from a plan of {} events: {}", show_count(fired), show_count(record.planned_events), show_counts(record.faults_fired)));
    }
    for (const std::string& note : record.notes) lines.push_back("          note: " + note);
    if (console.verbose()) {
        for (const std::string& event : record.not_fired) lines.push_back("          never fired: " + event);
        if (!record.probes.empty()) lines.push_back("          probes: " + show_counts(record.probes));
        for (const std::string& event : record.recent) lines.push_back("          | " + event);
    }
    if (!replay.empty()) lines.push_back("          replay     " + replay);
    return lines;
}

void report_own_bug(Console& console, const std::string& where, const RunOutcome& outcome) {
    console.problem({where, "E0470", outcome.own_bug, "this is a defect of orrery itself; please report it with the lines below"});
    if (!outcome.stderr_tail.empty()) console.note(outcome.stderr_tail);
}

ExitCode report(Console& console, const Refusal& refusal) {
    for (const Message& message : refusal.messages) console.problem(message);
    return refusal.exit;
}

}  // namespace orrery::cli
