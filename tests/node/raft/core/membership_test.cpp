// Changing members: the pure steps, what a core does in and after a joint configuration, and random schedules in which
// members are added, replaced and removed all the time. The second half plants defects and demands that they are found.
#include "node/raft/core/membership.h"
#include "runtime/base/defect.h"
#include "tools/raft_script/cluster.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

namespace orrery::raft::script {
namespace {

Member life(uint64_t node, uint64_t replica) { return {NodeId(node), ReplicaId(replica)}; }

Configuration taken(Result<std::optional<Configuration>> made) {
    REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().text()));
    REQUIRE(made->has_value());
    return **made;
}

constexpr auto always = [](Member) { return true; };
constexpr auto never = [](Member) { return false; };

/// What a driver does on the leader: promotes, ends joint configurations.
void advance(Cluster& cluster) {
    const uint64_t leads = cluster.leader();
    if (leads == 0 || !cluster[leads].may_change_members()) return;
    const Status status = cluster[leads].status(cluster.now());
    auto next = next_step(status.configuration, [&](Member member) {
        for (const MemberStatus& line : status.members)
            if (line.member == member) return line.active && line.match + 3 >= status.commit;
        return false;
    });
    if (!next) return;
    (void)cluster[leads].propose_configuration(cluster.now(), *next);
    cluster.pump(leads);
}

/// All up, healed, disks released: a leader comes, and a proposal is applied on every member. Empty: yes.
std::string converges(Cluster& cluster) {
    cluster.heal();
    for (const auto& [id, replica] : cluster.replicas()) {
        if (!cluster.up(id)) cluster.restart(id);
        cluster.release(id);
    }
    cluster.run(Duration::seconds(15));
    if (!cluster.violation().empty()) return cluster.violation();
    const uint64_t leads = cluster.leader();
    if (leads == 0) return "no leader after everything healed";
    auto index = cluster.propose(leads, "last");
    if (!index.ok()) return "proposal refused at rest: " + index.error().text();
    cluster.run(Duration::seconds(1));
    for (const auto& [id, replica] : cluster.replicas())
        if (cluster[leads].log().configuration().is_member(replica.self) &&
            (cluster[id].applied_index() < *index || cluster[id].log().last() != cluster[leads].log().last()))
            return "node " + std::to_string(id) + " has not caught up";
    return cluster.violation();
}

void settle_members(Cluster& cluster) {
    for (int i = 0; i < 300 && cluster.violation().empty(); ++i) {
        cluster.run(Duration::millis(100));
        advance(cluster);
        const uint64_t leads = cluster.leader();
        if (i > 40 && leads != 0 && cluster[leads].may_change_members() && !cluster[leads].log().configuration().joint() &&
            cluster[leads].log().configuration().promoting().empty())
            return;
    }
}

bool propose(Cluster& cluster, Result<std::optional<Configuration>> next) {
    const uint64_t leads = cluster.leader();
    if (leads == 0 || !next.ok() || !*next || !cluster[leads].may_change_members()) return false;
    const bool taken = cluster[leads].propose_configuration(cluster.now(), **next).ok();
    cluster.pump(leads);
    return taken;
}

const Configuration& in_force(Cluster& cluster) { return cluster[cluster.leader()].log().configuration(); }

