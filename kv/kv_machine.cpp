#include "kv/kv_machine.h"

#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::kv {

namespace {
constexpr size_t kBytesKept = 64 << 10;  // of the memory that a large value was put together in
}  // namespace

/// The keyspace as reads see it: the applied state, at one point of the Store if given.
class KvMachine::AppliedView : public KeyspaceView {
 public:
    AppliedView(KvMachine& machine, Fiber& fiber, FlushEpoch epoch, const store::Snapshot* at)
        : machine_(machine), fiber_(fiber), space_(machine.space()), epoch_(epoch), at_(at) {}

    Result<RecordRef> get(const HashedKey& key) override {
        // The cache is of now; a read at a point may be older than that.
        if (at_ == nullptr)
            if (RecordRef known = machine_.cache_.find(key)) return known->exists() ? std::move(known) : RecordRef();
        const LogIndex before = machine_.metadata_.applied_index;
        TRY(RecordRef record, machine_.stored(fiber_, space_, epoch_, key, at_));
        // Kept only if nothing was applied, or swapped in, while the disk was asked.
        if (at_ == nullptr && machine_.metadata_.applied_index == before && machine_.space() == space_ && machine_.metadata_.epoch == epoch_)
            machine_.cache_.set(record ? record : Record::absent(key));
        return record;
    }

    Result<Stretch> stretch(uint64_t position, size_t records_max) override {
        return machine_.stored_stretch(fiber_, space_, epoch_, position, records_max, at_);
    }

 private:
    KvMachine& machine_;
    Fiber& fiber_;
    Space space_;
    FlushEpoch epoch_;
    const store::Snapshot* at_;
};

/// The keyspace as the next entry of the batch sees it: the applied state, and on top what the entries before it did.
class KvMachine::BatchView : public KeyspaceView {
 public:
    BatchView(KvMachine& machine, Fiber& fiber) : machine_(machine), applied_(machine, fiber) {}
    Result<RecordRef> get(const HashedKey& key) override { return machine_.overlay_.get(key, applied_); }
    Result<Stretch> stretch(uint64_t position, size_t records_max) override {
        return machine_.overlay_.stretch(position, records_max, applied_);
    }

 private:
    /// Nothing is applied while a batch is computed: what the Store says is the state. The cache is asked, and not filled.
    class Applied : public KeyspaceView {
     public:
        Applied(KvMachine& machine, Fiber& fiber) : machine_(machine), fiber_(fiber) {}
        Result<RecordRef> get(const HashedKey& key) override {
            if (RecordRef known = machine_.cache_.find(key)) return known->exists() ? std::move(known) : RecordRef();
            return machine_.stored(fiber_, machine_.space(), machine_.metadata_.epoch, key, nullptr);
        }
        Result<Stretch> stretch(uint64_t position, size_t records_max) override {
            return machine_.stored_stretch(fiber_, machine_.space(), machine_.metadata_.epoch, position, records_max, nullptr);
        }

     private:
        KvMachine& machine_;
        Fiber& fiber_;
    };

    KvMachine& machine_;
    Applied applied_;
};

Result<RecordRef> KvMachine::stored(Fiber& fiber, const Space& space, FlushEpoch epoch, const HashedKey& key, const store::Snapshot* at) {
    Bytes where;
    put_data_key(where, space, epoch, key.text, key.hash);
    TRY(std::optional<Bytes> bytes, store_.get(fiber, where, at));
    if (!bytes) return RecordRef();
    TRY(const ValueView value, decode_value(*bytes));
    return Record::make(key, value);
}

Result<KeyspaceView::Stretch> KvMachine::stored_stretch(Fiber& fiber, const Space& space, FlushEpoch epoch, uint64_t position,
                                                        size_t records_max, const store::Snapshot* at) {
    KeyspaceView::Stretch out;
    Bytes from = position_begin(space, epoch, position);
    const Bytes end = epoch_begin(space, epoch.next());
    for (;;) {
        store::Store::ScanLimits limits;
        limits.pairs = out.records.size() < records_max ? records_max - out.records.size() : 1;
        TRY(store::Store::Chunk chunk, store_.scan(fiber, at, from, end, limits));
        uint64_t last = 0;
        for (const auto& [key, value] : chunk.pairs) {
            TRY(DataKey data, decode_data_key(key));
            TRY(const ValueView decoded, decode_value(value));
            last = scan_position(data.hash);
            out.records.push_back(Record::make({data.key, data.hash}, decoded));
        }
        if (!chunk.next) return out;
        TRY(DataKey next, decode_data_key(*chunk.next));
        // A cursor can not stand between two keys of one position.
        if (scan_position(next.hash) > last) {
            out.next = scan_position(next.hash);
            return out;
        }
        from = *chunk.next;
    }
}

