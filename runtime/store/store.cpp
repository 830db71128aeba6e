#include "runtime/store/store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/experimental.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "runtime/store/batch.h"
#include "runtime/store/engine.h"
#include "runtime/store/marks.h"
#include "runtime/store/status.h"

namespace orrery::store {

namespace {

// A refused write is tried again at the latest after this, should a notice of RocksDB's ever be missing.
constexpr Duration kStallRecheck = Duration::millis(100);

rocksdb::Slice slice(ByteView bytes) { return {bytes.data(), bytes.size()}; }

Error closed() { return Error(Code::Cancelled, "the store is closed"); }

Result<void> check_options(const Options& options) {
    auto within = [](uint64_t value, uint64_t low, uint64_t high) { return value >= low && value <= high; };
    if (options.path.empty()) return Error(Code::Invalid, "store: path is empty");
    if (!within(options.memtable_bytes, 64ull << 10, 1ull << 30))
        return Error(Code::Invalid, "store: memtable_bytes must lie in [64 KiB, 1 GiB]");
    if (!within(options.memtables_max, 2, 8)) return Error(Code::Invalid, "store: memtables_max must lie in [2, 8]");
    if (!within(options.file_bytes, 64ull << 10, 4ull << 30))
        return Error(Code::Invalid, "store: file_bytes must lie in [64 KiB, 4 GiB]");
    if (!within(options.cache_bytes, 0, 1ull << 40))
        return Error(Code::Invalid, "store: cache_bytes must not exceed 1 TiB");
    if (!within(options.scan_chunk_bytes_max, 4ull << 10, 1ull << 30))
        return Error(Code::Invalid, "store: scan_chunk_bytes_max must lie in [4 KiB, 1 GiB]");
    return {};
}

Health health_of(const rocksdb::Status& status) {
    const bool resumable = status.IsNoSpace() && status.severity() < rocksdb::Status::Severity::kFatalError;
    return resumable ? Health::NoSpace : Health::Failed;
}

}  // namespace

/// How notices of RocksDB's threads reach the Store: posted to the loop thread, looked up there, dropped when it is gone.
struct Store::Events {
    Store* store = nullptr;
};

/// Hands what RocksDB's threads notice to the loop thread. Holds no reference to the Store.
class Store::Listener final : public rocksdb::EventListener {
 public:
    Listener(Executor& executor, std::weak_ptr<Events> events) : executor_(executor), events_(std::move(events)) {}

    void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override {
        post([sequence = info.largest_seqno](Store& store) { store.flushed_up_to(sequence); });
    }
    void OnStallConditionsChanged(const rocksdb::WriteStallInfo&) override {
        post([](Store& store) { store.stall_may_be_over(); });
    }
    void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
        if (status->IsShutdownInProgress()) return;
        if (std::shared_ptr<JobQueue> jobs = jobs_.lock()) jobs->hold_low();
        std::lock_guard lock(mutex_);
        held_back_.push_back({std::this_thread::get_id(), ++errors_, health_of(*status), status->IsCorruption(), status->ToString()});
    }
    /// RocksDB tells of an error before it is in force, and a Resume() in between would find nothing to resume. So a notice
    /// leaves only when the call that met the error has returned: called on that thread, after each job and the like.
    void call_returned() {
        std::vector<HeldBack> mine;
        {
            std::lock_guard lock(mutex_);
            std::erase_if(held_back_, [&](HeldBack& error) {
                if (error.thread != std::this_thread::get_id()) return false;
                mine.push_back(std::move(error));
                return true;
            });
        }
        if (mine.empty()) return;
        in_force_.notify_all();
        for (HeldBack& error : mine)
            post([number = error.number, health = error.health, damaged = error.damaged, text = std::move(error.text)](Store& store) {
                if (number > store.errors_cleared_) store.background_error(health, damaged, text);
            });
    }
    /// Whose compactions wait while there is an error. Set before the database opens.
    void set_jobs(std::weak_ptr<JobQueue> jobs) { jobs_ = std::move(jobs); }
    /// Waits until every error told so far is in force, and returns how many there were. With one thread there is never
    /// anything to wait for: no job is under way then.
    uint64_t errors_in_force() {
        std::unique_lock lock(mutex_);
        while (!held_back_.empty()) in_force_.wait(lock);
        return errors_;
    }
    /// No recovery threads: try_resume() is the only way back.
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* auto_recovery) override {
        *auto_recovery = false;
    }

 private:
    template <typename F>
    void post(F notice) {
        executor_.post([events = events_, notice = std::move(notice)] {
            if (std::shared_ptr<Events> alive = events.lock()) notice(*alive->store);
        });
    }

    Executor& executor_;
    std::weak_ptr<Events> events_;
    struct HeldBack {
        std::thread::id thread;
        uint64_t number;
        Health health;
        bool damaged;
        std::string text;
    };
    std::weak_ptr<JobQueue> jobs_;
    std::mutex mutex_;
    std::condition_variable in_force_;
    // Guarded by mutex_.
    std::vector<HeldBack> held_back_;
    uint64_t errors_ = 0;
};

