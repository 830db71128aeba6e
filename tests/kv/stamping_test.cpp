#include "kv/stamping.h"

#include <doctest/doctest.h>

namespace orrery::kv {
namespace {

Argv stamped(const Argv& argv, LogTime stamp) {
    const std::vector<ByteView> words = resp::views_of(argv);
    const Stamped done = stamp_command(words, stamp);
    REQUIRE(done.refusal() == nullptr);
    return resp::copy_of(done.words());
}

TEST_CASE("kv stamping: every relative time becomes absolute, and nothing expires early (stamp between two milliseconds)") {
    const LogTime stamp{1'000'000'500'000};  // 1,000,000.5 ms
    CHECK(stamped({"set", "k", "v", "ex", "10", "get", "xx"}, stamp) == Argv{"SET", "k", "v", "XX", "GET", "PXAT", "1010001"});
    CHECK(stamped({"SET", "k", "v", "PX", "5"}, stamp) == Argv{"SET", "k", "v", "PXAT", "1000006"});
    CHECK(stamped({"SET", "k", "v", "EXAT", "5"}, stamp) == Argv{"SET", "k", "v", "PXAT", "5000"});
    CHECK(stamped({"SETEX", "k", "1", "v"}, stamp) == Argv{"SET", "k", "v", "PXAT", "1001001"});
    CHECK(stamped({"PSETEX", "k", "1", "v"}, stamp) == Argv{"SET", "k", "v", "PXAT", "1000002"});
    CHECK(stamped({"EXPIRE", "k", "1", "gt"}, stamp) == Argv{"PEXPIREAT", "k", "1001001", "gt"});
    CHECK(stamped({"EXPIREAT", "k", "-1"}, stamp) == Argv{"PEXPIREAT", "k", "-1000"});
    CHECK(stamped({"EXPIRE", "k", "0"}, stamp) == Argv{"PEXPIREAT", "k", "1000000"});  // over at once
    CHECK(stamped({"INCR", "k"}, stamp) == Argv{"INCR", "k"});
    CHECK(stamped({"set", "k", "v", "NX"}, stamp) == Argv{"set", "k", "v", "NX"});
}

TEST_CASE("kv stamping: a stamped command stays as it is at any later stamp") {
    for (const Argv& argv : std::vector<Argv>{{"SET", "k", "v", "EX", "10", "NX"}, {"EXPIRE", "k", "9", "LT"}, {"SETEX", "k", "1", "v"}}) {
        const Argv once = stamped(argv, LogTime{5'000'000});
        CHECK(stamped(once, LogTime{999'000'000'000}) == once);
    }
}

TEST_CASE("kv stamping: an impossible time is refused before anything is logged") {
    const auto refusal = [](const Argv& argv) {
        const std::vector<ByteView> words = resp::views_of(argv);
        const Stamped done = stamp_command(words, LogTime{1'000'000'000'000'000'000});
        REQUIRE(done.refusal() != nullptr);
        return done.refusal()->text;
    };
    CHECK(refusal({"SETEX", "k", "0", "v"}) == "ERR invalid expire time in 'setex' command");
    CHECK(refusal({"PSETEX", "k", "9223372036854775807", "v"}) == "ERR invalid expire time in 'psetex' command");
    CHECK(refusal({"EXPIREAT", "k", "9223372036854775807"}) == "ERR invalid expire time in 'expireat' command");
}

}  // namespace
}  // namespace orrery::kv
