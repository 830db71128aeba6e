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
constexpr uint64_t kChunksPerScan = 4;  // a scan begins with a block of every table
constexpr size_t kMaxPairBytes = 64 << 20;
}

// ---- sending ----------------------------------------------------------------------------------------------------

void Group::send_snapshot(Fiber& fiber, Member to) {
    LogIndex claimed;
    Result<LogIndex> sent = stream_snapshot(fiber, to, claimed);
    if (sent.failed_with(Code::Cancelled)) {
        transfers_.erase(to.node);
        return;
    }
    if (sent.ok()) {
        env_.tracer.info("raft.snapshot.sent", {{"group", id_}, {"node", to.node}, {"index", *sent}});
    } else {
        env_.tracer.warning("raft.snapshot.send_failed", {{"group", id_}, {"node", to.node}, {"error", sent.error().text()}});
    }
    if (stopped_) {
        transfers_.erase(to.node);
        return;
    }
    core_->snapshot_finished(env_.now(), to.node, claimed, sent.ok() ? Core::Transfer::Done : Core::Transfer::Failed);
    end_transfer(to.node, sent.ok());
    wake();
}

Result<LogIndex> Group::stream_snapshot(Fiber& fiber, Member to, LogIndex& claimed) {
    if (host_.stopping_) return Error(Code::Cancelled, "the node is stopping");
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

    // The stream is the pairs of one scan, cut into chunks of a fixed size wherever that falls: a pair may be larger than
    // what one frame takes. begins[i]: where in the scan chunk i begins, for a transfer that is resumed.
    struct Begin {
        Bytes scan_from;
        size_t offset = 0;  // into the encoded pairs of that scan step
    };
    std::vector<Begin> begins{{space_begin(*space), 0}};
    const Bytes end = space_end(*space);
    Error last_error(Code::Unreachable, "no attempt made");
    uint64_t reached = 0;
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
        if (sequence >= begins.size()) return Error(Code::Corrupt, "the receiver asks for a chunk that was never sent");
        const size_t piece = std::min<uint64_t>(options_.snapshot_chunk_bytes, exchange->max_data_bytes() - std::min<uint64_t>(exchange->max_data_bytes() / 2, 1024));
        if (sequence > reached) attempt = 0;  // it got on: attempts count those that did not
        reached = std::max(reached, sequence);
        bool broken = false;
        Begin at = begins[sequence];
        for (bool last = false; !last && !broken;) {
            Bytes encoded;
            size_t last_pair = 0;
            TRY(std::optional<Bytes> next, host_.store().scan_each(fiber, point.get(), at.scan_from, end, {.bytes = kChunksPerScan * options_.snapshot_chunk_bytes, .once = true}, [&](ByteView key, ByteView value) {
                last_pair = encoded.size();
                put_string(encoded, key.substr(kSpaceBytes));
                put_string(encoded, value);
            }));
            if (ORRERY_DEFECT(snapshot_end_exclusive) && !next && last_pair > 0) encoded.resize(last_pair);
            while (!broken && !last && (at.offset < encoded.size() || !next)) {
                const ByteView bytes = ByteView(encoded).substr(at.offset, piece);
                at.offset += bytes.size();
                last = !next && at.offset == encoded.size();
                chunk.sequence = sequence++;
                chunk.last = last;
                chunk.bytes = bytes;
                if (begins.size() == sequence && !last) begins.push_back(at.offset < encoded.size() ? at : Begin{*next, 0});
                // Proposals that wait for this transfer are not helped by its being slow.
                TRY(host_.pace_transfer(fiber, bytes.size(), pace_.rate() == 0));
                if (stopped_ || !leads()) return not_leader();
                core_->snapshot_progress(env_.now(), to.node, claimed);
                TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.send.chunk", {{"group", id_}, {"node", to.node}, {"sequence", chunk.sequence}}));
                Result<void> written = exchange->write(fiber, encode_snapshot_chunk(chunk), target.deadline.at);
                if (written.failed_with(Code::Cancelled)) return written.error();
                broken = !written.ok();
                if (!broken) transfers_[to.node].progressed_at = env_.now();
            }
            if (next) at = {*next, 0};
        }
        if (broken) {
            // The receiver's own words, if it ended the request; else the upload is not to be taken for whole.
            if (!exchange->ended()) exchange->cancel();
        } else {
            exchange->finish_writing();
        }
        Result<Bytes> answer = exchange->finish(fiber);
        if (answer.ok()) return claimed;
        last_error = answer.error();
        if (last_error.code == Code::Cancelled && fiber.cancelled()) return last_error;
        if (last_error.code == Code::Stale) return last_error;
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
    // Our configuration may be older than the sender's: a stranger of a higher term may know better, one of ours may not.
    if (header->term < core_->term() ||
        (header->term == core_->term() && core_->leader() != Member{header->from_node, header->from_replica} &&
         !core_->log().configuration().is_member({header->from_node, header->from_replica})))
        return responder.fail(Error(Code::Stale, "the sender's term has passed, or it is no member"));
    if (header->index <= applied_.applied.index) return responder.reply();
    // What lies between such a snapshot and our floor would be nowhere.
    if (core_->stateless() && header->index < core_->log().floor().index)
        return responder.fail(Error(Code::NotReady, "the snapshot ends before this log begins; the sender has not applied enough yet"));
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
        partial_ = std::make_shared<Install>();
        partial_->snapshot_id = header->snapshot_id;
        partial_->floor = {header->index, header->index_term, std::move(configuration)};
        highest_generation_ = highest_generation_.next();
        const bool in_place = ORRERY_DEFECT(snapshot_merges) || ORRERY_DEFECT(install_clears_in_place);
        partial_->space = {id_, in_place ? space_->generation : highest_generation_};
        env_.tracer.info("raft.snapshot.begin", {{"group", id_}, {"index", header->index}, {"from", header->from_node}});
    } else {
        env_.tracer.probe("snapshot.resumed");
    }
    partial_->sender_term = header->term;
    Bytes want;
    put_le<uint64_t>(want, partial_->next_sequence);
    Result<void> received = responder.send(fiber, std::move(want), request.deadline().at);
    if (partial_->next_sequence == 0 && received.ok()) received = begin_wrongly(fiber, *partial_);
    if (received.ok()) received = receive_chunks(fiber, request, *partial_);
    if (!received.ok()) {
        receiving_ = false;
        const Code code = received.code();
        if (!stopped_ && code != Code::Cancelled && code != Code::Unreachable && code != Code::Timeout) {
            drop_later(partial_->space);
            partial_.reset();
        }
        if (!responder.ended()) responder.fail(received.error());
        return;
    }
    // From the pointer's write on there is no way back, whatever becomes of this request: a fiber of the group's own goes
    // through with it, and this one only waits.
    auto outcome = std::make_shared<InstallOutcome>();
    env_.spawn("raft.snapshot.install", [this, outcome, install = std::move(partial_)](Fiber& own) {
        outcome->result = swap_in(own, *install);
        receiving_ = false;
        if (!outcome->result->ok() && !stopped_ && outcome->result->code() != Code::Cancelled) drop_later(install->space);
        outcome->done.notify_all();
    });
    partial_.reset();
    while (!outcome->result)
        if (!outcome->done.wait(fiber).ok()) break;
    if (responder.ended()) return;
    if (!outcome->result) return responder.fail(Error(Code::Unknown, "the install goes on"));
    if (outcome->result->ok()) return responder.reply();
    responder.fail(outcome->result->error());
}

