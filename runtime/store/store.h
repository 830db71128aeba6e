// Store: the applied state of a node. A sorted map of byte strings with atomic batches and consistent snapshots.
//
// Contract after a crash: the Store is a prefix of the batches written, and the prefix holds every batch that on_durable
// has covered. There is no write-ahead log in here; the node's segmented log replays what the prefix lacks, so nothing
// may be acknowledged because the Store holds it. Durability comes from flushes, which run beside the loop and are told
// of when they have *completed*.
//
// Not thread-safe: a Store belongs to the loop thread of one node. It is RocksDB on the node's Disk in both worlds, but
// no header of RocksDB is needed to use it. All jobs of RocksDB run through Env::background, and all its files are our
// Disk's; in the daemons its jobs overlap with the loop, in the simulator they are events of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/function.h"
#include "runtime/base/result.h"
#include "runtime/env/env.h"

namespace orrery::store {

class Engine;  // engine.h: the database, its files and its jobs
class Store;

/// Changes that take effect together or not at all. Reusable after clear().
class Batch {
 public:
    Batch();
    ~Batch();
    Batch(Batch&&) noexcept;
    Batch& operator=(Batch&&) noexcept;

    void put(ByteView key, ByteView value);
    void erase(ByteView key);
    /// Erases [from, to). An empty range is dropped.
    void erase_range(ByteView from, ByteView to);
    /// This batch brings `subject` (a group, say) to `value` (its applied index). Once the batch is durable, on_durable is
    /// told (subject, value). Values of one subject rise from batch to batch until Store::forget_marks(subject).
    void mark(uint64_t subject, uint64_t value);

    uint64_t size_bytes() const;
    bool empty() const;
    void clear();

 private:
    friend class Store;
    struct Rep;
    std::unique_ptr<Rep> rep_;
};

/// One point in the order of batches. Reads at it see the batches before it and no other. Keeps old versions alive on
/// disk, so it is given up soon. May outlive the Store; then it is useless.
class Snapshot {
 public:
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

 private:
    friend class Store;
    Snapshot(std::shared_ptr<Engine> engine, const void* handle);
    std::shared_ptr<Engine> engine_;
    const void* handle_;
};

struct Options {
    std::string path = "store";                       // directory below the data directory; created when missing
    uint64_t memtable_bytes = 32ull << 20;            // [64 KiB, 1 GiB]; a full one is flushed by itself
    uint32_t memtables_max = 3;                       // [2, 8]; all full: write() answers Overloaded
    uint32_t key_prefix_bytes = 25;                   // of most keys, many share that many bytes and few the eight behind them; for speed only
    uint64_t cache_bytes = 64ull << 20;               // blocks of files in memory; 0 makes most get_cached() unknown
    uint64_t file_bytes = 32ull << 20;                // target size of one table file
    uint64_t scan_chunk_bytes_max = 4ull << 20;       // upper limit of ScanLimits::bytes

    /// A small footprint (about 110 KiB of heap) for worlds with many nodes.
    static Options small();
};

enum class Health : uint8_t {
    Writable,
    NoSpace,  // a background job found the disk full: writes fail, reads serve; try_resume() when there is space again
    Failed,   // a background write or sync failed, or damage was found (see damage()): writes fail for good, reads serve; restart the node
};

struct Stats {
    uint64_t memtable_bytes = 0;        // all memtables, flushing ones too
    uint64_t memtables_waiting = 0;     // full and not yet flushed
    uint64_t unflushed_bytes = 0;       // of batches that are not yet durable
    uint64_t table_files_bytes = 0;
    uint64_t level0_files = 0;
    uint64_t compaction_pending_bytes = 0;
    uint64_t cache_used_bytes = 0;
    uint64_t snapshots = 0;
    uint64_t jobs_queued = 0;
    uint64_t jobs_run = 0;
    uint64_t flushes_completed = 0;
    uint64_t batches_written = 0;
    uint64_t writes_refused = 0;        // Overloaded
    uint64_t reads_cached = 0;          // answered on the loop thread
    uint64_t reads_blocking = 0;        // that went to the disk pool
};

class Store {
 public:
    /// Opens, or creates, the store of a node. Yields. Errors: Corrupt (context: the file and what to do about it), Exists
    /// (another process has it open), NoSpace, Io, Cancelled, Invalid (options out of range).
    static Result<std::unique_ptr<Store>> open(Fiber& fiber, Env& env, Options options);
    /// Without close(): what is not flushed is lost, as in a crash, and no file is touched any more. Requires: no fiber is
    /// in a call.
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// Flushes what was written and closes the files. Afterwards every call answers Cancelled. When the flush fails or is
    /// not done by `deadline`, closes without it and says so: the state is then an earlier prefix. Idempotent. Yields.
    /// Errors: NoSpace, Io, Timeout, Cancelled.
    Result<void> close(Fiber& fiber, Instant deadline = Instant::never());

