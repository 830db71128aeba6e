// A replica whose state is lost while its log is whole: what it still does, and what it must not do before a snapshot came.
#include "tools/raft_script/cluster.h"

#include <doctest/doctest.h>

namespace orrery::raft::script {
namespace {

/// Member 1 of three, with a floor at 4 and entries 5..7 of term 2; nothing of the state is left.
struct Stateless {
    Instant now{1'000'000'000};
    std::unique_ptr<Core> core;

    Stateless() {
        Options options = default_options();
        options.self = member(1);
        Recovered recovered{{Term(2), member(2)}, Floor{LogIndex(4), Term(1), voters({1, 2, 3})}, {}, LogIndex(), true};
        for (uint64_t i = 5; i <= 7; ++i)
            recovered.entries.push_back({Term(2), LogIndex(i), EntryKind::Data, std::make_shared<const Bytes>("body"), nullptr, false, false});
        auto made = Core::create(now, options, std::move(recovered), RandomStream(1, "raft.election", 7));
        REQUIRE(made.ok());
        core = std::move(made).value();
        core->set_campaign_allowed(now, true);
    }
    Output say(uint64_t from, uint64_t term, Message::Body body) {
        core->step(now, {member(from), member(1), Term(term), std::move(body)});
        return core->take_output(now);
    }
};

}  // namespace

TEST_CASE("raft core: a replica without its state acknowledges by its log, tells of nothing applied, and hands out nothing to apply") {
    Stateless one;
    CHECK(one.core->status(one.now).stateless);
    Output output = one.say(2, 2, Append{{LogIndex(7), Term(2)}, {}, LogIndex(7), 1});
    REQUIRE(output.messages.size() == 1);
    const auto* reply = std::get_if<AppendReply>(&output.messages[0].body);
    REQUIRE(reply != nullptr);
    CHECK(reply->accepted);
    CHECK(reply->state.match == LogIndex(7));
    CHECK(reply->state.applied == LogIndex(0));
    CHECK(one.core->commit() == LogIndex(7));
    CHECK(output.applicable == LogIndex(0));
}

TEST_CASE("raft core: a replica without its state votes by its log and is no candidate, by its timer or by TimeoutNow") {
    Stateless one;
    one.core->tick(one.now + Duration::seconds(60));
    CHECK(one.core->role() == Role::Follower);
    Output output = one.say(2, 2, TimeoutNow{});
    CHECK(one.core->role() == Role::Follower);
    REQUIRE(output.refusals.size() == 1);
    CHECK(output.refusals[0].reason == RefusalReason::CampaignGate);

    Stateless voter;
    output = voter.say(3, 3, Vote{{LogIndex(6), Term(2)}});
    voter.core->persisted(voter.now, output.sequence);
    output = voter.core->take_output(voter.now);
    REQUIRE(output.messages.size() == 1);
    CHECK_FALSE(std::get<VoteReply>(output.messages[0].body).granted);
    output = voter.say(2, 4, Vote{{LogIndex(7), Term(2)}});
    voter.core->persisted(voter.now, output.sequence);
    output = voter.core->take_output(voter.now);
    REQUIRE(output.messages.size() == 1);
    CHECK(std::get<VoteReply>(output.messages[0].body).granted);
}

TEST_CASE("raft core: a snapshot gives the state back, below the commit index or above it, and the leader hears of it at once") {
    for (const uint64_t at : {uint64_t{6}, uint64_t{9}}) {
        CAPTURE(at);
        Stateless one;
        (void)one.say(2, 2, Append{{LogIndex(7), Term(2)}, {}, LogIndex(7), 1});
        one.core->set_installing(one.now, true);
        if (!one.core->restore(one.now, Floor{LogIndex(at), Term(2), voters({1, 2, 3})})) one.core->applied(one.now, LogIndex(at));
        CHECK_FALSE(one.core->stateless());
        Output output = one.core->take_output(one.now);
        REQUIRE(output.messages.size() == 1);
        CHECK(output.applicable == LogIndex(std::max<uint64_t>(at, 7)));
        CHECK(one.core->status(one.now).applied == LogIndex(at));
        one.core->campaign(one.now + Duration::seconds(10));
        CHECK(one.core->role() != Role::Follower);
    }
}
}  // namespace orrery::raft::script
