// Groups of the driver in a simulated world: attachments before records, catch-up, snapshots under crashes.
#include "node/raft/member_contact.h"
#include "tests/node/raft/group_world.h"
#include "tests/spoil_log.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;

namespace {

/// Every acknowledged text is in the state of every node that is up; and every such attachment is whole on its disk.
void check_all_there(GroupWorld& group, const std::vector<std::string>& acknowledged, bool attachments) {
    for (size_t i = 0; i < 3; ++i) {
        if (group.group(i) == nullptr) continue;
        std::map<uint64_t, Bytes> texts;
        REQUIRE(group.on_node(i, [&](Fiber& fiber, GroupNode& node) {
            auto all = node.machine().texts(fiber);
            if (all.ok()) texts = *all;
        }));
        for (const std::string& text : acknowledged) {
            auto found = std::find_if(texts.begin(), texts.end(), [&](const auto& item) { return item.second == text; });
            REQUIRE_MESSAGE(found != texts.end(), "node " << i + 1 << " lacks '" << text << "'");
            if (!attachments || !text.starts_with("+")) continue;
            bool whole = false;
            for (uint64_t term = 1; term < 50 && !whole; ++term)
                whole = group.hosts[i]->disk().peek(attachment_path(LogIndex(found->first), Term(term)), sim::SimDisk::View::Durable) == GroupWorld::attachment_of(text);
            CHECK_MESSAGE(whole, "node " << i + 1 << ": attachment of '" << text << "' is not durable");
        }
    }
}

}  // namespace

TEST_CASE("raft: an acknowledged entry with an attachment is whole on every disk (power loss at any time)") {
    for (uint64_t seed = 1; seed <= test::seeds(12); ++seed) {
        GroupWorld group(seed);
        std::vector<std::string> acknowledged;
        RandomStream draws = group.world.timeline().stream("test.crash");
        for (int round = 0; round < 6; ++round) {
            const size_t victim = draws.below(3);
            // The crash falls into the middle of the appends that follow.
            group.world.at(group.world.now() + draws.between(Duration::millis(1), Duration::millis(60)), [&group, victim] {
                if (group.hosts[victim]->up()) group.hosts[victim]->crash(sim::Host::Death::Power);
            });
            for (int i = 0; i < 5; ++i) {
                const std::string text = (i % 2 == 0 ? "+" : "-") + std::to_string(round) + "." + std::to_string(i);
                if (group.put(text)) acknowledged.push_back(text);
                REQUIRE_MESSAGE(!group.world.failure(), "seed " << seed << ": " << group.failure_text());
            }
            group.world.run_until(group.world.now() + Duration::millis(100));
            REQUIRE_FALSE(group.hosts[victim]->up());
            group.start(victim);
        }
        group.world.run_until(group.world.now() + Duration::seconds(4));
        REQUIRE_MESSAGE(!group.world.failure(), "seed " << seed << ": " << group.failure_text());
        REQUIRE(acknowledged.size() == 30);
        check_all_there(group, acknowledged, true);
    }
}

TEST_CASE("raft: a member that missed entries gets their attachments from leaders that have restarted") {
    GroupWorld group(5);
    group.hosts[2]->crash(sim::Host::Death::Power);
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 10; ++i) {
        acknowledged.push_back("+entry" + std::to_string(i));
        REQUIRE(group.put(acknowledged.back()));
    }
    for (size_t i = 0; i < 2; ++i) group.hosts[i]->crash(sim::Host::Death::Power);
    for (size_t i = 0; i < 3; ++i) group.start(i);
    group.world.run_until(group.world.now() + Duration::seconds(5));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    check_all_there(group, acknowledged, true);
}

