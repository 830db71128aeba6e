// SegmentedLog: the entries, hard states, floors and configurations of all Raft groups of a node, in one row of batches
// over recycled files.
//
// One batch is in flight: batch n+1 is written when n is synced, so a valid batch proves every lower number durable, and
// whatever the groups append meanwhile shares the next write and sync. Truncation and floors are records; what is still
// live in the oldest segment is copied forward before its file is used again. Format and recovery: README.md.
//
// Not here: what the bytes mean (node/raft), attachments' own files, fetching the bodies of holes from peers.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/log/live_index.h"
#include "node/log/records.h"
#include "node/log/report.h"
#include "node/log/segment_files.h"
#include "runtime/base/function.h"
#include "runtime/env/env.h"

namespace orrery::log {

struct Options {
    /// Relative to the data directory; its parent exists.
    std::string directory = "log";
    /// Multiple of 4 KiB, at least four times batch_bytes, at most 1 GiB. Kept from the first start on: a later value is ignored.
    uint64_t segment_bytes = 16u << 20;
    /// Bound of the records of one batch, and so of one append(). At least 16 KiB.
    uint64_t batch_bytes = 2u << 20;
    /// Bound of what waits for its batch; beyond it append() answers Overloaded. At least batch_bytes, at most half of
    /// segment_bytes (what was accepted must find room even if the disk turns out to be full).
    uint64_t queue_bytes = 8u << 20;
    /// Copies that may ride on one batch, 16 KiB to batch_bytes; more makes appends wait longer while a segment is
    /// emptied, less makes the copies' own padding grow.
    uint64_t copy_bytes = 256u << 10;
    /// Free segments that only Use::Reserve and recycling may touch, at least 2 (full disk).
    uint32_t reserve_segments = 2;
    /// Bound of all segment files together, 0 = the disk is the bound. Reached like a full disk.
    uint64_t total_bytes = 0;
    /// A batch that nothing follows for so long gets an empty seal behind it.
    Duration seal_after = Duration::millis(20);
    /// Between two attempts to get another segment after the disk was full.
    Duration space_retry = Duration::millis(500);
};

/// Names an append; a later append has a higher sequence. 0 = before all.
struct Ticket {
    uint64_t sequence = 0;
    auto operator<=>(const Ticket&) const = default;
};

enum class Use : uint8_t {
    Ordinary,
    Reserve,  // may use the reserve of a full disk: hard states, floors, deletes, snapshots, configuration changes
};

struct Counters {
    uint64_t appends = 0;
    uint64_t batches = 0;           // written, seals too
    uint64_t records = 0;           // placed, copies too
    uint64_t copies = 0;
    uint64_t copied_bytes = 0;
    uint64_t written_bytes = 0;     // padding and headers too
    uint64_t seals = 0;
    uint64_t segments_recycled = 0;
    uint64_t segments_created = 0;
    uint64_t refused_overloaded = 0;
    uint64_t refused_no_space = 0;
};

struct Status {
    Counters counters;
    uint64_t log_id = 0;
    Epoch epoch;
    uint64_t last_batch = 0;      // newest synced
    uint64_t oldest_batch = 0;    // oldest live
    uint64_t live_bytes = 0;
    uint64_t queued_bytes = 0;    // appended, not yet synced
    uint64_t segments = 0;
    uint64_t free_segments = 0;
    bool short_of_space = false;  // ordinary appends are refused, or will be when the free segments are used up
};

class SegmentedLog {
 public:
    using DurableAppliedLookup = std::function<DurableApplied(GroupId)>;