Snapshot::Snapshot(std::shared_ptr<Engine> engine, const void* handle) : engine_(std::move(engine)), handle_(handle) {}

Snapshot::~Snapshot() { engine_->release_snapshot(static_cast<const rocksdb::Snapshot*>(handle_)); }

Store::Store(Env& env, Options options)
    : env_(env), options_(std::move(options)), events_(std::make_shared<Events>()), marks_(std::make_unique<Marks>()) {
    events_->store = this;
    listener_ = std::make_shared<Listener>(env_.executor, events_);
    engine_ = std::make_shared<Engine>(env_, options_, listener_);
    listener_->set_jobs(engine_->shared_jobs());
    engine_->shared_jobs()->set_after_job([listener = std::weak_ptr<Listener>(listener_)] {
        if (std::shared_ptr<Listener> alive = listener.lock()) alive->call_returned();
    });
}

Result<std::unique_ptr<Store>> Store::open(Fiber& fiber, Env& env, Options options) {
    TRY(check_options(options));
    std::unique_ptr<Store> store(new Store(env, std::move(options)));
    Engine& engine = *store->engine_;
    TRY(env.blocking(fiber, [&engine](Blocking& blocking) { return engine.open(blocking); }));
    if (engine.manifest_bytes_cut() > 0)
        env.tracer.warning("store.torn_manifest_cut", {{"path", store->options_.path}, {"bytes", engine.manifest_bytes_cut()}});
    store->last_sequence_ = store->durable_sequence_ = engine.db()->GetLatestSequenceNumber();
    store->flush_requested_ = store->last_sequence_;
    return store;
}

Store::~Store() {
    if (!engine_) return;
    events_.reset();
    // A snapshot may keep the engine itself alive; the database must not outlive the node's disk.
    engine_->discard();
}

Result<void> Store::close(Fiber& fiber, Instant deadline) {
    if (!engine_) return {};
    if (closing_) return closed();
    Result<void> flushed = health_ == Health::Writable ? flush(fiber, deadline) : health_error();
    if (closing_ || !engine_) return closed();
    closing_ = true;
    progress_.notify_all();
    TRY(gate_.close(fiber));
    Engine& engine = *engine_;
    TRY(env_.blocking(fiber, [&engine](Blocking& blocking) { engine.close(blocking); }));
    events_.reset();
    engine_.reset();
    return flushed;
}

Result<void> Store::usable() const {
    if (!engine_ || closing_) return closed();
    engine_->clock().refresh(env_.clock);
    return {};
}

Result<void> Store::health_error() const {
    switch (health_) {
        case Health::Writable: return {};
        case Health::NoSpace: return Error(Code::NoSpace, health_text_);
        case Health::Failed: return Error(Code::Io, health_text_);
    }
    UNREACHABLE(static_cast<int>(health_));
}

Result<void> Store::write(Batch& batch) {
    TRY(usable());
    TRY(health_error());
    if (batch.empty()) {
        CHECK(batch.rep_->marks.empty());  // a mark needs a change to be durable with
        return {};
    }
    rocksdb::WriteOptions how;
    how.disableWAL = true;
    how.no_slowdown = true;
    RocksScope scope(engine_->call());
    rocksdb::Status status = engine_->db()->Write(how, &batch.rep_->batch);
    if (status.IsIncomplete()) {
        stalled_ = true;
        ++counters_.writes_refused;
        return Error(Code::Overloaded, "all memtables of the store are full");
    }
    if (!status.ok()) {
        // RocksDB knows of a background error whose notice is still under way.
        background_error(health_of(status), status.IsCorruption(), status.ToString());
        return health_error();
    }
    last_sequence_ = engine_->db()->GetLatestSequenceNumber();
    written_bytes_ += batch.size_bytes();
    marks_->add_bytes(last_sequence_, written_bytes_);
    for (const auto& [subject, value] : batch.rep_->marks) marks_->add(last_sequence_, subject, value);
    ++counters_.batches_written;
    return {};
}

