// Damage of one node of a KV group, and what it does about it by itself: a damaged Store is set aside and its state comes from
// the others; a replica whose log lost its promises ends, and the node comes back as another one. Faults at random instants are
// the scenarios' matter (scenarios/swarm/kv-rot.toml).
#include "node/raft/operate_members.h"

#include "tests/kv/kv_world.h"
#include "tests/spoil_log.h"
#include "tests/sanitized.h"

using namespace orrery;
using namespace orrery::sim;
using namespace orrery::test;

namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void expect_damage(KvWorld& world) {
    for (Host* node : world.nodes)
        for (const char* name : {"rpc.handshake_refused", "rpc.connect_failed", "log.damaged", "replica.retired", "store.damaged", "store.set_aside",
                                 "process.failed", "raft.group_stopped"})
            node->expect_error(name);
}

/// Three nodes with some writes in them; the log keeps little, and `follower` does not lead.
struct Damaged : KvWorld {
    size_t follower = 0;
    Damaged(uint64_t seed, size_t count = 3, uint64_t retain = 4 << 10) : KvWorld(seed, count, count, retain) {
        found();
        expect_damage(*this);
        write(30);
        while (count > 1 && &leader() == nodes[follower]) ++follower;
    }
    Host& leader() {
        for (int tries = 0; leader_host() == nullptr && tries < 50; ++tries) run(Duration::millis(200));
        REQUIRE(leader_host() != nullptr);
        return *leader_host();
    }
    void write(int count) {
        for (int i = 0; i < count; ++i) {
            std::string sets;
            for (int k = 0; k < 8; ++k) sets += "SET key" + std::to_string(k) + " " + std::string(100, static_cast<char>('a' + i % 26)) + "\r\n";
            REQUIRE(contains(ask(leader().name(), sets), "+OK"));
        }
    }
    raft::Group* group(size_t i) { return nodes[i]->up() && node(i) != nullptr ? node(i)->group() : nullptr; }
    bool votes(size_t i) {
        raft::Group* its = group(i);
        return its != nullptr && !its->stopped() && leader_group() != nullptr &&
               leader_group()->core().log().configuration().text() == its->core().log().configuration().text() &&
               leader_group()->core().log().configuration().voters().size() == nodes.size() && !its->core().stateless() &&
               its->core().log().configuration().is_voter(its->self()) && its->core().log().configuration().is_member(its->self());
    }
    bool run_until_votes(size_t i, Duration limit = Duration::seconds(30)) {
        for (Duration past; past < limit && !votes(i); past = past + Duration::millis(100)) run(Duration::millis(100));
        return votes(i);
    }
    bool has(size_t i, std::string_view path) {
        for (const auto& entry : nodes[i]->disk().tree(SimDisk::View::Visible))
            if (entry.name.starts_with(path)) return true;
        return false;
    }
    std::string status(size_t i) {
        std::string answer;
        errand([&](Fiber& fiber, Env& env) {
            auto conn = env.net.connect(fiber, {nodes[i]->name(), 7200}, env.now() + Duration::seconds(2));
            if (!conn.ok() || !(*conn)->write_all(fiber, "GET /status HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").ok()) return;
            Bytes buffer(4096, '\0');
            for (;;) {
                auto count = (*conn)->read(fiber, buffer, env.now() + Duration::seconds(5));
                if (!count.ok() || *count == 0) return;
                answer.append(buffer.data(), *count);
            }
        });
        return answer;
    }
};

}  // namespace

TEST_CASE("repair: a replica whose log lost a batch ends, and its node comes back as another one by itself") {
    Damaged world(31);
    const size_t at = world.follower;
    const ReplicaId before = world.group(at)->self().replica;
    world.nodes[at]->crash(Host::Death::Power);
    REQUIRE(spoil_batch(*world.nodes[at]));
    world.start(at);
    REQUIRE(world.run_until_votes(at));
    CHECK(world.group(at)->self().replica != before);
    const std::vector<Incarnation>& ended = world.node(at)->directory()->tombstones();
    CHECK(ended == std::vector<Incarnation>{Incarnation(before.value)});
    CHECK(contains(world.ask(world.nodes[at]->name(), "INCR n\r\nWAITALL 3000\r\n"), ":1\r\n*3\r\n:3\r\n:3\r\n*0\r\n"));
    // The committed removal of the old replica is on its own disk: what was kept of it goes.
    REQUIRE(world.node(at)->host()->store().request_flush().ok());
    world.run(Duration::seconds(5));
    CHECK_FALSE(world.has(at, "retired"));
    CHECK_FALSE(world.node(at)->directory()->retired().has_value());
    // It stays who it is, and the old id is remembered.
    world.nodes[at]->crash(Host::Death::Power);
    world.start(at);
    REQUIRE(world.run_until_votes(at));
    CHECK(world.node(at)->directory()->tombstones() == std::vector<Incarnation>{Incarnation(before.value)});
    CHECK(contains(world.ask(world.nodes[at]->name(), "GET n\r\n"), "$1\r\n1\r\n"));
}