    /// Recovers what is there (an empty directory becomes a new log), then writes and syncs the first batch of a new
    /// epoch. `report` is filled also when Corrupt is answered, in which case nothing on disk was changed.
    /// `durable_applied` is called on the loop thread, without yielding, for every group found.
    /// `fetchable` likewise, for every group with holes: true opens the log with them, each as a record of its own, until
    /// Batch::fill() brings the body; false (and an empty function) refuses.
    /// Yields. Errors: Corrupt (damage above durable_applied: file, offset, what to do), Io, NoSpace, Invalid (options),
    /// Cancelled.
    static Result<std::unique_ptr<SegmentedLog>> open(Fiber& fiber, Env& env, Options options,
                                                      const DurableAppliedLookup& durable_applied,
                                                      RecoveryReport* report, const HolesLookup& fetchable = {});
    /// Requires: stopped, or never started, or its fibers were cancelled and have ended.
    ~SegmentedLog();
    SegmentedLog(const SegmentedLog&) = delete;
    SegmentedLog& operator=(const SegmentedLog&) = delete;

    /// Starts the writer and the caretaker fiber. Appends before it wait for it.
    void start();
    /// Refuses new appends (Cancelled), syncs what waits, seals, ends the fibers. Errors: Io when the log sealed itself
    /// before all was synced; Cancelled.
    /// Yields.
    Result<void> stop(Fiber& fiber);

    /// Takes the records over into the next batch, all or none; atomic. Durable once synced() has reached the ticket.
    /// Errors, none of which changed anything: Overloaded (queue full: wait for a sync), NoSpace (disk full: Use decides
    /// what of the reserve may be used), Invalid (a gap before an entry, at or below the floor, larger than a batch),
    /// the sealed_error(), Cancelled (stopping).
    Result<Ticket> append(GroupId group, const Batch& records, Use use = Use::Ordinary);
    /// append() of one floor record; may use the reserve, since it is what frees space.
    Result<Ticket> set_floor(GroupId group, LogIndex index, Term term);

    /// Everything appended up to this ticket is durable.
    Ticket synced() const { return synced_; }
    /// The last append()'s ticket.
    Ticket appended() const { return appended_; }
    /// Yields: until synced() reaches `ticket`. Errors: sealed_error()'s, Timeout, Cancelled.
    Result<void> wait_synced(Fiber& fiber, Ticket ticket, Instant deadline = Instant::never());
    /// `listener` is called on the loop thread, and must not yield, whenever synced() has risen or the log has sealed
    /// itself: one driver of many groups needs no fiber per append. One listener; an empty one ends it.
    void on_synced(UniqueFunction<void()> listener) { listener_ = std::move(listener); }

    /// Reads synced entries [first, last] back from disk, stopping after max_bytes of bodies (but at least one entry).
    /// Yields. Errors: NotFound (`first` is below the floor, not appended or not yet synced, or a hole), Corrupt, Io, Cancelled;
    /// Stale when the entries changed while they were read.
    Result<std::vector<Entry>> read(Fiber& fiber, GroupId group, LogIndex first, LogIndex last, uint64_t max_bytes);

    /// Set by a failed write or sync, or by damage met while recycling: every later call fails with it, and nothing is
    /// ever synced again. The Error event `log.sealed` was emitted then.
    const std::optional<Error>& sealed_error() const { return sealed_; }
    /// Bytes that recycling would have to copy, records of all groups together or of one.
    uint64_t live_bytes() const { return index_.live_bytes(); }
    uint64_t live_bytes(GroupId group) const { return index_.live_bytes(group); }
    /// Record bytes appended since open; a difference of two calls is what a flush bound looks at.
    uint64_t appended_bytes() const { return appended_bytes_; }
    /// True while ordinary appends are refused for want of space.
    bool no_space() const;
    Status status() const;

 private:
    struct Pending {            // the records of a batch to come
        Bytes bytes;            // kHeaderBytes of room, then records
        uint32_t records = 0;
        uint64_t last_sequence = 0;
    };
    struct InFlight {  // a batch built and being written
        Bytes bytes;
        uint32_t segment = 0;
        uint64_t offset = 0;
        uint64_t number = 0;
        uint64_t last_sequence = 0;  // 0 when no append is in it
        uint64_t queued_bytes = 0;
        bool seal = false;
    };
    enum class Content : uint8_t { Seal, Copies, All };
    struct Accepted {  // what the group's log looks like once everything appended is placed
        LogIndex floor;
        LogIndex last;
    };
    struct Copy {  // a record read from the oldest segment; live or not is decided when it is placed
        Location from;
        Bytes bytes;
    };