Result<void> Store::wait_writable(Fiber& fiber, Instant deadline) {
    TRY(usable());
    auto pass = gate_.enter();
    if (!pass) return closed();
    TRY(fiber.maybe_yield());
    Instant recheck = env_.now() + kStallRecheck;
    while (stalled_) {
        TRY(usable());
        TRY(health_error());
        Result<void> waited = progress_.wait(fiber, std::min(deadline, recheck));
        if (waited.ok()) continue;
        if (!waited.failed_with(Code::Timeout)) return waited;
        if (env_.now() >= deadline) return Error(Code::Timeout, "the store takes no writes");
        stalled_ = false;
    }
    TRY(usable());
    return health_error();
}

Result<void> Store::write_when_possible(Fiber& fiber, Batch& batch, Instant deadline) {
    for (;;) {
        Result<void> written = write(batch);
        if (!written.failed_with(Code::Overloaded)) return written;
        TRY(wait_writable(fiber, deadline));
    }
}

Result<Store::Cached> Store::get_cached(ByteView key, const Snapshot* at) const {
    TRY(usable());
    rocksdb::ReadOptions how;
    how.read_tier = rocksdb::kBlockCacheTier;
    if (at != nullptr) how.snapshot = static_cast<const rocksdb::Snapshot*>(at->handle_);
    RocksScope scope(engine_->call());
    rocksdb::PinnableSlice value;
    rocksdb::Status status = engine_->db()->Get(how, engine_->db()->DefaultColumnFamily(), slice(key), &value);
    if (status.IsIncomplete()) return Cached{};
    ++counters_.reads_cached;
    if (status.IsNotFound()) return Cached{.known = true};
    if (!status.ok()) return judged(Result<Cached>(to_error(status, "reading from the store")));
    return Cached{.known = true, .value = value.ToString()};
}

Result<std::optional<Bytes>> Store::get(Fiber& fiber, ByteView key, const Snapshot* at) const {
    TRY(usable());
    auto pass = gate_.enter();
    if (!pass) return closed();
    TRY(fiber.maybe_yield());
    TRY(Cached cached, get_cached(key, at));
    if (cached.known) return std::move(cached.value);
    ++counters_.reads_blocking;
    Engine& engine = *engine_;
    return judged(env_.blocking(fiber, [&engine, at, owned = Bytes(key)](Blocking&) -> Result<std::optional<Bytes>> {
        rocksdb::ReadOptions how;
        if (at != nullptr) how.snapshot = static_cast<const rocksdb::Snapshot*>(at->handle_);
        RocksScope scope(engine.call());
        Bytes value;
        rocksdb::Status status = engine.db()->Get(how, owned, &value);
        if (status.IsNotFound()) return std::optional<Bytes>();
        if (!status.ok()) return to_error(status, "reading from the store");
        return std::optional<Bytes>(std::move(value));
    }));
}

std::unique_ptr<Snapshot> Store::snapshot() const {
    CHECK(engine_ && !closing_);
    return std::unique_ptr<Snapshot>(new Snapshot(engine_, engine_->take_snapshot()));
}

Result<Store::Chunk> Store::scan(Fiber& fiber, const Snapshot* at, Bytes from, Bytes to, ScanLimits limits) const {
    Chunk chunk;
    TRY(chunk.next, scan_each(fiber, at, std::move(from), std::move(to), limits,
                              [&](ByteView key, ByteView value) { chunk.pairs.emplace_back(key, value); }));
    return chunk;
}

