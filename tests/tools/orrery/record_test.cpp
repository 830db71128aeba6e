// Records and frames: they read back, and nothing else does.
#include "tools/orrery/record.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::cli;

namespace {

RunRecord some_record() {
    RunRecord record{.scenario = "kv", .seed = 42, .outcome = check::Outcome::Violated};
    record.findings = {{"durability.lost-write", "the write 'a' is gone", "durability.lost-write@final", Instant{3'412'000'000}}};
    record.hash = 0x123456789abcdef0;
    record.steps = 9000;
    record.checkpoints = {1, 2};
    record.simulated = Duration::seconds(18);
    record.operations = 200;
    record.operations_ok = 190;
    record.operations_unknown = 10;
    record.planned_events = 12;
    record.expected = true;
    record.faults_fired = {{"net.partition", 2}, {"proc.crash", 3}};
    record.probes = {{"snapshot.read_waited", 7}};
    record.not_fired = {"event 3 (net.clog)"};
    record.notes = {"nothing checked WAIT"};
    record.recent = {"t raft.leader term=3"};
    record.excerpt = {"1 2 3"};
    record.stopped_early = true;
    return record;
}

Bytes reply_of(const RunRecord& record) { return encode_frame(FrameKind::Plan, "schema = 1\n") + encode_frame(FrameKind::Record, encode_record(record)); }

}  // namespace

TEST_CASE("record: a reply reads back as it was (plan and record)") {
    const Result<Reply> reply = decode_reply(reply_of(some_record()));
    REQUIRE(reply.ok());
    CHECK(reply->plan == "schema = 1\n");
    REQUIRE(reply->record.has_value());
    CHECK((*reply->record == some_record()));
    CHECK_FALSE(reply->cut);
}

TEST_CASE("record: a reply cut at any byte is never a whole one (pipe truncation)") {
    const Bytes whole = reply_of(some_record());
    const size_t plan_bytes = encode_frame(FrameKind::Plan, "schema = 1\n").size();
    for (size_t length = 0; length < whole.size(); ++length) {
        const Result<Reply> reply = decode_reply(ByteView(whole).substr(0, length));
        REQUIRE(reply.ok());
        CHECK_FALSE(reply->record.has_value());
        CHECK(reply->cut == (length != 0 && length != plan_bytes));
        CHECK((reply->plan == "schema = 1\n") == (length >= plan_bytes));
    }
}

TEST_CASE("record: a reply with any bit flipped is refused, or cut, or as before (pipe damage)") {
    const Bytes whole = reply_of(some_record());
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
        Bytes damaged = whole;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        const Result<Reply> reply = decode_reply(damaged);
        // The frame's kind is not under the checksum: a Refused in place of a Plan carries the same text.
        const bool harmless = reply.ok() && (reply->cut || !reply->refused.empty() || (reply->record && reply->plan.empty()));
        CHECK_MESSAGE((!reply.ok() || harmless), "bit ", bit);
        if (reply.ok() && reply->record && !reply->cut && reply->refused.empty()) CHECK((*reply->record == some_record()));
    }
}

TEST_CASE("record: any bytes are read without harm (property)") {
    CHECK(rc::check([](const std::string& bytes) {
        (void)decode_reply(bytes);
        (void)decode_record(bytes);
    }));
}

TEST_CASE("record: any record reads back (property)") {
    CHECK(rc::check([](const std::string& scenario, uint64_t seed, const std::vector<uint64_t>& checkpoints, const std::map<std::string, uint64_t>& probes,
                       const std::vector<std::string>& notes) {
        RunRecord record = some_record();
        record.scenario = scenario;
        record.seed = seed;
        record.checkpoints = checkpoints;
        record.probes = probes;
        record.notes = notes;
        const Result<RunRecord> back = decode_record(encode_record(record));
        RC_ASSERT(back.ok());
        RC_ASSERT(*back == record);
    }));
}
