// SimDisk: the disk of one simulated host, over all lives of the host; knows nothing of hosts.
//
// Time. Bodies of blocking() run in place, but each of their operations has a virtual instant: its
// body's cursor, moved on by a drawn latency. Effects are visible to the same node at once and
// *happen* at their instant: a crash at T undoes what lies after T. Changing calls of one domain (a
// directory) are laid end to end in the order of execution, and a call that looks at something gets
// an instant after the change it saw; so "happened" is always a prefix of what any observer could
// have seen. A sync makes durable what it covers, from its own instant on.
//
// Intuition: contents and names are kept as the node sees them, together with an undo record for
// everything that could still be lost. A sync whose instant has passed retires the records that it
// covers, so the cost and memory of the disk follow what is unsynced, not what is stored.
//
// Not here: who waits until when (sim/core asks end()), and when crashes come.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/env/disk.h"
#include "sim/clock/timeline.h"
#include "sim/disk/disk_options.h"

namespace orrery::sim {

/// The permission of the body that runs right now. Owned by its disk.
class SimBlocking final : public Blocking {
 public:
    /// The virtual instant that the body has reached. A body that computes for long may push it on
    /// with spend().
    Instant cursor() const { return cursor_; }
    void spend(Duration duration) { cursor_ = cursor_ + duration; }

 private:
    friend class SimDisk;
    SimBlocking() = default;
    Instant cursor_{};
};

enum class CrashKind : uint8_t {
    Kill,   // the process dies, the page cache survives: what happened stays, and stays unsynced
    Power,  // the machine dies: unsynced changes are kept, lost or torn by draw
};

enum class DiskOp : uint8_t {  // enters the trace hash; never renumber
    Open = 1,
    Read = 2,
    Stat = 3,  // stat, size, list, space, lock
    Write = 4,
    Truncate = 5,
    Sync = 6,
    Create = 7,
    Rename = 8,
    Remove = 9,
    CreateDir = 10,
    RemoveDir = 11,
    SyncDir = 12,
};
std::string_view disk_op_name(DiskOp op);

/// One numbered operation: a change or a sync (those that only look have no number).
struct DiskOperation {
    uint64_t number;  // 1, 2, ... over all lives of the disk
    Instant at;       // a crash at `at` comes after it, one at `at - 1 ns` before it
    DiskOp kind;
    std::string_view path;
};

/// What a crash did; for the trace and for coverage.
struct CrashReport {
    uint64_t undone = 0;           // operations with an instant after the crash
    uint64_t sectors_kept = 0;     // of unsynced sectors: their newest contents
    uint64_t sectors_lost = 0;     //   an older version, durable or in between
    uint64_t sectors_garbage = 0;  //   neither
    uint64_t sizes_lost = 0;       // files whose unsynced change of size was lost, at least in part
    uint64_t names_kept = 0;       // unsynced creations, renames and removals
    uint64_t names_lost = 0;
};

/// A whole disk at one moment; cheap to hold (pages are shared).
class DiskImage;

class SimDisk final : public Disk {
 public:
    /// `entity` addresses the draws and the hashed steps of this disk. Starts empty, thawed.
    SimDisk(Timeline& timeline, uint64_t entity, DiskOptions options = {});
    ~SimDisk() override;

    // For the host.
    // ---------------------------------------------------------------------------------------------------

    /// Opens a body that runs in place. Requires: no body is open; start >= timeline.now(). Allowed
    /// while frozen: its calls fail as said at crash(), and end() answers `start`.
    SimBlocking& begin(Instant start);
    /// Closes it; the instant at which its last operation has happened and its completion may be
    /// delivered.
    Instant end(SimBlocking& blocking);
    bool in_blocking() const { return in_blocking_; }

    /// Crash of the host at timeline.now(): undoes what lies after it, then loses or tears by
    /// `kind`. Ends the life: its Files and DirLocks are dead for ever. The disk is frozen until
    /// thaw(): every call answers Cancelled, except that stat() answers NotFound (RocksDB aborts
    /// when an existence test fails in any other way). Requires: no body is open. On a disk that is
    /// frozen already: Power after Kill is allowed, Kill does nothing.
    CrashReport crash(CrashKind kind);
    /// The host starts again.
    void thaw();
    bool frozen() const { return frozen_; }
    /// 1 in the first life; grows with each crash(), wipe() and restore().
    uint64_t life() const { return life_; }

    /// Called in the body, before each numbered operation takes effect, with the instant it will
    /// have: schedule a crash there to strike before or after exactly this operation. Must not call
    /// the disk. Empty function: none.
    void set_operation_hook(std::function<void(const DiskOperation&)> hook);
    /// Calls back once for the n-th numbered operation from now (1 = the next), as the hook does,
    /// beside the hook.
    void crash_at_operation(uint64_t nth, std::function<void(const DiskOperation&)> callback);

    // Faults.
    // ---------------------------------------------------------------------------------------------------------

