// A failed CHECK in the testbed: the run is marked as failed and the fiber is left for good. Outside a fiber there is
// nothing to leave: the process says so and aborts, which its parent takes for a finding.
#include <cstdio>
#include <cstdlib>

#include "runtime/base/check.h"
#include "sim/core/world.h"

namespace orrery {

void check_failed(const char* file, int line, const std::string& text) {
    const std::string where = std::string(file) + ":" + std::to_string(line) + ": " + text;
    if (sim::World* world = sim::World::current(); world != nullptr) {
        world->fail("check.failed", where);
        for (size_t i = 0; i < world->host_count(); ++i)
            if (Env* env = world->host(i).env(); env != nullptr && env->scheduler.in_fiber()) env->scheduler.abandon_running();
        for (const std::string& event : world->recent_events()) std::fprintf(stderr, "%s\n", event.c_str());
    }
    std::fprintf(stderr, "%s\n", where.c_str());
    std::fflush(stderr);
    std::abort();
}

}  // namespace orrery