    /// Takes effect at once, atomically, for all later reads; durable with a later flush. Errors: Overloaded (memtables
    /// full: wait_writable() and write the same batch again), NoSpace, Io, Corrupt (see health()), Cancelled (closed). On an
    /// error nothing of the batch was written.
    Result<void> write(Batch& batch);
    /// Waits until a write() refused as Overloaded is worth another try. Yields. Errors: NoSpace, Io, Corrupt, Timeout,
    /// Cancelled.
    Result<void> wait_writable(Fiber& fiber, Instant deadline = Instant::never());
    /// write(), waiting as often as it is Overloaded. Yields. Errors: as both.
    Result<void> write_when_possible(Fiber& fiber, Batch& batch, Instant deadline = Instant::never());

    /// What memory can tell. `known` is false when a file would have to be read: use get().
    struct Cached {
        bool known = false;
        std::optional<Bytes> value;  // nullopt: there is no such key (if known)
    };
    /// Never waits. `at`: a point of the past to read at; null reads the present state. Errors: Corrupt, Io (both: see damage()), Cancelled (closed).
    Result<Cached> get_cached(ByteView key, const Snapshot* at = nullptr) const;
    /// get_cached(), and the disk pool only when that does not know. Yields, if at all. Errors: Corrupt, Io, Cancelled.
    Result<std::optional<Bytes>> get(Fiber& fiber, ByteView key, const Snapshot* at = nullptr) const;

    /// Requires: not closed.
    std::unique_ptr<Snapshot> snapshot() const;

    struct ScanLimits {
        uint64_t bytes = 256 * 1024;  // of keys and values; one pair more than fits is never cut
        uint64_t pairs = 1'000'000;
        bool once = false;            // a part of a long scan: what it reads does not push anything out of the block cache
    };
    struct Chunk {
        std::vector<std::pair<Bytes, Bytes>> pairs;  // in key order; at least one, unless the range has no more
        std::optional<Bytes> next;                   // `from` of the next chunk; nullopt at the end of the range
    };
    /// One chunk of [from, to), `to` empty meaning "to the end". Chunks of one scan see one point only when all are read at
    /// the same snapshot. Yields. Errors: Corrupt, Io, Cancelled, Invalid (limits out of range).
    Result<Chunk> scan(Fiber& fiber, const Snapshot* at, Bytes from, Bytes to, ScanLimits limits) const;
    Result<Chunk> scan(Fiber& fiber, const Snapshot* at, Bytes from, Bytes to) const {
        return scan(fiber, at, std::move(from), std::move(to), ScanLimits());
    }

    /// The same for whoever makes something else of the pairs at once: `each` gets them in key order, on the disk pool. The answer is
    /// Chunk::next. Yields. Errors: as scan().
    Result<std::optional<Bytes>> scan_each(Fiber& fiber, const Snapshot* at, Bytes from, Bytes to, ScanLimits limits,
                                           FunctionRef<void(ByteView key, ByteView value)> each) const;

