// ExtentMachine: the extents of one data partition as the state machine of its Raft group. Records in the Store, bytes in files.
//
// The invariant: what a record in the Store says of bytes is true of the file before the record is written, and stays true after
// any crash once the own log is replayed. Payloads of appends go to their place before their entry joins the log; images of blocks
// only when they are committed, from the log, which repairs what a torn write left; a file goes only when its tombstone is durable.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/data/extent_changes.h"
#include "node/data/extent_files.h"
#include "node/raft/state_machine.h"

namespace orrery::data {

struct ExtentMachineOptions {
    std::string disk_dir = "extents";  // below the data directory
    ReplicaId replica;                 // names the directory of its files, with the group
    size_t reads_max = 1024;           // at once; more are Overloaded
    uint64_t read_bytes_max = 4 << 20; // of one read
    size_t damaged_max = 1024;         // extents remembered as damaged; all are counted
    size_t unlinks_max = 1024;         // files that wait for a flush of the Store; beyond it one is asked for
};

struct ExtentCounters {
    uint64_t reads = 0;
    uint64_t corrupt_reads = 0;    // that found bytes which do not match
    uint64_t files_missing = 0;    // when the records were loaded: gone, or shorter than their extent
    uint64_t files_removed = 0;
    uint64_t attachments = 0;      // stored
    uint64_t superseded_sent = 0;  // attachments loaded as a later entry left them
};

class ExtentMachine : public raft::StateMachine {
 public:
    ExtentMachine(Env& env, store::Store& store, ExtentMachineOptions options)
        : env_(env), store_(store), options_(std::move(options)), files_(env, options_.disk_dir) {}

    Result<void> load(Fiber& fiber, const raft::StateSpace& space) override;
    void recovered(std::span<const raft::Entry> above_applied) override;
    void truncated(LogIndex from) override;
    /// An entry that is no command of extents is Corrupt: it stops the group, on every replica.
    Result<void> apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) override;
    void applied(LogIndex up_to) override;
    void durable(LogIndex up_to) override;
    Result<void> store_attachment(Fiber& fiber, const raft::Entry& entry) override;
    Result<raft::LoadedAttachment> load_attachment(Fiber& fiber, const raft::Entry& entry) override;

    /// [offset, offset + length) of the applied state, every byte checked. Gaps behind appends that did not end at a block are zeros.
    /// Yields. Errors: NotFound (no such extent, deleted, or the range has freed blocks), Invalid (not within the extent, nothing, or
    /// more than read_bytes_max), NotReady (an entry of before the start has to be applied first; a snapshot came in meanwhile),
    /// Overloaded, Corrupt (names extent and offset; see damaged()), Io, Timeout, Cancelled.
    Result<Bytes> read(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Instant deadline = Instant::never());
    /// `count` whole images from `first` on, zeros behind the extent's end. Otherwise as read(), freed blocks included.
    Result<Bytes> read_images(Fiber& fiber, ExtentId extent, uint64_t first, uint64_t count, Instant deadline = Instant::never());
    /// Of the applied state at some moment of the call; nullopt: there never was one. Yields. Errors: Io, Corrupt, Cancelled.
    Result<std::optional<ExtentRecord>> extent(Fiber& fiber, ExtentId extent) const;

    LogIndex applied_index() const { return applied_; }
    /// Yields: until the entry at `index` is applied here. Errors: Timeout, Cancelled.
    Result<void> wait_applied(Fiber& fiber, LogIndex index, Instant deadline);
    /// Extent -> what was found, since the start. Not what a repair has mended since.
    const std::map<ExtentId, std::string>& damaged() const { return damaged_; }
    const ExtentCounters& counters() const { return counters_; }
    /// Files of deleted extents that are still there.
    size_t unlinks_waiting() const { return unlinks_.size(); }
    ExtentFiles& files() { return files_; }
    const ExtentMachineOptions& options() const { return options_; }

 private:
    class Stored;
    class BatchView;
    enum class Freed : uint8_t { Refuse, Read };
    struct TornImage {
        LogIndex index;
        uint64_t block = 0;
        uint32_t replaced = 0;  // crc32c of the image before; meaningless where there was none
    };
    struct Checked {
        uint64_t size_bytes = 0;  // of the extent
        Bytes bytes;              // whole images of the range, zeros behind the extent's end
    };

    // extent_machine.cpp
    Result<void> look_at_files(Fiber& fiber, const std::map<ExtentId, uint64_t>& files);
    Result<void> apply_all(Fiber& fiber, std::span<raft::ApplyItem> items);
    Result<void> write_images(Fiber& fiber);
    void note_damage(ExtentId extent, std::string what);
    void unlink_when_durable(ExtentId extent, LogIndex index);
    void begin_unlinking();
    void unlink_loop(Fiber& fiber);
    // extent_attachments.cpp
    uint32_t checksum_before_torn(ExtentId extent, LogIndex after, uint64_t offset, ByteView images) const;
    Result<raft::LoadedAttachment> load_torn(Fiber& fiber, const wire::ExtentCommand& command, LogIndex index);
    // extent_read.cpp
    Result<void> readable(ExtentId extent) const;
    Result<Checked> read_checked(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Freed freed, Instant deadline);
    Result<Checked> read_held(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Freed freed);
    Result<void> check_blocks(ExtentId extent, uint64_t first, const std::vector<BlockRecord>& blocks, ByteView bytes);

    Env& env_;
    store::Store& store_;
    ExtentMachineOptions options_;
    ExtentFiles files_;
    raft::StateSpace space_;
    LogIndex applied_;
    LogIndex durable_;
    Notify applied_moved_;

    // Of the batch that is being applied.
    ExtentChanges changed_;
    std::map<ExtentId, std::map<uint64_t, ByteView>> images_;  // newest of each block; they look into the entries
    std::map<ExtentId, LogIndex> deleted_;
    std::vector<ExtentFiles::Hold> held_;  // until the records say what the files have

    // What is not read before that entry is applied. Bounded by the entries of the log.
    std::map<ExtentId, LogIndex> torn_by_;        // an entry of before the start, which may have been applied then
    std::map<ExtentId, std::vector<TornImage>> torn_images_;  // what such entries say of the images that they replaced, rising
    LogIndex all_torn_by_;                        // one of those that nobody can read: of whatever extent
    std::map<ExtentId, LogIndex> superseded_by_;  // bytes came as that entry, which is committed, left them

    std::map<ExtentId, LogIndex> unlinks_;  // deleted by that entry; the file goes when it is durable
    bool unlinking_ = false;
    size_t reads_ = 0;
    std::map<ExtentId, std::string> damaged_;
    ExtentCounters counters_;
};

}  // namespace orrery::data
