// MemoryDisk: a small Disk in memory, for the start-up check of the deterministic link and for the Store's own tests.
//
// It has what those two need: a digest of every operation, a hook before each one (faults, crash points), and a power
// loss that keeps what is synced and a random part of the rest. It has no time, no cache and no latent damage; the disk
// that scenarios run on is sim/disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/function.h"
#include "runtime/base/random.h"
#include "runtime/env/disk.h"

namespace orrery::sim {

class MemoryDisk final : public Disk {
 public:
    MemoryDisk();
    ~MemoryDisk() override;

    enum class Op : uint8_t { Open, Read, Write, Sync, Truncate, Size, Rename, Remove, CreateDir, RemoveDir, SyncDir, List, Stat, Space, Lock };
    static bool changes(Op op);
    /// Asked before each operation. An error is what the operation then answers, without effect.
    using Hook = UniqueFunction<Result<void>(Op op, std::string_view path, uint64_t number)>;
    void set_hook(Hook hook) { hook_ = std::move(hook); }

    /// What survives a power loss now: a new disk. Synced bytes and entries are there; of the rest each directory keeps a
    /// prefix (ordered) or any subset of its changes, each file any subset of its 512-byte sectors.
    enum class DirectoryOrder : uint8_t { Prefix, AnySubset };
    std::unique_ptr<MemoryDisk> power_loss(RandomStream& random, DirectoryOrder order) const;

    uint64_t operations() const { return operations_; }
    /// Of every operation with its arguments and bytes, in order.
    uint64_t digest() const { return digest_; }
    /// Of the names and bytes that are visible now.
    uint64_t content_digest() const;
    uint64_t locks_held() const { return *locks_; }

    /// In the body of a blocking or background call; nests.
    class Section : public Blocking {
     public:
        explicit Section(MemoryDisk& disk) : disk_(disk), outer_(disk.section_) { disk_.section_ = this; }
        ~Section() { disk_.section_ = outer_; }

     private:
        MemoryDisk& disk_;
        Section* outer_;
    };

    Result<std::unique_ptr<File>> open(Blocking&, std::string_view path, OpenMode mode) override;
    Result<void> rename(Blocking&, std::string_view from, std::string_view to) override;
    Result<void> remove(Blocking&, std::string_view path) override;
    Result<void> create_dir(Blocking&, std::string_view path) override;
    Result<void> remove_dir(Blocking&, std::string_view path) override;
    Result<void> sync_dir(Blocking&, std::string_view path) override;
    Result<std::vector<Entry>> list(Blocking&, std::string_view path) override;
    Result<Entry> stat(Blocking&, std::string_view path) override;
    Result<Space> space(Blocking&) override;
    Result<std::unique_ptr<DirLock>> lock(Blocking&, std::string_view path) override;
    Blocking& adopt_blocking() override;

 private:
    struct Change {  // of a file, not yet synced
        bool truncates = false;
        uint64_t offset = 0;  // or the new size
        std::string bytes;
    };
    struct Inode {
        bool is_dir = false;
        std::string bytes;
        std::string synced;
        std::vector<Change> unsynced;
    };
    using Names = std::map<std::string, std::shared_ptr<Inode>, std::less<>>;
    struct DirChange {  // of a directory, not yet synced
        std::string directory;
        std::string removed;  // a path, or empty
        std::string added;    // a path, or empty
        std::shared_ptr<Inode> inode;
    };
    class OpenFile;

    Result<void> begin(Op op, std::string_view path, uint64_t a = 0, std::string_view bytes = {});
    void change_names(DirChange change);
    static void apply(Names& names, const DirChange& change);
    static void apply(std::string& bytes, const Change& change);
    static std::string parent(std::string_view path);

    Names names_;   // visible now
    Names synced_;  // after a power loss
    std::vector<DirChange> unsynced_;
    Hook hook_;
    uint64_t operations_ = 0;
    uint64_t digest_ = 0;
    std::shared_ptr<uint64_t> locks_;  // shared with the locks, which may outlive the disk's users
    Section* section_ = nullptr;
};

}  // namespace orrery::sim