/// As the seeded defects of an install begin one.
Result<void> Group::begin_wrongly(Fiber& fiber, const Install& install) {
    store::Batch batch;
    if (ORRERY_DEFECT(install_clears_in_place)) batch.erase_range(space_begin(install.space), space_end(install.space));
    if (ORRERY_DEFECT(install_index_before_data)) {
        batch.put(pointer_key(id_), encode_pointer({install.space.generation, install.floor}));
        batch.put(applied_key(install.space), encode_applied({install.floor.position(), install.floor.configuration}));
    }
    if (batch.empty()) return {};
    TRY(host_.store().write_when_possible(fiber, batch));
    return host_.store().flush(fiber);
}

Result<void> Group::receive_chunks(Fiber& fiber, rpc::Request& request, Install& install) {
    for (bool last = false; !last;) {
        TRY(std::optional<Bytes> frame, request.read(fiber, request.deadline().at));
        if (!frame) return Error(Code::Unreachable, "the sender stopped before the last chunk");
        TRY(wire::SnapshotChunk chunk, wire::decode_snapshot_chunk(*frame));
        if (chunk.snapshot_id != install.snapshot_id || chunk.sequence != install.next_sequence)
            return Error(Code::Invalid, "chunk " + std::to_string(chunk.sequence) + " where " + std::to_string(install.next_sequence) + " was due");
        // Neither chunk nor carry counts before what they hold is written: a transfer that breaks off in between brings it again.
        const Bytes bytes = install.carry + Bytes(chunk.bytes);
        store::Batch batch;
        const Bytes prefix = space_begin(install.space);
        ByteReader reader(bytes);
        for (;;) {
            ByteReader attempt = reader;
            ByteView key, value;
            if (!attempt.take_string(key) || !attempt.take_string(value)) break;
            batch.put(prefix + Bytes(key), value);
            reader = attempt;
        }
        last = chunk.last;
        if (last && !reader.empty()) return Error(Code::Corrupt, "the snapshot ends inside a pair");
        if (reader.rest().size() > kMaxPairBytes) return Error(Code::Corrupt, "the snapshot holds a pair larger than any");
        if (!batch.empty()) TRY(host_.store().write_when_possible(fiber, batch, request.deadline().at));
        install.carry = Bytes(reader.rest());
        install.bytes += chunk.bytes.size();
        ++install.next_sequence;
        host_.note_applied(batch.size_bytes());
        TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.receive.chunk", {{"group", id_}, {"sequence", chunk.sequence}}));
        if (stopped_) return Error(Code::NotReady, "the group has stopped here");
        if (install.sender_term < core_->term()) return Error(Code::Stale, "the sender's term has passed");
    }
    return {};
}

