#include "model.h"

#include <algorithm>
#include <sstream>

#include "runtime/base/hash.h"

namespace orrery::log::test {

void Model::apply(GroupId id, const Batch& records) {
    for (const Batch::Item& item : records.items()) {
        GroupModel& group = groups[id];
        LogIndex index(item.index);
        switch (item.kind) {
            case Batch::Kind::Entry:
                std::erase_if(group.entries, [&](const Entry& entry) { return entry.index >= index; });
                group.entries.push_back({index, item.term, item.entry_kind, item.has_attachment, Bytes(item.body)});
                break;
            case Batch::Kind::HardState:
                group.hard_state = HardState{item.term, ReplicaId(item.index), Bytes(item.body)};
                break;
            case Batch::Kind::Truncate:
                std::erase_if(group.entries, [&](const Entry& entry) { return entry.index >= index; });
                break;
            case Batch::Kind::Floor:
                group.floor = {index, item.term};
                std::erase_if(group.entries, [&](const Entry& entry) { return entry.index <= index; });
                break;
            case Batch::Kind::Configuration: group.configuration = Bytes(item.body); break;
            case Batch::Kind::Tombstone:
                groups.erase(id);
                tombstones[id].insert(item.index);
                break;
        }
    }
}

std::string Model::text() const {
    std::ostringstream out;
    for (const auto& [id, group] : groups) {
        if (group.empty()) continue;
        out << "group " << id << " floor " << group.floor.index << "/" << group.floor.term;
        if (group.hard_state)
            out << " hard " << group.hard_state->term << "/" << group.hard_state->vote << "/"
                << hash_bytes(group.hard_state->opaque);
        if (group.configuration) out << " configuration " << hash_bytes(*group.configuration);
        for (const Entry& entry : group.entries)
            out << " " << entry.index << "/" << entry.term << "/" << int{entry.kind} << "/" << entry.has_attachment << "/"
                << entry.body.size() << ":" << hash_bytes(entry.body);
        out << "\n";
    }
    for (const auto& [id, replicas] : tombstones)
        for (uint64_t replica : replicas) out << "tombstone " << id << "/" << replica << "\n";
    return out.str();
}

uint64_t Model::digest() const { return hash_bytes(text()); }

Model Model::of(const RecoveryReport& report) {
    Model model;
    for (const auto& [id, group] : report.groups)
        model.groups[id] = {group.hard_state, group.floor, group.configuration, group.entries};
    for (const auto& [id, replicas] : report.tombstones)
        for (ReplicaId replica : replicas) model.tombstones[id].insert(replica.value);
    return model;
}

Options small_options() {
    Options options;
    options.segment_bytes = 64 << 10;
    options.batch_bytes = 16 << 10;
    options.queue_bytes = 32 << 10;
    options.copy_bytes = 16 << 10;
    options.seal_after = Duration::millis(5);
    return options;
}

namespace {

/// A batch of one group that the model allows. Bodies live in `bodies`.
Batch random_batch(RandomStream& draws, const LifeOptions& options, const GroupModel& group, std::vector<Bytes>& bodies) {
    auto body = [&] {
        Bytes bytes(draws.below(options.max_body + 1), '\0');
        for (char& c : bytes) c = static_cast<char>(draws.next());
        bodies.push_back(std::move(bytes));
        return ByteView(bodies.back());
    };
    bodies.reserve(16);  // views into it must stay
    Batch batch;
    LogIndex last = group.last();
    LogIndex floor = group.floor.index;
    Term term(group.hard_state ? group.hard_state->term.value : 1);
    uint64_t choice = draws.below(100);
    if (choice < 60 || last == floor) {
        LogIndex index = last.next();
        if (last > floor && draws.chance(0.15)) index = LogIndex(floor.value + 1 + draws.below(last - floor));  // conflict
        for (uint64_t count = 1 + draws.below(3); count > 0; --count, index = index.next())
            batch.entry({index, term, static_cast<uint8_t>(draws.below(4)), draws.chance(0.2), body()});
        if (draws.chance(0.2)) batch.hard_state(term.next(), ReplicaId(draws.below(5)), body());
    } else if (choice < 70) {
        batch.hard_state(term.next(), ReplicaId(draws.below(5)), ByteView(body()).substr(0, 40));
    } else if (choice < 77) {
        batch.truncate(LogIndex(floor.value + 1 + draws.below(last - floor)));
    } else if (choice < 93) {
        uint64_t step = 1 + draws.below(last - floor);
        batch.floor(LogIndex(floor.value + step), term);
    } else if (choice < 98) {
        batch.configuration(ByteView(body()).substr(0, 200));
    } else if (options.tombstones) {
        batch.tombstone(ReplicaId(1 + draws.below(1000)));
    } else {
        batch.floor(last + 3, term);  // as an installed snapshot does
    }
    return batch;
}

}  // namespace

Life live(FakeDisk& disk, const LifeOptions& options) {
    Life life;
    std::unique_ptr<SegmentedLog> log;  // outlives its fibers, which end with the world
    FakeWorld world(disk, options.seed, Instant{static_cast<int64_t>(options.seed % 1000) * 1'000'000'000});
    world.slow_slices = options.slow_slices;
    disk.crash_at = options.crash_at;
    disk.fail_sync_at = options.fail_sync_at;
    disk.fail_write_at = options.fail_write_at;
    RandomStream draws(options.seed, "workload", 0);
    life.opened = Error(Code::Cancelled, "crashed");
    world.run([&](Fiber& fiber) {
        auto opened = SegmentedLog::open(
            fiber, world.env, small_options(), [](GroupId) { return DurableApplied{}; }, &life.report);
        if (!opened.ok()) {
            life.opened = opened.error();
            return;
        }
        log = std::move(opened).value();
        life.opened = {};
        life.last = Model::of(life.report);
        life.digests.push_back(life.last.digest());
        log->start();
        for (int i = 0; i < options.appends; ++i) {
            GroupId id(1 + draws.below(options.groups));
            std::vector<Bytes> bodies;
            Batch batch = random_batch(draws, options, life.last.groups[id], bodies);
            for (;;) {
                Result<Ticket> ticket = log->append(id, batch);
                if (ticket.ok()) {
                    ORRERY_CHECK(ticket->sequence == life.digests.size());
                    life.last.apply(id, batch);
                    life.digests.push_back(life.last.digest());
                    break;
                }
                if (!ticket.failed_with(Code::Overloaded)) return;
                if (!world.env.sleep(fiber, Duration::micros(50)).ok()) return;
            }
            if (draws.chance(0.3) && !log->wait_synced(fiber, log->appended(), fiber.scheduler().next_timer()).ok()) {
                if (disk.frozen || log->sealed_error()) return;
            }
            if (draws.chance(0.05) && !world.env.sleep(fiber, Duration::millis(20)).ok()) return;
        }
        if (options.stop)
            life.stopped = log->stop(fiber);
        else if (draws.chance(0.5))
            (void)log->wait_synced(fiber, log->appended());
    });
    if (log) {
        life.synced = log->synced().sequence;
        life.status = log->status();
        life.sealed = log->sealed_error();
    }
    life.errors = world.tracer.errors;
    life.operations = disk.operations;
    return life;
}

}  // namespace orrery::log::test
