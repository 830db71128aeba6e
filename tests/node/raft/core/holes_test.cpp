// Entries whose bodies the disk lost: what a member with holes still does, and what it must not do.
#include "tools/raft_script/cluster.h"

#include <doctest/doctest.h>

namespace orrery::raft::script {
namespace {

std::shared_ptr<const Bytes> text(std::string_view bytes) { return std::make_shared<const Bytes>(bytes); }

Entry entry_with(uint64_t term, uint64_t index, std::shared_ptr<const Bytes> body) {
    return {Term(term), LogIndex(index), EntryKind::Data, std::move(body), nullptr, false, false};
}

/// Member 1 of three, with entries 1..6 of term 2, of which 3 and 5 are holes; nothing applied.
struct Holed {
    Instant now{1'000'000'000};
    std::unique_ptr<Core> core;

    explicit Holed(Options options = default_options()) {
        options.self = member(1);
        Recovered recovered{{Term(2), member(2)}, Floor{LogIndex(), Term(), voters({1, 2, 3})}, {}, LogIndex()};
        for (uint64_t i = 1; i <= 6; ++i) {
            recovered.entries.push_back(entry_with(2, i, text("body " + std::to_string(i))));
            if (i == 3 || i == 5) {
                recovered.entries.back().body.reset();
                recovered.entries.back().hole = true;
            }
        }
        auto made = Core::create(now, options, std::move(recovered), RandomStream(1, "raft.election", 7));
        REQUIRE(made.ok());
        core = std::move(made).value();
        core->set_campaign_allowed(now, true);
    }
    Output say(uint64_t from, uint64_t term, Message::Body body) {
        core->step(now, {member(from), member(1), Term(term), std::move(body)});
        return core->take_output(now);
    }
    void sync(const Output& output) {
        if (output.sequence != 0) core->persisted(now, output.sequence);
    }
};

template <typename Body>
const Body& only(const Output& output) {
    REQUIRE(output.messages.size() == 1);
    const auto* body = std::get_if<Body>(&output.messages[0].body);
    REQUIRE(body != nullptr);
    return *body;
}

}  // namespace

TEST_CASE("raft core: a member with holes acknowledges and applies only what lies before the first, and takes part in votes") {
    Holed one;
    CHECK(one.core->status(one.now).holes == 2);
    Output output = one.say(2, 2, Append{{LogIndex(6), Term(2)}, {}, LogIndex(6), 1});
    const auto& reply = only<AppendReply>(output);
    CHECK(reply.accepted);
    CHECK(reply.state.match == LogIndex(2));
    CHECK(reply.state.received == LogIndex(2));
    CHECK(one.core->commit() == LogIndex(6));
    CHECK(output.applicable == LogIndex(2));

    // A vote is judged by its whole log, the end included.
    Holed voter;
    output = voter.say(3, 3, Vote{{LogIndex(5), Term(2)}});
    voter.sync(output);
    CHECK_FALSE(only<VoteReply>(voter.core->take_output(voter.now)).granted);
    output = voter.say(2, 4, Vote{{LogIndex(6), Term(2)}});
    voter.sync(output);
    CHECK(only<VoteReply>(voter.core->take_output(voter.now)).granted);
}

TEST_CASE("raft core: a member with a hole is no candidate, by its timer or by TimeoutNow, until the body is on its disk") {
    Holed one;
    one.core->campaign(one.now);
    CHECK(one.core->role() == Role::Follower);
    Output output = one.say(2, 2, TimeoutNow{});
    CHECK(one.core->role() == Role::Follower);
    REQUIRE(output.refusals.size() == 1);
    CHECK(output.refusals[0].reason == RefusalReason::CampaignGate);

    REQUIRE(one.core->missing(10).size() == 2);
    CHECK(one.core->missing(1).front() == LogPosition{LogIndex(3), Term(2)});
    CHECK_FALSE(one.core->fill({LogIndex(3), Term(1)}, text("of another term")));
    CHECK_FALSE(one.core->fill({LogIndex(4), Term(2)}, text("no hole")));
    CHECK(one.core->fill({LogIndex(3), Term(2)}, text("body 3")));
    CHECK_FALSE(one.core->fill({LogIndex(3), Term(2)}, text("again")));
    CHECK(one.core->fill({LogIndex(5), Term(2)}, text("body 5")));
    CHECK(one.core->missing(10).empty());
    output = one.core->take_output(one.now);
    REQUIRE(output.fills.size() == 2);
    CHECK(output.fills[0].body_view() == "body 3");
    CHECK(output.entries.empty());
    one.core->campaign(one.now);
    CHECK(one.core->role() == Role::Follower);  // in memory is not on the disk
    one.sync(output);
    CHECK(one.core->status(one.now).holes == 0);
    one.core->campaign(one.now);
    CHECK(one.core->role() != Role::Follower);
}

TEST_CASE("raft core: an append that covers a hole fills it, and is acknowledged once the body is synced") {
    Holed one;
    Output output = one.say(2, 2, Append{{LogIndex(2), Term(2)},
                                         {entry_with(2, 3, text("body 3")), entry_with(2, 4, text("body 4")), entry_with(2, 5, text("body 5"))}, LogIndex(2), 1});
    CHECK(only<AppendReply>(output).state.match == LogIndex(2));
    REQUIRE(output.fills.size() == 2);
    one.sync(output);
    output = one.core->take_output(one.now);
    CHECK(only<HeartbeatReply>(output).state.match == LogIndex(5));  // at once, not with the next heartbeat
    CHECK(one.core->log().at(LogIndex(5))->body_view() == "body 5");
}

TEST_CASE("raft core: a conflicting entry removes a hole, also one whose body is on its way to the disk") {
    Holed one;
    REQUIRE(one.core->fill({LogIndex(5), Term(2)}, text("body 5")));
    Output output = one.say(3, 4, Append{{LogIndex(4), Term(2)}, {entry_with(4, 5, text("another"))}, LogIndex(2), 1});
    CHECK(output.fills.empty());
    REQUIRE(output.truncate_from);
    CHECK(*output.truncate_from == LogIndex(5));
    CHECK(one.core->missing(10).size() == 1);
    one.sync(output);
    CHECK(one.core->status(one.now).holes == 1);
    CHECK(one.core->status(one.now).first_hole->index == LogIndex(3));
}

TEST_CASE("raft core: a hole of a configuration entry is not seen until it is filled, and then is in force") {
    Options options = default_options();
    options.self = member(1);
    Recovered recovered{{Term(2), {}}, Floor{LogIndex(), Term(), voters({1, 2, 3})}, {}, LogIndex()};
    Entry change{Term(2), LogIndex(1), EntryKind::Config, nullptr, nullptr, false, true};
    recovered.entries.push_back(change);
    recovered.entries.push_back(entry_with(2, 2, text("later")));
    const Instant now{1'000'000'000};
    auto core = Core::create(now, options, std::move(recovered), RandomStream(1, "raft.election", 7));
    REQUIRE(core.ok());
    CHECK((*core)->log().configuration() == voters({1, 2, 3}));
    CHECK_FALSE((*core)->fill({LogIndex(1), Term(2)}, text("no configuration")));
    CHECK((*core)->fill({LogIndex(1), Term(2)}, text(voters({1, 2, 3, 4}).encode())));
    CHECK((*core)->log().configuration() == voters({1, 2, 3, 4}));
}

}  // namespace orrery::raft::script
