// A campaign's log, read back: whole, cut anywhere, damaged.
#include "tools/orrery/campaign_log.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::cli;

namespace {

constexpr uint64_t kBase = 7;

RunRecord passing(uint64_t k) {
    RunRecord record{.scenario = "kv", .seed = campaign_seed(kBase, k), .outcome = check::Outcome::Pass};
    record.expected = true;
    record.steps = 100 + k;
    record.operations = 10;
    record.simulated = Duration::seconds(2);
    record.faults_fired = {{"net.reset", k}};
    record.probes = {{"p", 1}};
    return record;
}

RunRecord failing(uint64_t k, const std::string& signature, uint64_t events) {
    RunRecord record = passing(k);
    record.expected = false;
    record.outcome = check::Outcome::Violated;
    record.findings = {{"order.cycle", "two disagree", signature, {}}};
    record.planned_events = events;
    return record;
}

std::string begin(uint64_t base = kBase) {
    return json_text({{"type", "begin"}, {"schema", 1}, {"base", base}, {"shard", "0/1"}, {"scenario_hash", "abc"}, {"jobs", 2}, {"build", {{"build_id", "b"}, {"commit", "c"}}}}) + "\n";
}
std::string line(uint64_t k, const RunRecord& record, const char* verdict = "pass") { return json_text(seed_line(k, record, verdict, 500, Duration::millis(3), Duration::seconds(k + 1))) + "\n"; }
std::string twice(uint64_t k, bool equal) { return json_text({{"type", "twice"}, {"k", k}, {"equal", equal}}) + "\n"; }
std::string failure(uint64_t k, const std::string& place) { return json_text({{"type", "failure"}, {"k", k}, {"place", place}}) + "\n"; }

std::map<uint64_t, bool> finished(const std::string& text, CampaignTotals& totals, KnownFailures& failures) {
    const std::optional<CampaignLog> log = read_campaign_log(text);
    REQUIRE(log);
    return take_finished(*log, {}, {{"kv", "kv.toml"}}, totals, failures);
}

}  // namespace

TEST_CASE("campaign log: sums, failures and elapsed time come back as they were") {
    const std::string text = begin() + line(0, passing(0)) + twice(0, true) + line(1, passing(1)) + line(2, failing(2, "a@x", 9), "fail") + failure(2, "runs/kv/2") +
                             line(3, failing(3, "a@x", 12), "fail");
    const std::optional<CampaignLog> log = read_campaign_log(text);
    REQUIRE(log);
    CHECK(log->base == kBase);
    CHECK(log->shard == "0/1");
    CHECK(log->scenario_hash == "abc");
    CHECK(log->build_id == "b");
    CHECK(log->elapsed == Duration::seconds(4));
    CHECK(log->unreadable == 0);
    CampaignTotals totals;
    KnownFailures failures;
    CHECK(finished(text, totals, failures).size() == 4);
    CHECK(totals.seeds == 4);
    CHECK(totals.passed == 2);
    CHECK(totals.failed == 2);
    CHECK(totals.determinism_checks == 1);
    CHECK(totals.determinism_failures == 0);
    CHECK(totals.operations == 40);
    CHECK(totals.simulated == Duration::seconds(8));
    CHECK(totals.faults_fired.at("net.reset") == 6);
    CHECK(totals.probes.at("p") == 4);
    REQUIRE(failures.size() == 1);
    CHECK(failures.list()[0]->count == 2);
    CHECK(failures.list()[0]->place == "runs/kv/2");
    CHECK(failures.list()[0]->events == 9);
    CHECK(failures.list()[0]->finding.text == "two disagree");
}

TEST_CASE("campaign log: a seed without its repetition or its run directory runs again") {
    CampaignTotals totals;
    KnownFailures failures;
    const std::string text = begin() + line(0, passing(0)) + line(1, failing(1, "a@x", 9), "fail") + line(2, failing(2, "b@x", 9), "fail") + failure(2, "p") + line(20, passing(20)) + twice(20, false);
    const std::map<uint64_t, bool> left = finished(text, totals, failures);
    CHECK(left == std::map<uint64_t, bool>{{2, true}, {20, true}});
    CHECK(totals.failed == 1);
    CHECK(totals.determinism_failures == 1);
    CHECK(failures.size() == 1);
}

TEST_CASE("campaign log: the last campaign of a log counts, and of a seed that was run twice the later line") {
    CampaignTotals totals;
    KnownFailures failures;
    const std::string text = begin(1) + line(5, passing(5)) + begin() + line(1, passing(1)) + line(1, failing(1, "a@x", 3), "fail") + failure(1, "p");
    CHECK(read_campaign_log(text)->base == kBase);
    CHECK(finished(text, totals, failures) == std::map<uint64_t, bool>{{1, true}});
    CHECK(totals.failed == 1);
    CHECK(!read_campaign_log("").has_value());
    CHECK(!read_campaign_log(line(1, passing(1))).has_value());
}

TEST_CASE("campaign log: cut anywhere it loses no more than the line that was cut (property)") {
    std::string text = begin();
    for (uint64_t k = 0; k < 30; ++k) {
        text += line(k, passing(k));
        if (k % kTwiceEvery == 0) text += twice(k, true);
    }
    const size_t head = begin().size();
    CHECK(rc::check([&] {
        const size_t cut = *rc::gen::inRange<size_t>(head, text.size() + 1);
        const std::string left = text.substr(0, cut);
        CampaignTotals totals;
        KnownFailures failures;
        const auto log = read_campaign_log(left);
        RC_ASSERT(log.has_value());
        uint64_t whole = 0, at = 0;
        for (char c : left) at += c == '\n';
        RC_ASSERT(log->unreadable == (left.ends_with('\n') ? 0u : 1u));
        whole = at - 1;  // lines behind the first
        RC_ASSERT(log->seeds.size() + (whole > 1 ? 1 : 0) + (whole > 22 ? 1 : 0) >= whole);
        // Going on behind the cut line, its end first.
        const auto more = read_campaign_log(left + "\n" + line(29, passing(29)));
        RC_ASSERT(more->seeds.contains(29));
        RC_ASSERT(more->seeds.size() >= log->seeds.size());
    }));
}

TEST_CASE("campaign log: any bytes are survived, and a damaged line is counted (property)") {
    const std::string good = begin() + line(0, passing(0)) + twice(0, true) + line(1, failing(1, "a@x", 9), "fail") + failure(1, "p");
    CHECK(rc::check([&] {
        std::string text = good;
        const auto places = *rc::gen::container<std::vector<size_t>>(3, rc::gen::inRange<size_t>(0, good.size()));
        for (size_t place : places) text[place] = *rc::gen::arbitrary<char>();
        if (const auto log = read_campaign_log(text)) {
            CampaignTotals totals;
            KnownFailures failures;
            RC_ASSERT(take_finished(*log, {}, {}, totals, failures).size() <= log->seeds.size());
        }
        (void)read_campaign_log(*rc::gen::arbitrary<std::string>());
    }));
    for (const char* broken : {"{\"type\":\"seed\"}\n", "[]\n", "{\"type\":\"seed\",\"k\":-1}\n", "{\"type\":\"twice\",\"k\":9,\"equal\":true}\n", "{\"type\":7}\n", "nonsense\n"})
        CHECK(read_campaign_log(good + broken)->unreadable == 1);
}
