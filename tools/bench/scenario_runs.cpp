#include "tools/bench/scenario_runs.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "sim/scenario/run.h"
#include "sim/scenario/scenario_toml.h"
#include "tools/bench/harness.h"

namespace orrery::bench {

int run_scenarios(const std::string& file, uint64_t first_seed, uint64_t count) {
    std::ifstream in(file);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) {
        std::fprintf(stderr, "orrery_bench: error: can not read %s\n", file.c_str());
        return 2;
    }
    const sim::Loaded loaded = sim::load_scenario(text.str(), file);
    for (const sim::Problem& problem : loaded.problems)
        std::fprintf(stderr, "%s\n", problem.line().c_str());
    if (!loaded.ok()) return 2;
    for (uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
        std::fflush(stdout);
        const pid_t child = fork();  // one world a process
        if (child < 0) return 1;
        if (child == 0) {
            const int64_t begin = cpu_ns();
            sim::RunOptions options;
            options.check_determinism =
                false;  // once a process family is enough: it is set-up, not simulation
            const sim::RunResult result = sim::run_scenario(loaded.scenario, seed, options);
            const double took = static_cast<double>(cpu_ns() - begin) / 1e9;
            std::printf(
                "{\"seed\":%llu,\"simulated_s\":%.3f,\"cpu_s\":%.4f,\"operations\":%llu,\"steps\":%"
                "llu,\"failure\":\"%s\"}\n",
                static_cast<unsigned long long>(seed), result.sim_time.as_seconds(), took,
                static_cast<unsigned long long>(result.operations),
                static_cast<unsigned long long>(result.steps), result.failure_name().c_str());
            std::fflush(stdout);
            _exit(0);
        }
        int status = 0;
        if (waitpid(child, &status, 0) != child || status != 0) {
            std::fprintf(stderr, "orrery_bench: error: seed %llu ended with status %d\n",
                         static_cast<unsigned long long>(seed), status);
            return 1;
        }
    }
    return 0;
}

}  // namespace orrery::bench
