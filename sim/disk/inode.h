// Inode: a file or directory with everything of it that a crash could take away.
//
// Contents are kept as the node sees them. Every change leaves a record that can undo it; a sync
// leaves a mark. Once the instant of a mark has passed, the records before it are durable and are
// dropped. So at any moment: contents with all records undone, with the sectors of `lost` put over,
// are what surely survives a power loss. Within one inode, instants grow in the order of execution,
// so what a crash undoes is always a suffix of the records.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "runtime/base/random.h"
#include "runtime/base/time.h"
#include "sim/disk/contents.h"
#include "sim/disk/disk_options.h"

namespace orrery::sim {

struct CrashReport;

/// Changing calls that share one of these are laid end to end.
struct Domain {
    Instant tail{};
};

/// A change of contents or size that can be undone, or the mark of a sync.
struct ContentRecord {
    enum class Kind : uint8_t { Write, Resize, Synced, SyncFailed };
    Kind kind;
    Instant at;
    uint64_t offset = 0;  // Write and Resize: the range that changed
    uint64_t length = 0;
    uint64_t size_before = 0;
    uint64_t size_after = 0;
    RangeImage
        image;  // the range before the change while it is applied, after it while it is undone
    /// SyncFailed: what the dropped sectors hold on the medium, and the size there.
    std::unique_ptr<std::map<uint64_t, std::array<char, kSectorBytes>>> dropped;

    bool is_mark() const { return kind == Kind::Synced || kind == Kind::SyncFailed; }
};

class Inode {
 public:
    using Sector = std::array<char, kSectorBytes>;
    Inode(bool dir, std::shared_ptr<Domain> the_domain)
        : is_dir(dir), domain(std::move(the_domain)) {}

    const bool is_dir;
    std::map<std::string, std::shared_ptr<Inode>, std::less<>> entries;  // of a directory
    std::string path;  // last known; addresses draws, selects zones
    uint64_t path_hash = 0;
    std::shared_ptr<Domain> domain;  // of this file's changes; of a directory: of the names in it
    Instant tail{};                  // of the last change or sync
    Instant changed_at{};            // of the last change: who sees it comes after it
    bool linked = false;
    uint64_t open_files = 0;
    std::set<uint64_t> broken_sectors;
    size_t dirty_slot = SIZE_MAX;  // position in the disk's list of inodes with records

    const Contents& contents() const { return contents_; }
    const std::deque<ContentRecord>& records() const { return records_; }
    uint64_t unsynced_bytes() const { return unsynced_bytes_; }
    uint64_t resizes_unsynced() const { return resizes_unsynced_; }
    bool has_lost() const { return !lost_.empty() || lost_size_.has_value(); }
    uint64_t marks_made() const { return marks_made_; }

    // Changes. `at` is at or after every earlier one.
    void write(Instant at, uint64_t offset, ByteView bytes);
    void resize(Instant at, uint64_t size);
    void synced(Instant at);
    /// The dirty pages count as clean from now on, although the medium does not have them.
    void sync_failed(Instant at);
    /// Changes the medium itself. Requires: is_durable_at(offset).
    void flip_bit(uint64_t offset, unsigned bit);

    /// No record touches the byte and the medium has what is seen.
    bool is_durable_at(uint64_t offset) const;
    /// Drops records up to and including the `mark`-th mark ever made, whose instant has passed.
    void retire_until_mark(uint64_t mark);
    /// Bounds the records of a file that nobody syncs: the oldest are taken as written back by the
    /// kernel.
    void write_back(Instant now);

    /// Undoes what lies after `at`, and retires marks up to it. Answers how many operations were
    /// undone.
    uint64_t undo_after(Instant at);
    /// Keeps, loses or tears what is unsynced; nothing is unsynced afterwards. Requires:
    /// undo_after() before.
    void lose_power(const PowerLoss& odds, RandomStream draws, CrashReport& report);
    /// What surely survives a power loss at `now`.
    Contents durable(Instant now) const;

    static std::shared_ptr<Inode> from_image(const Contents& contents,
                                             std::shared_ptr<Domain> domain);

 private:
    struct Survival;  // of one power loss: which version of each sector and of the size
    void apply(ContentRecord& record);
    void undo(ContentRecord& record);
    void retire_segment(size_t records, ContentRecord::Kind as);
    size_t records_until_mark() const;
    Survival draw_survival(const PowerLoss& odds, RandomStream& draws) const;
    static void put_lost(Contents& contents, const std::map<uint64_t, Sector>& lost);

    Contents contents_;
    std::deque<ContentRecord> records_;
    uint64_t unsynced_bytes_ = 0;
    uint64_t resizes_unsynced_ = 0;
    uint64_t marks_made_ = 0;
    uint64_t marks_retired_ = 0;
    std::map<uint64_t, Sector> lost_;    // clean in the page cache, but the medium holds this
    std::optional<uint64_t> lost_size_;  // likewise
};

}  // namespace orrery::sim