/// Members 1..nodes come and go at random between everything else that can happen. Empty: the invariants held.
enum class Until : uint8_t { Rest, Violation };
std::string run_changes(uint64_t seed, size_t nodes, Until until = Until::Rest, bool change_again = false) {
    RandomStream draws(seed, "raft.core.members", 0);
    Options options = default_options();
    // Both stay on: whoever missed its removal would unseat leaders for ever without them.
    options.pre_vote = options.check_quorum = true;
    options.max_append_entries = draws.chance(0.3) ? 1 : 4;
    Cluster cluster(nodes, voters({1, 2, 3}), options);
    uint64_t serial = 0;
    for (int step = 0; step < 500 && cluster.violation().empty(); ++step) {
        const uint64_t id = 1 + draws.below(nodes);
        const uint64_t kind = draws.below(100), leads = cluster.leader();
        auto& queue = cluster.queue();
        if (kind < 45) {
            for (uint64_t i = 0; i < 1 + draws.below(5); ++i) cluster.deliver(draws.chance(0.9) || queue.empty() ? 0 : draws.below(queue.size()));
        } else if (kind < 48) {
            if (!queue.empty()) cluster.drop(draws.below(queue.size()));
        } else if (kind < 56) {
            if (leads != 0) (void)cluster.propose(leads, "e" + std::to_string(++serial));
        } else if (kind < 66) {
            cluster.pass(Duration::millis(50 * (1 + static_cast<int64_t>(draws.below(20)))));
        } else if (kind < 69) {
            if (cluster.up(id)) cluster.timeout(id);
        } else if (kind < 72) {
            cluster.crash(id, draws.below(4));
        } else if (kind < 78) {
            cluster.restart(id);
        } else if (kind < 81) {
            if (cluster.at(id).hold) cluster.release(id);
            else cluster.hold(id);
        } else if (kind < 84) {
            cluster.cut_off(id);
        } else if (kind < 87) {
            cluster.heal();
        } else if (kind < 93) {
            advance(cluster);
        } else if (leads != 0) {
            const Configuration now = in_force(cluster);
            if (change_again) {  // one voter more or less, whatever is under way
                std::vector<Member> next = now.voters();
                if (std::erase(next, member(id)) == 0) next.push_back(member(id));
                if (auto made = Configuration::make(next); made.ok()) (void)cluster[leads].propose_configuration(cluster.now(), *made);
                cluster.pump(leads);
                continue;
            }
            if (draws.chance(0.2)) {  // the leader itself
                (void)propose(cluster, without_node(now, NodeId(leads)));
                continue;
            }
            (void)propose(cluster, draws.chance(0.5) ? with_member(now, member(id), AddAs::Voter, "") : without_node(now, NodeId(id)));
        }
        while (queue.size() > 80) cluster.drop(0);
    }
    if (!cluster.violation().empty() || until == Until::Violation) return cluster.violation();
    cluster.heal();
    for (uint64_t id = 1; id <= nodes; ++id) {
        cluster.restart(id);
        cluster.release(id);
    }
    settle_members(cluster);
    if (!cluster.violation().empty()) return cluster.violation();
    if (cluster.leader() == 0) {
        std::string text = "no leader after everything healed:";
        for (uint64_t id = 1; id <= nodes; ++id)
            text += " n" + std::to_string(id) + " " + std::string(role_name(cluster[id].role())) + " term " + std::to_string(cluster[id].term().value) +
                    " last " + std::to_string(cluster[id].log().last().index.value) + "/" + std::to_string(cluster[id].log().last().term.value) +
                    " commit " + std::to_string(cluster[id].commit().value) + " applied " + std::to_string(cluster[id].applied_index().value) + " [" +
                    cluster[id].log().configuration().text() + "]";
        return text;
    }
    if (in_force(cluster).joint()) return "a joint configuration was never ended";
    if (!in_force(cluster).promoting().empty()) return "a learner was never promoted";
    return converges(cluster);
}

}  // namespace

TEST_CASE("raft members: a node is added as a learner that is to be promoted, and promoted through a joint configuration") {
    const Configuration start = voters({1});
    const Configuration named = taken(with_member(start, member(2), AddAs::Voter, "there"));
    CHECK(named.text() == "v1 p2");
    CHECK(named.contact(member(2)) == "there");
    CHECK(named.quorum_value([](Member m) -> uint64_t { return m == member(1) ? 9 : 0; }) == 9);
    CHECK_FALSE(next_step(named, never).has_value());
    const std::optional<Configuration> joint = next_step(named, always);
    REQUIRE(joint.has_value());
    CHECK(joint->text() == "v1,v2/v1");
    CHECK(joint->contact(member(2)) == "there");
    const std::optional<Configuration> out = next_step(*joint, never);
    REQUIRE(out.has_value());
    CHECK(out->text() == "v1,v2");
    CHECK_FALSE(next_step(*out, always).has_value());
    CHECK_FALSE(with_member(*out, member(2), AddAs::Voter, "there").value().has_value());
    CHECK(with_member(*joint, member(3), AddAs::Voter, "").failed_with(Code::NotReady));
    for (const Configuration& one : {named, *joint, *out}) CHECK(Configuration::decode(one.encode()).value() == one);
}

