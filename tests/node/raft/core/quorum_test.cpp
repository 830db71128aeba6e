// Majorities: a table worked out by hand, the definition by brute force against generated cases, and the codec.
#include "tools/raft_script/cluster.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::raft::script {
namespace {

using Ids = std::vector<uint64_t>;

struct CommitCase {
    Ids incoming, outgoing;
    std::map<uint64_t, uint64_t> match;  // absent: not known
    uint64_t expected;
};

struct VoteCase {
    Ids incoming, outgoing;
    std::string answers;  // by rising id over the union: y, n, _
    VoteResult expected;
};

uint64_t committed(const Configuration& c, const std::map<uint64_t, uint64_t>& match) {
    return c.quorum_value([&](Member m) -> uint64_t {
        auto at = match.find(m.node.value);
        return at == match.end() ? 0 : at->second;
    });
}

VoteResult counted(const Configuration& c, const std::map<uint64_t, VoteAnswer>& votes) {
    return c.vote_result([&](Member m) { return votes.at(m.node.value); });
}

/// A subset of {1..7} from the bits of a mask, never empty.
Ids subset(uint64_t mask) {
    Ids ids;
    for (uint64_t id = 1; id <= 7; ++id)
        if (mask >> id & 1) ids.push_back(id);
    return ids.empty() ? Ids{1} : ids;
}

}  // namespace

TEST_CASE("raft quorum: commit index from match indexes (table, simple and joint)") {
    const std::vector<CommitCase> cases = {
        {{1}, {}, {{1, 7}}, 7},
        {{1}, {}, {}, 0},
        {{1, 2}, {}, {{1, 9}, {2, 4}}, 4},
        {{1, 2}, {}, {{1, 9}}, 0},
        {{1, 2, 3}, {}, {{1, 9}, {2, 4}}, 4},
        {{1, 2, 3}, {}, {{1, 4}, {2, 4}}, 4},
        {{1, 2, 3}, {}, {{1, 20}, {2, 21}, {3, 19}}, 20},
        {{1, 2, 3, 4}, {}, {{1, 5}, {2, 6}, {3, 7}, {4, 8}}, 6},
        {{1, 2, 3, 4, 5}, {}, {{1, 1}, {2, 4}, {3, 3}, {4, 3}}, 3},
        {{1, 2, 3, 4, 5}, {}, {{1, 1}, {2, 2}, {3, 3}, {4, 3}}, 2},
        {{1}, {2}, {{1, 50}}, 0},
        {{1}, {2}, {{1, 50}, {2, 8}}, 8},
        {{1, 2}, {2}, {{2, 50}}, 0},
        {{1, 2}, {2}, {{1, 50}, {2, 30}}, 30},
        {{1, 2}, {1, 2}, {{2, 30}}, 0},
        {{1, 2, 3}, {1, 2, 3}, {{1, 9}, {2, 5}}, 5},
        {{1, 2, 3}, {2, 3, 4}, {{1, 9}, {2, 9}, {3, 8}}, 8},
        {{1, 2, 3}, {1, 4, 5}, {{2, 9}, {4, 8}, {5, 7}}, 0},
        {{1, 2, 3}, {1, 4, 5}, {{2, 9}, {3, 8}, {4, 8}, {5, 7}}, 7},
        {{1, 2, 3}, {4, 5, 6}, {{1, 9}, {2, 8}, {4, 3}, {5, 2}}, 2},
        {{1, 3}, {2}, {{1, 90}, {2, 40}, {3, 50}}, 40},
    };
    for (const CommitCase& c : cases) CHECK(committed(voters(c.incoming, c.outgoing), c.match) == c.expected);
}

