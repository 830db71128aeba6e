#include "kv/wait_command.h"

#include <doctest/doctest.h>

#include "tests/kv/hooks.h"

namespace orrery::kv {
namespace {

std::variant<WaitCommand, Reply> parse(const Argv& argv, WaitZero wait_zero = WaitZero::Redis) {
    return parse_wait(resp::views_of(argv), wait_zero);
}
WaitCommand parsed(const Argv& argv, WaitZero wait_zero = WaitZero::Redis) {
    return std::get<WaitCommand>(parse(argv, wait_zero));
}
Bytes refusal(const Argv& argv) { return std::get<Reply>(parse(argv)).text; }

TEST_CASE("kv wait: the three spellings and WAIT 0 under both settings") {
    CHECK(parsed({"WAIT", "2", "100"}).replicas == 2);
    CHECK(parsed({"wait", "2", "100"}).timeout == Duration::millis(100));
    CHECK_FALSE(parsed({"WAIT", "2", "0"}).timeout.has_value());
    CHECK(parsed({"WAIT", "all", "1"}).kind == WaitKind::All);
    CHECK(parsed({"WAITALL", "1"}).kind == WaitKind::All);
    CHECK(parsed({"WAIT", "0", "1"}).kind == WaitKind::Count);
    CHECK(parsed({"WAIT", "0", "1"}, WaitZero::All).kind == WaitKind::ZeroAsAll);
}

TEST_CASE("kv wait: WAITAOF names the leader's own sync and the number of others") {
    const WaitCommand both = parsed({"WAITAOF", "1", "2", "100"});
    CHECK(both.kind == WaitKind::Durable);
    CHECK(both.local);
    CHECK(both.replicas == 2);
    CHECK_FALSE(parsed({"waitaof", "0", "0", "0"}).local);
    CHECK(refusal({"WAITAOF", "2", "1", "1"}) == "ERR value is out of range, value must between 0 and 1");
    CHECK(refusal({"WAITAOF", "1", "-1", "1"}) == "ERR value is out of range, must be positive");
    CHECK(refusal({"WAITAOF", "1", "x", "1"}) == "ERR value is not an integer or out of range");
}

TEST_CASE("kv wait: bad numbers are errors, in the words of Redis") {
    CHECK(refusal({"WAIT", "x", "1"}) == "ERR value is not an integer or out of range");
    CHECK(refusal({"WAIT", "-1", "1"}) == "ERR value is out of range, must be positive");
    CHECK(refusal({"WAIT", "1", "-1"}) == "ERR timeout is negative");
    CHECK(refusal({"WAITALL", "x"}) == "ERR timeout is not an integer or out of range");
    CHECK(refusal({"WAITALL", "9223372036854775807"}) == "ERR timeout is out of range");
}

TEST_CASE("kv wait: the target is the connection's own highest index (the defect makes it everybody's)") {
    WaitTarget target;
    CHECK(target.target(LogIndex(50)) == LogIndex(0));
    target.write_acknowledged(LogIndex(7));
    target.read_observed(LogIndex(5));
    CHECK(target.target(LogIndex(50)) == LogIndex(7));
    test::DefectScope scope(Defect::wait_target_global);
    CHECK(target.target(LogIndex(50)) == LogIndex(50));
}

}  // namespace
}  // namespace orrery::kv
