// Disk: the files of one node. All paths are relative to the node's data directory, with '/' between parts.
//
// Durability is the whole point of this interface. A write is volatile until File::sync() of that file has completed; a
// create, rename or remove is volatile until sync_dir() of the directory (both, for a rename across directories). After
// a power loss any subset of what is volatile may be gone or, for writes, torn at 512-byte sectors. A failed write or
// sync leaves the file in doubt for good: its owner seals itself and never syncs it again.
//
// Every call takes Blocking&, the permission to block a thread that is not the loop's: see env.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"

namespace orrery {

/// Permission to do disk work here and now. Exists only inside Env::blocking() and Env::background() bodies.
class Blocking {
 public:
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;

 protected:
    Blocking() = default;
    ~Blocking() = default;
};

enum class OpenMode {
    Read,            // must exist; writing is refused
    ReadWrite,       // must exist
    Create,          // opened, or created empty
    CreateNew,       // must not exist
    CreateTruncate,  // created, or emptied
};

/// Calls on one File from several threads are allowed where their ranges do not overlap.
class File {
 public:
    virtual ~File() = default;
    /// Reads into.size() bytes at `offset`; fewer only at the end of the file. Errors: Io (latent sector error).
    virtual Result<size_t> pread(Blocking& blocking, uint64_t offset, std::span<char> into) = 0;
    /// Writes all or fails; after an error any part may have been written. A hole before `offset` reads as zeros.
    /// Errors: NoSpace, Io.
    virtual Result<void> pwrite(Blocking& blocking, uint64_t offset, ByteView bytes) = 0;
    /// Makes data and size durable (fdatasync). Errors: Io: the file is in doubt for good.
    virtual Result<void> sync(Blocking& blocking) = 0;
    /// Cuts or extends with zeros. Errors: NoSpace, Io.
    virtual Result<void> truncate(Blocking& blocking, uint64_t size_bytes) = 0;
    virtual Result<uint64_t> size(Blocking& blocking) = 0;
    /// For a file that is written over and hardly ever read: from here on what is written in whole blocks of 4 KiB does not take
    /// memory of the system's cache of files, where it can do without. Changes nothing else, and durability least of all. Before the
    /// file is shared with other threads.
    virtual void bypass_cache(Blocking& /*blocking*/) {}
};

/// An exclusive hold on a directory, against a second process of the same data directory. Released by destruction.
class DirLock {
 public:
    virtual ~DirLock() = default;
};

class Disk {
 public:
    virtual ~Disk() = default;
    /// Errors: NotFound, Exists, NoSpace, Io, Invalid (mode against the kind of entry).
    virtual Result<std::unique_ptr<File>> open(Blocking& blocking, std::string_view path, OpenMode mode) = 0;
    /// Replaces `to` if it exists, atomically. Errors: NotFound, NoSpace, Io.
    virtual Result<void> rename(Blocking& blocking, std::string_view from, std::string_view to) = 0;
    /// A file that is still open keeps its contents until the last File of it dies. Errors: NotFound, Io.
    virtual Result<void> remove(Blocking& blocking, std::string_view path) = 0;
    /// One level. Errors: Exists, NotFound (parent), NoSpace, Io.
    virtual Result<void> create_dir(Blocking& blocking, std::string_view path) = 0;
    /// Must be empty. Errors: NotFound, Invalid, Io.
    virtual Result<void> remove_dir(Blocking& blocking, std::string_view path) = 0;
    /// Makes creations, renames and removals in that directory durable. "" is the data directory. Errors: NotFound, Io.
    virtual Result<void> sync_dir(Blocking& blocking, std::string_view path) = 0;
    struct Entry {
        std::string name;
        bool is_dir = false;
        uint64_t size_bytes = 0;
    };
    /// Sorted by name. Errors: NotFound, Io.
    virtual Result<std::vector<Entry>> list(Blocking& blocking, std::string_view path) = 0;
    /// Errors: NotFound (and only NotFound, when the entry is not there), Io.
    virtual Result<Entry> stat(Blocking& blocking, std::string_view path) = 0;
    struct Space {
        uint64_t total_bytes = 0;
        uint64_t free_bytes = 0;
    };
    virtual Result<Space> space(Blocking& blocking) = 0;
    /// Errors: Exists (another process holds it; context names it where known), Io.
    virtual Result<std::unique_ptr<DirLock>> lock(Blocking& blocking, std::string_view path) = 0;
    /// The Blocking in whose body this thread is. Only for adapters of foreign libraries, whose callbacks cannot pass it
    /// along (runtime/store). CHECKs when there is none: disk work on the loop thread is a bug.
    virtual Blocking& adopt_blocking() = 0;
};

}  // namespace orrery