TEST_CASE("raft members: a node that comes back as another replica takes the old one's place, and no majority gets smaller") {
    const Configuration start = voters({1, 2, 3, 4});
    const Member again = life(4, 999);
    const Configuration named = taken(with_member(start, again, AddAs::Voter, ""));
    CHECK(named.is_voter(member(4)));
    CHECK_FALSE(named.is_member(member(4)));  // nobody talks to it any more
    CHECK(named.is_member(again));
    auto three_of_four = [&](Member m) -> uint64_t { return m != again && m != member(4); };
    auto two_and_the_new = [&](Member m) -> uint64_t { return m == member(1) || m == member(2) || m == again; };
    CHECK(named.quorum_value(three_of_four) == 1);
    CHECK(named.quorum_value(two_and_the_new) == 0);  // a learner counts for nothing
    const Configuration joint = *next_step(named, always);
    CHECK(joint.quorum_value(two_and_the_new) == 0);  // the old half still needs three of its own
    CHECK(joint.quorum_value([&](Member m) -> uint64_t { return m != member(4); }) == 1);
    const Configuration out = *next_step(joint, never);
    CHECK_FALSE(out.names(member(4)));
    CHECK(out.voters().size() == 4);
    CHECK(Configuration::decode(joint.encode()).value() == joint);
}

TEST_CASE("raft members: the last voter is not removed, and a voter does not become a learner") {
    CHECK(without_node(voters({1}), NodeId(1)).failed_with(Code::Invalid));
    CHECK_FALSE(without_node(voters({1}), NodeId(2)).value().has_value());
    CHECK(with_member(voters({1, 2}), member(2), AddAs::Learner, "").failed_with(Code::Invalid));
    CHECK(taken(without_node(voters({1, 2}, {}, {3}), NodeId(3))).text() == "v1,v2");
    CHECK(taken(without_node(voters({1, 2, 3}), NodeId(3))).text() == "v1,v2/v1,v2,v3");
}

TEST_CASE("raft members: a group grows from one to three and shrinks again, whoever asks for nothing but the first step") {
    Cluster c(3, voters({1}));
    c.at(2).disk.floor.configuration = c.at(3).disk.floor.configuration = Configuration();
    for (uint64_t id : {2, 3}) c.crash(id), c.restart(id);
    c.timeout(1);
    settle_members(c);
    for (uint64_t id : {2, 3}) {
        REQUIRE(propose(c, with_member(in_force(c), member(id), AddAs::Voter, "")));
        settle_members(c);
    }
    CHECK(in_force(c).text() == "v1,v2,v3");
    CHECK(converges(c) == "");
    for (uint64_t id : {3, 2}) {
        REQUIRE(propose(c, without_node(in_force(c), NodeId(id))));
        settle_members(c);
        CHECK(c[id].removed());
        CHECK_FALSE(c[1].removed());
    }
    CHECK(in_force(c).text() == "v1");
    CHECK(c.violation() == "");
}

TEST_CASE("raft members: a leader that is removed steps down after the commit and calls its successor at once") {
    Cluster c(3, voters({1, 2, 3}));
    c.timeout(1);
    c.settle();
    REQUIRE(propose(c, without_node(in_force(c), NodeId(1))));
    c.settle();
    advance(c);
    c.settle();
    CHECK(c[1].removed());
    CHECK(c[1].role() == Role::Follower);
    CHECK(c[1].next_deadline() == Instant::never());
    REQUIRE(c.leader() != 0);  // no time has passed
    CHECK(c.leader() != 1);
    c.compact(1, c[1].applied_index());  // the driver flushes what it knows of this
    c.crash(1);
    c.restart(1);
    CHECK(c[1].removed());
    c.timeout(1);
    c.settle();
    CHECK(c[1].role() == Role::Follower);
    CHECK(c.violation() == "");
}

TEST_CASE("raft members: a leader whose own removal reached nobody can still be elected, since nobody else can") {
    Cluster c(2, voters({1, 2}));
    c.timeout(1);
    c.settle();
    REQUIRE(propose(c, without_node(in_force(c), NodeId(1))));
    c.settle();
    REQUIRE(in_force(c).joint());
    c.cut(1, 2);
    advance(c);
    CHECK(c[1].log().configuration().text() == "v2");
    CHECK(c[2].log().configuration().text() == "v2/v1,v2");
    c.run(Duration::seconds(5));  // it hears nobody and steps down
    c.heal();
    settle_members(c);
    CHECK(c.leader() == 2);
    CHECK(in_force(c).text() == "v2");
    CHECK(c[1].removed());
    CHECK(c.violation() == "");
}

