// orrery_bench: the figures of one machine and one commit. tools/bench/run builds and runs it
// beside its peers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tools/bench/figures.h"
#include "tools/bench/pp3.h"
#include "tools/bench/scenario_runs.h"

namespace {

int usage() {
    std::fprintf(
        stderr,
        "usage: orrery_bench [--rounds N] [--only PREFIX,PREFIX...] [--json]   all figures\n"
        "       orrery_bench --pp3 WINDOW MESSAGES                            one run, for a "
        "profiler; prints its hash\n"
        "       orrery_bench --scenario FILE FIRST_SEED COUNT                 simulated seconds of "
        "a scenario, a line a seed\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    orrery::bench::RunOptions options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--json") {
            options.json = true;
        } else if (argument == "--rounds" && i + 1 < argc) {
            options.rounds = std::atoi(argv[++i]);
        } else if (argument == "--only" && i + 1 < argc) {
            std::string list = argv[++i];
            for (size_t at = 0; at <= list.size();) {
                const size_t end = std::min(list.find(',', at), list.size());
                options.only.push_back(list.substr(at, end - at));
                at = end + 1;
            }
        } else if (argument == "--pp3" && i + 2 < argc) {
            const auto result = orrery::bench::run_pp3(1, std::strtoull(argv[i + 1], nullptr, 10),
                                                       std::strtoull(argv[i + 2], nullptr, 10));
            std::printf("pp3: %llu messages, %.1f ns each, %.2f steps each, hash %016llx\n",
                        static_cast<unsigned long long>(result.delivered),
                        result.cpu_seconds * 1e9 / static_cast<double>(result.delivered),
                        static_cast<double>(result.steps) / static_cast<double>(result.delivered),
                        static_cast<unsigned long long>(result.hash));
            return 0;
        } else if (argument == "--scenario" && i + 3 < argc) {
            return orrery::bench::run_scenarios(argv[i + 1],
                                                std::strtoull(argv[i + 2], nullptr, 10),
                                                std::strtoull(argv[i + 3], nullptr, 10));
        } else {
            return usage();
        }
    }
    if (options.rounds < 1) return usage();
    orrery::bench::run_figures(orrery::bench::all_figures(), options);
    return 0;
}