TEST_CASE("repair: power lost at any disk operation of a retirement leaves the old life's files or the new life (each operation)") {
    for (uint64_t operation = 1; operation < 60; operation += test::kSanitized ? 7 : operation < 24 ? 1 : 5) {
        CAPTURE(operation);
        Damaged world(400 + operation);
        const size_t at = world.follower;
        const ReplicaId before = world.group(at)->self().replica;
        world.nodes[at]->crash(Host::Death::Power);
        REQUIRE(spoil_batch(*world.nodes[at]));
        world.start(at);
        bool struck = false;
        world.nodes[at]->disk().crash_at_operation(operation, [&](const DiskOperation& what) {
            world.world.at(std::max(what.at, world.world.now()), [&] {
                struck = true;
                if (world.nodes[at]->up()) world.nodes[at]->crash(Host::Death::Power);
            });
        });
        for (int i = 0; i < 100 && !struck; ++i) world.run(Duration::millis(100));
        world.run(Duration::millis(300));
        if (!world.nodes[at]->up()) world.start(at);
        REQUIRE(world.run_until_votes(at));
        CHECK(world.group(at)->self().replica != before);
        CHECK(contains(world.ask(world.nodes[at]->name(), "INCR n\r\nWAITALL 3000\r\n"), ":1\r\n*3\r\n:3\r\n:3\r\n*0\r\n"));
    }
}

TEST_CASE("repair: without a majority of others in touch nothing is invented: the node waits, says why, and is taken back later") {
    Damaged world(32);
    const size_t at = world.follower, other = 3 - at - world.leader().index();
    world.nodes[at]->crash(Host::Death::Power);
    world.nodes[other]->crash(Host::Death::Power);
    REQUIRE(spoil_batch(*world.nodes[at]));
    world.start(at);
    world.run(Duration::seconds(20));
    CHECK(world.group(at) == nullptr);
    CHECK_FALSE(world.node(at)->directory()->founding().has_value());
    CHECK(world.has(at, "retired/"));
    const std::string status = world.status(at);
    CHECK_MESSAGE(contains(status, "\"why_not\":"), status);
    // Nor is it a fresh node for anybody: it belongs to its cluster.
    std::string said;
    world.errand([&](Fiber& fiber, Env& env) {
        Result<wire::FoundingRecord> founded = raft::found_cluster(fiber, env, {{world.nodes[at]->name(), 7100}}, env.now() + Duration::seconds(3));
        said = founded.ok() ? "founded" : founded.error().text();
    });
    CHECK_MESSAGE(contains(said, "waits to be taken back"), said);
    world.start(other);
    REQUIRE(world.run_until_votes(at));
    CHECK(contains(world.ask(world.nodes[at]->name(), "INCR n\r\n"), ":1\r\n"));
}

TEST_CASE("repair: a node that was removed while it was away does not come back by its damage") {
    Damaged world(33, 4);
    const size_t at = world.follower;
    world.nodes[at]->crash(Host::Death::Power);
    REQUIRE(spoil_batch(*world.nodes[at]));
    world.errand([&](Fiber& fiber, Env& env) {
        wire::GroupChange change;
        change.action = wire::ChangeAction::Remove;
        change.identity.node = NodeId(at + 1);
        CHECK(raft::change_members(fiber, env, {{{world.leader_host()->name(), 7100}}, kv::kKvGroup}, change, env.now() + Duration::seconds(10)).ok());
    });
    world.start(at);
    world.run(Duration::seconds(15));
    CHECK(world.leader_group()->core().log().configuration().find(NodeId(at + 1)) == std::nullopt);
    CHECK(contains(world.status(at), "is no member any more"));
}

TEST_CASE("repair: groups of one and two, which would have no majority without the node, and a node whose repair is off, change nothing") {
    for (const size_t count : {1, 2, 3}) {
        CAPTURE(count);
        const bool alone = count < 3;
        Damaged world(34, count);
        if (!alone) world.repair = raft::DamageRepair::Off;
        const size_t at = count == 1 ? 0 : world.follower;
        world.nodes[at]->crash(Host::Death::Power);
        REQUIRE(spoil_batch(*world.nodes[at]));
        world.start(at);
        world.run(Duration::seconds(5));
        CHECK_FALSE(world.nodes[at]->up());
        REQUIRE(world.nodes[at]->exit_result().has_value());
        CHECK(world.nodes[at]->exit_result()->failed_with(Code::Corrupt));
        CHECK_FALSE(world.has(at, "retired"));
        CHECK(world.has(at, "founding"));
        if (alone) continue;
        world.repair = raft::DamageRepair::Automatic;  // the operator allows it
        world.start(at);
        REQUIRE(world.run_until_votes(at));
    }
}

