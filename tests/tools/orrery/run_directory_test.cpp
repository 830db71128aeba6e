// Run directories: what is saved reads back; what is damaged is said to be damaged.
#include "tools/orrery/run_directory.h"

#include "tools/orrery/files.h"
#include "tools/orrery/recorder.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>


using namespace orrery;
using namespace orrery::cli;

namespace {

struct Scratch {
    std::string dir;
    Scratch() {
        char name[] = "/tmp/orrery-run-directory-XXXXXX";
        dir = mkdtemp(name);
    }
    ~Scratch() { remove_tree(dir); }
};

RunOutcome some_outcome() {
    RunOutcome outcome{.plan = "schema = 1\n", .came_to_end = true};
    outcome.record = {.scenario = "kv/../x", .seed = 42, .outcome = check::Outcome::Violated};
    outcome.record.findings = {{"p", "sentence", "p@site", Instant{17}}};
    outcome.record.hash = UINT64_MAX;
    outcome.record.steps = 5000;
    outcome.record.checkpoints = {3};
    outcome.record.simulated = Duration::seconds(2);
    outcome.record.not_fired = {"event 2 (net.clog)"};
    return outcome;
}

const BuildInfo kBuild{"0.1.0", "abc", "0123", "7.8.3", 77};

std::string save(const Scratch& scratch) {
    const Result<std::string> staging = make_staging(scratch.dir, "kv/../x", 42);
    REQUIRE(staging.ok());
    const Result<std::string> place = save_run(scratch.dir, *staging, some_outcome(), kBuild);
    REQUIRE(place.ok());
    return *place;
}

}  // namespace

TEST_CASE("run directory: what was saved reads back, latest leads to it, nothing else is left") {
    const Scratch scratch;
    const std::string place = save(scratch);
    CHECK(place == scratch.dir + "/kv_.._x/42");
    const Result<SavedRun> saved = load_run(place);
    REQUIRE(saved.ok());
    CHECK((saved->build == kBuild));
    CHECK(saved->came_to_end);
    CHECK(saved->plan == "schema = 1\n");
    CHECK(saved->record.hash == UINT64_MAX);
    CHECK(saved->record.checkpoints == std::vector<uint64_t>{3});
    CHECK(saved->record.signature() == "p@site");
    CHECK(saved->record.not_fired == some_outcome().record.not_fired);
    CHECK(load_run(scratch.dir + "/latest").ok());
    CHECK_FALSE(exists(scratch.dir + "/.staging"));
}

TEST_CASE("run directory: ids of 64 bits stand unsigned in trace.jsonl and in the logs of the nodes") {
    const Scratch scratch;
    {
        Recorder recorder({.dir = scratch.dir});
        const TraceField fields[] = {{"cluster", ClusterId(UINT64_MAX)}, {"offset", int64_t{-5}}};
        recorder.on_event(1, Instant{17}, "n1", {{17}, Severity::Info, "node.founded", fields});
        CHECK(recorder.problem() == "");
    }
    for (const std::string name : {"/trace.jsonl", "/logs/n1.jsonl"}) {
        const Bytes text = read_file(scratch.dir + name).value();
        CHECK(text.find("\"cluster\":18446744073709551615") != Bytes::npos);
        CHECK(text.find("\"offset\":-5") != Bytes::npos);
    }
}

TEST_CASE("run directory: the same seed again replaces the older one") {
    const Scratch scratch;
    save(scratch);
    CHECK(load_run(save(scratch)).ok());
}

TEST_CASE("run directory: one that is not there, or of which a file is missing, is not found") {
    const Scratch scratch;
    CHECK(load_run(scratch.dir + "/none").failed_with(Code::NotFound));
    const std::string place = save(scratch);
    std::filesystem::remove(place + "/plan.toml");
    CHECK(load_run(place).failed_with(Code::NotFound));
}

TEST_CASE("run directory: damage is told, whatever part of a file is cut or changed") {
    const Scratch scratch;
    const std::string place = save(scratch);
    for (const char* name : {"/meta.json", "/verdict.json"}) {
        const Bytes whole = *read_file(place + name);
        for (size_t length = 0; length + 2 < whole.size(); length += 7) {
            REQUIRE(write_file(place + name, ByteView(whole).substr(0, length)).ok());
            CHECK(load_run(place).failed_with(Code::Corrupt));
        }
        for (const char* other : {"[]", "{}", "null", "{\"schema\": \"1\"}"}) {
            REQUIRE(write_file(place + name, other).ok());
            CHECK(load_run(place).failed_with(Code::Corrupt));
        }
        REQUIRE(write_file(place + name, whole).ok());
    }
    CHECK(load_run(place).ok());
}
