// Snapshots of a group: sent as one scan at one point of the Store, installed under a fresh generation.
//
// The transfer is resumable: a sender keeps its point until it gives up, a receiver keeps what it has of the same
// snapshot, and says at the beginning which chunk it wants next. Order of an install: chunks (invisible) -> one batch
// that moves the pointer -> one flush -> swap in memory -> answer; the floor record joins the log with the group's next
// batch, and recovery puts it there if a crash came between.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "node/wire/raft_message.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

namespace {
constexpr int kAttempts = 5;
}

// ---- sending ----------------------------------------------------------------------------------------------------

void Group::send_snapshot(Fiber& fiber, Member to) {
    LogIndex claimed;
    Result<LogIndex> sent = stream_snapshot(fiber, to, claimed);
    snapshots_out_.erase(to.node);
    if (sent.failed_with(Code::Cancelled)) return;
    if (sent.ok()) {
        env_.tracer.info("raft.snapshot.sent", {{"group", id_}, {"node", to.node}, {"index", *sent}});
    } else {
        env_.tracer.warning("raft.snapshot.send_failed", {{"group", id_}, {"node", to.node}, {"error", sent.error().text()}});
    }
    if (stopped_) return;
    core_->snapshot_finished(env_.now(), to.node, claimed, sent.ok() ? Core::Transfer::Done : Core::Transfer::Failed);
    wake();
}

Result<LogIndex> Group::stream_snapshot(Fiber& fiber, Member to, LogIndex& claimed) {
    const std::shared_ptr<const StateSpace> space = space_;  // keeps the generation while we read it
    std::unique_ptr<store::Snapshot> point = host_.store().snapshot();
    TRY(std::optional<Bytes> record, host_.store().get(fiber, applied_key(*space), point.get()));
    if (!record) return Error(Code::NotReady, "nothing was applied yet");
    TRY(AppliedRecord applied, decode_applied(*record));
    claimed = applied.applied.index;
    core_->snapshot_progress(env_.now(), to.node, claimed);
    TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.send.begin", {{"group", id_}, {"node", to.node}, {"index", claimed}}));

    const Bytes configuration = applied.configuration.empty() ? Bytes() : applied.configuration.encode();
    wire::SnapshotChunk chunk;
    chunk.group = id_;
    chunk.from_node = self().node;
    chunk.from_replica = self().replica;
    chunk.to_node = to.node;
    chunk.to_replica = to.replica;
    chunk.snapshot_id = env_.random.stream("raft.snapshot", ++snapshots_begun_).next();
    chunk.generation = space->generation;
    chunk.index = applied.applied.index;
    chunk.index_term = applied.applied.term;
    chunk.configuration = configuration;

    // starts[i]: where chunk i begins in the key space, so that a resumed transfer scans from there.
    std::vector<Bytes> starts{space_begin(*space)};
    const Bytes end = space_end(*space);
    Error last_error(Code::Unreachable, "no attempt made");
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        if (attempt > 0) TRY(env_.sleep(fiber, Duration::millis(100 << attempt)));
        if (!leads() || stopped_) return not_leader();
        chunk.term = core_->term();
        chunk.sequence = 0;
        chunk.offset_bytes = 0;
        chunk.last = false;
        chunk.bytes = {};
        const rpc::Target target{wire::Operation::InstallSnapshot, id_, to.replica.value, wire::TrafficClass::Bulk,
                                 rpc::Deadline::after(env_.clock, options_.snapshot_timeout)};
        Result<rpc::Exchange> exchange = host_.peers().open(fiber, to.node, target, encode_snapshot_chunk(chunk), rpc::Upload::Follows);
        if (!exchange.ok()) {
            if (exchange.code() == Code::Cancelled) return exchange.error();
            last_error = exchange.error();
            continue;
        }
        Result<std::optional<Bytes>> want = exchange->read(fiber, target.deadline.at);
        if (want.failed_with(Code::Cancelled)) return want.error();
        if (!want.ok() || !*want || (*want)->size() != 8) {
            Result<Bytes> end_of_it = exchange->finish(fiber);
            if (end_of_it.ok()) return claimed;  // it had all of it already
            last_error = end_of_it.error();
            if (last_error.code == Code::Cancelled || last_error.code == Code::Stale) return last_error;
            continue;
        }
        uint64_t sequence = get_le<uint64_t>((*want)->data());
        if (sequence >= starts.size()) return Error(Code::Corrupt, "the receiver asks for a chunk that was never sent");
        bool broken = false;
        for (bool last = false; !last && !broken; ++sequence) {
            TRY(store::Store::Chunk pairs, host_.store().scan(fiber, point.get(), starts[sequence], end, {.bytes = options_.snapshot_chunk_bytes}));
            Bytes body;
            for (const auto& [key, value] : pairs.pairs) {
                put_string(body, ByteView(key).substr(kSpaceBytes));
                put_string(body, value);
            }
            last = !pairs.next.has_value();
            if (!last && starts.size() == sequence + 1) starts.push_back(*pairs.next);
            chunk.sequence = sequence;
            chunk.last = last;
            chunk.bytes = body;
            if (stopped_ || !leads()) return not_leader();
            core_->snapshot_progress(env_.now(), to.node, claimed);
            TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.send.chunk", {{"group", id_}, {"node", to.node}, {"sequence", sequence}}));
            Result<void> written = exchange->write(fiber, encode_snapshot_chunk(chunk), target.deadline.at);
            if (written.failed_with(Code::Cancelled)) return written.error();
            broken = !written.ok();
        }
        exchange->finish_writing();
        Result<Bytes> answer = exchange->finish(fiber);
        if (answer.ok()) return claimed;
        last_error = answer.error();
        if (last_error.code == Code::Cancelled || last_error.code == Code::Stale) return last_error;
    }
    return last_error;
}