TEST_CASE("repair: a damaged Store is set aside, and the replica takes part by its log while its state comes from the leader (files of all kinds)") {
    struct Kind {
        const char* name;
        std::optional<uint64_t> offset;
    };
    uint64_t seed = 50;
    for (const Kind& kind : {Kind{".sst", 20}, Kind{".sst", std::nullopt}, Kind{"CURRENT", 3}, Kind{"MANIFEST", 40}}) {
        CAPTURE(std::string(kind.name));
        Damaged world(seed++);
        const size_t at = world.follower;
        const ReplicaId before = world.group(at)->self().replica;
        REQUIRE(world.group(at)->core().log().floor().index > LogIndex(0));
        world.nodes[at]->crash(Host::Death::Power);
        REQUIRE(spoil_store(*world.nodes[at], kind.name, kind.offset));
        world.start(at);
        REQUIRE(world.run_until_votes(at));
        CHECK(world.group(at)->self().replica == before);
        CHECK(contains(world.ask(world.nodes[at]->name(), "INCR n\r\nWAITALL 3000\r\nGET key1\r\n"), ":1\r\n*3\r\n:3\r\n:3\r\n*0\r\n$100\r\nd"));
        CHECK(world.has(at, "store.aside/"));
    }
}

TEST_CASE("repair: a replica without its state neither leads nor counts for WAITALL before its snapshot has come") {
    Damaged world(60);
    const size_t at = world.follower, other = 3 - at - world.leader().index();
    world.nodes[at]->crash(Host::Death::Power);
    REQUIRE(spoil_store(*world.nodes[at], ".sst", 20));
    Host& leader = world.leader();
    // With the leader away nobody can give it the state: it votes, and it waits.
    leader.crash(Host::Death::Power);
    world.start(at);
    world.run(Duration::seconds(6));
    REQUIRE(world.leader_host() != nullptr);
    CHECK(world.leader_host()->index() == other);  // elected by a vote of the one without a state
    REQUIRE(world.run_until_votes(at));
    CHECK(world.group(at)->status().applied == world.leader_group()->status().applied);

    // The same again, with nobody to feed it: no leader, whatever it is asked.
    world.nodes[at]->crash(Host::Death::Power);
    world.nodes[other]->crash(Host::Death::Power);
    REQUIRE(spoil_store(*world.nodes[at], ".sst", 20));
    world.start(at);
    world.run(Duration::seconds(10));
    CHECK(world.leader_host() == nullptr);
    REQUIRE(world.group(at) != nullptr);
    CHECK(world.group(at)->core().stateless());
    CHECK(world.group(at)->status().applied == LogIndex(0));
    world.start(leader.index());
    world.start(other);
    REQUIRE(world.run_until_votes(at));
    CHECK(contains(world.ask(world.nodes[at]->name(), "WAITALL 3000\r\n"), "*3\r\n:3\r\n:3\r\n*0\r\n"));
}

TEST_CASE("repair: damage that a read meets is an error for that read, and the next start repairs it") {
    Damaged world(61);
    world.cache_bytes = 0;
    const size_t at = world.follower;
    for (size_t i = 0; i < 3; ++i) {  // with no cache of blocks
        world.nodes[i]->crash(Host::Death::Kill);
        world.start(i);
    }
    world.run(Duration::seconds(3));
    world.write(2);
    REQUIRE(world.node(at)->host()->store().request_flush().ok());
    world.run(Duration::seconds(2));
    for (int i = 0; i < 4; ++i) REQUIRE(spoil_store(*world.nodes[at], ".sst", 20 + 40 * static_cast<uint64_t>(i)));
    // A digest reads everything.
    bool refused = false;
    world.nodes[at]->env()->spawn("test", [&](Fiber& fiber) {
        refused = world.node(at)->service()->machine().digest(fiber).failed_with(Code::Corrupt);
    });
    world.run(Duration::seconds(5));
    CHECK(refused);
    CHECK_FALSE(world.nodes[at]->up());
    CHECK(world.has(at, "store/DAMAGED"));
    world.start(at);
    REQUIRE(world.run_until_votes(at));
    CHECK_FALSE(world.has(at, "store/DAMAGED"));
    CHECK(world.has(at, "store.aside/DAMAGED"));
    CHECK(contains(world.ask(world.nodes[at]->name(), "WAITALL 3000\r\nGET key1\r\n"), "*3\r\n:3\r\n:3\r\n*0\r\n$100\r\nb"));
}