Result<void> KvMachine::load(Fiber& fiber, const raft::StateSpace& space) {
    const Space where{space.group, space.generation};
    Metadata metadata;
    TRY(std::optional<Bytes> bytes, store_.get(fiber, metadata_key(where)));
    if (bytes) {
        TRY(metadata, decode_metadata(*bytes));
    }
    ReplyCache replies;
    Bytes from = slots_begin(where);
    for (;;) {
        TRY(store::Store::Chunk chunk, store_.scan(fiber, nullptr, from, slots_end(where)));
        for (const auto& [key, value] : chunk.pairs) {
            TRY(uint64_t client, decode_slot_key(key));
            TRY(SlotRecord record, decode_slot(value));
            TRY(replies.load(client, std::move(record)));
        }
        if (!chunk.next) break;
        from = *chunk.next;
    }
    if (!time_loaded_) {
        TRY(std::optional<Bytes> pair, store_.get(fiber, local_time_key(space.group)));
        if (pair) {
            TRY(StoredTime stored, decode_stored_time(*pair));
            time_.restore(stored);
            flushed_time_ = stored;
            env_.tracer.debug("kv.time_found", {{"time_ns", stored.time.ns}, {"wall_ns", stored.wall.ns}});
        }
        time_loaded_ = true;
    }
    CreatedKeys created;
    from = created_begin(where);
    for (;;) {
        TRY(store::Store::Chunk chunk, store_.scan(fiber, nullptr, from, created_end(where)));
        for (const auto& [key, value] : chunk.pairs) {
            TRY(uint16_t bucket, decode_created_key(key));
            TRY(LogIndex index, decode_created(value));
            created.set(bucket, index);
        }
        if (!chunk.next) break;
        from = *chunk.next;
    }
    // No yield from here on: readers see the old state or the new one.
    space_ = space;
    metadata_ = metadata;
    just_loaded_ = metadata.applied_index > LogIndex();
    next_ = metadata;
    replies_ = std::move(replies);
    created_ = std::move(created);
    cache_.clear();
    set_floor();
    return {};
}

Result<Executed> KvMachine::execute_entry(const LogEntry& entry, const ExecuteContext& context, KeyspaceView& view) {
    switch (entry.kind) {
        case EntryKind::Command: return execute(entry.argv, context, view);
        case EntryKind::Purge: return execute_purge(entry.argv, context, view);
        case EntryKind::Transaction: {
            TRY(const Transaction transaction, decode_transaction(entry.argv.front()));
            ExecuteContext own = context;
            own.draw = transaction.draw;
            return execute_transaction(transaction, own, view, [this](uint64_t hash) { return created_at(hash); });
        }
        case EntryKind::Tick:
        case EntryKind::SetTime: break;
    }
    return Executed{};
}

LogIndex KvMachine::created_at(uint64_t key_hash) const {
    const auto found = next_created_.find(CreatedKeys::bucket_of(key_hash));
    return found != next_created_.end() ? found->second : created_.latest(key_hash);
}

void KvMachine::take_effects(Executed& done, LogIndex index, store::Batch& batch) {
    if (done.flush) {
        next_.epoch = next_.epoch.next();
        next_.keys = next_.volatile_keys = 0;
        overlay_.flush();
        batch.erase_range(epoch_begin(space(), FlushEpoch(1)), epoch_begin(space(), next_.epoch));
    }
    for (RecordRef& record : done.mutations) {
        key_bytes_.clear();
        put_data_key(key_bytes_, space(), next_.epoch, record->key(), record->hash());
        if (record->exists()) {
            value_bytes_.clear();
            put_value(value_bytes_, record->value());
            batch.put(key_bytes_, value_bytes_);
        } else {
            batch.erase(key_bytes_);
        }
        overlay_.set(std::move(record));
    }
    if (value_bytes_.capacity() > kBytesKept) value_bytes_ = Bytes();
    next_.keys += static_cast<uint64_t>(done.keys_delta);
    next_.volatile_keys += static_cast<uint64_t>(done.volatile_delta);
    for (uint64_t hash : done.created) next_created_[CreatedKeys::bucket_of(hash)] = index;
}

