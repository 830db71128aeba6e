// What the end of a child means: a crash is a finding with a signature, a broken reply is our own bug.
#include "tools/orrery/job.h"

#include "tools/orrery/capture.h"

#include <doctest/doctest.h>
#include <signal.h>


using namespace orrery;
using namespace orrery::cli;

namespace {

Job some_job() {
    Job job;
    job.scenario.name = "kv";
    job.seed = 9;
    return job;
}

RunOutcome outcome_of(ChildEnd end) { return settle(some_job(), std::move(end)); }

RunOutcome whole_run(uint64_t hash, std::vector<uint64_t> checkpoints, uint64_t steps = 5000) {
    RunRecord record{.scenario = "kv", .seed = 9, .outcome = check::Outcome::Pass};
    record.hash = hash;
    record.steps = steps;
    record.checkpoints = std::move(checkpoints);
    record.expected = true;
    return outcome_of({.reply = encode_frame(FrameKind::Record, encode_record(record))});
}

}  // namespace

TEST_CASE("job: a whole record of a process that ended well counts") {
    const RunOutcome outcome = whole_run(1, {2});
    CHECK(outcome.came_to_end);
    CHECK(outcome.exit_code() == ExitCode::Fine);
}

TEST_CASE("job: a process that aborts is a finding, named by its last line (planted crash)") {
    const std::string said = "host n1 raft.leader term=3\nnode/raft/group.cpp:120: applied <= durable | 17 | 12\n";
    const RunOutcome outcome = outcome_of({.signal = SIGABRT, .reply = encode_frame(FrameKind::Plan, "schema = 1\n"), .stderr_tail = said});
    CHECK_FALSE(outcome.came_to_end);
    CHECK(outcome.own_bug.empty());
    CHECK(outcome.plan == "schema = 1\n");
    CHECK(outcome.exit_code() == ExitCode::Violated);
    REQUIRE(outcome.record.findings.size() == 1);
    CHECK(outcome.record.findings[0].property == "process.aborted");
    CHECK(outcome.record.signature() == "process.aborted@node/raft/group.cpp:#: applied <= durable | # | #");
    // Other values, the same failure.
    const RunOutcome other = outcome_of({.signal = SIGABRT, .stderr_tail = "node/raft/group.cpp:120: applied <= durable | 3 | 2\n"});
    CHECK(other.record.signature() == outcome.record.signature());
}

TEST_CASE("job: a crash behind a whole record is still a finding (leak report at exit)") {
    RunRecord record{.scenario = "kv", .outcome = check::Outcome::Pass};
    record.expected = true;
    const RunOutcome outcome = outcome_of({.exit_status = 1,
                                           .reply = encode_frame(FrameKind::Record, encode_record(record)),
                                           .stderr_tail = "==12==ERROR: LeakSanitizer: detected memory leaks\n  #0 0x55d3c1 in x\nSUMMARY\n"});
    CHECK_FALSE(outcome.came_to_end);
    CHECK(outcome.record.findings[0].property == "process.sanitizer");
    CHECK(outcome.record.findings[0].text == "LeakSanitizer: detected memory leaks");
    CHECK(outcome.exit_code() == ExitCode::Violated);
}

TEST_CASE("job: the wall limit, a signal and a kill from outside have names of their own") {
    CHECK(outcome_of({.signal = SIGKILL, .timed_out = true}).record.findings[0].property == "process.wall-limit");
    CHECK(outcome_of({.signal = SIGKILL}).record.findings[0].property == "process.killed");
    CHECK(outcome_of({.signal = SIGSEGV}).record.signature() == "process.crashed@SIGSEGV");
    CHECK(outcome_of({.exit_status = 3}).record.findings[0].property == "process.exited");
}

TEST_CASE("job: a reply that is missing, cut or damaged after a good end is our own bug") {
    RunRecord record{.scenario = "kv"};
    const Bytes whole = encode_frame(FrameKind::Record, encode_record(record));
    Bytes damaged = whole;
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    for (const Bytes& reply : {Bytes(), whole.substr(0, whole.size() - 1), whole.substr(0, 5), damaged}) {
        const RunOutcome outcome = outcome_of({.reply = reply});
        CHECK_FALSE(outcome.own_bug.empty());
        CHECK(outcome.exit_code() == ExitCode::OwnBug);
    }
    CHECK(outcome_of({.signal = SIGKILL, .reply_too_long = true}).exit_code() == ExitCode::OwnBug);
}

TEST_CASE("job: inconclusive is never fine") {
    RunRecord record{.scenario = "kv", .reason = "nothing checked"};
    const RunOutcome outcome = outcome_of({.reply = encode_frame(FrameKind::Record, encode_record(record))});
    CHECK(outcome.came_to_end);
    CHECK(outcome.exit_code() == ExitCode::Inconclusive);
}

TEST_CASE("job: two runs of one seed that differ are told apart, and where") {
    CHECK(difference_between(whole_run(1, {2}), whole_run(1, {2})).empty());
    const std::string hash = difference_between(whole_run(1, {2}), whole_run(3, {2}));
    CHECK(hash.find("between step 4,096 and step 5,000") != std::string::npos);
    const std::string checkpoint = difference_between(whole_run(1, {2}), whole_run(3, {4}));
    CHECK(checkpoint.find("between step 0 and step 4,096") != std::string::npos);
    const RunOutcome crashed = outcome_of({.signal = SIGSEGV});
    CHECK(difference_between(whole_run(1, {2}), crashed).find("one came to its end") != std::string::npos);
    CHECK(difference_between(crashed, crashed).empty());
    CHECK_FALSE(difference_between(crashed, outcome_of({.signal = SIGKILL})).empty());
}

TEST_CASE("job: addresses and process ids are not part of a crash's site") {
    CHECK(crash_site("==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x6020000000ff at pc 0x55\n#0 x\n") ==
          "AddressSanitizer: heap-use-after-free on address 0x at pc 0x");
    CHECK(crash_site("") == "");
    CHECK(crash_site("a\nb\n\n") == "b");
}
