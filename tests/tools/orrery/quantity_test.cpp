// Words with units, messages, exit codes.
#include "tools/orrery/quantity.h"

#include "tools/orrery/exit_code.h"
#include "tools/orrery/message.h"

#include <doctest/doctest.h>


using namespace orrery;
using namespace orrery::cli;

TEST_CASE("quantity: durations need a unit and are exact") {
    CHECK(parse_duration("250ms")->ns == 250'000'000);
    CHECK(parse_duration("3.5s")->ns == 3'500'000'000);
    CHECK(parse_duration("10m")->ns == 600'000'000'000);
    CHECK(parse_duration("2h")->ns == 7'200'000'000'000);
    for (const char* wrong : {"", "5", "s", "-1s", "1 s", "1.2.3s", "1d", "1e3s", "999999999h", "nan", "inf"})
        CHECK_MESSAGE(!parse_duration(wrong).ok(), wrong);
}

TEST_CASE("quantity: budgets are wall time, seeds, simulated time, or several") {
    CHECK(parse_budget("10m")->wall == Duration::seconds(600));
    CHECK(parse_budget("1000seeds")->seeds == 1000);
    CHECK(parse_budget("50h-simulated")->simulated == Duration::seconds(180'000));
    const Result<Budget> all = parse_budget("1m,5seeds,2s-simulated");
    REQUIRE(all.ok());
    CHECK(all->wall == Duration::seconds(60));
    CHECK(all->seeds == 5);
    CHECK(all->simulated == Duration::seconds(2));
    for (const char* wrong : {"", "10", "0s", "0seeds", "10m,", ",", "seeds", "5 seeds"}) CHECK_MESSAGE(!parse_budget(wrong).ok(), wrong);
}

TEST_CASE("quantity: shards and numbers") {
    CHECK(parse_shard("3/8")->index == 3);
    for (const char* wrong : {"", "8/8", "1", "/2", "-1/2", "1/0", "a/b"}) CHECK_MESSAGE(!parse_shard(wrong).ok(), wrong);
    CHECK(*parse_number("0x2a") == 42);
    CHECK(*parse_number("18446744073709551615") == UINT64_MAX);
    for (const char* wrong : {"", "0x", "18446744073709551616", "-1", "1.5", "7 "}) CHECK_MESSAGE(!parse_number(wrong).ok(), wrong);
}

TEST_CASE("quantity: what people read") {
    CHECK(show_count(0) == "0");
    CHECK(show_count(999) == "999");
    CHECK(show_count(41208) == "41,208");
    CHECK(show_count(1234567) == "1,234,567");
    CHECK(show(Duration::seconds(18) + Duration::millis(400)) == "18.4 s");
    CHECK(show(Duration::millis(210)) == "210 ms");
    CHECK(show(Duration::seconds(600)) == "10 min 0 s");
    CHECK(show_exact(Instant{3'412'000'500}) == "3.412000 s");
}

TEST_CASE("message: place, severity, code, what and what to do") {
    const Message message{"orrery run", "E0401", "unknown option '--sed'", "did you mean '--seed'?"};
    CHECK(message.text() == "orrery run: error[E0401]: unknown option '--sed'; did you mean '--seed'?");
    CHECK(nearest("--sede", {"--set", "--seed", "--out"}) == "--seed");
    CHECK(nearest("--frobnicate", {"--set", "--seed"}) == "");
}

TEST_CASE("exit codes: the worse of two, and never one of the shell's") {
    CHECK(worse(ExitCode::Fine, ExitCode::Inconclusive) == ExitCode::Inconclusive);
    CHECK(worse(ExitCode::Violated, ExitCode::Inconclusive) == ExitCode::Violated);
    CHECK(worse(ExitCode::Violated, ExitCode::NotDeterministic) == ExitCode::NotDeterministic);
    for (int number = 1; number <= 15; ++number) {
        const int exit = number_of(exit_code_of(*code_from_number(static_cast<uint8_t>(number))));
        CHECK(exit > 0);
        CHECK((exit < 100 || exit > 128));
    }
}