    DiskFaults faults;                             // rates; may be changed at any time
    void set_latency(const DiskLatency& latency);  // for operations to come
    const DiskLatency& latency() const;
    /// No operation has an instant before `until` (those already placed keep theirs).
    void stall_until(Instant until);
    /// The nth sync (1 = the next) of a file whose path begins with `zone` fails with Io and drops
    /// the dirty pages: they stay visible, later syncs say ok and do not cover them, a power loss
    /// takes them.
    void arm_sync_failure(std::string_view zone, uint64_t nth = 1);
    void arm_write_failure(std::string_view zone, uint64_t nth = 1);
    /// The nth write of whole sectors in `zone` lands at another place of the same size in the same
    /// file. Writes of files with no other such place do not count.
    void arm_misdirected_write(std::string_view zone, uint64_t nth = 1);
    void arm_lying_sync(std::string_view zone,
                        uint64_t nth = 1);  // also of sync_dir: zone against the directory
    struct Place {
        std::string path;
        uint64_t offset = 0;
        unsigned bit = 0;
    };
    /// Forgets every armed failure and every crash_at_operation() that has not struck yet.
    void disarm_all();
    /// Flips that bit. Errors: NotFound; Invalid when the byte is past the end or not yet durable.
    Result<void> flip_bit(const Place& place);
    /// Flips a drawn bit of a drawn durable, allocated byte below `zone`, of one that says something
    /// (is not zero) where a few draws find it; nullopt when there is none. Places that `spared` names are not drawn.
    using Spared = std::function<bool(const std::string& path, uint64_t offset)>;
    std::optional<Place> flip_drawn_bit(std::string_view zone, const Spared& spared = {});
    /// Makes the sectors of that range unreadable (Io) until each is rewritten whole. Errors:
    /// NotFound, Invalid.
    Result<void> break_sectors(std::string_view path, uint64_t offset, uint64_t length);
    /// Breaks a drawn durable sector below `zone`; nullopt when there is none.
    std::optional<Place> break_drawn_sector(std::string_view zone, const Spared& spared = {});
    /// May be below what is allocated: then nothing more can be allocated.
    void set_capacity(uint64_t bytes);
    /// An empty disk. Ends the life as crash() does and leaves it frozen. Requires: no body is
    /// open.
    void wipe();
    /// What would surely survive a power loss now. restore() puts it back and ends the life as
    /// wipe() does.
    std::shared_ptr<const DiskImage> durable_image() const;
    void restore(const DiskImage& image);

    // For checkers and people.
    // ----------------------------------------------------------------------------------------

    enum class View : uint8_t {
        Visible,  // as the node sees it, including operations whose instant is still to come
        Durable,  // what would surely survive a power loss now
    };
    /// The bytes of a file; nullopt when there is no such file in that view. Cost: the size of the
    /// file.
    std::optional<Bytes> peek(std::string_view path, View view) const;
    /// Paths of all files and directories ("name/"), sorted, with sizes.
    std::vector<Entry> tree(View view) const;
    /// True while a crash now could lose or undo something.
    bool has_unsynced() const { return unsynced_bytes() > 0 || unsynced_changes() > 0; }
    uint64_t unsynced_bytes()
        const;  // written and not yet covered by a sync whose instant has passed
    uint64_t unsynced_changes() const;  // of names and sizes
    uint64_t allocated_bytes() const;
    struct Counters {
        std::array<uint64_t, 13> operations{};  // by DiskOp
        uint64_t read_bytes = 0;
        uint64_t written_bytes = 0;
        uint64_t read_errors = 0;
        uint64_t bits_flipped = 0;
        uint64_t sync_failures = 0;
        uint64_t write_failures = 0;
        uint64_t misdirected = 0;
        uint64_t lying_syncs = 0;
        uint64_t no_space = 0;
        uint64_t crashes = 0;
        uint64_t of(DiskOp op) const { return operations[static_cast<size_t>(op)]; }
    };
    const Counters& counters() const { return counters_; }
    uint64_t operation_number() const {
        return operation_number_;
    }  // of the last numbered operation
    /// One line per entry: path, size, unsynced records, flags.
    std::string dump() const;

    // Disk.
    // -----------------------------------------------------------------------------------------------------------

    Result<std::unique_ptr<File>> open(Blocking& blocking, std::string_view path,
                                       OpenMode mode) override;
    Result<void> rename(Blocking& blocking, std::string_view from, std::string_view to) override;
    Result<void> remove(Blocking& blocking, std::string_view path) override;
    Result<void> create_dir(Blocking& blocking, std::string_view path) override;
    Result<void> remove_dir(Blocking& blocking, std::string_view path) override;
    Result<void> sync_dir(Blocking& blocking, std::string_view path) override;
    Result<std::vector<Entry>> list(Blocking& blocking, std::string_view path) override;
    Result<Entry> stat(Blocking& blocking, std::string_view path) override;
    Result<Space> space(Blocking& blocking) override;
    Result<std::unique_ptr<DirLock>> lock(Blocking& blocking, std::string_view path) override;
    Blocking& adopt_blocking() override;

 private:
    struct State;
    class OpenFile;
    class HeldLock;

    Result<void> take_away(Blocking& blocking, std::string_view path, DiskOp op);
    void end_life();

    Timeline& timeline_;
    const uint64_t entity_;
    SimBlocking blocking_;
    bool in_blocking_ = false;
    bool frozen_ = false;
    uint64_t life_ = 1;
    uint64_t operation_number_ = 0;
    Counters counters_;
    std::unique_ptr<State> state_;
};

}  // namespace orrery::sim
