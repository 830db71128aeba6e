// The arm on epoll, TCP, POSIX files and threads: each case in a directory of its own.
#include <filesystem>

#include "runtime/real/real_env.h"
#include "tests/conformance/harness.h"

namespace orrery::conformance {

void run_case(const Body& body) {
    for (const double extra_yield_p : {0.0, 0.3}) {
        char directory[] = "/tmp/orrery_conformance_XXXXXX";
        ORRERY_CHECK(mkdtemp(directory) != nullptr);
        {
            auto env = real::RealEnv::open({.data_directory = directory,
                                            .loop = {.extra_yield_p = extra_yield_p},
                                            .log = {.least = Severity::Error}});
            ORRERY_CHECK(env.ok());
            if (!env.ok()) return;
            const Place place{.host = "127.0.0.1", .extra_yield_p = extra_yield_p};
            const Result<void> ran =
                (*env)->run([&](Env& inner) { return std::make_unique<BodyProcess>(inner, body, place); });
            INFO("extra yields " << extra_yield_p);
            if (!ran.ok()) FAIL_CHECK(ran.error().text());
        }
        std::filesystem::remove_all(directory);
    }
}

}  // namespace orrery::conformance
