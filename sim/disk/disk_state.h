// The inside of SimDisk: tree, clock of operations, armed faults, and what every operation goes
// through.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/disk/name_tree.h"
#include "sim/disk/sim_disk.h"

namespace orrery::sim {

/// Each file and directory takes a page of space beside its contents.
inline constexpr uint64_t kInodeBytes = kPageBytes;
inline constexpr uint64_t kFileBytesMax = 16ull << 30;

struct SimDisk::State {
    enum class Trigger : uint8_t { SyncFailure, WriteFailure, Misdirect, LyingSync };
    struct Armed {
        Trigger trigger;
        std::string zone;
        uint64_t remaining;
    };
    struct AtOperation {
        uint64_t number;
        std::function<void(const DiskOperation&)> callback;
    };
    struct MarkDue {
        Instant at;
        uint64_t sequence;
        InodePtr inode;
        uint64_t mark;
        bool operator<(const MarkDue& other) const {  // for a heap with the earliest on top
            return at != other.at ? at > other.at : sequence > other.sequence;
        }
    };
    /// How an operation enters the hash.
    struct Noted {
        uint64_t offset = 0;
        uint64_t length = 0;
        uint64_t content = 0;
    };

    State(SimDisk& the_disk, DiskOptions the_options)
        : disk(the_disk),
          options(std::move(the_options)),
          latency_draws(disk.timeline_.stream("disk.latency", disk.entity_)) {}

    // Time.
    Instant look(SimBlocking& blocking, Instant seen);
    /// Places a numbered operation after `floor` and runs the hooks.
    Instant place(SimBlocking& blocking, DiskOp op, const DiskLatency::Range& range, Instant floor,
                  std::string_view path);
    void note(DiskOp op, uint64_t path_hash, Instant at, const Noted& noted);
    /// Retires what syncs have covered by now.
    void settle();

    // Files.
    bool is_own_domain(std::string_view path) const;
    void link(const InodePtr& inode, std::string_view path, const InodePtr& dir);
    void unlink(const InodePtr& inode);
    void closed(const InodePtr& inode);
    void mark_dirty(const InodePtr& inode);
    void forget_dirty(size_t slot);
    void mark_made(const InodePtr& inode, Instant at);
    bool has_room_for(uint64_t bytes) const {
        return allocated_bytes + bytes <= options.capacity_bytes;
    }
    uint64_t room() const {
        return options.capacity_bytes > allocated_bytes ? options.capacity_bytes - allocated_bytes
                                                        : 0;
    }
    /// After anything that rebuilt the tree: paths, domains, links, tails and space.
    void recount(Instant now);

    // Faults.
    bool strikes(Trigger trigger, std::string_view path, const DiskFaults::Rate& rate,
                 std::string_view stream);
    RandomStream fault_draws(std::string_view stream) const;
    std::vector<std::pair<std::string, InodePtr>> files_below(std::string_view zone) const;

    SimDisk& disk;
    DiskOptions options;
    RandomStream latency_draws;
    NameTree names;
    std::vector<InodePtr> dirty;
    std::vector<MarkDue> due;
    uint64_t due_sequence = 0;
    Instant stalled_until{};
    uint64_t allocated_bytes = kInodeBytes;
    uint64_t looks = 0;          // operations without a number; addresses the draws of reads
    uint64_t chosen_faults = 0;  // addresses flip_drawn_bit() and break_drawn_sector()
    std::map<std::string, uint64_t, std::less<>> locks;
    uint64_t lock_tokens = 0;
    std::function<void(const DiskOperation&)> hook;
    std::vector<AtOperation> at_operations;
    std::vector<Armed> armed;
};

class SimDisk::OpenFile final : public File {
 public:
    OpenFile(SimDisk& disk, InodePtr inode, bool may_write);
    ~OpenFile() override;
    Result<size_t> pread(Blocking& blocking, uint64_t offset, std::span<char> into) override;
    Result<void> pwrite(Blocking& blocking, uint64_t offset, ByteView bytes) override;
    Result<void> sync(Blocking& blocking) override;
    Result<void> truncate(Blocking& blocking, uint64_t size_bytes) override;
    Result<uint64_t> size(Blocking& blocking) override;

 private:
    bool is_dead() const { return life_ != disk_.life_ || disk_.frozen_; }
    Instant floor() const;
    void placed(Instant at, bool changed);
    void write(Instant at, uint64_t offset, ByteView bytes);
    /// Another place of that size in the file, or nullopt.
    std::optional<uint64_t> other_place(uint64_t offset, uint64_t length) const;
    Result<void> show_read_faults(uint64_t offset, uint64_t length);

    SimDisk& disk_;
    const uint64_t life_;
    const InodePtr inode_;
    const bool may_write_;
};

SimBlocking& active_body(SimBlocking& active, bool in_blocking, Blocking& given);

}  // namespace orrery::sim
