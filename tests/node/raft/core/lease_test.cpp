// Leases: what a member promises, what a leader may count on, and random schedules with clocks of different rates in which
// nobody reads what is not so any more.
#include "runtime/base/defect.h"
#include "tools/raft_script/cluster.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::raft::script {
namespace {

constexpr Duration kPromise = Duration::millis(1000);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSchedules = 500;  // a sanitizer looks at the code, not at the odds
#else
constexpr uint64_t kSchedules = 4000;
#endif

Configuration leased(std::vector<uint64_t> ids, uint32_t drift_ppm = 0) {
    Configuration::Parts parts = voters(std::move(ids)).parts();
    parts.lease = {kPromise, drift_ppm};
    return Configuration::make(std::move(parts)).value();
}

bool reads_now(Cluster& cluster, uint64_t id) {
    const Core& core = cluster[id];
    return core.may_read_under_lease() && cluster.now(id) < core.lease_until();
}

/// Three members; 1 leads, has heard everybody, and no message is on its way.
struct Led {
    Cluster cluster;
    explicit Led(Configuration configuration = leased({1, 2, 3}), Options options = default_options()) : cluster(3, std::move(configuration), options) {
        cluster.pass(kPromise);  // what they may have promised before their start is over
        cluster.drop_all();
        cluster.timeout(1);
        cluster.settle();
        cluster.run(Duration::millis(100));
        REQUIRE(cluster[1].role() == Role::Leader);
    }
};

}  // namespace