TEST_CASE("raft: a member behind the log's floor gets a snapshot and then equals the others") {
    GroupWorld group(6, 4 << 10, 8 << 10);
    REQUIRE(group.put("-first"));
    group.hosts[2]->crash(sim::Host::Death::Power);
    std::vector<std::string> acknowledged{"-first"};
    for (int i = 0; i < 60; ++i) {
        acknowledged.push_back("-" + std::string(500, static_cast<char>('a' + i % 26)) + std::to_string(i));
        REQUIRE(group.put(acknowledged.back()));
    }
    group.world.run_until(group.world.now() + Duration::seconds(2));
    REQUIRE(group.group(*group.leader())->core().log().floor().index > LogIndex(1));
    group.start(2);
    group.world.run_until(group.world.now() + Duration::seconds(6));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    CHECK(group.group(2)->space()->generation > Generation(1));
    CHECK(group.group(2)->applied() == group.group(0)->applied());
    check_all_there(group, acknowledged, false);
}

namespace {

/// How long a member that lacks some 30 KB behind the log's floor takes until it has a snapshot of them, at a bound for the sender,
/// whose loop waits for a processor for so much of its time.
Duration time_of_install(uint64_t bytes_per_second, int64_t waits_percent = 0) {
    GroupWorld group(6, 4 << 10, 8 << 10, {.snapshot_bytes_per_second = bytes_per_second});
    REQUIRE(group.put("-first"));
    group.hosts[2]->crash(sim::Host::Death::Power);
    for (int i = 0; i < 60; ++i) REQUIRE(group.put("-" + std::string(500, 'x') + std::to_string(i)));
    group.world.run_until(group.world.now() + Duration::seconds(2));
    REQUIRE(group.group(*group.leader())->core().log().floor().index > LogIndex(1));
    group.start(2);
    const Instant began = group.world.now(), end = began + Duration::seconds(60);
    auto there = [&] { return group.group(2) != nullptr && group.group(2)->space() && group.group(2)->space()->generation > Generation(1); };
    const Duration step = Duration::millis(10);
    while (!there() && group.world.now() < end) {
        for (size_t i = 0; i < group.hosts.size(); ++i)
            if (group.group(i) != nullptr) group.node(i)->add_crowded_out(step / 100 * waits_percent);
        group.world.run_until(group.world.now() + step);
    }
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    REQUIRE(there());
    return group.world.now() - began;
}

}  // namespace

TEST_CASE("raft: a snapshot leaves as fast as its bound lets it, and no faster") {
    const Duration free = time_of_install(0), slow = time_of_install(4 << 10), slower = time_of_install(2 << 10);
    CHECK(free < Duration::seconds(4));
    // 60 texts of 500 bytes and some: 7.5 s of 4 KiB, 15 s of 2 KiB; what goes first does not wait.
    CHECK(slow > Duration::seconds(7));
    CHECK(slow < Duration::seconds(12));
    CHECK(slower > Duration::seconds(14));
    CHECK(slower < Duration::seconds(20));
}

TEST_CASE("raft: a snapshot leaves at a sixteenth of its bound while the sender's loop is crowded out") {
    const Duration free = time_of_install(16 << 10), hardly = time_of_install(16 << 10, 5), crowded = time_of_install(16 << 10, 15);
    CHECK(free < Duration::seconds(4));
    CHECK(hardly < Duration::seconds(4));
    // 30 s of 1 KiB, but that the first looks let more go.
    CHECK(crowded > Duration::seconds(15));
    CHECK(crowded < Duration::seconds(35));
}