// ---- receiving --------------------------------------------------------------------------------------------------

void Group::handle_install(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::SnapshotChunk> header = wire::decode_snapshot_chunk(request.body());
    if (!header.ok()) return responder.fail(header.error());
    if (stopped_) return responder.fail(Error(Code::NotReady, "the group has stopped here"));
    if (header->to_node != self().node || header->to_replica != self().replica)
        return responder.fail(Error(Code::Stale, "the snapshot is for replica " + std::to_string(header->to_replica.value) +
                                                     ", this one is " + std::to_string(self().replica.value)));
    if (header->term < core_->term()) return responder.fail(Error(Code::Stale, "the sender's term has passed"));
    if (header->index <= applied_.applied.index) return responder.reply();
    if (receiving_) return responder.fail(Error(Code::Overloaded, "another snapshot is on its way in"));
    Configuration configuration;
    if (!header->configuration.empty()) {
        Result<Configuration> decoded = Configuration::decode(header->configuration);
        if (!decoded.ok()) return responder.fail(decoded.error());
        configuration = std::move(*decoded);
    }
    receiving_ = true;
    if (!partial_ || partial_->snapshot_id != header->snapshot_id) {
        if (partial_) drop_later(partial_->space);
        partial_ = std::make_unique<Install>();
        partial_->snapshot_id = header->snapshot_id;
        partial_->floor = {header->index, header->index_term, std::move(configuration)};
        highest_generation_ = highest_generation_.next();
        partial_->space = {id_, ORRERY_DEFECT(snapshot_merges) ? space_->generation : highest_generation_};
        env_.tracer.info("raft.snapshot.begin", {{"group", id_}, {"index", header->index}, {"from", header->from_node}});
    } else {
        env_.tracer.probe("snapshot.resumed");
    }
    Bytes want;
    put_le<uint64_t>(want, partial_->next_sequence);
    Result<void> asked = responder.send(fiber, std::move(want), request.deadline().at);
    Result<void> received = asked.ok() ? receive_install(fiber, request, *partial_) : asked;
    receiving_ = false;
    if (received.ok()) {
        partial_.reset();
        responder.reply();
    } else {
        if (!stopped_ && received.code() != Code::Cancelled && received.code() != Code::Unreachable && received.code() != Code::Timeout) {
            drop_later(partial_->space);
            partial_.reset();
        }
        if (!responder.ended()) responder.fail(received.error());
    }
}

Result<void> Group::receive_install(Fiber& fiber, rpc::Request& request, Install& install) {
    for (bool last = false; !last;) {
        TRY(std::optional<Bytes> frame, request.read(fiber, request.deadline().at));
        if (!frame) return Error(Code::Unreachable, "the sender stopped before the last chunk");
        TRY(wire::SnapshotChunk chunk, wire::decode_snapshot_chunk(*frame));
        if (chunk.snapshot_id != install.snapshot_id || chunk.sequence != install.next_sequence)
            return Error(Code::Invalid, "chunk " + std::to_string(chunk.sequence) + " where " + std::to_string(install.next_sequence) + " was due");
        store::Batch batch;
        const Bytes prefix = space_begin(install.space);
        ByteReader reader(chunk.bytes);
        while (!reader.empty()) {
            ByteView key, value;
            if (!reader.take_string(key) || !reader.take_string(value)) return Error(Code::Corrupt, "a chunk ends inside a pair");
            batch.put(prefix + Bytes(key), value);
        }
        TRY(host_.store().write_when_possible(fiber, batch, request.deadline().at));
        host_.note_applied(batch.size_bytes());
        install.bytes += chunk.bytes.size();
        ++install.next_sequence;
        last = chunk.last;
        TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.receive.chunk", {{"group", id_}, {"sequence", chunk.sequence}}));
        if (stopped_) return Error(Code::NotReady, "the group has stopped here");
        if (chunk.term < core_->term() && !last) return Error(Code::Stale, "the sender's term has passed");
    }
    return swap_in(fiber, install);
}

