// Questions for lists that are held back, a client's copy that follows, and volumes of a time before names were kept by id: one thing at a
// time, in a world in which nothing fails.
#include "node/client/partition_cache.h"
#include "node/master/state_format.h"
#include "tests/node/master/master_world.h"
#include "tests/node/master/records_in_memory.h"

namespace orrery::test {
namespace {

using client::MasterClient;
using client::PartitionCache;
using wire::ListKind;
using wire::MasterCommandKind;
using wire::MasterListRequest;

wire::MasterAnswer change(Fiber& fiber, Env& env, MasterClient& client, MasterCommandKind kind, const std::string& name, uint32_t partitions) {
    wire::MasterCommand command;
    command.kind = kind;
    command.name = name;
    command.replicas = 3;
    command.partitions = partitions;
    Result<wire::MasterAnswer> answer = client.change(fiber, command, env.now() + Duration::seconds(20));
    REQUIRE_MESSAGE(answer.ok(), (answer.ok() ? "" : answer.error().text()));
    REQUIRE(answer->code == 0);
    return *answer;
}

void make_volume(Fiber& fiber, Env& env, MasterClient& client, const std::string& name, uint32_t partitions) {
    for (uint64_t node = 1; node <= 4; ++node) REQUIRE(client.change(fiber, master::register_command(node), env.now() + Duration::seconds(20)).ok());
    change(fiber, env, client, MasterCommandKind::CreateVolume, name, partitions);
}

Result<MasterClient::ListReply> ask(Fiber& fiber, Env& env, MasterClient& client, MasterListRequest request) {
    return client.list(fiber, request, 1 << 20, env.now() + request.wait + Duration::seconds(5));
}

TEST_CASE("a question that is held back wakes with the change, all share its encoding, and who left has left nothing") {
    master::ListServiceOptions lists;
    lists.held_max = 6;
    MasterWorld world(11, 64 << 20, Duration::seconds(3600), [&](master::MasterNodeOptions& options) { options.service.lists = lists; });
    size_t held_with_all = 0, held_after_leaving = 0, held_at_the_end = 99;
    uint64_t not_held = 0, encodings = 0;
    world.errand([&](Fiber& fiber, Env& env) {
        MasterClient writer(env, 1, MasterWorld::addresses(), {});
        make_volume(fiber, env, writer, "v", 20);
        const std::vector<Address> one{MasterWorld::addresses()[1]};
        auto service = [&]() -> master::MasterService& { return *world.node(1)->service(); };
        const LogIndex since = ask(fiber, env, writer, {.name = "v"})->answer.version;
        int running = 0;
        std::vector<wire::MasterListAnswer> woken;
        std::optional<wire::MasterListAnswer> at_once;
        Notify ended;
        auto hold = [&](uint64_t number, bool leaves) {
            ++running;
            env.spawn("test.held", [&, number, leaves](Fiber& own) {
                MasterClient client(env, number, one, {});
                const MasterListRequest request{.name = "v", .volume = {}, .since = since, .max_age = Duration::seconds(1), .wait = Duration::seconds(20)};
                if (leaves) {
                    (void)client.list(own, request, 1 << 20, env.now() + Duration::millis(300));
                } else if (Result<MasterClient::ListReply> reply = ask(own, env, client, request); reply.ok()) {
                    if (reply->answer.kind == ListKind::Unchanged) {
                        at_once = reply->answer;
                    } else {
                        woken.push_back(reply->answer);
                    }
                }
                (void)client.close(own);
                --running;
                ended.notify_all();
            });
        };
        for (uint64_t i = 0; i < 4; ++i) hold(10 + i, false);
        for (uint64_t i = 0; i < 2; ++i) hold(20 + i, true);
        REQUIRE(env.sleep(fiber, Duration::millis(200)).ok());
        held_with_all = service().lists().held();
        hold(30, false);  // one too many: not an error
        REQUIRE(env.sleep(fiber, Duration::millis(50)).ok());
        not_held = service().lists().counters().not_held;
        REQUIRE(at_once);
        CHECK(at_once->held < Duration::millis(50));
        REQUIRE(env.sleep(fiber, Duration::millis(500)).ok());
        held_after_leaving = service().lists().held();
        const uint64_t before = service().machine().lists().counters().encodings;
        const LogIndex grown = change(fiber, env, writer, MasterCommandKind::ExtendVolume, "v", 1).index;
        while (running > 0) REQUIRE(ended.wait(fiber).ok());
        encodings = service().machine().lists().counters().encodings - before;
        held_at_the_end = service().lists().held();
        REQUIRE(woken.size() == 4);
        for (const wire::MasterListAnswer& answer : woken) {
            CHECK(answer.kind == ListKind::Delta);
            CHECK(answer.partitions == 1);
            CHECK(answer.version == grown);
            CHECK(answer.held < Duration::seconds(3));
            CHECK(answer.age <= Duration::seconds(1));
        }
        (void)writer.close(fiber);
    });
    CHECK(held_with_all == 6);
    CHECK(not_held == 1);
    CHECK(held_after_leaving == 4);
    CHECK(encodings == 1);
    CHECK(held_at_the_end == 0);
}

TEST_CASE("a question that nothing comes for ends as unchanged, with an age of then (some age, linearizable)") {
    MasterWorld world(12);
    world.errand([&](Fiber& fiber, Env& env) {
        MasterClient writer(env, 1, MasterWorld::addresses(), {});
        make_volume(fiber, env, writer, "v", 5);
        for (const Address& master : MasterWorld::addresses()) {
            MasterClient client(env, 2, {master}, {});
            const LogIndex since = ask(fiber, env, client, {.name = "v"})->answer.version;
            for (const Duration max_age : {Duration::millis(1500), Duration()}) {
                const Instant begin = env.now();
                Result<MasterClient::ListReply> reply = ask(fiber, env, client, {.name = "v", .volume = {}, .since = since, .max_age = max_age, .wait = Duration::seconds(4)});
                REQUIRE(reply.ok());
                CHECK(reply->answer.kind == ListKind::Unchanged);
                CHECK(reply->answer.version == since);
                // What a clock that is 6 percent fast would have counted too much is taken off, and no more.
                CHECK(reply->answer.held >= Duration::millis(3750));
                CHECK(reply->answer.held < Duration::millis(3800));
                CHECK(env.now() - begin < Duration::millis(4500));
                CHECK(reply->answer.age < Duration::millis(1500));
                if (max_age == Duration()) CHECK(reply->answer.age < Duration::millis(100));
            }
            (void)client.close(fiber);
        }
        (void)writer.close(fiber);
    });
}

TEST_CASE("a client's copy follows without being asked, forgets what nobody wants, and ends at once") {
    MasterWorld world(13);
    world.errand([&](Fiber& fiber, Env& env) {
        MasterClient writer(env, 1, MasterWorld::addresses(), {});
        make_volume(fiber, env, writer, "v", 20);
        change(fiber, env, writer, MasterCommandKind::CreateVolume, "w", 2);
        PartitionCache::Options options;
        options.volumes_max = 1;
        PartitionCache cache(env, 5, MasterWorld::addresses(), options);
        auto get = [&](const std::string& name, Duration max_age = Duration::seconds(5)) { return cache.get(fiber, name, max_age, LogIndex(), env.now() + Duration::seconds(5)); };
        REQUIRE(get("v").ok());
        for (uint32_t partitions = 21; partitions < 25; ++partitions) {
            const LogIndex grown = change(fiber, env, writer, MasterCommandKind::ExtendVolume, "v", 1).index;
            REQUIRE(env.sleep(fiber, Duration::millis(200)).ok());
            const uint64_t asked = cache.counters().asked;
            const PartitionCache::View view = get("v").value();
            CHECK(cache.counters().asked == asked);  // from memory
            CHECK(view.list->version == grown);
            CHECK(view.list->partitions.size() == partitions);
            CHECK(view.list->find(view.list->partitions.back()->partition) == view.list->partitions.back().get());
            CHECK(view.list->find(PartitionId(12345)) == nullptr);
            CHECK(view.age < Duration::seconds(5));
        }
        CHECK(cache.counters().fulls == 1);
        CHECK(cache.counters().deltas == 4);
        CHECK(cache.counters().refused == 0);
        // Everything committed before, also if this cache has not heard of it.
        const LogIndex grown = change(fiber, env, writer, MasterCommandKind::ExtendVolume, "v", 1).index;
        CHECK(get("v", Duration()).value().list->version == grown);
        const Result<PartitionCache::View> beyond = cache.get(fiber, "v", Duration::seconds(5), grown + 1'000'000, env.now() + Duration::seconds(2));
        CHECK((beyond.failed_with(Code::NotReady) || beyond.failed_with(Code::Timeout)));
        CHECK(get("w").value().list->partitions.size() == 2);
        CHECK(cache.volumes() == 1);
        CHECK(get("nothing").failed_with(Code::NotFound));
        CHECK(get("").failed_with(Code::Invalid));
        // Gone is gone, and one of the same name is another.
        REQUIRE(get("v").ok());
        REQUIRE(writer.change(fiber, master::delete_command("v"), env.now() + Duration::seconds(5))->code == 0);
        REQUIRE(env.sleep(fiber, Duration::millis(200)).ok());
        CHECK(get("v").failed_with(Code::NotFound));
        change(fiber, env, writer, MasterCommandKind::CreateVolume, "v", 3);
        CHECK(get("v", Duration()).value().list->partitions.size() == 3);
        const Instant begin = env.now();
        REQUIRE(cache.close(fiber).ok());
        CHECK(env.now() - begin < Duration::millis(200));
        CHECK(get("v").failed_with(Code::Cancelled));

        PartitionCache small(env, 6, MasterWorld::addresses(), {.list_bytes_max = 100});
        CHECK(small.get(fiber, "v", Duration::seconds(5), LogIndex(), env.now() + Duration::seconds(5)).failed_with(Code::Invalid));
        REQUIRE(small.close(fiber).ok());
        (void)writer.close(fiber);
    });
}

TEST_CASE("lists by id: also of volumes made before names were kept by id, and none of volumes that are gone") {
    MasterWorld world(14);
    VolumeId volume;
    auto by_id = [&](VolumeId id, uint64_t number) {
        Result<MasterClient::ListReply> reply = Error(Code::Cancelled);
        world.errand([&](Fiber& fiber, Env& env) {
            MasterClient client(env, number, {MasterWorld::addresses()[number % 3]}, {});
            reply = ask(fiber, env, client, {.name = {}, .volume = id});
            (void)client.close(fiber);
        });
        return reply;
    };
    world.errand([&](Fiber& fiber, Env& env) {
        MasterClient writer(env, 1, MasterWorld::addresses(), {});
        make_volume(fiber, env, writer, "a", 2);
        volume = change(fiber, env, writer, MasterCommandKind::CreateVolume, "b", 7).volume;
        (void)writer.close(fiber);
    });
    // As such a Store is.
    for (size_t i = 0; i < 3; ++i) {
        bool done = false;
        world.world.at(world.world.now(), [&] {
            world.node(i)->host()->env().spawn("test.older", [&, i](Fiber& fiber) {
                store::Batch batch;
                for (uint64_t id = 1; id <= volume.value; ++id) batch.erase(raft::space_begin(*world.node(i)->group()->space()) + master::volume_name_key(VolumeId(id)));
                done = world.node(i)->host()->store().write_when_possible(fiber, batch).ok();
            });
        });
        world.world.run_until(world.world.now() + Duration::seconds(5), [&] { return done; });
        REQUIRE(done);
    }
    for (uint64_t i = 0; i < 3; ++i) {
        const Result<MasterClient::ListReply> reply = by_id(volume, 30 + i);
        REQUIRE(reply.ok());
        CHECK(reply->answer.partitions == 7);
        CHECK(wire::decode_volume_record(reply->answer.volume_record)->name == "b");
        CHECK(by_id(VolumeId(volume.value + 1), 40 + i).failed_with(Code::NotFound));
    }
    world.errand([&](Fiber& fiber, Env& env) {
        MasterClient writer(env, 1, MasterWorld::addresses(), {});
        REQUIRE(writer.change(fiber, master::delete_command("b"), env.now() + Duration::seconds(5))->code == 0);
        (void)writer.close(fiber);
    });
    for (uint64_t i = 0; i < 6; ++i) CHECK(by_id(volume, 50 + i).failed_with(Code::NotFound));
}

}  // namespace
}  // namespace orrery::test