Result<std::optional<Bytes>> Store::scan_each(Fiber& fiber, const Snapshot* at, Bytes from, Bytes to, ScanLimits limits,
                                              FunctionRef<void(ByteView key, ByteView value)> each) const {
    TRY(usable());
    if (limits.bytes == 0 || limits.bytes > options_.scan_chunk_bytes_max || limits.pairs == 0)
        return Error(Code::Invalid, "store: scan limits");
    auto pass = gate_.enter();
    if (!pass) return closed();
    ++counters_.reads_blocking;
    Engine& engine = *engine_;
    return judged(env_.blocking(fiber, [&](Blocking&) -> Result<std::optional<Bytes>> {
        rocksdb::ReadOptions how;
        if (at != nullptr) how.snapshot = static_cast<const rocksdb::Snapshot*>(at->handle_);
        rocksdb::Slice upper = slice(to);
        if (!to.empty()) how.iterate_upper_bound = &upper;
        how.fill_cache = !limits.once;
        // This iterator ends with the chunk: RocksDB's own reading ahead would never begin. Every table has only its part of the chunk.
        if (limits.once) how.readahead_size = limits.bytes / 4;
        RocksScope scope(engine.call());
        std::unique_ptr<rocksdb::Iterator> cursor(engine.db()->NewIterator(how));
        std::optional<Bytes> next;
        uint64_t bytes = 0, pairs = 0;
        for (cursor->Seek(slice(from)); cursor->Valid(); cursor->Next()) {
            if (bytes >= limits.bytes || pairs >= limits.pairs) {
                next = cursor->key().ToString();
                break;
            }
            const rocksdb::Slice key = cursor->key(), value = cursor->value();
            each({key.data(), key.size()}, {value.data(), value.size()});
            bytes += key.size() + value.size();
            ++pairs;
        }
        if (!cursor->status().ok()) return to_error(cursor->status(), "scanning the store");
        return next;
    }));
}

Result<void> Store::request_flush() {
    TRY(usable());
    TRY(health_error());
    if (flush_requested_ == last_sequence_) return {};
    rocksdb::FlushOptions how;
    how.wait = false;
    how.allow_write_stall = true;  // without it the call itself could wait for a stall to end
    RocksScope scope(engine_->call());
    rocksdb::Status status = engine_->db()->Flush(how);
    if (status.IsTryAgain()) {
        // All memtables are full and about to be flushed: one more can not be begun before one of them has been.
        flush_again_ = true;
        return {};
    }
    if (!status.ok()) {
        background_error(health_of(status), status.IsCorruption(), status.ToString());
        return health_error();
    }
    flush_requested_ = last_sequence_;
    flush_again_ = false;
    return {};
}

Result<void> Store::flush(Fiber& fiber, Instant deadline) {
    TRY(usable());
    auto pass = gate_.enter();
    if (!pass) return closed();
    TRY(fiber.maybe_yield());
    TRY(request_flush());
    const uint64_t sequence = last_sequence_;
    while (durable_sequence_ < sequence) {
        TRY(usable());
        TRY(health_error());
        TRY(progress_.wait(fiber, deadline));
    }
    return {};
}

void Store::set_on_durable(UniqueFunction<void(uint64_t, uint64_t)> on_durable) { on_durable_ = std::move(on_durable); }

std::optional<uint64_t> Store::durable_mark(uint64_t subject) const { return marks_->durable(subject); }

void Store::forget_marks(uint64_t subject) { marks_->forget(subject); }

Result<void> Store::drop_range(Fiber& fiber, Bytes from, Bytes to) {
    TRY(usable());
    if (from >= to) return {};
    auto pass = gate_.enter();
    if (!pass) return closed();
    // The tombstone first: whole files vanish one level at a time, and what an upper level hid must not come back.
    Batch batch;
    batch.erase_range(from, to);
    TRY(write_when_possible(fiber, batch));
    Engine& engine = *engine_;
    Listener& listener = *listener_;
    return env_.blocking(fiber, [&](Blocking&) -> Result<void> {
        RocksScope scope(engine.call());
        rocksdb::DB* db = engine.db();
        rocksdb::Slice first = slice(from);
        rocksdb::Slice last = slice(to);
        rocksdb::Status status =
            rocksdb::DeleteFilesInRange(db, db->DefaultColumnFamily(), &first, &last, /*include_end=*/false);
        if (status.ok()) status = rocksdb::experimental::SuggestCompactRange(db, &first, &last);
        listener.call_returned();
        if (!status.ok()) return to_error(status, "dropping a range of the store");
        return {};
    });
}

Health Store::health() const { return health_; }
std::string Store::health_text() const { return health_text_; }
Notify& Store::health_changed() { return health_changed_; }