/// Yields. Errors: Timeout, NotReady, Cancelled.
Result<void> Group::wait_term_durable(Fiber& fiber, Term term, Instant deadline) {
    while (!stopped_ && core_->durable_term() < term) {
        env_.tracer.probe("snapshot.term_not_durable");
        TRY(log_synced_.wait(fiber, deadline));
    }
    if (stopped_) return Error(Code::NotReady, "the group has stopped here");
    return {};
}

Result<void> Group::swap_in(Fiber& fiber, Install& install) {
    // After a crash the log begins at the snapshot: its hard state must not be of an earlier term than that.
    TRY(wait_term_durable(fiber, install.floor.term, env_.now() + options_.snapshot_timeout));
    core_->set_installing(env_.now(), true);
    installing_ = true;
    Result<void> swapped = swap_in_locked(fiber, install);
    installing_ = false;
    if (!stopped_) core_->set_installing(env_.now(), false);
    if (!swapped.ok() && swapped.code() != Code::Cancelled) env_.tracer.probe("snapshot.swap_refused");
    applicable_changed_.notify_all();
    wake();
    return swapped;
}

Result<void> Group::swap_in_locked(Fiber& fiber, Install& install) {
    TRY(Mutex::Lock lock, applying_.lock(fiber));
    TRY(env_.tracer.checkpoint(fiber, "raft.snapshot.install.begin", {{"group", id_}, {"index", install.floor.index}}));
    TRY(std::optional<Bytes> record, host_.store().get(fiber, applied_key(install.space)));
    if (!record) return Error(Code::Corrupt, "the snapshot holds no applied record");
    TRY(AppliedRecord applied, decode_applied(*record));
    if (applied.applied != install.floor.position())
        return Error(Code::Corrupt, "the snapshot's applied record is of another index than announced");
    if (stopped_) return Error(Code::NotReady, "the group has stopped here");
    // Meanwhile the log may have caught up, or we may lead: then nobody has committed more than we have.
    if (leads() || install.sender_term < core_->term()) return Error(Code::Stale, "the sender's term has passed");
    if (install.floor.index <= applied_.applied.index) {
        drop_later(install.space);
        return {};
    }

    store::Batch pointer;
    pointer.put(pointer_key(id_), encode_pointer({install.space.generation, install.floor}));
    pointer.mark(id_.value, install.floor.index.value);
    // No way back from here: the Store may name the new generation after a crash, so memory has to follow.
    Result<void> durable = write_applied(fiber, pointer);
    if (durable.ok()) durable = flush_pointer(fiber);
    if (durable.ok()) durable = env_.tracer.checkpoint(fiber, "raft.snapshot.install.durable", {{"group", id_}, {"index", install.floor.index}});
    if (durable.ok()) durable = machine_->load(fiber, install.space);
    if (!durable.ok()) {
        if (durable.code() != Code::Cancelled) stop_group(durable.error().within("install of a snapshot"));
        return durable;
    }

    const std::shared_ptr<const StateSpace> old = space_;
    space_ = std::make_shared<const StateSpace>(install.space);
    applied_ = std::move(applied);
    durable_applied_ = std::max(durable_applied_, install.floor.index);
    // What the core has not handed out yet goes to the log's queue first, where the floor can judge it.
    turn();
    if (stopped_) return Error(Code::NotReady, "the group has stopped here");
    if (core_->restore(env_.now(), install.floor)) {
        const bool tail_kept = core_->log().last().index > install.floor.index;
        queue_floor(install.floor, tail_kept ? std::nullopt : std::optional<LogIndex>(log_floor_.next()));
    } else {
        core_->applied(env_.now(), install.floor.index);
    }
    finish_waiters(applied_.applied.index);
    env_.tracer.info("raft.snapshot.installed", {{"group", id_}, {"index", install.floor.index}, {"term", install.floor.term}, {"bytes", install.bytes}});
    if (old->generation != install.space.generation) retire(old);
    log_ready();
    return {};
}

