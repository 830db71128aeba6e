// Twenty clients that poll lists of volumes at whichever master, in true simulated time, while volumes grow, are deleted and made anew,
// and masters are cut off, stopped, lose power and get snapshots: no list is older than it says, torn, or goes back. With each way
// to get it wrong planted, somebody is told something wrong.
#include <algorithm>

#include "node/client/partition_cache.h"
#include "runtime/base/hash.h"
#include "sim/core/defects.h"
#include "tests/node/master/master_faults.h"
#include "tests/node/master/records_in_memory.h"

namespace orrery::test {
namespace {

using client::PartitionCache;
using client::VolumeList;
using wire::MasterAnswer;
using wire::MasterCommand;
using wire::MasterCommandKind;

constexpr size_t kVolumes = 3;
std::string volume_name(size_t i) { return "v" + std::to_string(i); }

master::ListServiceOptions small_pages() {
    master::ListServiceOptions out;
    out.cache = {.bytes_max = 40'000, .page_partitions = 4};  // about two of the lists
    out.inline_bytes_max = 1500;
    out.streams_max = 4;
    out.held_max = 12;
    return out;
}

MasterCommand command_for(MasterCommandKind kind, const std::string& name, uint32_t partitions = 0) {
    MasterCommand command;
    command.kind = kind;
    command.name = name;
    command.replicas = kind == MasterCommandKind::CreateVolume ? 3 : 0;
    command.partitions = partitions;
    return command;
}

/// What was acknowledged, and what somebody was shown, of all volumes.
struct Truth {
    struct Change {
        Instant at;
        LogIndex version;
        uint64_t partitions = 0;  // 0: deleted
    };
    std::vector<Change> changes[kVolumes];  // times and versions rise
    std::map<std::pair<VolumeId, LogIndex>, uint64_t> shown;  // hash of the list
    std::map<std::pair<NodeId, size_t>, LogIndex> served;     // (master, volume) -> highest version received
    std::vector<std::string> wrong;
    int views = 0, errors = 0, held = 0, deltas = 0, fulls = 0, unchanged = 0, snapshots = 0, faults = 0;
    uint64_t corrupt = 0;

    /// The last change that somebody had been told of by `when`.
    Change by(size_t volume, Instant when) const {
        Change last;
        for (const Change& change : changes[volume])
            if (change.at <= when) last = change;
        return last;
    }
    uint64_t acknowledged(size_t volume) const { return changes[volume].empty() ? 0 : changes[volume].back().partitions; }
};

uint64_t hash_of(const VolumeList& list) {
    Bytes all = wire::encode_volume_record(list.volume);
    for (const auto& partition : list.partitions) all += wire::encode_partition_record(*partition);
    return hash_bytes(all);
}

/// What is wrong with a list in itself, or beside what others were shown of this version.
std::optional<std::string> judge_list(Truth& truth, size_t volume, const VolumeList& list) {
    const std::string which = volume_name(volume) + " of version " + std::to_string(list.version.value);
    for (const auto& partition : list.partitions)
        if (partition->modified > list.version) return which + " holds a later partition";
    const auto [known, fresh] = truth.shown.emplace(std::pair(list.volume.volume, list.version), hash_of(list));
    if (!fresh && known->second != hash_of(list)) return which + " was shown otherwise";
    for (const Truth::Change& change : truth.changes[volume])
        if (change.version == list.version && change.partitions != list.partitions.size())
            return which + " has " + std::to_string(list.partitions.size()) + " partitions, not " + std::to_string(change.partitions);
    return std::nullopt;
}

void change_volumes(Fiber& fiber, Env& env, MasterWorld& world, Truth& truth, const bool& stop) {
    client::MasterClient client(env, 1, MasterWorld::addresses(), {.attempt = Duration::millis(700)});
    RandomStream draw = env.random.stream("test.changes");
    uint64_t partitions[kVolumes] = {};
    for (size_t i = 0; i < kVolumes; ++i) partitions[i] = truth.acknowledged(i);
    while (!stop) {
        const size_t i = draw.below(kVolumes);
        const bool deletes = i == kVolumes - 1 && partitions[i] > 0 && draw.chance(0.05);
        const uint32_t more = partitions[i] == 0 ? 24 : static_cast<uint32_t>(1 + draw.below(2));
        const MasterCommand command = deletes             ? command_for(MasterCommandKind::DeleteVolume, volume_name(i))
                                      : partitions[i] == 0 ? command_for(MasterCommandKind::CreateVolume, volume_name(i), more)
                                                           : command_for(MasterCommandKind::ExtendVolume, volume_name(i), more);
        Result<MasterAnswer> answer = client.change(fiber, command, env.now() + Duration::seconds(20));
        // Of unknown outcome: nothing is known of this volume's count any more.
        if (!answer.ok()) break;
        if (answer->code == 0) {
            partitions[i] = deletes ? 0 : partitions[i] + more;
            truth.changes[i].push_back({world.world.now(), answer->index, partitions[i]});
        }
        if (!env.sleep(fiber, Duration::micros(draw.between(0, 60'000))).ok()) break;
    }
    (void)client.close(fiber);
}

/// Through a cache of its own: views are young enough, whole, and never go back.
void poll_cache(Fiber& fiber, Env& env, MasterWorld& world, uint64_t number, Truth& truth, const bool& stop) {
    std::vector<Address> masters = MasterWorld::addresses();
    std::ranges::rotate(masters, masters.begin() + static_cast<ptrdiff_t>(number % 3));
    PartitionCache::Options options;
    options.volumes_max = 2;
    options.hold = Duration::millis(800);
    options.background_age = Duration::millis(1500);
    options.client.attempt = Duration::millis(500);
    options.client.stream_credit_bytes = 4 << 10;
    PartitionCache cache(env, number, masters, options);
    RandomStream draw = env.random.stream("test.polls", number);
    LogIndex last[kVolumes];
    while (!stop) {
        const size_t i = draw.below(kVolumes);
        const uint64_t kind = draw.below(4);
        const Duration max_age = Duration::millis(kind == 0 ? 0 : kind == 1 ? 300 : 2000);
        const Instant asked = world.world.now();
        const LogIndex token = cache.seen();
        Result<PartitionCache::View> view = cache.get(fiber, volume_name(i), max_age, LogIndex(), env.now() + Duration::millis(1500));
        const Instant now = world.world.now();
        auto wrong = [&](const std::string& what) {
            truth.wrong.push_back("client " + std::to_string(number) + " asked at " + std::to_string(asked.ns / 1000) + " us, age " + std::to_string(max_age.as_millis()) + " ms: " + what);
        };
        if (view.ok()) {
            ++truth.views;
            const VolumeList& list = *view->list;
            if (const auto bad = judge_list(truth, i, list)) wrong(*bad);
            for (const Instant when : {asked - max_age, now - view->age})
                if (list.version < truth.by(i, when).version) wrong("version " + std::to_string(list.version.value) + ", not " + std::to_string(truth.by(i, when).version.value) + ": too old");
            if (list.version < last[i]) wrong("went back from " + std::to_string(last[i].value) + " to " + std::to_string(list.version.value));
            if (view->applied < token && max_age == Duration()) wrong("below the token");
            last[i] = list.version;
        } else {
            ++truth.errors;
            if (view.failed_with(Code::NotFound) && i != kVolumes - 1) wrong("not found");
        }
        if (!env.sleep(fiber, Duration::micros(draw.between(0, 40'000))).ok()) break;
    }
    truth.corrupt += cache.counters().corrupt;
    (void)cache.close(fiber);
}

/// Without a cache, at one master, held back or not: (master, volume) never goes back, and the answer's age is true.
void poll_master(Fiber& fiber, Env& env, MasterWorld& world, uint64_t number, Truth& truth, const bool& stop) {
    client::MasterClient client(env, number, {MasterWorld::addresses()[number % 3]}, {.attempt = Duration::millis(600), .hops_max = 0, .stream_credit_bytes = 4 << 10});
    RandomStream draw = env.random.stream("test.polls", number);
    std::shared_ptr<const VolumeList> held[kVolumes];
    while (!stop) {
        const size_t i = draw.below(kVolumes);
        wire::MasterListRequest request;
        if (held[i] && draw.chance(0.2)) {
            request.volume = held[i]->volume.volume;
        } else {
            request.name = volume_name(i);
        }
        request.since = held[i] && draw.chance(0.9) ? held[i]->version : LogIndex();
        const uint64_t kind = draw.below(3);
        request.max_age = Duration::millis(kind == 0 ? 0 : kind == 1 ? 300 : 2000);
        request.wait = Duration::millis(draw.chance(0.5) ? 400 : 0);
        if (draw.chance(0.3) && !truth.changes[i].empty()) request.at_least = truth.changes[i].back().version;
        const Instant asked = world.world.now();
        const std::map<std::pair<NodeId, size_t>, LogIndex> served = truth.served;
        Result<client::MasterClient::ListReply> reply = client.list(fiber, request, 1 << 20, env.now() + Duration::millis(1000));
        const Instant now = world.world.now();
        auto wrong = [&](const std::string& what) {
            truth.wrong.push_back("at m" + std::to_string(1 + number % 3) + " asked at " + std::to_string(asked.ns / 1000) + " us, age " + std::to_string(request.max_age.as_millis()) + " ms: " + what);
        };
        if (reply.ok()) {
            const wire::MasterListAnswer& answer = reply->answer;
            auto not_below = [&](LogIndex version, const char* why) {
                if (answer.version < version) wrong(std::string(why) + ": version " + std::to_string(answer.version.value) + ", not " + std::to_string(version.value));
            };
            const bool by_name = !request.name.empty();  // an id that is asked for late may be of a volume that is gone
            if (by_name || i != kVolumes - 1) not_below(truth.by(i, asked - request.max_age).version, "older than asked");
            if (by_name) {
                not_below(truth.by(i, now - answer.age - (now - asked) + answer.held).version, "older than it says");
                if (const auto before = served.find({answer.server, i}); before != served.end()) not_below(before->second, "this master went back");
                LogIndex& highest = truth.served[{answer.server, i}];
                highest = std::max(highest, answer.version);
            }
            if (answer.applied < request.at_least) wrong("below the token");
            if (request.max_age > Duration() && answer.age > request.max_age) wrong("left too old");
            truth.held += answer.held > Duration::millis(100);
            ++(answer.kind == wire::ListKind::Unchanged ? truth.unchanged : answer.kind == wire::ListKind::Delta ? truth.deltas : truth.fulls);
            Result<std::shared_ptr<const VolumeList>> list = client::list_behind(request.since ? held[i] : nullptr, request.since, answer, reply->records);
            if (!list.ok()) {
                wrong(list.error().text());
            } else {
                if (const auto bad = judge_list(truth, i, **list)) wrong(*bad);
                held[i] = *list;
            }
        } else {
            ++truth.errors;
            if (reply.failed_with(Code::Corrupt)) wrong(reply.error().text());
        }
        if (!env.sleep(fiber, Duration::micros(draw.between(0, 40'000))).ok()) break;
    }
    (void)client.close(fiber);
}

Truth run_cached_lists(uint64_t seed) {
    MasterWorld world(seed, 4 << 10, Duration::seconds(3600), [](master::MasterNodeOptions& options) { options.service.lists = small_pages(); });
    Truth truth;
    world.errand([&](Fiber& fiber, Env& env) {
        client::MasterClient client(env, 1, MasterWorld::addresses(), {});
        for (uint64_t node = 1; node <= 4; ++node)
            REQUIRE(client.change(fiber, master::register_command(node, "z" + std::to_string(node), 2), env.now() + Duration::seconds(20)).ok());
        for (size_t i = 0; i < kVolumes; ++i) {
            Result<MasterAnswer> made = client.change(fiber, command_for(MasterCommandKind::CreateVolume, volume_name(i), 24), env.now() + Duration::seconds(20));
            REQUIRE(made.ok());
            truth.changes[i].push_back({world.world.now(), made->index, 24});
        }
        (void)client.close(fiber);
    });
    bool stop = false;
    MasterFaults faults(world, seed, Duration::seconds(12));
    world.errand(
        [&](Fiber& fiber, Env& env) {
            Together clients(env);
            clients.start([&](Fiber& own) { change_volumes(own, env, world, truth, stop); });
            for (uint64_t i = 0; i < 10; ++i) {
                clients.start([&, i](Fiber& own) { poll_cache(own, env, world, 100 + i, truth, stop); });
                clients.start([&, i](Fiber& own) { poll_master(own, env, world, 200 + i, truth, stop); });
            }
            clients.wait(fiber);
        },
        Duration::seconds(60), [&] { stop = !faults.look(); });
    truth.faults = faults.count();
    if (truth.corrupt > 0) truth.wrong.push_back("answers contradict themselves");
    world.run(Duration::seconds(2));
    for (size_t i = 0; i < 3; ++i) {
        if (!world.masters[i]->up() || world.node(i)->group() == nullptr) continue;
        truth.snapshots += world.node(i)->group()->space()->generation.value > 1;
        // Whoever left has left nothing behind.
        if (world.node(i)->service()->lists().held() != 0) truth.wrong.push_back("questions are held back for nobody");
    }
    return truth;
}

TEST_CASE("lists of volumes are whole, as young as they say, and never go back (twenty clients, masters that fail)") {
    Truth all;
    size_t changes = 0;
    for (uint64_t seed = 300; seed < 300 + kRuns; ++seed) {
        const Truth truth = run_cached_lists(seed);
        CAPTURE(seed);
        CHECK_MESSAGE(truth.wrong.empty(), truth.wrong.front());
        for (const auto& one : truth.changes) changes += one.size();
        all.views += truth.views;
        all.errors += truth.errors;
        all.held += truth.held;
        all.unchanged += truth.unchanged;
        all.deltas += truth.deltas;
        all.fulls += truth.fulls;
        all.snapshots += truth.snapshots;
        all.faults += truth.faults;
    }
    MESSAGE(changes << " changes, " << all.views << " views; at masters " << all.unchanged << " unchanged, " << all.deltas << " deltas, " << all.fulls << " whole lists, " << all.held
                    << " held back; " << all.errors << " errors, " << all.faults << " faults, " << all.snapshots << " masters with an installed snapshot");
    CHECK(changes > 40 * kRuns);
    CHECK(all.views > 200 * static_cast<int>(kRuns));
    for (int count : {all.unchanged, all.deltas, all.fulls, all.held}) CHECK(count > 20 * static_cast<int>(kRuns));
    CHECK(all.snapshots > static_cast<int>(kRuns) / 2);
}

TEST_CASE("each way to get lists wrong is seen") {
    if (!kPlants) return;
    for (Defect defect : {Defect::list_served_while_not_ready, Defect::list_torn_by_apply, Defect::list_cache_takes_any_version}) {
        set_defects(only(defect));
        uint64_t seed = 300;
        std::vector<std::string> wrong;
        for (; wrong.empty() && seed < 400; ++seed) wrong = run_cached_lists(seed).wrong;
        set_defects({});
        const std::string name(kDefects[static_cast<size_t>(defect)].name);
        CHECK_MESSAGE(!wrong.empty(), name);
        if (!wrong.empty()) MESSAGE(name << ": run " << seed - 300 << ": " << wrong.front());
    }
}

/// A follower that hears of nobody, and a client that knows no other master.
Result<wire::MasterView> ask_cut_off(uint64_t seed, std::optional<Code>& without_hops) {
    MasterWorld world(seed);
    world.run(Duration::seconds(3));
    const size_t leader = world.leader().value();
    const size_t alone = (leader + 1) % 3;
    for (size_t i = 0; i < 3; ++i) {
        if (i == alone) continue;
        world.world.net().cut(world.masters[i]->endpoint(), world.masters[alone]->endpoint());
        world.world.net().cut(world.masters[alone]->endpoint(), world.masters[i]->endpoint());
    }
    Result<wire::MasterView> view = Error(Code::Cancelled);
    world.errand([&](Fiber& fiber, Env& env) {
        const std::vector<Address> one{MasterWorld::addresses()[alone]};
        client::MasterClient follows(env, 1, one, {.attempt = Duration::seconds(1)}), stays(env, 2, one, {.attempt = Duration::seconds(1), .hops_max = 0});
        view = follows.query(fiber, {}, env.now() + Duration::seconds(10));
        Result<wire::MasterView> refused = stays.query(fiber, {}, env.now() + Duration::seconds(3));
        if (!refused.ok()) without_hops = refused.code();
        (void)follows.close(fiber);
        (void)stays.close(fiber);
    });
    if (view.ok() && view->server != NodeId(leader + 1)) return Error(Code::Invalid, "answered by another");
    return view;
}

TEST_CASE("a master that nobody vouches for sends its clients to the leader, and a redirect to itself is seen") {
    std::optional<Code> without_hops;
    const Result<wire::MasterView> view = ask_cut_off(7, without_hops);
    CHECK_MESSAGE(view.ok(), (view.ok() ? "" : view.error().text()));
    CHECK(without_hops == Code::NotReady);

    set_defects(only(Defect::redirect_keeps_target));
    const Result<wire::MasterView> led_about = ask_cut_off(7, without_hops);
    set_defects({});
    CHECK(led_about.failed_with(Code::NotReady));
}

}  // namespace
}  // namespace orrery::test