Result<void> Store::try_resume(Fiber& fiber) {
    TRY(usable());
    auto pass = gate_.enter();
    if (!pass) return closed();
    if (health_ == Health::Writable) return {};
    if (health_ == Health::Failed) return health_error();
    Engine& engine = *engine_;
    Listener& listener = *listener_;
    Result<uint64_t> resumed = env_.blocking(fiber, [&](Blocking&) -> Result<uint64_t> {
        RocksScope scope(engine.call());
        // Notices of the errors up to here may still be under way; they are not news once Resume has succeeded.
        // A compaction that fails beside Resume() ends it early, and the flush that it had begun then drops its request
        // for ever. So none may be under way: new ones are held back since the error, the others end first.
        engine.shared_jobs()->run_down();
        const uint64_t errors = listener.errors_in_force();
        rocksdb::Status status = engine.db()->Resume();
        listener.call_returned();
        if (!status.ok()) return to_error(status, "resuming the store");
        engine.shared_jobs()->release();
        return errors;
    });
    if (resumed.ok()) {
        errors_cleared_ = *resumed;
        set_health(Health::Writable, {});
        return {};
    }
    if (resumed.failed_with(Code::Corrupt)) note_damage(resumed.error().text());
    if (resumed.failed_with(Code::Io))
        set_health(Health::Failed, resumed.error().text());
    return resumed.error();
}

void Store::flushed_up_to(uint64_t sequence) {
    ++counters_.flushes_completed;
    if (sequence > durable_sequence_) {
        durable_sequence_ = sequence;
        if (std::optional<uint64_t> bytes = marks_->cover_bytes(sequence)) durable_bytes_ = *bytes;
        for (const auto& [subject, value] : marks_->cover(sequence))
            if (on_durable_) on_durable_(subject, value);
    }
    stall_may_be_over();
}

void Store::stall_may_be_over() {
    stalled_ = false;
    // What is wrong with the Store its next user hears.
    if (flush_again_) (void)request_flush();
    progress_.notify_all();
}

void Store::background_error(Health health, bool damaged, std::string text) {
    // A job that can not read what it is to compact or flush into has met damage, whatever RocksDB calls it.
    damaged |= health == Health::Failed && engine_ && engine_->read_failed();
    if (damaged) return note_damage(std::move(text));
    if (health_ == Health::Failed) return;
    env_.tracer.warning("store.background_error", {{"failed", health == Health::Failed ? 1 : 0}, {"error", text}});
    set_health(health, std::move(text));
}

template <typename T>
Result<T> Store::judged(Result<T> read) const {
    if (!read.failed_with(Code::Corrupt) && !read.failed_with(Code::Io)) return read;
    if (events_ && !closing_) events_->store->note_damage(read.error().text());
    return read;
}

void Store::note_damage(std::string text) {
    if (damage_) return;
    env_.tracer.warning("store.damage_met", {{"path", options_.path}, {"error", text}});
    damage_ = text;
    set_health(Health::Failed, std::move(text));
}

void Store::set_health(Health health, std::string text) {
    health_ = health;
    health_text_ = std::move(text);
    progress_.notify_all();
    health_changed_.notify_all();
}

uint64_t Store::unflushed_bytes() const { return written_bytes_ - durable_bytes_; }

Stats Store::stats() const {
    Stats stats = counters_;
    stats.unflushed_bytes = unflushed_bytes();
    if (!engine_ || closing_) return stats;
    RocksScope scope(engine_->call());
    auto number = [&](const std::string& property) {
        uint64_t value = 0;
        engine_->db()->GetIntProperty(property, &value);
        return value;
    };
    stats.memtable_bytes = number(rocksdb::DB::Properties::kSizeAllMemTables);
    stats.memtables_waiting = number(rocksdb::DB::Properties::kNumImmutableMemTable);
    stats.table_files_bytes = number(rocksdb::DB::Properties::kTotalSstFilesSize);
    stats.compaction_pending_bytes = number(rocksdb::DB::Properties::kEstimatePendingCompactionBytes);
    std::string level0;
    if (engine_->db()->GetProperty(rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &level0))
        for (char digit : level0) stats.level0_files = stats.level0_files * 10 + static_cast<uint64_t>(digit - '0');
    stats.cache_used_bytes = engine_->cache_used_bytes();
    stats.snapshots = engine_->snapshots();
    stats.jobs_queued = engine_->jobs().queued();
    stats.jobs_run = engine_->jobs().run_count();
    return stats;
}

std::vector<std::string> Store::recent_log() const {
    return engine_ ? engine_->log().lines() : std::vector<std::string>();
}

}  // namespace orrery::store
