// The figures by area; each function adds its own.
#pragma once

#include <vector>

#include "tools/bench/harness.h"

namespace orrery::bench {

void add_runtime_figures(std::vector<Figure>& figures);    // fibers, hash, draws
void add_simulator_figures(std::vector<Figure>& figures);  // PP3, worlds, disk
void add_node_figures(std::vector<Figure>& figures);       // RESP, Raft core, log, Store
void add_group_figures(std::vector<Figure>& figures);      // a KV group in a world
void add_list_figures(std::vector<Figure>& figures);       // a master's list of a volume

inline std::vector<Figure> all_figures() {
    std::vector<Figure> figures;
    add_runtime_figures(figures);
    add_simulator_figures(figures);
    add_node_figures(figures);
    add_group_figures(figures);
    add_list_figures(figures);
    return figures;
}

}  // namespace orrery::bench