    /// Makes what was written so far durable soon; returns at once. Errors: NoSpace, Io, Corrupt, Cancelled (closed).
    Result<void> request_flush();
    /// request_flush() and the wait for it. Yields. Errors: NoSpace, Io, Corrupt, Timeout, Cancelled.
    Result<void> flush(Fiber& fiber, Instant deadline = Instant::never());

    /// Called on the loop thread, not from a fiber, once for each subject whose durable mark rose. Marks of batches that a
    /// flush has completed for; never of what was only asked for. The callback must not destroy the Store.
    void set_on_durable(UniqueFunction<void(uint64_t subject, uint64_t value)> on_durable);
    /// The highest durable mark of a subject since open(); nullopt before the first. What was durable before open() is
    /// what the Store held when it was opened.
    std::optional<uint64_t> durable_mark(uint64_t subject) const;
    /// Drops what is known of a subject (its group is gone, or begins a new life with lower marks).
    void forget_marks(uint64_t subject);

    /// Frees the space of [from, to) in files, beyond what erase_range() hides at once. Requires: nothing that is durable
    /// refers to the range (the batch that stopped doing so is covered by on_durable), no snapshot will read it, and nothing
    /// is written into it meanwhile or later. Yields. Errors: as write_when_possible(), Io.
    Result<void> drop_range(Fiber& fiber, Bytes from, Bytes to);

    Health health() const;
    /// What is wrong, for people; empty while Writable.
    std::string health_text() const;
    /// Set, for good, once a read or a job met bytes that a checksum refuses or the disk does not give: what the files hold is
    /// not to be trusted any more. Whoever read got an error, never other bytes. health() is Failed then.
    const std::optional<std::string>& damage() const { return damage_; }
    /// Tries to leave NoSpace; reads go on meanwhile. Nothing was lost if it succeeds: the same batches stay in memory, the
    /// flush is done again into a new file. Yields. Errors: NoSpace (still), Io, Corrupt (Failed: never resumes), Cancelled.
    Result<void> try_resume(Fiber& fiber);
    /// Woken when health changes.
    Notify& health_changed();

    /// Bytes of batches written and not yet covered by a completed flush: when to ask for the next one.
    uint64_t unflushed_bytes() const;
    Stats stats() const;
    /// The last warnings and errors of RocksDB's own log, oldest first, at most 64. They hold wall times and are not for
    /// traces.
    std::vector<std::string> recent_log() const;

 private:
    class Marks;
    class Listener;
    struct Events;
    Store(Env& env, Options options);

    Result<void> usable() const;
    Result<void> health_error() const;
    void flushed_up_to(uint64_t sequence);
    void stall_may_be_over();
    void background_error(Health health, bool damaged, std::string text);
    template <typename T>
    Result<T> judged(Result<T> read) const;
    void note_damage(std::string text);
    void set_health(Health health, std::string text);

    Env& env_;
    Options options_;
    std::shared_ptr<Engine> engine_;     // null once closed
    std::shared_ptr<Events> events_;     // what posted notices reach the Store through
    std::shared_ptr<Listener> listener_;
    std::unique_ptr<Marks> marks_;
    UniqueFunction<void(uint64_t, uint64_t)> on_durable_;
    mutable Gate gate_;
    bool closing_ = false;
    bool stalled_ = false;
    uint64_t last_sequence_ = 0;      // of the last batch written
    uint64_t durable_sequence_ = 0;   // covered by completed flushes
    uint64_t flush_requested_ = 0;    // last_sequence_ when a flush was last asked for
    bool flush_again_ = false;        // one was asked for that could not be begun yet
    uint64_t written_bytes_ = 0;      // of all batches since open
    uint64_t durable_bytes_ = 0;      // of those covered
    Health health_ = Health::Writable;
    std::string health_text_;
    std::optional<std::string> damage_;
    uint64_t errors_cleared_ = 0;     // background errors up to this one are overcome
    Notify progress_;                 // a flush completed, a stall ended, health changed
    Notify health_changed_;
    mutable Stats counters_;
};

}  // namespace orrery::store