TEST_CASE("raft quorum: vote result (table, simple and joint)") {
    const VoteResult won = VoteResult::Won, lost = VoteResult::Lost, pending = VoteResult::Pending;
    const std::vector<VoteCase> cases = {
        {{1}, {}, "y", won},           {{1}, {}, "n", lost},          {{1}, {}, "_", pending},
        {{4, 8}, {}, "y_", pending},   {{4, 8}, {}, "n_", lost},      {{2, 4, 7}, {}, "n__", pending},
        {{2, 4, 7}, {}, "nyn", lost},  {{2, 4, 7}, {}, "yy_", won},   {{2, 4, 7}, {}, "yyn", won},
        {{1, 2, 3, 4, 5, 6, 7}, {}, "yynynnn", lost},
        {{1, 2, 3, 4, 5, 6, 7}, {}, "_yy_nyn", pending},
        {{1, 2, 3, 4, 5, 6, 7}, {}, "yyny_y_", won},
        {{1}, {2}, "yn", lost},        {{1}, {2}, "ny", lost},        {{1}, {2}, "yy", won},
        {{1}, {2}, "y_", pending},     {{1, 2}, {3, 4}, "yyyn", lost},
        {{1, 2}, {3, 4}, "yyyy", won}, {{1, 2}, {1, 2}, "y_", pending},
        {{1, 2}, {2, 3}, "yyy", won},  {{1, 2}, {3, 4}, "yyn_", lost},
        {{1, 2, 3}, {2, 3, 4}, "yynn", lost},
        {{1, 2, 3}, {2, 3, 4}, "yyn_", pending},
        {{1, 2, 3}, {2, 3, 4}, "yyny", won},
    };
    for (const VoteCase& c : cases) {
        Configuration configuration = voters(c.incoming, c.outgoing);
        std::map<uint64_t, VoteAnswer> votes;
        size_t at = 0;
        for (const Member& m : configuration.members()) {
            char answer = c.answers.at(at++);
            votes[m.node.value] = answer == 'y'   ? VoteAnswer::Yes
                                  : answer == 'n' ? VoteAnswer::No
                                                  : VoteAnswer::Unknown;
        }
        CHECK(counted(configuration, votes) == c.expected);
    }
}

TEST_CASE("raft quorum: equals its definition (generated, brute force)") {
    CHECK(rc::check("commit index and votes", [] {
        Ids incoming = subset(*rc::gen::inRange<uint64_t>(0, 256));
        bool joint = *rc::gen::arbitrary<bool>();
        Ids outgoing = joint ? subset(*rc::gen::inRange<uint64_t>(0, 256)) : Ids{};
        Configuration c = voters(incoming, outgoing);
        std::map<uint64_t, uint64_t> match;
        std::map<uint64_t, VoteAnswer> votes;
        for (uint64_t id = 1; id <= 7; ++id) {
            match[id] = *rc::gen::inRange<uint64_t>(0, 6);
            votes[id] = static_cast<VoteAnswer>(*rc::gen::inRange(0, 3));
        }
        auto majority = [&](const Ids& half, auto holds) {
            size_t count = 0;
            for (uint64_t id : half) count += holds(id);
            return half.empty() || count * 2 > half.size();
        };
        uint64_t best = 0;
        for (uint64_t value = 0; value <= 6; ++value) {
            auto reached = [&](uint64_t id) { return match[id] >= value; };
            if (majority(incoming, reached) && majority(outgoing, reached)) best = value;
        }
        RC_ASSERT(committed(c, match) == best);
        // Won: whatever the silent ones say. Lost: even if they all say yes.
        auto yes = [&](uint64_t id) { return votes[id] == VoteAnswer::Yes; };
        auto possible = [&](uint64_t id) { return votes[id] != VoteAnswer::No; };
        bool won = majority(incoming, yes) && majority(outgoing, yes);
        bool open = majority(incoming, possible) && majority(outgoing, possible);
        RC_ASSERT(counted(c, votes) ==
                  (won ? VoteResult::Won : open ? VoteResult::Pending : VoteResult::Lost));
    }));
}

