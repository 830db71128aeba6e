// Requests that are executed together: what is handed on is what was added, wherever the bytes lie.
#include "kv/request_run.h"

#include <doctest/doctest.h>

namespace orrery::kv {
namespace {

TEST_CASE("kv request run: requests come back in order with their commands, copied words outlive their source") {
    RequestRun run;
    const CommandInfo& get = *find_command("get");
    const CommandInfo& set = *find_command("set");
    const Bytes input = "SETkeyvalue";
    for (int i = 0; i < 100; ++i) {
        const std::vector<ByteView> lying{ByteView(input).substr(0, 3), ByteView(input).substr(3, 3), ByteView(input).substr(6)};
        run.add(lying, set, true);
        Bytes typed = "a key that no small string holds " + std::to_string(i);
        const std::vector<ByteView> passing{"get", typed};
        run.add(passing, get, false);
        typed.assign(typed.size(), '!');
    }
    CHECK(run.size() == 200);
    const std::span<const Request> requests = run.requests();
    REQUIRE(requests.size() == 200);
    uint64_t bytes = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
        for (ByteView word : requests[i].argv) bytes += word.size();
        if (i % 2 == 0) {
            CHECK(requests[i].command == &set);
            REQUIRE(requests[i].argv.size() == 3);
            CHECK(requests[i].argv[2].data() == input.data() + 6);
        } else {
            CHECK(requests[i].command == &get);
            REQUIRE(requests[i].argv.size() == 2);
            CHECK(requests[i].argv[1] == "a key that no small string holds " + std::to_string(i / 2));
        }
    }
    CHECK(run.bytes() == bytes);
    run.clear();
    CHECK(run.empty());
    CHECK(run.requests().empty());
    CHECK(run.bytes() == 0);
}

}  // namespace
}  // namespace orrery::kv
