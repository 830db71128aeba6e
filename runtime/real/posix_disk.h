// PosixDisk: the files below one data directory. A sync is fdatasync(2), of a directory fsync(2).
//
// A failed sync is never repeated: the kernel has dropped the pages, so a second fdatasync would say "fine" of bytes
// that are gone. The File remembers and answers Io for ever. Errors keep file and errno text in their context.
#pragma once

#include <memory>
#include <string>

#include "runtime/env/disk.h"

namespace orrery::real {

class PosixDisk final : public Disk {
 public:
    /// Opens the data directory; creates it (one level) when it is not there. Blocks; called before the loop runs.
    /// Errors: NotFound (parent), Invalid (not a directory, no permission), NoSpace, Io.
    static Result<std::unique_ptr<PosixDisk>> open_directory(const std::string& path);
    ~PosixDisk() override;

    Result<std::unique_ptr<File>> open(Blocking& blocking, std::string_view path, OpenMode mode) override;
    Result<void> rename(Blocking& blocking, std::string_view from, std::string_view to) override;
    Result<void> remove(Blocking& blocking, std::string_view path) override;
    Result<void> create_dir(Blocking& blocking, std::string_view path) override;
    Result<void> remove_dir(Blocking& blocking, std::string_view path) override;
    Result<void> sync_dir(Blocking& blocking, std::string_view path) override;
    Result<std::vector<Entry>> list(Blocking& blocking, std::string_view path) override;
    Result<Entry> stat(Blocking& blocking, std::string_view path) override;
    Result<Space> space(Blocking& blocking) override;
    /// flock(2) on the directory itself: it leaves no file behind and ends with the process, however that ends.
    Result<std::unique_ptr<DirLock>> lock(Blocking& blocking, std::string_view path) override;
    Blocking& adopt_blocking() override;

    const std::string& directory() const { return directory_; }

 private:
    PosixDisk(std::string directory, int root) : directory_(std::move(directory)), root_(root) {}
    std::string full(std::string_view path) const;

    std::string directory_;
    int root_;
};

}  // namespace orrery::real
