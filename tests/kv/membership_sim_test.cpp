// Members of a KV group in a simulated world, changed as an operator does, through the rpc: growing, shrinking, replacing,
// refusals, removed nodes, strangers. Faults at random instants are the scenarios' matter (scenarios/swarm/kv-members.toml).
#include "node/raft/operate_members.h"

#include "tests/kv/kv_world.h"
#include "tests/spoil_log.h"

using namespace orrery;
using namespace orrery::sim;
using namespace orrery::test;

namespace {

Address peer(size_t number) { return {"n" + std::to_string(number), 7100}; }

/// What an operator gets for one command; the error's text where it is refused.
std::string add(KvWorld& world, size_t number, raft::AddAs as = raft::AddAs::Voter, size_t at = 1, Duration limit = Duration::seconds(15)) {
    std::string said;
    world.errand([&](Fiber& fiber, Env& env) {
        auto done = raft::add_member(fiber, env, {{peer(at)}, kv::kKvGroup}, peer(number), as, env.now() + limit, {});
        said = done.ok() ? std::string(wire::member_role_name(done->role)) : done.error().text();
    }, Duration::seconds(40));
    return said;
}

std::string change(KvWorld& world, wire::ChangeAction action, uint64_t node, size_t at = 1, Duration limit = Duration::seconds(10)) {
    std::string said;
    world.errand([&](Fiber& fiber, Env& env) {
        wire::GroupChange change;
        change.action = action;
        change.identity.node = NodeId(node);
        auto done = raft::change_members(fiber, env, {{peer(at)}, kv::kKvGroup}, change, env.now() + limit);
        said = done.ok() ? (done->changed ? "done" : "already") : done.error().text();
    }, Duration::seconds(40));
    return said;
}

std::string remove(KvWorld& world, uint64_t node, size_t at = 1) { return change(world, wire::ChangeAction::Remove, node, at); }

std::string members(KvWorld& world, size_t at = 1) {
    std::string text;
    world.errand([&](Fiber& fiber, Env& env) {
        auto reply = raft::ask_members(fiber, env, {{peer(at)}, kv::kKvGroup}, env.now() + Duration::seconds(5));
        if (!reply.ok()) text = reply.error().text();
        for (size_t i = 0; reply.ok() && i < reply->members.size(); ++i)
            text += (i > 0 ? " " : "") + std::to_string(reply->members[i].node.value) + ":" + std::string(wire::member_role_name(reply->members[i].role));
    }, Duration::seconds(40));
    return text;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void expect_strangers(KvWorld& world) {
    for (Host* node : world.nodes)
        for (const char* name : {"rpc.handshake_refused", "rpc.connect_failed"}) node->expect_error(name);
}

}  // namespace

TEST_CASE("kv members: a group of one grows to five and shrinks to one, and every write is there") {
    KvWorld world(11, 5, 1);
    world.found();
    REQUIRE(world.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    for (size_t i = 2; i <= 5; ++i) {
        CHECK(add(world, i) == "voter");
        REQUIRE(world.ask("n" + std::to_string(i), "INCR a\r\n") == ":" + std::to_string(i) + "\r\n");
        CHECK(world.ask("n1", "WAITALL 3000\r\n") == "*3\r\n:" + std::to_string(i) + "\r\n:" + std::to_string(i) + "\r\n*0\r\n");
    }
    CHECK(members(world, 4) == "1:voter 2:voter 3:voter 4:voter 5:voter");
    CHECK(add(world, 3) == "voter");  // repeating it is harmless
    for (size_t i = 1; i <= 4; ++i) CHECK(remove(world, i, 5) == "done");
    CHECK(remove(world, 3, 5) == "already");
    CHECK(members(world, 5) == "5:voter");
    CHECK(world.ask("n5", "INCR a\r\n") == ":6\r\n");
    CHECK(contains(remove(world, 5, 5), "the last voter"));
}

TEST_CASE("kv members: a removed node says so to clients and operators, and still does after a restart") {
    KvWorld world(12, 3, 3);
    world.found();
    REQUIRE(world.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    CHECK(remove(world, 3) == "done");
    world.run(Duration::seconds(2));
    for (int life = 0; life < 2; ++life) {
        const std::string refused = world.ask("n3", "GET a\r\n");
        CHECK_MESSAGE(contains(refused, "-CLUSTERDOWN this node was removed from the cluster"), refused);
        CHECK(world.node(2)->group()->core().removed());
        CHECK(world.node(2)->group()->core().next_deadline() == Instant::never());
        world.nodes[2]->crash(Host::Death::Power);
        world.start(2);
        world.run(Duration::seconds(2));
    }
    CHECK(world.ask("n1", "GET a\r\nWAITALL 2000\r\n") == "$1\r\n1\r\n*3\r\n:2\r\n:2\r\n*0\r\n");
    // It comes back only with an empty directory.
    CHECK(contains(add(world, 3), "was removed from this one; wipe its data directory first"));
    world.nodes[2]->crash(Host::Death::Power);
    world.nodes[2]->disk().wipe();
    world.start(2);
    CHECK(add(world, 3) == "voter");
    CHECK(world.ask("n3", "GET a\r\n") == "$1\r\n1\r\n");
}

TEST_CASE("kv members: a node that missed its removal learns of it from others, and disturbs nobody") {
    KvWorld world(13, 4, 4);
    world.found();
    world.nodes[3]->crash(Host::Death::Power);
    CHECK(remove(world, 4) == "done");
    world.run(Duration::seconds(10));
    const Term term = world.leader_group()->core().term();
    world.start(3);
    world.run(Duration::seconds(15));
    CHECK(world.leader_group()->core().term() == term);
    CHECK_FALSE(world.node(3)->group()->core().removed());
    CHECK(contains(world.ask("n4", "GET a\r\n"), "says that this node was removed"));
}

TEST_CASE("kv members: a removed leader hands over, and nobody notices but by the leader's name") {
    KvWorld world(14, 3, 3);
    world.found();
    const uint64_t leader = world.leader_group()->self().node.value;
    const uint64_t other = leader % 3 + 1;
    CHECK(remove(world, leader, other) == "done");
    CHECK(world.ask("n" + std::to_string(other), "SET a 1\r\nWAITALL 3000\r\n") == "+OK\r\n*3\r\n:2\r\n:2\r\n*0\r\n");
    CHECK(world.leader_group()->self().node.value != leader);
}

TEST_CASE("kv members: a wiped node is replaced under its own id, and its old acknowledgements count no more") {
    KvWorld world(15, 3, 3);
    world.found();
    expect_strangers(world);
    REQUIRE(world.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    world.nodes[2]->crash(Host::Death::Power);
    world.nodes[2]->disk().wipe();
    world.start(2);
    world.run(Duration::seconds(2));
    CHECK(add(world, 3, raft::AddAs::Voter, 1) == "voter");
    CHECK(members(world) == "1:voter 2:voter 3:voter");
    CHECK(world.ask("n3", "GET a\r\n") == "$1\r\n1\r\n");
    CHECK(world.ask("n1", "SET a 2\r\nWAITALL 3000\r\n") == "+OK\r\n*3\r\n:3\r\n:3\r\n*0\r\n");
    // The group stands on the new one alone, if need be.
    world.nodes[0]->crash(Host::Death::Power);
    world.run(Duration::seconds(3));
    CHECK(world.ask("n2", "GET a\r\n") == "$1\r\n2\r\n");
}

TEST_CASE("kv members: while a replacement is held up the old majority stands, and a crash of the leader changes nothing") {
    KvWorld world(16, 4, 4);
    world.found();
    expect_strangers(world);
    world.nodes[3]->crash(Host::Death::Power);
    world.nodes[3]->disk().wipe();
    world.start(3);
    world.run(Duration::seconds(1));
    // Named, and gone again before it was invited.
    std::string said;
    world.errand([&](Fiber& fiber, Env& env) {
        auto there = raft::ask_identity(fiber, env, peer(4), env.now() + Duration::seconds(5));
        REQUIRE(there.ok());
        world.nodes[3]->crash(Host::Death::Power);
        wire::GroupChange change{wire::ChangeAction::AddVoter, there->identity};
        auto done = raft::change_members(fiber, env, {{peer(1)}, kv::kKvGroup}, change, env.now() + Duration::seconds(5));
        said = done.ok() ? "done" : done.error().text();
    });
    CHECK(said == "done");
    const std::string between = members(world);
    CHECK(contains(between, "1:voter 2:voter 3:voter 4:"));
    CHECK(contains(between, "4:promoting"));
    CHECK(contains(between, "4:replaced"));
    world.leader_host()->crash(Host::Death::Power);
    world.run(Duration::seconds(3));
    // Two of four voters are no majority, whatever the learner is.
    CHECK(world.leader_group() == nullptr);
    for (size_t i = 0; i < 4; ++i)
        if (!world.nodes[i]->up()) world.start(i);
    world.run(Duration::seconds(10));
    CHECK(members(world, 2) == "1:voter 2:voter 3:voter 4:voter");
}

TEST_CASE("kv members: a removal that would leave no majority in touch is refused, with the way out") {
    KvWorld world(17, 3, 3);
    world.found();
    world.nodes[2]->crash(Host::Death::Power);
    world.run(Duration::seconds(3));
    const std::string refused = remove(world, 2);
    CHECK_MESSAGE(contains(refused, "would leave no majority in touch: no answer from node 3"), refused);
    CHECK(members(world) == "1:voter 2:voter 3:voter");
    CHECK(remove(world, 3) == "done");  // the dead one may go
    CHECK(members(world) == "1:voter 2:voter");
    CHECK(contains(remove(world, 7), "already"));
}

TEST_CASE("kv members: a learner receives everything, counts for nothing, and is promoted by being added again") {
    KvWorld world(18, 3, 2);
    world.found();
    CHECK(add(world, 3, raft::AddAs::Learner) == "learner");
    CHECK(world.ask("n1", "SET a 1\r\nWAITALL 2000\r\n") == "+OK\r\n*3\r\n:2\r\n:2\r\n*0\r\n");
    world.run(Duration::seconds(1));
    CHECK(world.node(2)->group()->applied() == world.leader_group()->applied());
    CHECK(add(world, 3) == "voter");
    CHECK(members(world) == "1:voter 2:voter 3:voter");
    CHECK(contains(add(world, 3, raft::AddAs::Learner), "is a voter and cannot become a learner"));
}

TEST_CASE("kv members: leadership goes where the operator says") {
    KvWorld world(19, 3, 3);
    world.found();
    const uint64_t to = world.leader_group()->self().node.value % 3 + 1;
    CHECK(change(world, wire::ChangeAction::Transfer, to, to) == "done");
    world.run(Duration::seconds(1));
    CHECK(world.leader_group()->self().node.value == to);
    CHECK(change(world, wire::ChangeAction::Transfer, to) == "already");
    CHECK(contains(change(world, wire::ChangeAction::Transfer, 9), "not another voter"));
}

TEST_CASE("kv members: a joined node behind the log's floor gets a snapshot, and keeps its membership through a restart") {
    KvWorld world(20, 4, 3, 256 << 10);
    world.found();
    for (int i = 0; i < 60; ++i) REQUIRE(world.ask("n1", "SET k" + std::to_string(i) + " " + std::string(20'000, 'y') + "\r\n") == "+OK\r\n");
    world.run(Duration::seconds(3));
    REQUIRE(world.leader_group()->core().log().floor().index > LogIndex(1));
    CHECK(add(world, 4) == "voter");
    CHECK(world.node(3)->group()->space()->generation > Generation(1));
    for (size_t i = 0; i < 4; ++i) world.nodes[i]->crash(Host::Death::Power);
    for (size_t i = 0; i < 4; ++i) world.start(i);
    world.run(Duration::seconds(5));
    CHECK(world.ask("n4", "DBSIZE\r\nWAITALL 3000\r\n") == ":60\r\n*3\r\n:4\r\n:4\r\n*0\r\n");
}

TEST_CASE("kv members: a voter that was away finds leaders that joined meanwhile, and old lives in a log mislead nobody") {
    KvWorld world(22, 5, 3);
    world.found();
    expect_strangers(world);
    REQUIRE(world.ask("n1", "SET a 1\r\n") == "+OK\r\n");
    world.nodes[2]->crash(Host::Death::Power);  // away, with a configuration that knows 1, 2 and 3
    for (size_t i : {4, 5}) REQUIRE(add(world, i) == "voter");
    // The founders that it knows are replaced by new lives, one after the other, and may not lead.
    for (size_t i : {1, 2}) {
        world.nodes[i - 1]->crash(Host::Death::Power);
        world.nodes[i - 1]->disk().wipe();
        world.run(Duration::seconds(2));
        world.start(i - 1);
        CHECK(add(world, i, raft::AddAs::Voter, 4, Duration::seconds(30)) == "voter");
    }
    CHECK(change(world, wire::ChangeAction::Transfer, 5, 4) != "");
    world.start(2);
    world.run(Duration::seconds(10));
    CHECK(world.ask("n3", "SET a 2\r\nWAITALL 5000\r\n") == "+OK\r\n*3\r\n:5\r\n:5\r\n*0\r\n");
}

TEST_CASE("kv members: two clusters on one network stay apart") {
    KvWorld world(21, 4, 2);
    world.found();
    world.errand([&](Fiber& fiber, Env& env) {
        REQUIRE(raft::found_cluster(fiber, env, {peer(3), peer(4)}, env.now() + Duration::seconds(10)).ok());
    });
    world.run(Duration::seconds(3));
    REQUIRE(world.ask("n3", "SET a other\r\n") == "+OK\r\n");
    CHECK(contains(add(world, 3), "belongs to another cluster"));
    // A leader that names it all the same finds no way in.
    expect_strangers(world);
    std::string said;
    world.errand([&](Fiber& fiber, Env& env) {
        auto there = raft::ask_identity(fiber, env, peer(3), env.now() + Duration::seconds(5));
        REQUIRE(there.ok());
        auto done = raft::change_members(fiber, env, {{peer(1)}, kv::kKvGroup}, {wire::ChangeAction::AddVoter, there->identity}, env.now() + Duration::seconds(5));
        said = done.ok() ? "done" : done.error().text();
    });
    CHECK(said == "done");
    world.run(Duration::seconds(5));
    CHECK(members(world) == "1:voter 2:voter 3:promoting");
    CHECK(world.ask("n3", "GET a\r\n") == "$5\r\nother\r\n");
    CHECK(world.ask("n1", "GET a\r\n") == "$-1\r\n");
    CHECK(remove(world, 3) == "done");
}

TEST_CASE("kv members: a change survives the crash of any node at any of its steps (each disk operation of the leader)") {
    // The leader loses power at its n-th changing disk operation after the operator's word; the change is done all the same.
    for (uint64_t nth = 1; nth <= 40; nth += 3) {
        KvWorld world(100 + nth, 4, 3);
        world.found();
        REQUIRE(world.ask("n1", "SET a 1\r\n") == "+OK\r\n");
        Host* leader = world.leader_host();
        leader->disk().crash_at_operation(nth, [&](const DiskOperation& operation) {
            world.world.at(operation.at, [leader] {
                if (leader->up()) leader->crash(Host::Death::Power);
            });
        });
        world.world.at(world.world.now() + Duration::seconds(6), [&world, leader] {
            if (!leader->up()) world.start(leader->index());
        });
        const size_t at = leader->index() == 0 ? 2 : 1;
        CHECK(add(world, 4, raft::AddAs::Voter, at, Duration::seconds(30)) == "voter");
        world.run(Duration::seconds(6));
        leader->disk().disarm_all();  // of a number that the change did not reach
        INFO("nth " << nth << " leader " << leader->name());
        CHECK(world.ask("n4", "GET a\r\nINCR a\r\nWAITALL 5000\r\n") == "$1\r\n1\r\n:2\r\n*3\r\n:4\r\n:4\r\n*0\r\n");
        CHECK(members(world, at) == "1:voter 2:voter 3:voter 4:voter");
    }
}

TEST_CASE("kv members: who lost entries that its Store has, those of a change among them, still knows the members of now") {
    KvWorld world(31, 4, 3);
    world.found();
    // A member that is away keeps the floor of the others where it was, below the change.
    world.nodes[2]->crash(Host::Death::Power);
    CHECK(add(world, 4) == "voter");
    REQUIRE(world.ask("n1", "SET a spoilt-entry\r\nSET b 2\r\nWAIT 2 3000\r\n") == "+OK\r\n+OK\r\n:2\r\n");
    const size_t at = world.leader_host()->index() == 1 ? 0 : 1;
    REQUIRE(world.node(at)->host()->store().request_flush().ok());
    world.run(Duration::seconds(2));
    const LogIndex change = world.node(at)->group()->core().log().configuration_index();
    REQUIRE(world.node(at)->group()->core().log().floor().index < change);
    Host& node = *world.nodes[at];
    node.crash(Host::Death::Power);
    REQUIRE(spoil_log(node, "spoilt-entry"));
    world.start(at);
    world.run(Duration::seconds(3));
    REQUIRE(world.node(at)->group() != nullptr);
    CHECK(world.node(at)->group()->core().log().floor().index > change);  // moved above the damage, and so above the change
    CHECK(world.node(at)->group()->status().configuration.text() == "v1,v2,v3,v4");
    CHECK(world.ask(node.name(), "GET a\r\n") == "$12\r\nspoilt-entry\r\n");
}

TEST_CASE("kv leases: a leader reads alone while members are in touch, and asks, or refuses, once it is cut off for longer than they promised") {
    KvWorld world(31, 3, 3);
    world.found();
    CHECK(change(world, wire::ChangeAction::LeasesOn, 0) == "done");
    CHECK(change(world, wire::ChangeAction::LeasesOn, 0) == "already");
    world.run(Duration::seconds(1));
    Host* leader = world.leader_host();
    REQUIRE(leader != nullptr);
    const kv::KvService::Counters& counters = world.node(leader->index())->service()->counters();
    REQUIRE(world.ask(leader->name(), "SET a old\r\n") == "+OK\r\n");
    const uint64_t before = counters.lease_reads;
    CHECK(world.ask(leader->name(), "GET a\r\nGET a\r\nGET a\r\n") == "$3\r\nold\r\n$3\r\nold\r\n$3\r\nold\r\n");
    CHECK(counters.lease_reads == before + 3);
    // Another node forwards, and the leader answers that alone as well.
    Host* other = world.nodes[(leader->index() + 1) % 3];
    CHECK(world.ask(other->name(), "GET a\r\n") == "$3\r\nold\r\n");
    CHECK(counters.lease_reads == before + 4);

    for (Host* member : world.nodes) {
        if (member == leader) continue;
        world.world.net().cut(leader->endpoint(), member->endpoint());
        world.world.net().cut(member->endpoint(), leader->endpoint());
    }
    world.run(Duration::seconds(3));
    REQUIRE(world.ask(other->name(), "SET a new\r\n") == "+OK\r\n");
    const std::string alone = world.ask(leader->name(), "GET a\r\n");
    CHECK_MESSAGE(!contains(alone, "old"), alone);
    CHECK(counters.lease_reads == before + 4);
}

TEST_CASE("kv leases: after a leadership transfer the old leader has none, and the new one takes it up") {
    KvWorld world(32, 3, 3);
    world.found();
    CHECK(change(world, wire::ChangeAction::LeasesOn, 0) == "done");
    world.run(Duration::seconds(1));
    const size_t old = world.leader_host()->index();
    const uint64_t next = (old + 1) % 3 + 1;
    CHECK(change(world, wire::ChangeAction::Transfer, next) == "done");
    CHECK_FALSE(world.node(old)->group()->lease_term().has_value());
    world.run(Duration::seconds(1));
    raft::Group* group = world.leader_group();
    REQUIRE(group != nullptr);
    CHECK(group->self().node.value == next);
    REQUIRE(group->lease_term().has_value());
    CHECK(group->lease_vouches(*group->lease_term()));
}