Result<void> KvMachine::apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) {
    next_ = metadata_;
    next_moves_.clear();
    next_created_.clear();
    overlay_.clear();
    std::vector<LogEntry> entries;
    entries.reserve(items.size());
    std::vector<uint64_t> keys;
    for (const raft::ApplyItem& item : items) {
        Result<LogEntry> decoded = decode_entry(item.body);
        if (!decoded.ok()) return decoded.error().within("entry " + std::to_string(item.index.value));
        if (decoded->kind == EntryKind::Command && decoded->argv.size() > 1) keys.push_back(key_hash(decoded->argv[1]));
        entries.push_back(std::move(*decoded));
    }
    fetch_keys(keys);
    BatchView view(*this, fiber);
    for (size_t i = 0; i < items.size(); ++i) {
        raft::ApplyItem& item = items[i];
        const LogEntry& entry = entries[i];
        next_.applied_index = item.index;
        next_.applied_term = item.term;
        if (entry.kind == EntryKind::SetTime && entry.stamp.time > next_.time) next_moves_.emplace_back(set_time_from(entry), entry.stamp.time);
        next_.time = std::max(next_.time, entry.stamp.time);
        next_.time_term = item.term;
        next_.time_epoch = entry.stamp.epoch;
        Reply reply;
        if (entry.slot.present()) {
            if (std::optional<Reply> repeat = replies_.answer_of(entry.slot); repeat) {
                env_.tracer.probe("kv.repeated_write");
                if (item.reply_wanted) resp::put_reply(item.reply, *repeat);
                continue;
            }
        }
        Result<Executed> done = execute_entry(entry, {.time = next_.time, .now = next_.time, .index = item.index, .keys = next_.keys}, view);
        if (!done.ok()) return done.error().within("entry " + std::to_string(item.index.value));
        if (ORRERY_DEFECT(append_applied_twice) && std::exchange(just_loaded_, false)) {
            take_effects(*done, item.index, batch);
            TRY(done, execute_entry(entry, {.time = next_.time, .now = next_.time, .index = item.index, .keys = next_.keys}, view));
        }
        if (ORRERY_DEFECT(transaction_not_atomic) && entry.kind == EntryKind::Transaction && done->mutations.size() > 1) {
            const RecordRef first = done->mutations.front();
            if (first->exists()) {
                store::Batch half;
                half.put(data_key(space(), next_.epoch, first->key()), encode_value(first->value()));
                TRY(store_.write_when_possible(fiber, half));
                cache_.set(first);
                TRY(env_.sleep(fiber, Duration::millis(20)));
            }
        }
        take_effects(*done, item.index, batch);
        reply = std::move(done->reply);
        if (entry.slot.present()) {
            for (const ReplyCache::Change& change : replies_.remember(entry.slot, item.index, reply)) {
                if (change.record) {
                    batch.put(slot_key(space(), change.client), encode_slot(*change.record));
                } else {
                    batch.erase(slot_key(space(), change.client));
                }
            }
        }
        if (item.reply_wanted) resp::put_reply(item.reply, reply);
    }
    for (const auto& [bucket, index] : next_created_) batch.put(created_key(space(), bucket), encode_created(index));
    batch.put(metadata_key(space()), encode_metadata(next_));
    put_time(batch);
    return {};
}