TEST_CASE("raft lease: a leader reads without messages until the promise ends, counted from the sending of the round and less the drift") {
    Led group(leased({1, 2, 3}, 100'000));
    Cluster& cluster = group.cluster;
    REQUIRE(reads_now(cluster, 1));
    cluster.cut_off(1);
    cluster.run(Duration::millis(100));  // the last round that is answered was sent before this
    const Instant until = cluster[1].lease_until();
    CHECK(until > cluster.now(1));
    CHECK(until <= cluster.now(1) + Duration::millis(900));
    CHECK_FALSE(reads_now(cluster, 2));
    cluster.pass(until - cluster.now(1) - Duration::nanos(1));
    CHECK(cluster[1].role() == Role::Leader);
    CHECK(reads_now(cluster, 1));
    cluster.pass(Duration::nanos(1));
    CHECK_FALSE(reads_now(cluster, 1));
}

TEST_CASE("raft lease: a leader that has committed more than it has applied reads nothing by itself") {
    Led group;
    Cluster& cluster = group.cluster;
    REQUIRE(reads_now(cluster, 1));
    cluster.hold(1);  // its disk: the others are a majority without it
    REQUIRE(cluster.propose(1, "x").ok());
    cluster.settle();
    REQUIRE(cluster[1].commit() > cluster[1].applied_index());
    CHECK_FALSE(reads_now(cluster, 1));
    cluster.release(1);
    cluster.settle();
    CHECK(reads_now(cluster, 1));
}

TEST_CASE("raft lease: the answer to a round counts from before the round was sent, however late it comes") {
    Led group;
    Cluster& cluster = group.cluster;
    cluster.pass(Duration::millis(100));  // a round begins, and is on its way
    REQUIRE(!cluster.queue().empty());
    const Instant sent = cluster.now(1);
    for (int step = 0; step < 6; ++step) {  // the followers have it at once, their answers take 600 ms
        for (size_t place = cluster.queue().size(); place-- > 0;)
            if (kind_of(cluster.queue()[place].message) == MessageKind::Heartbeat) cluster.deliver(place);
        cluster.pass(Duration::millis(100));
    }
    cluster.settle();
    CHECK(cluster[1].lease_until() > sent + kPromise);  // of later rounds
    Led other;
    Cluster& late = other.cluster;
    late.pass(Duration::millis(100));
    const Instant then = late.now(1);
    for (size_t place = late.queue().size(); place-- > 0;) late.deliver(place);
    late.cut_off(1);  // nothing more arrives there: the answers below are all that it hears
    auto answers = std::move(late.queue());
    late.queue().clear();
    late.pass(Duration::millis(700));
    late.heal();
    late.queue() = std::move(answers);
    while (!late.queue().empty() && late.queue().front().message.to == member(1)) late.deliver(0);
    CHECK(late[1].lease_until() <= then + kPromise);
}

TEST_CASE("raft lease: who has promised neither votes for another nor campaigns, until the promise ends") {
    Options options = default_options();
    options.check_quorum = false;  // so that only the promise stands in the way
    options.pre_vote = false;
    Led group(leased({1, 2, 3}), options);
    Cluster& cluster = group.cluster;
    cluster.cut_off(1);
    cluster.timeout(2);
    CHECK(cluster[2].role() == Role::Follower);
    const Term term = cluster[3].term();
    cluster[3].step(cluster.now(3), {member(2), member(3), term.next(), Vote{cluster[2].log().last()}});
    cluster.pump(3);
    cluster.settle();
    CHECK(cluster[3].term() == term);  // not even the term is taken over
    cluster.pass(kPromise);
    cluster.timeout(2);
    cluster.settle();
    CHECK(cluster[2].role() == Role::Leader);
    CHECK(cluster.violation() == "");
}

TEST_CASE("raft lease: a restarted member grants nothing for as long as it may have promised") {
    Options options = default_options();
    options.check_quorum = false;
    options.pre_vote = false;
    Led group(leased({1, 2, 3}), options);
    Cluster& cluster = group.cluster;
    cluster.cut_off(1);
    for (uint64_t id : {2, 3}) {
        cluster.crash(id);
        cluster.restart(id);
    }
    cluster.timeout(2);
    cluster.settle();
    CHECK(cluster[2].role() == Role::Follower);
    CHECK(reads_now(cluster, 1));
    cluster.pass(kPromise);
    cluster.timeout(2);
    cluster.settle();
    CHECK(cluster[2].role() == Role::Leader);
    CHECK_FALSE(reads_now(cluster, 1));
}

TEST_CASE("raft lease: given up before TimeoutNow leaves, and not taken again in that term") {
    Led group;
    Cluster& cluster = group.cluster;
    REQUIRE(cluster[1].transfer(cluster.now(1), NodeId(2)).ok());
    cluster.pump(1);
    CHECK_FALSE(reads_now(cluster, 1));
    std::deque<Parcel> called;  // it stays on its way
    for (size_t place = cluster.queue().size(); place-- > 0;)
        if (kind_of(cluster.queue()[place].message) == MessageKind::TimeoutNow) {
            called.push_back(cluster.queue()[place]);
            cluster.drop(place);
        }
    REQUIRE(called.size() == 1);
    cluster.run(Duration::millis(4000));
    CHECK(cluster[1].role() == Role::Leader);
    CHECK(cluster[1].status(cluster.now(1)).lease_given_up);
    CHECK_FALSE(reads_now(cluster, 1));
    cluster.cut_off(1);
    cluster.queue() = std::move(called);
    cluster.heal();
    cluster.cut(1, 3);
    cluster.settle();
    CHECK(cluster[2].role() == Role::Leader);  // at once: the vote that a leader has called for is not refused
    CHECK(cluster.violation() == "");
}

TEST_CASE("raft lease: switched on by an entry, it counts only members that hold that entry on their disks; switched off at once") {
    Led group(voters({1, 2, 3}));
    Cluster& cluster = group.cluster;
    CHECK_FALSE(reads_now(cluster, 1));
    cluster.hold(2);
    cluster.hold(3);
    REQUIRE(cluster[1].propose_configuration(cluster.now(1), leased({1, 2, 3})).ok());
    cluster.pump(1);
    cluster.run(Duration::millis(300));
    CHECK_FALSE(reads_now(cluster, 1));
    cluster.release(3);
    cluster.settle();
    CHECK(reads_now(cluster, 1));
    cluster.release(2);
    cluster.settle();
    REQUIRE(cluster[1].propose_configuration(cluster.now(1), voters({1, 2, 3})).ok());
    CHECK_FALSE(reads_now(cluster, 1));
}

TEST_CASE("raft lease: a member that is being added counts in both halves of a joint configuration") {
    Cluster cluster({1, 2, 3, 4, 5}, leased({1, 2, 3}), default_options());
    cluster.pass(kPromise);
    cluster.drop_all();
    cluster.timeout(1);
    cluster.settle();
    cluster.run(Duration::millis(100));
    REQUIRE(reads_now(cluster, 1));
    Configuration::Parts joint = leased({3, 4, 5}).parts();
    joint.outgoing = cluster[1].log().configuration().voters();
    joint.learners = {};
    REQUIRE(cluster[1].propose_configuration(cluster.now(1), Configuration::make(joint).value()).ok());
    CHECK_FALSE(reads_now(cluster, 1));  // the new half has promised nothing
    cluster.pump(1);
    cluster.settle();
    cluster.run(Duration::millis(200));
    CHECK(reads_now(cluster, 1));
    cluster.cut_off(5);
    cluster.cut_off(4);
    cluster.run(Duration::millis(1100));
    CHECK_FALSE(reads_now(cluster, 1));
}

TEST_CASE("raft lease: a member whose log still has a later entry of an earlier leader, which switches leases off, is not counted") {
    Led group;
    Cluster& cluster = group.cluster;
    cluster.hold(1);
    cluster.hold(2);
    cluster.cut(1, 3);
    REQUIRE(cluster[1].propose_configuration(cluster.now(1), voters({1, 2, 3})).ok());
    cluster.pump(1);
    cluster.settle();
    REQUIRE_FALSE(cluster[2].log().configuration().lease().on());
    cluster.crash(1);  // only 2 has that entry
    cluster.at(1).hold = false;
    cluster.restart(1);
    cluster.heal();
    cluster.cut_off(2);
    cluster.release(2);
    cluster.pass(kPromise);
    cluster.drop_all();
    cluster.timeout(3);
    cluster.settle();
    cluster.run(Duration::millis(100));
    REQUIRE(cluster[3].role() == Role::Leader);
    REQUIRE(reads_now(cluster, 3));  // by 1
    cluster.cut_off(1);
    cluster.at(2).cut.erase(NodeId(3));
    cluster.at(3).cut.erase(NodeId(2));
    // 2 hears heartbeats and no append, and promises nothing.
    for (int beat = 0; beat < 30; ++beat) {
        cluster.pass(Duration::millis(50));
        for (size_t place = cluster.queue().size(); place-- > 0;)
            if (kind_of(cluster.queue()[place].message) == MessageKind::Append) cluster.drop(place);
        while (!cluster.queue().empty() && kind_of(cluster.queue().front().message) != MessageKind::Append) cluster.deliver(0);
        cluster.drop_all();
    }
    REQUIRE(cluster[3].role() == Role::Leader);
    REQUIRE_FALSE(cluster[2].log().configuration().lease().on());
    CHECK_FALSE(reads_now(cluster, 3));
}

TEST_CASE("raft lease: a group of one needs nobody") {
    Cluster cluster(1, leased({1}), default_options());
    cluster.pass(kPromise * 2);
    cluster.settle();
    cluster.run(Duration::millis(200));
    REQUIRE(cluster[1].role() == Role::Leader);
    CHECK(reads_now(cluster, 1));
}

// ---- random schedules -------------------------------------------------------------------------------------------

namespace {

struct LeaseRun {
    std::string violation;
    uint64_t read_under_lease = 0;
    uint64_t elections = 0;
};

/// Clocks run apart by up to the stated drift; whatever happens, a read that needs no round is linearizable.
LeaseRun run_schedule(uint64_t seed, size_t steps) {
    constexpr uint32_t kDriftPpm = 200'000;
    RandomStream draws(seed, "lease.schedule", 1);
    Options options = default_options();
    options.check_quorum = draws.chance(0.5);
    options.pre_vote = draws.chance(0.5);
    const uint64_t count = draws.chance(0.2) ? 5 : 3;
    std::vector<uint64_t> ids;
    for (uint64_t id = 1; id <= count; ++id) ids.push_back(id);
    const bool from_start = draws.chance(0.7);
    Cluster cluster(ids, from_start ? leased(ids, kDriftPpm) : voters(ids), options);
    std::vector<int64_t> ppm(count + 1);
    for (int64_t& rate : ppm) rate = draws.between(int64_t{-100'000}, int64_t{100'000});
    auto pass = [&](Duration time) {
        for (uint64_t id : ids) cluster.at(id).ahead = cluster.at(id).ahead + Duration{time.ns / 1'000'000 * ppm[id]};
        cluster.pass(time);
    };
    LeaseRun run;
    uint64_t token = 0, value = 0;
    Term highest;
    auto look = [&] {
        for (uint64_t reader : ids) {
            if (!cluster.up(reader) || !reads_now(cluster, reader)) continue;
            if (cluster[reader].applied_index() != cluster[reader].commit()) continue;
            (void)cluster.read(reader, ++token);
            ++run.read_under_lease;
        }
        for (uint64_t one : ids)
            if (cluster.up(one) && cluster[one].role() == Role::Leader && cluster[one].term() > highest) highest = cluster[one].term(), ++run.elections;
    };
    // What leases are about: the leader is cut off, its last answers perhaps late or the others perhaps restarted, and the others
    // try again and again to have another one.
    auto depose = [&] {
        const uint64_t leads = cluster.leader();
        if (leads == 0) return;
        std::set<uint64_t> others(ids.begin(), ids.end());
        others.erase(leads);
        const bool late = draws.chance(0.4), restarted = draws.chance(0.3);
        std::deque<Parcel> answers;
        if (late) {
            pass(options.heartbeat);
            for (size_t place = cluster.queue().size(); place-- > 0;)
                if (cluster.queue()[place].message.from == member(leads)) cluster.deliver(place);
            std::swap(answers, cluster.queue());
            pass(Duration::millis(draws.between(100, 900)));
            cluster.drop_all();
            std::swap(answers, cluster.queue());
            for (size_t place = cluster.queue().size(); place-- > 0;)
                if (cluster.queue()[place].message.to == member(leads)) cluster.deliver(place);
        }
        cluster.cut_off(leads);
        cluster.drop_all();
        look();
        for (uint64_t other : others) {
            if (restarted && cluster.up(other)) cluster.crash(other);
            cluster.restart(other);
        }
        for (int tries = 0; tries < 60 && cluster.violation().empty(); ++tries) {
            const uint64_t candidate = *std::next(others.begin(), static_cast<std::ptrdiff_t>(draws.below(others.size())));
            cluster.timeout(candidate);
            cluster.settle(200, others);
            if (cluster[candidate].role() == Role::Leader) {
                (void)cluster.propose(candidate, "v" + std::to_string(++value));
                cluster.settle(200, others);
                look();
                break;
            }
            pass(Duration::millis(draws.between(5, 40)));
            look();
        }
        if (draws.chance(0.7)) cluster.heal();
    };
    for (size_t step = 0; step < steps && cluster.violation().empty(); ++step) {
        const uint64_t id = 1 + draws.below(count);
        switch (draws.below(16)) {
            case 0: pass(Duration::millis(draws.between(1, 400))); break;
            case 1: pass(Duration::millis(draws.between(1, 30))); break;
            case 2:
                if (cluster.up(id) && draws.chance(0.3)) cluster.timeout(id);
                break;
            case 3: cluster.cut_off(id); break;
            case 4: cluster.heal(); break;
            case 5:
                if (draws.chance(0.2) && cluster.up(id)) cluster.crash(id, draws.below(3));
                break;
            case 6: cluster.restart(id); break;
            case 7:
                if (cluster.up(id) && draws.chance(0.3)) {
                    (void)cluster[id].transfer(cluster.now(id), NodeId(1 + draws.below(count)));
                    cluster.pump(id);
                }
                break;
            case 8:
                if (const uint64_t leads = cluster.leader(); leads != 0) {
                    if (draws.chance(0.1)) {
                        Configuration::Parts next = cluster[leads].log().configuration().parts();
                        next.lease = next.lease.on() ? Lease{} : Lease{kPromise, kDriftPpm};
                        (void)cluster[leads].propose_configuration(cluster.now(leads), Configuration::make(std::move(next)).value());
                        cluster.pump(leads);
                    } else {
                        (void)cluster.propose(leads, "v" + std::to_string(++value));
                    }
                }
                break;
            case 9: cluster.settle(draws.below(20)); break;
            case 10:
                if (draws.chance(0.1)) depose();
                break;
            default:
                if (!cluster.queue().empty()) cluster.deliver(draws.below(std::min<size_t>(cluster.queue().size(), 12)));
        }
        look();
    }
    run.violation = cluster.violation();
    return run;
}

}  // namespace

TEST_CASE("raft lease: random schedules with drifting clocks never read what is not so any more") {
    uint64_t reads = 0, elections = 0;
    for (uint64_t seed = 1; seed <= kSchedules; ++seed) {
        const LeaseRun run = run_schedule(seed, 300);
        REQUIRE_MESSAGE(run.violation == "", "seed " << seed << ": " << run.violation);
        reads += run.read_under_lease;
        elections += run.elections;
    }
    MESSAGE(reads << " reads under leases, " << elections << " elections");
    CHECK(reads > kSchedules * 15);
    CHECK(elections > kSchedules);
    CHECK(rc::check("shrinkable", [] {
        const LeaseRun run = run_schedule(*rc::gen::arbitrary<uint32_t>(), *rc::gen::inRange<size_t>(1, 400));
        RC_ASSERT(run.violation == "");
    }));
}

TEST_CASE("raft lease: each seeded defect of leases is found by the random schedules") {
    for (Defect defect : {Defect::lease_ignores_drift, Defect::lease_kept_on_transfer, Defect::lease_from_answer, Defect::lease_promise_broken,
                          Defect::lease_promise_forgotten}) {
        set_defects(only(defect));
        uint64_t seed = 1;
        std::string violation;
        for (; seed <= 4000 && violation.empty(); ++seed) violation = run_schedule(seed, 300).violation;
        set_defects({});
        const std::string_view name = kDefects[static_cast<size_t>(defect)].name;
        MESSAGE(name << ": seed " << seed - 1 << ": " << violation);
        CHECK_MESSAGE(violation != "", name << " was not found");
    }
}

}  // namespace orrery::raft::script
