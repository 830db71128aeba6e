// A scenario over consecutive seeds, each in a process of its own: simulated seconds per second of
// processor time.
#pragma once

#include <cstdint>
#include <string>

namespace orrery::bench {

/// Prints a JSON line a seed. Returns the exit code of the program.
int run_scenarios(const std::string& file, uint64_t first_seed, uint64_t count);

}  // namespace orrery::bench
