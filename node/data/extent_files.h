// The files of a replica's extents, one each, and who may use one just now.
//
// A file is written in whole images of 4 KiB only, padded with zeros: no write touches a sector that holds bytes of another
// append. What a file holds behind its extent's end, or of an entry that was never applied, means nothing.
//
// Not here: what the bytes should be (records in the Store), and which changes are allowed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node/data/extent_format.h"
#include "runtime/env/env.h"

namespace orrery::data {

class ExtentFiles {
 public:
    /// `disk_dir`: below the node's data directory; created when missing, its parent must be there.
    ExtentFiles(Env& env, std::string disk_dir) : env_(env), disk_dir_(std::move(disk_dir)) {}

    /// `<disk_dir>/<group>-<replica>`, created when missing; then which extents have a file, and its size in bytes. All names in it
    /// are durable afterwards, whatever an earlier life left half done. Yields. Errors: NoSpace, Io, Cancelled.
    Result<std::map<ExtentId, uint64_t>> open(Fiber& fiber, GroupId group, ReplicaId replica);
    std::string path(ExtentId extent) const;

    // ---- who uses a file

    enum class Use : uint8_t {
        Read,    // beside other readers, and beside one Append
        Append,  // writes where no reader looks: one at a time
        Change,  // writes in place: alone
    };
    class [[nodiscard]] Hold {
     public:
        Hold(Hold&& other) noexcept : files_(std::exchange(other.files_, nullptr)), extent_(other.extent_), use_(other.use_) {}
        Hold& operator=(Hold&&) = delete;
        ~Hold() {
            if (files_ != nullptr) files_->release(extent_, use_);
        }

     private:
        friend class ExtentFiles;
        Hold(ExtentFiles& files, ExtentId extent, Use use) : files_(&files), extent_(extent), use_(use) {}
        ExtentFiles* files_;
        ExtentId extent_;
        Use use_;
    };
    /// Who wants several holds them in order of their ids. A Change that waits keeps new readers out. Yields. Errors: Timeout, Cancelled.
    Result<Hold> hold(Fiber& fiber, ExtentId extent, Use use, Instant deadline = Instant::never());

    // ---- what is done to it. Requires: a Hold that allows it.

    struct Piece {
        uint64_t offset = 0;  // bytes, a multiple of kImageBytes
        ByteView bytes;       // whole images; lives until the call returns
    };
    enum class Durable : uint8_t { Now, Later };
    /// Writes all pieces, then syncs: the file, and the directory where the name is new. On an error any part may be written.
    /// Yields. Errors: NoSpace, Io (the file is in doubt for good), Cancelled.
    Result<void> write(Fiber& fiber, ExtentId extent, const std::vector<Piece>& pieces, Durable durable = Durable::Now);
    /// What the file has of [offset, offset + length): shorter where it ends before. Yields. Errors: NotFound, Io, Cancelled.
    Result<Bytes> read(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length) const;
    /// Removes the files, durably; one that is not there is fine. Who has one open reads on. Yields. Errors: Io, Cancelled.
    Result<void> remove(Fiber& fiber, const std::vector<ExtentId>& extents);

 private:
    struct Users {
        size_t readers = 0;
        size_t changes_wanted = 0;
        bool writer = false;
        bool change = false;
        bool idle() const { return readers == 0 && changes_wanted == 0 && !writer; }
    };
    static bool take(Users& users, Use use);
    void release(ExtentId extent, Use use);
    void forget_idle(ExtentId extent);

    Env& env_;
    std::string disk_dir_;
    std::string directory_;
    std::map<ExtentId, Users> users_;  // of those in use or waited for
    Notify released_;
};

}  // namespace orrery::data