TEST_CASE("raft: an install that power loss interrupts leaves the old state or the new one (crash at each disk operation)") {
    // The victim restarts behind the floor and is cut down at the n-th changing operation of its disk, for rising n. Its own
    // log is empty, or has a floor from an earlier compaction already.
    for (bool compacted : {false, true}) {
    int installs = 0;
    uint64_t operations = 0;  // of the victim from its restart to the end, when nothing strikes (nth = 0)
    for (uint64_t nth = 0; nth <= operations; ++nth) {
        GroupWorld group(7, 4 << 10, 8 << 10);
        std::vector<std::string> acknowledged;
        for (int i = 0; compacted && i < 40; ++i) {
            acknowledged.push_back("-" + std::string(600, static_cast<char>('A' + i % 26)) + std::to_string(i));
            REQUIRE(group.put(acknowledged.back()));
        }
        if (compacted) {
            group.world.run_until(group.world.now() + Duration::seconds(1));
            REQUIRE(group.group(2)->core().log().floor().index > LogIndex(1));
        }
        group.hosts[2]->crash(sim::Host::Death::Power);
        for (int i = 0; i < 25; ++i) {
            acknowledged.push_back("-" + std::string(600, static_cast<char>('a' + i)) + std::to_string(i));
            REQUIRE(group.put(acknowledged.back()));
        }
        group.start(2);
        bool crashed = false;
        const uint64_t before = group.hosts[2]->disk().operation_number();
        if (nth > 0) group.hosts[2]->disk().crash_at_operation(nth, [&](const sim::DiskOperation& operation) {
            group.world.at(operation.at, [&] {
                crashed = group.hosts[2]->up();
                if (crashed) group.hosts[2]->crash(sim::Host::Death::Power);
            });
        });
        group.world.run_until(group.world.now() + Duration::seconds(3));
        if (nth == 0) operations = group.hosts[2]->disk().operation_number() - before;
        if (!group.hosts[2]->up()) group.start(2);
        group.world.run_until(group.world.now() + Duration::seconds(5));
        REQUIRE_MESSAGE(!group.world.failure(), "nth " << nth << ": " << group.failure_text());
        installs += crashed && group.group(2)->space()->generation > Generation(1);
        check_all_there(group, acknowledged, false);
    }
    MESSAGE("crash points " << operations << ", with an install in the end " << installs);
    CHECK(installs > static_cast<int>(operations) / 2);
    }
}

TEST_CASE("raft: damaged entries are fetched from a member that has them (two of three, holes of their own, no leader possible)") {
    for (uint64_t seed = 1; seed <= test::seeds(6); ++seed) {
        GroupWorld group(seed);
        std::vector<std::string> acknowledged;
        for (int i = 0; i < 20; ++i) {
            acknowledged.push_back("-entry number " + std::to_string(i) + ".");
            REQUIRE(group.put(acknowledged.back()));
        }
        group.world.run_until(group.world.now() + Duration::seconds(1));
        for (sim::Host* host : group.hosts) host->crash(sim::Host::Death::Power);
        REQUIRE(spoil_log(*group.hosts[0], acknowledged[4]));
        REQUIRE(spoil_log(*group.hosts[0], acknowledged[15]));
        REQUIRE(spoil_log(*group.hosts[1], acknowledged[7]));
        for (size_t i = 0; i < 2; ++i) group.start(i);
        group.world.run_until(group.world.now() + Duration::seconds(5));
        REQUIRE_MESSAGE(!group.world.failure(), "seed " << seed << ": " << group.failure_text());
        REQUIRE(group.leader());
        for (size_t i = 0; i < 2; ++i) CHECK(group.group(i)->status().holes == 0);
        REQUIRE(group.put("-after"));
        acknowledged.push_back("-after");
        // What was mended is mended on disk: another power loss finds no hole.
        group.hosts[0]->crash(sim::Host::Death::Power);
        group.start(0);
        group.start(2);
        group.world.run_until(group.world.now() + Duration::seconds(5));
        REQUIRE_MESSAGE(!group.world.failure(), "seed " << seed << ": " << group.failure_text());
        CHECK(group.node(0)->host()->recovery().groups.at(kGroup).holes.empty());
        check_all_there(group, acknowledged, false);
    }
}