TEST_CASE("raft configuration: decodes what it encoded, refuses every cut and every flipped byte safely") {
    Configuration::Parts parts = voters({1, 2, 3}, {2, 3, 4}, {5, 6}).parts();
    parts.promoting = {member(6)};
    parts.lease = {Duration::millis(300), 50'000};
    parts.contacts = {{member(1), "there"}, {member(6), "elsewhere"}, {member(9), "of nobody"}};
    Configuration c = Configuration::make(parts).value();
    CHECK(c.contact(member(6)) == "elsewhere");
    CHECK(c.contacts().size() == 2);
    Bytes bytes = c.encode();
    CHECK(Configuration::decode(bytes).value() == c);
    CHECK(c.text() == "v1,v2,v3/v2,v3,v4 l5 p6 lease 300ms");
    CHECK(c.lease().lasts() < Duration::millis(285));
    CHECK(c.lease().lasts() > Duration::millis(284));
    for (size_t cut = 0; cut < bytes.size(); ++cut)
        CHECK(Configuration::decode(bytes.substr(0, cut)).failed_with(Code::Corrupt));
    CHECK(Configuration::decode(bytes + "x").failed_with(Code::Corrupt));
    for (size_t at = 0; at < bytes.size(); ++at) {
        Bytes bent = bytes;
        bent[at] = static_cast<char>(bent[at] ^ 0x41);
        auto decoded = Configuration::decode(bent);
        if (decoded.ok()) CHECK(decoded->encode() == bent);  // another valid one, in its one form
    }
    CHECK(rc::check("any bytes", [] {
        auto raw = *rc::gen::arbitrary<std::string>();
        auto decoded = Configuration::decode("\x03" + raw);
        if (decoded.ok()) RC_ASSERT(decoded->encode() == "\x03" + raw);
    }));
}

TEST_CASE("raft configuration: refuses what is none") {
    CHECK(Configuration::make(std::vector<Member>()).failed_with(Code::Invalid));
    CHECK(Configuration::make(std::vector<Member>{member(1), member(1)}).failed_with(Code::Invalid));
    CHECK(Configuration::make(std::vector<Member>{{NodeId(1), ReplicaId(0)}}).failed_with(Code::Invalid));
    CHECK(Configuration::make({member(1)}, {}, {member(1)}).failed_with(Code::Invalid));
    // Two replicas of one node: it is being replaced. Three are a mistake.
    const Member second{NodeId(1), ReplicaId(9)}, third{NodeId(1), ReplicaId(8)};
    CHECK(Configuration::make({second}, {member(1)}).value().find(NodeId(1)) == second);
    CHECK(Configuration::make({member(1)}, {}, {second}).value().find(NodeId(1)) == second);
    CHECK(Configuration::make({second}, {member(1)}, {third}).failed_with(Code::Invalid));
    CHECK(Configuration::make(Configuration::Parts{.voters = {member(1)}, .outgoing = {}, .learners = {}, .promoting = {member(2)}}).failed_with(Code::Invalid));
    CHECK(Configuration::make(Configuration::Parts{.voters = {member(1)}, .outgoing = {}, .learners = {}, .promoting = {}, .contacts = {{member(1), Bytes(2000, 'x')}}})
              .failed_with(Code::Invalid));
    for (Lease lease : {Lease{Duration{-1}, 0}, Lease{Duration::seconds(3601), 0}, Lease{Duration::seconds(1), 500'000}, Lease{Duration{}, 1}})
        CHECK(Configuration::make(Configuration::Parts{.voters = {member(1)}, .outgoing = {}, .learners = {}, .lease = lease}).failed_with(Code::Invalid));
}

TEST_CASE("raft configuration: a successor's majorities overlap with ours") {
    Configuration c = voters({1, 2, 3});
    CHECK(c.check_successor(voters({1, 2, 3, 4})).ok());
    CHECK(c.check_successor(voters({1, 2})).ok());
    CHECK(c.check_successor(voters({1, 2, 3}, {}, {4})).ok());
    CHECK(c.check_successor(voters({4, 5, 6}, {1, 2, 3})).ok());
    CHECK(c.check_successor(voters({1, 2, 4})).failed_with(Code::Invalid));
    CHECK(c.check_successor(voters({4, 5}, {1, 2})).failed_with(Code::Invalid));
    Configuration joint = voters({4, 5, 6}, {1, 2, 3});
    CHECK(joint.check_successor(voters({4, 5, 6})).ok());
    CHECK(joint.check_successor(voters({4, 5})).failed_with(Code::Invalid));
    CHECK(joint.check_successor(voters({4, 5, 6}, {4, 5, 6})).failed_with(Code::Invalid));
}

}  // namespace orrery::raft::script
