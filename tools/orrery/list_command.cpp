// `orrery list`: what a scenario can name. And `orrery --version`.
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "runtime/base/defect.h"
#include "sim/fault/fault.h"
#include "sim/scenario/run.h"
#include "tools/orrery/commands.h"

namespace orrery::cli {

ExitCode list_command(const std::string& topic, Console& console) {
    struct Row {
        std::string name, text, budget_class;
    };
    std::vector<Row> rows;
    if (topic == "faults") {
        for (const sim::FaultInfo& fault : sim::fault_catalogue())
            rows.push_back({std::string(fault.name), std::string(fault.text), std::string(1, fault.budget_class)});
    } else if (topic == "defects") {
        for (const DefectInfo& defect : kDefects) rows.push_back({std::string(defect.name), std::string(defect.text), {}});
    } else {
        CHECK(topic == "points" || topic == "probes" || topic == "checks" || topic == "workloads", topic);
        for (const sim::NamedText& entry : topic == "points"   ? sim::list_points()
                                             : topic == "probes" ? sim::list_probes()
                                             : topic == "checks" ? sim::list_checks() : sim::list_workloads())
            rows.push_back({std::string(entry.name), std::string(entry.text), {}});
    }
    size_t width = 0;
    for (const Row& row : rows) width = std::max(width, row.name.size());
    Json list = Json::array();
    for (const Row& row : rows) {
        console.line(fmt::format("{}{}  {}{}", console.paint(Paint::Strong, row.name), std::string(width - row.name.size(), ' '),
                                 row.budget_class.empty() ? "" : "class " + row.budget_class + "  ", row.text));
        Json entry = {{"name", row.name}, {"text", row.text}};
        if (!row.budget_class.empty()) entry["class"] = row.budget_class;
        console.json_line(entry);
        list.push_back(std::move(entry));
    }
    if (!console.jsonl()) console.json({{"schema", 1}, {topic, std::move(list)}});
    return ExitCode::Fine;
}

ExitCode version_command(Console& console) {
    const BuildInfo build = this_build();
    console.line(fmt::format("orrery {} (commit {}, build {})", build.version, build.commit, build.id.empty() ? "without an id" : build.id));
    console.line(fmt::format("rocksdb {}, options {}", build.rocksdb_version, show_hash(build.rocksdb_option_hash)));
    console.json(to_json(build));
    return ExitCode::Fine;
}

uint64_t processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return std::max(1, CPU_COUNT(&set));
}

}  // namespace orrery::cli