TEST_CASE("raft: a member with a hole waits for who has the body, and does not lead meanwhile") {
    GroupWorld group(3);
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 12; ++i) {
        acknowledged.push_back("-entry number " + std::to_string(i) + ".");
        REQUIRE(group.put(acknowledged.back()));
    }
    group.world.run_until(group.world.now() + Duration::seconds(1));
    for (sim::Host* host : group.hosts) host->crash(sim::Host::Death::Power);
    // Beyond the budget of one: nobody who is up has entry 5.
    REQUIRE(spoil_log(*group.hosts[0], acknowledged[5]));
    REQUIRE(spoil_log(*group.hosts[1], acknowledged[5]));
    for (size_t i = 0; i < 2; ++i) group.start(i);
    group.world.run_until(group.world.now() + Duration::seconds(20));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    CHECK_FALSE(group.leader());
    for (size_t i = 0; i < 2; ++i) {
        const raft::Status status = group.group(i)->status();
        CHECK(status.holes == 1);
        REQUIRE(status.first_hole);
        CHECK(status.first_hole->index == LogIndex(7));  // the no-op of the first leader is entry 1
        CHECK(status.applied < status.first_hole->index);
    }
    group.start(2);
    group.world.run_until(group.world.now() + Duration::seconds(8));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    CHECK(group.leader());
    check_all_there(group, acknowledged, false);
}

TEST_CASE("raft: a hole that everybody else has compacted comes back with a snapshot") {
    GroupWorld group(6, 64 << 20, 8 << 10);
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 8; ++i) {
        acknowledged.push_back("-entry number " + std::to_string(i) + ".");
        REQUIRE(group.put(acknowledged.back()));
    }
    group.world.run_until(group.world.now() + Duration::seconds(1));
    group.hosts[2]->crash(sim::Host::Death::Power);
    for (int i = 0; i < 40; ++i) {
        acknowledged.push_back("-" + std::string(600, static_cast<char>('a' + i % 26)) + std::to_string(i));
        REQUIRE(group.put(acknowledged.back()));
    }
    group.world.run_until(group.world.now() + Duration::seconds(1));
    REQUIRE(group.group(*group.leader())->core().log().floor().index > LogIndex(6));
    REQUIRE(spoil_log(*group.hosts[2], acknowledged[4]));
    group.start(2);
    group.world.run_until(group.world.now() + Duration::seconds(8));
    REQUIRE_MESSAGE(!group.world.failure(), group.failure_text());
    CHECK(group.group(2)->status().holes == 0);
    CHECK(group.group(2)->space()->generation > Generation(1));
    CHECK(group.group(2)->applied() == group.group(0)->applied());
    check_all_there(group, acknowledged, false);
}

TEST_CASE("raft: a change of members that is bound to a configuration, or to a replica, does nothing once that is another one") {
    GroupWorld group(31);
    REQUIRE(group.put("one"));
    const std::optional<size_t> leader = group.leader();
    REQUIRE(leader);
    REQUIRE(group.on_node(*leader, [](Fiber& fiber, GroupNode& node) {
        raft::Group& own = *node.group();
        auto newest = [&] { return own.core().log().configuration_index(); };
        const Instant deadline = node.host()->env().now() + Duration::seconds(10);
        const NodeId other(own.self().node.value % 3 + 1);
        const raft::Member member{other, own.status().configuration.find(other)->replica};
        const LogIndex before = newest();  // 0: the founding configuration
        CHECK(own.remove_member(fiber, member, LogIndex(before.value + 1), deadline).failed_with(Code::Stale));
        CHECK_FALSE(own.remove_member(fiber, {other, ReplicaId(member.replica.value + 1)}, std::nullopt, deadline).value().changed);
        CHECK(newest() == before);
        const raft::MembersChanged removed = own.remove_member(fiber, member, before, deadline).value();
        CHECK(removed.changed);
        CHECK(newest() > before);
        CHECK_FALSE(own.status().configuration.find(other));
        CHECK_FALSE(own.remove_member(fiber, member, before, deadline).value().changed);  // it is so already
        CHECK(own.add_member(fiber, {NodeId(9), ReplicaId(77)}, raft::AddAs::Learner, raft::encode_contact({"h9:1", "h9:2"}), before, deadline).failed_with(Code::Stale));
        CHECK_FALSE(own.status().configuration.find(NodeId(9)));
        CHECK(own.add_member(fiber, {NodeId(9), ReplicaId(77)}, raft::AddAs::Learner, raft::encode_contact({"h9:1", "h9:2"}), newest(), deadline).value().changed);
        CHECK(own.status().configuration.find(NodeId(9))->replica == ReplicaId(77));
    }));
}