void KvMachine::put_time(store::Batch& batch) {
    const Instant now = env_.now();
    const WallTime wall{std::max<int64_t>(env_.clock.wall().ns, 0)};
    std::optional<StoredTime> pair;
    if (time_.running()) {
        if (!time_.store_due(now, wall) && next_moves_.empty()) return;
        pair = StoredTime{std::max(time_.at(now), next_.time), wall, time_.tag().leader, time_.tag().epoch};
        time_.stored(*pair, now);
    } else if (!next_moves_.empty() && time_.before()) {
        // Replayed, after a start: the pair of before the start is one of before these moves. From this batch on they are
        // behind the applied index and will not be replayed again, so the pair takes them now.
        StateTime after = time_;
        for (const auto& [from, to] : next_moves_) after.moved(from, to, now);
        pair = after.before();
    }
    if (!pair) return;
    batch.put(local_time_key(space().group), encode_stored_time(*pair));
    env_.tracer.debug("kv.time_stored", {{"time_ns", pair->time.ns}, {"wall_ns", pair->wall.ns}});
    // A pair in a memtable is lost with the power. The first one of a count, and one that a stepped clock has made wrong, are worth a
    // flush; otherwise the next one of the log's will do, since an old pair says the same as a new one.
    constexpr Duration kStep = Duration::seconds(1), kPause = Duration::seconds(10);
    // So is one that an operator has moved: until the entry is replayed, which is after the election, a restarted member knows
    // of the move by its log's last stamp only, and would lose the outage.
    if (!flushed_time_ || !next_moves_.empty() || pair->epoch != flushed_time_->epoch) {
        flush_time_ = true;
    } else if (now - flushed_time_at_ >= kPause) {
        const int64_t moved = (pair->wall - flushed_time_->wall).ns - (pair->time.ns - flushed_time_->time.ns);
        flush_time_ |= moved > kStep.ns || moved < -kStep.ns;
    }
    if (flush_time_) flushed_time_ = pair;
}

void KvMachine::set_floor() { time_.floor({metadata_.time, {metadata_.time_term, metadata_.time_epoch}}); }

void KvMachine::applied(LogIndex) {
    metadata_ = next_;
    if (overlay_.flushed()) cache_.clear();
    for (const RecordRef& record : overlay_.records()) cache_.set(record);
    for (const auto& [bucket, index] : next_created_) created_.set(bucket, index);
    overlay_.clear();
    for (const auto& [from, to] : next_moves_) time_.moved(from, to, env_.now());
    next_moves_.clear();
    next_created_.clear();
    set_floor();
    if (flush_time_ && store_.request_flush().ok()) {
        flush_time_ = false;
        flushed_time_at_ = env_.now();
    }
}

raft::TimeOffer KvMachine::time_offer() const {
    const TimeTag tag = time_.tag();
    if (time_.running()) return {time_.at(env_.now()).ns, false, tag.leader, tag.epoch};
    const std::optional<LogTime> estimate = time_.estimate(env_.clock.wall());
    return estimate ? raft::TimeOffer{estimate->ns, true, tag.leader, tag.epoch} : raft::TimeOffer{};
}

void KvMachine::observe_heartbeat(const raft::TimeOffer& offer) { time_.follow({offer.ns}, {offer.leader, offer.epoch}, env_.now()); }

void KvMachine::observe_vote(const raft::TimeOffer& offer, NodeId from, Term term) {
    time_.offer(from, term, {{offer.ns}, {offer.leader, offer.epoch}, offer.estimate, env_.now()});
}

void KvMachine::elected(Term term, const raft::Entry* newest) {
    // What is not applied yet, or never will be, has been stamped all the same. A body that says nothing is apply's to report.
    std::optional<StateTime::Floor> logged;
    if (newest != nullptr)
        if (Result<LogEntry> entry = decode_entry(newest->body_view()); entry.ok()) logged = {entry->stamp.time, {newest->term, entry->stamp.epoch}};
    time_.lead(term, logged, env_.now(), env_.clock.wall());
    if (time_.tag().epoch != term) return;
    const TimeView view = time_view();
    env_.tracer.info("kv.time_begun", {{"source", time_origin_name(view.origin)}, {"time_ns", view.time.ns}, {"wall_ns", view.wall.ns}});
}

KvMachine::TimeView KvMachine::time_view() const {
    TimeView out{time_.origin(), time_.lower_bound(), env_.clock.wall()};
    if (time_.running()) {
        out.time = time_.at(env_.now());
    } else if (const std::optional<LogTime> estimate = time_.estimate(out.wall)) {
        out.time = *estimate;
    }
    return out;
}

namespace {

/// Does it look at more than one key? WATCH of one is right at any point at or after the index it names.
bool looks_at_many(const Request& request) {
    if (request.argv.size() > 2) return true;
    const CommandId id = request.command->id;
    return id == CommandId::Keys || id == CommandId::Scan || id == CommandId::Randomkey;
}

}  // namespace

void KvMachine::fetch_keys(std::span<const uint64_t> hashes) const {
    if (hashes.size() < 2) return;
    for (uint64_t hash : hashes) cache_.fetch_set(hash);
    for (uint64_t hash : hashes) cache_.fetch_record(hash);
}