Result<void> Group::flush_pointer(Fiber& fiber) {
    for (;;) {
        Result<void> flushed = host_.store().flush(fiber);
        if (!flushed.failed_with(Code::NoSpace)) return flushed;
        TRY(env_.sleep(fiber, Duration::millis(500)));
        if (host_.store().try_resume(fiber).failed_with(Code::Cancelled)) return Code::Cancelled;
    }
}

// ---- generations that nobody reads any more ---------------------------------------------------------------------

void Group::retire(std::shared_ptr<const StateSpace> old) {
    env_.spawn("raft.retire_generation", [this, old = std::move(old)](Fiber& fiber) mutable {
        // Readers hold the space by pointer; the last one leaves soon, since every read has a deadline.
        while (old.use_count() > 1 && !ORRERY_DEFECT(read_of_many_moments))
            if (!env_.sleep(fiber, Duration::millis(50)).ok()) return;
        (void)drop_generation(fiber, *old);
    });
}

void Group::drop_later(StateSpace space) {
    if (space == *space_) return;
    env_.spawn("raft.drop_generation", [this, space](Fiber& fiber) { (void)drop_generation(fiber, space); });
}

Result<void> Group::drop_generation(Fiber& fiber, StateSpace space) {
    for (;;) {
        CHECK(space != *space_, space.generation);
        store::Batch batch;
        batch.erase_range(space_begin(space), space_end(space));
        Result<void> dropped = host_.store().write_when_possible(fiber, batch);
        if (dropped.ok() || dropped.code() != Code::NoSpace) return dropped;
        TRY(env_.sleep(fiber, Duration::seconds(1)));  // a full disk; start erases what is left over
    }
}

}  // namespace orrery::raft
