#include "tests/sim/scenario/in_child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "runtime/base/check.h"
#include "sim/scenario/scenario_toml.h"

namespace orrery::sim {

namespace {

struct Counting : TraceSink {
    uint64_t installs = 0, starts = 0;
    bool wants_debug() const override { return false; }
    void on_event(uint64_t, Instant, std::string_view, const TraceEvent& event) override {
        installs += event.name == "raft.snapshot.installed";
        starts += event.name == "raft.group_started";
    }
};

std::string told(const Scenario& plan, RunOptions options) {
    Counting counting;
    if (options.sink == nullptr) options.sink = &counting;
    const RunResult result = run_plan(plan, options);
    uint64_t fired = 0;
    for (const FiredFault& fault : result.faults) fired += fault.effective;
    std::ostringstream out;
    out << static_cast<int>(result.verdict.outcome) << ' ' << result.hash << ' ' << result.steps
        << ' ' << result.operations_ok << ' ' << result.waits_checked << ' ' << result.lists_checked << ' ' << fired << ' '
        << result.never_fired.size() << ' ' << counting.installs << ' '
        << (counting.starts > plan.cluster.founders() ? counting.starts - plan.cluster.founders() : 0) << '\n';
    for (const check::Violation& one : result.verdict.violations) out << one.name << ' ';
    out << '\n' << result.verdict.text();
    return out.str();
}

}  // namespace

ChildResult run_in_child(const Scenario& plan, const RunOptions& options) {
    int ends[2];
    ORRERY_CHECK(pipe(ends) == 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    ORRERY_CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        alarm(60);
        const std::string text = told(plan, options);
        size_t sent = 0;
        while (sent < text.size()) {
            const ssize_t count = write(ends[1], text.data() + sent, text.size() - sent);
            if (count <= 0) _exit(3);
            sent += static_cast<size_t>(count);
        }
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(count));
    close(ends[0]);
    int status = 0;
    ORRERY_CHECK(waitpid(child, &status, 0) == child);
    ChildResult result;
    result.died = !WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty();
    if (result.died) {
        result.failure = "died";
        return result;
    }
    std::istringstream in(text);
    int outcome = 0;
    in >> outcome >> result.hash >> result.steps >> result.ok >> result.waits >> result.lists >> result.fired >>
        result.never_fired >> result.installs >> result.restarts;
    result.outcome = static_cast<check::Outcome>(outcome);
    in.ignore(1);
    std::getline(in, result.names);
    result.failure = result.names.substr(0, result.names.find(' '));
    std::ostringstream rest;
    rest << in.rdbuf();
    result.text = rest.str();
    return result;
}

Scenario scenario_of_file(const std::string& path) {
    std::ifstream in(path);
    ORRERY_CHECK(in.good(), path);
    std::ostringstream text;
    text << in.rdbuf();
    Loaded loaded = load_scenario(text.str(), path);
    ORRERY_CHECK(loaded.ok(), loaded.problems.front().line());
    return loaded.scenario;
}

}  // namespace orrery::sim