void KvMachine::fetch(std::span<const Request> requests) const {
    if (requests.size() < 2) return;
    std::vector<uint64_t> keys;
    keys.reserve(requests.size());
    for (const Request& request : requests)
        if (request.command->first_key == 1 && request.argv.size() > 1) keys.push_back(key_hash(request.argv[1]));
    fetch_keys(keys);
}

std::optional<RecordRef> KvMachine::get_known(ByteView key, LogTime now) {
    if (ORRERY_DEFECT(expiry_by_local_clock)) return std::nullopt;
    RecordRef record = cache_.find(key);
    if (!record) return std::nullopt;
    const bool live = record->exists() && !record->expired(metadata_.time);
    if (live && record->expired(now)) return std::nullopt;  // it needs a tick
    ++(live ? hits_ : misses_);
    return live ? std::move(record) : RecordRef();
}

Result<Executed> KvMachine::read(Fiber& fiber, const Request& request, LogTime now, uint64_t draw) {
    const raft::StateSpace before = space_;
    const FlushEpoch epoch = metadata_.epoch;
    // Several keys are read across yields: all at one point, that of the metadata.
    const std::unique_ptr<store::Snapshot> point = looks_at_many(request) ? store_.snapshot() : nullptr;
    AppliedView view(*this, fiber, epoch, point.get());
    ExecuteContext context{.time = metadata_.time,
                           .now = std::max(now, metadata_.time),
                           .index = metadata_.applied_index,
                           .keys = metadata_.keys,
                           .draw = draw};
    if (ORRERY_DEFECT(expiry_by_local_clock)) context.time = context.now = {env_.clock.wall().ns};
    TRY(Executed done, execute(request, context, view));
    if (space_ != before || metadata_.epoch != epoch) return Error(Code::Stale, "the state changed under the read");
    hits_ += done.hits;
    misses_ += done.misses;
    return done;
}

Result<std::vector<Bytes>> KvMachine::expired_keys(Fiber& fiber, Bytes& cursor, LogTime time) {
    const Bytes begin = epoch_begin(space(), metadata_.epoch);
    const Bytes end = data_end(space());
    if (cursor < begin || cursor >= end) cursor = begin;
    TRY(store::Store::Chunk chunk, store_.scan(fiber, nullptr, cursor, end, {.bytes = 64 << 10, .pairs = 256}));
    std::vector<Bytes> keys;
    for (const auto& [key, value] : chunk.pairs) {
        TRY(const ValueView decoded, decode_value(value));
        if (!decoded.expired(time)) continue;
        TRY(DataKey data, decode_data_key(key));
        keys.emplace_back(data.key);
    }
    cursor = chunk.next ? *chunk.next : Bytes();
    return keys;
}

// Of one point of the Store, with the time of that point: an expired record counts as removed, whether it is or not.
Result<void> KvMachine::for_each_record(Fiber& fiber, FunctionRef<bool(ByteView, const ValueView&)> visit) {
    const LogTime time = metadata_.time;
    const std::unique_ptr<store::Snapshot> point = store_.snapshot();
    Bytes from = epoch_begin(space(), metadata_.epoch);
    const Bytes end = data_end(space());
    for (;;) {
        TRY(store::Store::Chunk chunk, store_.scan(fiber, point.get(), from, end));
        for (const auto& [key, value] : chunk.pairs) {
            TRY(DataKey data, decode_data_key(key));
            TRY(const ValueView decoded, decode_value(value));
            if (!decoded.expired(time) && !visit(data.key, decoded)) return {};
        }
        if (!chunk.next) return {};
        from = *chunk.next;
    }
}

Result<void> KvMachine::for_each_key(Fiber& fiber, FunctionRef<bool(ByteView)> visit) {
    return for_each_record(fiber, [&](ByteView key, const ValueView&) { return visit(key); });
}

Result<KvMachine::Digest> KvMachine::digest(Fiber& fiber) {
    const Metadata at = metadata_;
    Digest out{at.applied_index, created_.digest(), 0};
    TRY(for_each_record(fiber, [&](ByteView key, const ValueView& value) {
        ++out.keys;
        out.digest = combine64(combine64(out.digest, hash_bytes(key)), hash_bytes(encode_value(value)));
        return true;
    }));
    out.digest = combine64(out.digest, combine64(static_cast<uint64_t>(at.time.ns), at.epoch.value));
    return out;
}

}  // namespace orrery::kv