Result<void> Group::swap_in(Fiber& fiber, Install& install) {
    core_->set_installing(env_.now(), true);
    installing_ = true;
    Result<void> swapped = swap_in_locked(fiber, install);
    installing_ = false;
    if (!stopped_) core_->set_installing(env_.now(), false);
    applicable_changed_.notify_all();
    wake();
    return swapped;
}

Result<void> Group::swap_in_locked(Fiber& fiber, Install& install) {
    TRY(Mutex::Lock lock, applying_.lock(fiber));
    TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.install.begin", {{"group", id_}, {"index", install.floor.index}}));
    if (stopped_) return Error(Code::NotReady, "the group has stopped here");
    if (install.floor.index <= applied_.applied.index) {
        drop_later(install.space);
        return {};
    }
    TRY(std::optional<Bytes> record, host_.store().get(fiber, applied_key(install.space)));
    if (!record) return Error(Code::Corrupt, "the snapshot holds no applied record");
    TRY(AppliedRecord applied, decode_applied(*record));
    if (applied.applied != install.floor.position())
        return Error(Code::Corrupt, "the snapshot's applied record is of another index than announced");

    store::Batch pointer;
    pointer.put(pointer_key(id_), encode_pointer({install.space.generation, install.floor}));
    pointer.mark(id_.value, install.floor.index.value);
    TRY(host_.store().write_when_possible(fiber, pointer));
    TRY(host_.store().flush(fiber));
    TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.install.durable", {{"group", id_}, {"index", install.floor.index}}));

    const std::shared_ptr<const StateSpace> old = space_;
    Result<void> loaded = machine_->load(fiber, install.space);
    if (!loaded.ok()) {
        // The pointer has moved already: there is no way back but a restart.
        if (loaded.code() != Code::Cancelled) stop_group(loaded.error().within("load of an installed snapshot"));
        return loaded;
    }
    space_ = std::make_shared<const StateSpace>(install.space);
    applied_ = std::move(applied);
    durable_applied_ = std::max(durable_applied_, install.floor.index);
    const LogIndex old_floor = core_->log().floor().index;
    const LogIndex old_last = core_->log().last().index;
    if (core_->restore(env_.now(), install.floor)) {
        truncate_before_floor_ = old_last > install.floor.index && core_->log().last().index == install.floor.index;
        truncate_from_floor_ = old_floor;
        floor_to_log_ = install.floor;
    } else {
        core_->applied(env_.now(), install.floor.index);
    }
    finish_waiters(applied_.applied.index);
    env_.tracer.info("raft.snapshot.installed", {{"group", id_}, {"index", install.floor.index}, {"term", install.floor.term}, {"bytes", install.bytes}});
    if (old->generation != install.space.generation) retire(old);
    log_ready();
    return {};
}

// ---- generations that nobody reads any more ---------------------------------------------------------------------

void Group::retire(std::shared_ptr<const StateSpace> old) {
    env_.spawn("raft.retire_generation", [this, old = std::move(old)](Fiber& fiber) mutable {
        // Readers hold the space by pointer; the last one leaves soon, since every read has a deadline.
        while (old.use_count() > 1)
            if (!env_.sleep(fiber, Duration::millis(50)).ok()) return;
        (void)drop_generation(fiber, *old);
    });
}

void Group::drop_later(StateSpace space) {
    if (space == *space_) return;
    env_.spawn("raft.drop_generation", [this, space](Fiber& fiber) { (void)drop_generation(fiber, space); });
}

Result<void> Group::drop_generation(Fiber& fiber, StateSpace space) {
    CHECK(space != *space_, space.generation);
    store::Batch batch;
    batch.erase_range(space_begin(space), space_end(space));
    Result<void> dropped = host_.store().write_when_possible(fiber, batch);
    if (!dropped.ok() && dropped.code() != Code::Cancelled)
        env_.tracer.warning("raft.generation_not_dropped", {{"group", id_}, {"generation", space.generation}, {"error", dropped.error().text()}});
    return dropped;
}

}  // namespace orrery::raft