    SegmentedLog(Env& env, Options options, uint64_t log_id);
    friend class Opener;  // the steps of open()

    // The writer (segmented_log.cpp).
    Result<void> write_loop(Fiber& fiber);
    Result<void> write_batch(Fiber& fiber, Content content);
    InFlight build(Content content);
    void place(char* record, uint64_t number, uint8_t flags, Location at);
    void place_pending(InFlight& batch, uint32_t& records, std::vector<GroupId>& groups);
    void place_copies(InFlight& batch, uint32_t& records, std::vector<GroupId>& groups);
    void take_segment();
    void retire_dead_segments();
    void confirm(const InFlight& batch);
    uint64_t batch_bound(Content content) const;
    uint64_t copies_bound() const;
    bool fits(Content content) const;
    bool may_write(Content content) const;
    bool oldest_is_dead() const;
    void seal_log(Error error);
    void wake_all();
    void ended();

    Result<void> close_files(Fiber& fiber);

    // Admission.
    Result<void> check_items(const Accepted* before, const Batch& records, Accepted& after) const;
    Result<void> check_space(uint64_t bytes, Use use);

    // The caretaker (caretaker.cpp): has a free segment ready, or empties the oldest.
    Result<void> care_loop(Fiber& fiber);
    bool wants_recycling() const;
    bool wants_segment() const;
    Result<void> read_copies(Fiber& fiber);
    Result<void> find_copies(const Bytes& bytes, uint32_t slot);
    Result<void> make_segment(Fiber& fiber);
    void unpin(uint32_t slot);

    Env& env_;
    Options options_;
    uint64_t log_id_;
    uint32_t salt_ = 0;
    Epoch epoch_;
    uint64_t epoch_first_ = 0;
    uint64_t void_from_ = 0;

    // Appended, not yet placed.
    std::deque<Pending> pending_;
    std::map<GroupId, Accepted> accepted_;
    uint64_t queued_bytes_ = 0;  // pending and in flight
    uint64_t appended_bytes_ = 0;
    Ticket appended_;
    Ticket synced_;

    // Placed: everything up to the batch that is in flight, or synced when none is.
    LiveIndex index_;
    SegmentTable segments_;
    std::deque<uint32_t> order_;  // segments in use, oldest first; the last is being written
    std::vector<uint32_t> free_;
    uint64_t write_offset_ = 0;
    uint64_t next_number_ = 0;
    uint64_t last_synced_ = 0;
    uint64_t oldest_ = 0;
    uint32_t previous_crc_ = 0;
    std::vector<GroupId> previous_groups_;
    bool last_was_seal_ = false;
    std::optional<Location> in_flight_;  // the batch being written; its records can not be read yet
    std::vector<uint32_t> dead_;  // leave order_ with the batch in flight, free once it is synced

    // Recycling.
    std::deque<Copy> copies_;
    uint64_t copies_bytes_ = 0;
    std::optional<uint32_t> recycling_;  // the oldest segment, while its records are read
    uint64_t recycle_offset_ = 0;
    bool short_of_space_ = false;
    Instant space_retry_at_{};

    std::optional<Error> sealed_;
    bool started_ = false;
    bool stopping_ = false;
    bool writer_ended_ = false;
    uint32_t fibers_ = 0;
    Notify work_;      // for the writer
    Notify care_;      // for the caretaker
    Notify progress_;  // synced, sealed, ended
    UniqueFunction<void()> listener_;
    Counters counters_;
};

}  // namespace orrery::log