TEST_CASE("raft members: a leader that removes itself does not count its own disk for that (defect: it does)") {
    for (bool defect : {false, true}) {
        Cluster c(3, voters({1, 2, 3}));
        c.timeout(1);
        c.settle();
        REQUIRE(propose(c, without_node(in_force(c), NodeId(1))));
        c.settle();
        REQUIRE(in_force(c).joint());
        c.cut_off(3);
        if (defect) set_defects(only(Defect::removed_leader_counts));
        advance(c);
        c.settle();
        set_defects({});
        CHECK(c[1].removed() == defect);
        if (!defect) CHECK(c.violation() == "");  // with it: out, by a majority that is none
    }
}

TEST_CASE("raft members: what the new replica of a node holds is not told of the old one (defect: it is)") {
    Cluster c(4, voters({1, 2, 3, 4}));
    c.timeout(1);
    c.settle();
    c.crash(4);
    const Member again = life(4, 999);
    c.at(4).self = c.at(4).options.self = again;
    c.at(4).disk = {};
    c.restart(4);
    REQUIRE(propose(c, with_member(in_force(c), again, AddAs::Voter, "")));
    c.run(Duration::millis(500));
    for (bool defect : {false, true}) {
        if (defect) set_defects(only(Defect::wait_counts_replaced));
        const Status status = c[1].status(c.now());
        set_defects({});
        for (const MemberStatus& line : status.members) {
            if (line.member == again) CHECK(line.match > LogIndex(1));
            if (line.member == member(4)) CHECK((line.match > LogIndex(0)) == defect);
        }
    }
    settle_members(c);
    CHECK_FALSE(in_force(c).names(member(4)));
    CHECK(in_force(c).is_voter(again));
}

TEST_CASE("raft members: a node that missed its removal asks for votes in vain and unseats nobody") {
    Cluster c(4, voters({1, 2, 3, 4}));
    c.timeout(1);
    c.settle();
    c.cut_off(4);
    REQUIRE(propose(c, without_node(in_force(c), NodeId(4))));
    settle_members(c);
    CHECK(in_force(c).text() == "v1,v2,v3");
    const Term term = c[1].term();
    c.run(Duration::seconds(30));  // it is told no more
    c.heal();
    for (int i = 0; i < 10; ++i) {
        c.timeout(4);
        c.run(Duration::millis(300));
    }
    CHECK(c.leader() == 1);
    CHECK(c[1].term() == term);
    CHECK_FALSE(c[4].removed());  // it was not in its log: nothing is destroyed on hearsay
}

TEST_CASE("raft members: a replica that joins takes no older configuration of its log for its removal") {
    Cluster c(3, voters({1, 2}));
    c.timeout(1);
    c.settle();
    // A change that does not name node 3 yet, so that its log begins with one.
    REQUIRE(propose(c, with_member(in_force(c), member(2), AddAs::Voter, "moved")));
    c.settle();
    c.crash(3);
    c.at(3).disk.floor.configuration = Configuration();
    c.at(3).options.member_since = c[1].log().last().index.next();
    c.restart(3);
    REQUIRE(propose(c, with_member(in_force(c), member(3), AddAs::Voter, "")));
    for (int i = 0; i < 200 && !c.queue().empty(); ++i) {
        c.deliver(0);
        CHECK_FALSE(c[3].removed());
    }
    settle_members(c);
    CHECK(in_force(c).text() == "v1,v2,v3");
}

TEST_CASE("raft members: random schedules with members that come and go keep every invariant") {
    for (uint64_t seed = 1; seed <= test::seeds(1500); ++seed) {
        const std::string violation = run_changes(seed, seed % 2 ? 4 : 5);
        REQUIRE_MESSAGE(violation == "", "seed " << seed);
    }
}

TEST_CASE("raft members: each seeded defect of changing members is found by the random schedules") {
    if (test::kSanitized) return;
    for (Defect defect : {Defect::joint_counts_new_only, Defect::learner_counts, Defect::change_over_pending}) {
        set_defects(only(defect));
        std::string violation;
        uint64_t cases = 0;
        for (uint64_t seed = 1; seed <= 4000 && violation.empty(); ++seed, ++cases)
            violation = run_changes(seed, seed % 2 ? 4 : 5, Until::Violation, defect == Defect::change_over_pending);
        set_defects({});
        MESSAGE(kDefects[static_cast<size_t>(defect)].name << ": " << cases << " cases: " << violation);
        CHECK(!violation.empty());
    }
}

}  // namespace orrery::raft::script
