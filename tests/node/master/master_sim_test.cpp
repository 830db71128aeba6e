// Masters in a simulated world: what is acknowledged stays, once, whatever crashes; what is read is of one moment.
#include <set>

#include "tests/node/master/records_in_memory.h"
#include "tests/node/master/master_world.h"

namespace orrery::test {
namespace {

using master::delete_command;
using master::register_command;
using wire::MasterAnswer;
using wire::MasterCommand;
using wire::MasterCommandKind;
using wire::MasterQuery;
using wire::MasterTopic;
using wire::MasterView;

MasterCommand create(const std::string& name, uint32_t partitions = 3, uint32_t replicas = 3) {
    MasterCommand command;
    command.kind = MasterCommandKind::CreateVolume;
    command.name = name;
    command.replicas = replicas;
    command.partitions = partitions;
    return command;
}

void register_nodes(Fiber& fiber, Env& env, client::MasterClient& client, uint64_t count) {
    for (uint64_t node = 1; node <= count; ++node) {
        Result<MasterAnswer> answer = client.change(fiber, register_command(node, "z" + std::to_string(node % 3), 2), env.now() + Duration::seconds(20));
        REQUIRE_MESSAGE(answer.ok(), (answer.ok() ? "" : answer.error().text()));
        REQUIRE(answer->code == 0);
    }
}

/// Every page of a topic.
template <typename Take>
void all_pages(Fiber& fiber, Env& env, client::MasterClient& client, MasterQuery query, Take take) {
    for (bool more = true; more;) {
        Result<MasterView> view = client.query(fiber, query, env.now() + Duration::seconds(20));
        REQUIRE_MESSAGE(view.ok(), (view.ok() ? "" : view.error().text()));
        more = view->more;
        take(*view, query);
    }
}

std::set<std::string> volume_names(Fiber& fiber, Env& env, client::MasterClient& client) {
    std::set<std::string> names;
    all_pages(fiber, env, client, {MasterTopic::Volumes, "", 0, 7}, [&](const MasterView& view, MasterQuery& query) {
        for (const wire::VolumeRecord& volume : view.volumes) names.insert(query.name = volume.name);
    });
    return names;
}

/// All records of a master's applied state, by key.
std::map<Bytes, Bytes> records_of(MasterWorld& world, size_t i) {
    std::map<Bytes, Bytes> out;
    std::shared_ptr<const raft::StateSpace> space = world.node(i)->group()->space();
    bool done = false;
    store::Store& store = world.node(i)->host()->store();
    world.world.at(world.world.now(), [&] {
        // On the master's own scheduler: a Store belongs to its loop.
        world.node(i)->host()->env().spawn("test.records", [&](Fiber& fiber) {
            Bytes from = raft::space_begin(*space);
            const size_t prefix = from.size();
            const Bytes end = raft::space_end(*space);
            for (bool more = true; more;) {
                auto chunk = store.scan(fiber, nullptr, from, end).value();
                for (auto& [key, value] : chunk.pairs)
                    if (key[prefix] != '\0') out[key.substr(prefix)] = value;  // the driver's own record aside
                more = chunk.next.has_value();
                if (more) from = *chunk.next;
            }
            done = true;
        });
    });
    world.world.run_until(world.world.now() + Duration::seconds(5), [&] { return done; });
    REQUIRE(done);
    return out;
}

TEST_CASE("volumes at any master, pages, and what is not there") {
    MasterWorld world(1);
    world.errand([&](Fiber& fiber, Env& env) {
        client::MasterClient client(env, 1, MasterWorld::addresses(), {});
        register_nodes(fiber, env, client, 4);
        for (int i = 0; i < 20; ++i) REQUIRE(client.change(fiber, create("v" + std::to_string(i)), env.now() + Duration::seconds(5)).value().code == 0);
        for (const Address& one : MasterWorld::addresses()) {
            client::MasterClient at_one(env, 3, {one}, {});
            CHECK(volume_names(fiber, env, at_one).size() == 20);
            std::set<uint64_t> partitions;
            all_pages(fiber, env, at_one, {MasterTopic::Partitions, "v7", 0, 2}, [&](const MasterView& view, MasterQuery& query) {
                CHECK(view.volumes.front().name == "v7");
                for (const wire::PartitionRecord& partition : view.partitions) partitions.insert(query.after = partition.partition.value);
            });
            CHECK(partitions.size() == 3);
            CHECK(at_one.query(fiber, {MasterTopic::Volume, "nothing"}, env.now() + Duration::seconds(5)).failed_with(Code::NotFound));
            CHECK(at_one.query(fiber, {MasterTopic::Partition, "", 12345}, env.now() + Duration::seconds(5)).failed_with(Code::NotFound));
            const MasterView counts = at_one.query(fiber, {}, env.now() + Duration::seconds(5)).value();
            CHECK(counts.counters.volumes == 20);
            CHECK(counts.counters.nodes == 4);
            (void)at_one.close(fiber);
        }
        // A delete reads page by page: exactly one page, and more.
        for (uint32_t partitions : {1000u, 2300u}) {
            REQUIRE(client.change(fiber, create("big", partitions, 1), env.now() + Duration::seconds(20)).value().code == 0);
            REQUIRE(client.change(fiber, delete_command("big"), env.now() + Duration::seconds(20)).value().code == 0);
        }
        CHECK(client.query(fiber, {}, env.now() + Duration::seconds(5)).value().counters.partitions == 60);
        const MasterAnswer wide = client.change(fiber, create("wide", 1, 5), env.now() + Duration::seconds(5)).value();
        CHECK(wide.context == "5 replicas need as many active nodes with a disk, and there are 4");
        (void)client.close(fiber);
    });
}

struct Seen {
    int crashes = 0, kept = 0, unknown = 0, snapshots = 0;
};

/// Several clients make and delete volumes of their own while masters crash.
void run_with(uint64_t seed, uint64_t retain_bytes, Host::Death death, Seen& seen) {
    CAPTURE(seed);
    MasterWorld world(seed, retain_bytes);
    RandomStream draw(seed, "test.crashes", 0);
    std::set<std::string> kept, gone, open;
    Instant next_crash = world.world.now() + Duration::millis(500);
    std::map<size_t, Instant> down;
    auto wreck = [&] {
        const Instant now = world.world.now();
        for (auto at = down.begin(); at != down.end();) {
            if (at->second > now) {
                ++at;
                continue;
            }
            world.start(at->first);
            at = down.erase(at);
        }
        if (now < next_crash) return;
        next_crash = now + Duration::millis(draw.between(200, 2000));
        const bool everybody = draw.chance(0.15);
        for (size_t i = 0; i < world.masters.size(); ++i) {
            const bool hit = everybody || (draw.chance(0.5) ? world.leader() == i : draw.chance(0.3) && down.empty());
            if (!hit || !world.masters[i]->up()) continue;
            world.masters[i]->crash(death);
            ++seen.crashes;
            down[i] = now + Duration::millis(draw.between(50, 4000));
        }
    };
    world.errand(
        [&](Fiber& fiber, Env& env) {
            client::MasterClient first(env, 1, MasterWorld::addresses(), {});
            register_nodes(fiber, env, first, 5);
            int working = 3;
            Notify finished;
            for (int worker = 0; worker < 3; ++worker)
                env.spawn("test.worker", [&, worker](Fiber& own) {
                    client::MasterClient client(env, 10 + static_cast<uint64_t>(worker), MasterWorld::addresses(), {});
                    RandomStream pauses = env.random.stream("test.pauses", static_cast<uint64_t>(worker));
                    for (int i = 0; i < 30; ++i) {
                        REQUIRE(env.sleep(own, Duration::millis(pauses.between(0, 400))).ok());
                        const std::string name = "w" + std::to_string(worker) + "-" + std::to_string(i);
                        open.insert(name);
                        Result<MasterAnswer> made = client.change(own, create(name, 1 + i % 4), env.now() + Duration::seconds(15));
                        if (!made.ok()) {  // only of unknown ones nobody can tell
                            if (made.code() != Code::Unknown) gone.insert(name), open.erase(name);
                            continue;
                        }
                        REQUIRE_MESSAGE(made->code == 0, made->context);  // asked again or not, it is made once
                        open.erase(name);
                        kept.insert(name);
                        if (i % 3 != 0) continue;
                        kept.erase(name);
                        open.insert(name);
                        Result<MasterAnswer> deleted = client.change(own, delete_command(name), env.now() + Duration::seconds(15));
                        if (!deleted.ok()) {
                            if (deleted.code() != Code::Unknown) kept.insert(name), open.erase(name);
                            continue;
                        }
                        REQUIRE_MESSAGE(deleted->code == 0, deleted->context);
                        open.erase(name);
                        gone.insert(name);
                    }
                    (void)client.close(own);
                    --working;
                    finished.notify_all();
                });
            while (working > 0) REQUIRE(finished.wait(fiber).ok());
            (void)first.close(fiber);
        },
        Duration::seconds(400), wreck);
    for (const auto& [i, when] : down) world.start(i);
    down.clear();
    world.run(Duration::seconds(5));
    world.errand([&](Fiber& fiber, Env& env) {
        client::MasterClient client(env, 1, MasterWorld::addresses(), {});
        const std::set<std::string> names = volume_names(fiber, env, client);
        for (const std::string& name : kept) CHECK_MESSAGE(names.contains(name), name);
        for (const std::string& name : gone) CHECK_MESSAGE(!names.contains(name), name);
        std::set<uint64_t> ids;
        std::map<std::pair<uint64_t, uint32_t>, uint32_t> placed;
        for (const std::string& name : names) {
            REQUIRE((kept.contains(name) || open.contains(name)));
            all_pages(fiber, env, client, {MasterTopic::Partitions, name, 0, 100}, [&](const MasterView& view, MasterQuery& query) {
                for (const wire::PartitionRecord& partition : view.partitions) {
                    CHECK(ids.insert(query.after = partition.partition.value).second);
                    for (const wire::PartitionMember& member : partition.members) ++placed[{member.node.value, member.disk.value}];
                }
            });
        }
        const MasterView nodes = client.query(fiber, {MasterTopic::Nodes}, env.now() + Duration::seconds(10)).value();
        for (const wire::NodeRecord& node : nodes.nodes)
            for (const wire::DiskRecord& disk : node.disks) CHECK(disk.members == placed[{node.node.value, disk.disk.value}]);
        (void)client.close(fiber);
    });
    world.run(Duration::seconds(3));
    for (size_t i = 0; i < 3; ++i) {
        REQUIRE(world.node(i)->group()->applied() == world.node(0)->group()->applied());
        CHECK(records_of(world, i) == records_of(world, 0));
        seen.snapshots += world.node(i)->group()->space()->generation.value > 1;
    }
    seen.kept += static_cast<int>(kept.size());
    seen.unknown += static_cast<int>(open.size());
}

TEST_CASE("masters are killed while volumes are made and deleted") {
    Seen seen;
    for (uint64_t seed = 10; seed < 10 + kRuns; ++seed) run_with(seed, 64 << 20, Host::Death::Kill, seen);
    CHECK(seen.crashes > 5 * static_cast<int>(kRuns));
    CHECK(seen.kept > 25 * static_cast<int>(kRuns));
}

TEST_CASE("masters lose power while volumes are made and deleted") {
    Seen seen;
    for (uint64_t seed = 20; seed < 20 + kRuns; ++seed) run_with(seed, 64 << 20, Host::Death::Power, seen);
    CHECK(seen.crashes > 5 * static_cast<int>(kRuns));
    CHECK(seen.kept > 25 * static_cast<int>(kRuns));
}

TEST_CASE("masters that were away get the state as a snapshot, while volumes are made and deleted") {
    Seen seen;
    for (uint64_t seed = 30; seed < 30 + kRuns; ++seed) run_with(seed, 4 << 10, Host::Death::Power, seen);
    CHECK(seen.snapshots >= static_cast<int>(kRuns) / 2);
}

TEST_CASE("a data node that is silent becomes inactive at all masters; a change of leader alone makes nobody so") {
    MasterWorld world(7, 64 << 20, Duration::seconds(3));
    bool second_is_heard = true, stop = false;
    std::optional<size_t> killed;
    Instant kill_at = Instant::never();
    auto meanwhile = [&] {
        if (world.world.now() < kill_at) return;
        kill_at = Instant::never();
        killed = world.leader();
        if (killed) world.masters[*killed]->crash(Host::Death::Power);
    };
    world.errand(
        [&](Fiber& fiber, Env& env) {
            client::MasterClient client(env, 1, MasterWorld::addresses(), {});
            register_nodes(fiber, env, client, 4);
            Notify ended;
            bool done = false;
            env.spawn("test.nodes", [&](Fiber& own) {
                client::MasterClient nodes(env, 2, MasterWorld::addresses(), {});
                while (!stop) {
                    for (uint64_t node = 1; node <= 4; ++node)
                        if (node != 2 || second_is_heard)
                            (void)nodes.heartbeat(own, {.node = NodeId(node), .incarnation = Incarnation(1000 + node), .disks = {{DiskId(1), 0, node == 3 ? "worn out" : ""}}},
                                                  env.now() + Duration::seconds(2));
                    if (!env.sleep(own, Duration::millis(300)).ok()) break;
                }
                CHECK(nodes.heartbeat(own, {.node = NodeId(99), .incarnation = Incarnation(1), .disks = {}}, env.now() + Duration::seconds(5)).failed_with(Code::NotFound));
                CHECK(nodes.heartbeat(own, {.node = NodeId(1), .incarnation = Incarnation(1), .disks = {}}, env.now() + Duration::seconds(5)).failed_with(Code::Exists));
                (void)nodes.close(own);
                done = true;
                ended.notify_all();
            });
            auto inactive = [&] {
                std::vector<uint64_t> out;
                const MasterView view = client.query(fiber, {MasterTopic::Nodes}, env.now() + Duration::seconds(10)).value();
                for (const wire::NodeRecord& node : view.nodes)
                    if (node.state == wire::NodeState::Inactive) out.push_back(node.node.value);
                return out;
            };
            auto pause = [&](int64_t seconds) { REQUIRE(env.sleep(fiber, Duration::seconds(seconds)).ok()); };
            pause(8);
            CHECK(inactive().empty());
            second_is_heard = false;
            pause(6);
            CHECK(inactive() == std::vector<uint64_t>{2});
            kill_at = world.world.now();
            for (int look = 0; look < 60; ++look) {  // from the next leader's first moment on
                REQUIRE(env.sleep(fiber, Duration::millis(200)).ok());
                CHECK(inactive() == std::vector<uint64_t>{2});
            }
            REQUIRE(client.change(fiber, create("v", 8, 3), env.now() + Duration::seconds(5)).value().code == 0);
            all_pages(fiber, env, client, {MasterTopic::Partitions, "v", 0, 100}, [&](const MasterView& view, MasterQuery& query) {
                for (const wire::PartitionRecord& partition : view.partitions) {
                    query.after = partition.partition.value;
                    for (const wire::PartitionMember& member : partition.members) {
                        CHECK(member.node != NodeId(2));
                        CHECK((member.node != NodeId(3) || member.disk == DiskId(2)));  // the other one is worn out
                    }
                }
            });
            second_is_heard = true;
            pause(3);
            CHECK(inactive().empty());
            stop = true;
            while (!done) REQUIRE(ended.wait(fiber).ok());
            (void)client.close(fiber);
        },
        Duration::seconds(120), meanwhile);
    CHECK(killed);
    CHECK(kill_at == Instant::never());
}

TEST_CASE("a query sees one moment: counts and lists of it belong together") {
    MasterWorld world(5);
    world.errand([&](Fiber& fiber, Env& env) {
        client::MasterClient client(env, 1, MasterWorld::addresses(), {});
        register_nodes(fiber, env, client, 3);
        bool done = false;
        Notify ended;
        env.spawn("test.writer", [&](Fiber& own) {
            client::MasterClient writer(env, 2, MasterWorld::addresses(), {});
            for (int i = 0; i < 60; ++i) {
                REQUIRE(writer.change(own, create("v" + std::to_string(i % 7), 2), env.now() + Duration::seconds(5)).ok());
                if (i % 2 == 1) REQUIRE(writer.change(own, delete_command("v" + std::to_string((i * 3) % 7)), env.now() + Duration::seconds(5)).ok());
            }
            (void)writer.close(own);
            done = true;
            ended.notify_all();
        });
        LogIndex last;
        int seen = 0;
        for (; !done; ++seen) {
            const MasterView view = client.query(fiber, {MasterTopic::Volumes}, env.now() + Duration::seconds(5)).value();
            REQUIRE(view.volumes.size() == view.counters.volumes);
            REQUIRE(view.version >= last);
            for (const wire::VolumeRecord& volume : view.volumes) REQUIRE(volume.modified <= view.version);
            last = view.version;
        }
        CHECK(seen > 50);
        (void)client.close(fiber);
    });
}

}  // namespace
}  // namespace orrery::test
