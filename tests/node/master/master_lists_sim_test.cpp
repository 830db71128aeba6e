// What masters answer about the age of what they show, in true simulated time, while links are cut one way or both, masters are stopped,
// lose power and hand leadership over. With each way to get it wrong planted, somebody is told something too old.
#include <algorithm>

#include "sim/core/defects.h"
#include "tests/node/master/records_in_memory.h"
#include "tests/node/master/master_faults.h"
#include "tests/node/master/master_world.h"

namespace orrery::test {
namespace {

using wire::MasterCommand;
using wire::MasterView;

struct SeenLists {
    std::vector<std::string> wrong;
    int answers = 0, refusals = 0, of_followers = 0, faults = 0;
    size_t changes = 0;
};

/// The highest version that somebody had been told of by `when`.
struct Acknowledged {
    std::vector<std::pair<Instant, LogIndex>> changes;  // times rise
    LogIndex by(Instant when) const {
        LogIndex highest;
        for (const auto& [at, index] : changes)
            if (at <= when) highest = std::max(highest, index);
        return highest;
    }
};

void change_on(Fiber& fiber, Env& env, MasterWorld& world, Acknowledged& acknowledged, const bool& stop) {
    client::MasterClient client(env, 1, MasterWorld::addresses(), {.attempt = Duration::millis(700)});
    RandomStream draw = env.random.stream("test.changes");
    for (uint32_t i = 0; !stop; ++i) {
        MasterCommand command = master::register_command(1 + draw.below(5), "z" + std::to_string(i), 1);
        Result<wire::MasterAnswer> answer = client.change(fiber, command, env.now() + Duration::seconds(5));
        if (answer.ok()) acknowledged.changes.emplace_back(world.world.now(), answer->index);
        if (!env.sleep(fiber, Duration::micros(draw.between(0, 60'000))).ok()) break;
    }
    (void)client.close(fiber);
}

void read_at(Fiber& fiber, Env& env, MasterWorld& world, size_t master, uint64_t number, const Acknowledged& acknowledged, SeenLists& seen, const bool& stop) {
    client::MasterClient client(env, number, {MasterWorld::addresses()[master]}, {.attempt = Duration::millis(900), .hops_max = 0});
    RandomStream draw = env.random.stream("test.reads", number);
    LogIndex last;
    while (!stop) {
        wire::MasterQuery query;
        const uint64_t kind = draw.below(3);
        query.max_age = Duration::millis(kind == 0 ? 0 : kind == 1 ? 200 : 2000);
        if (draw.chance(0.3)) query.at_least = acknowledged.changes.empty() ? LogIndex() : acknowledged.changes.back().second;
        const Instant asked = world.world.now();
        Result<MasterView> view = client.query(fiber, query, env.now() + Duration::millis(900));
        auto wrong = [&](const std::string& what) {
            seen.wrong.push_back("m" + std::to_string(master + 1) + " at " + std::to_string(asked.ns / 1000) + " us, age " +
                                 std::to_string(query.max_age.as_millis()) + " ms: " + what);
        };
        seen.refusals += !view.ok();
        if (view.ok()) {
            ++seen.answers;
            seen.of_followers += view->server != view->leader;
            auto at_least = [&](LogIndex version, const char* why) {
                if (view->version < version)
                    wrong(std::string(why) + ": version " + std::to_string(view->version.value) + ", not " + std::to_string(version.value));
            };
            at_least(acknowledged.by(asked - query.max_age), "older than it was asked to be");
            at_least(acknowledged.by(asked - view->age), "older than it says");
            at_least(query.at_least, "below the version that was asked for");
            at_least(last, "went back");
            last = view->version;
        }
        if (!env.sleep(fiber, Duration::micros(draw.between(0, 30'000))).ok()) break;
    }
    (void)client.close(fiber);
}

SeenLists run_lists(uint64_t seed) {
    MasterWorld world(seed);
    Acknowledged acknowledged;
    SeenLists seen;
    bool stop = false;
    MasterFaults faults(world, seed, Duration::seconds(15));
    world.errand(
        [&](Fiber& fiber, Env& env) {
            Together clients(env);
            clients.start([&](Fiber& own) { change_on(own, env, world, acknowledged, stop); });
            for (size_t i = 0; i < 6; ++i) clients.start([&, i](Fiber& own) { read_at(own, env, world, i % 3, 10 + i, acknowledged, seen, stop); });
            clients.wait(fiber);
        },
        Duration::seconds(60), [&] { stop = !faults.look(); });
    seen.faults = faults.count();
    seen.changes = acknowledged.changes.size();
    return seen;
}

TEST_CASE("no answer is older than it says, or than it was asked to be, and none goes back") {
    SeenLists all;
    for (uint64_t seed = 100; seed < 100 + kRuns; ++seed) {
        const SeenLists seen = run_lists(seed);
        CAPTURE(seed);
        CHECK_MESSAGE(seen.wrong.empty(), seen.wrong.front());
        CHECK(seen.changes > 50);
        all.answers += seen.answers;
        all.refusals += seen.refusals;
        all.of_followers += seen.of_followers;
        all.faults += seen.faults;
    }
    MESSAGE(all.answers << " answers, " << all.of_followers << " of followers; " << all.refusals << " refusals; " << all.faults << " faults");
    CHECK(all.of_followers > 200 * static_cast<int>(kRuns));
    CHECK(all.refusals > 2 * static_cast<int>(kRuns));  // cut off for long enough, a master says that it does not know
}

TEST_CASE("each way to get it wrong is seen") {
    if (!kPlants) return;
    for (Defect defect : {Defect::list_confirmed_by_anyone, Defect::list_without_round, Defect::list_stamped_on_receipt, Defect::list_served_before_applied}) {
        set_defects(only(defect));
        uint64_t seed = 100;
        std::vector<std::string> wrong;
        for (; wrong.empty() && seed < 130; ++seed) wrong = run_lists(seed).wrong;
        set_defects({});
        const std::string name(kDefects[static_cast<size_t>(defect)].name);
        CHECK_MESSAGE(!wrong.empty(), name);
        if (!wrong.empty()) MESSAGE(name << ": run " << seed - 100 << ": " << wrong.front());
    }
}

}  // namespace
}  // namespace orrery::test
