#include "runtime/real/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "runtime/base/check.h"
#include "runtime/real/descriptor.h"
#include "runtime/real/loop.h"
#include "runtime/real/port_holder.h"
#include "runtime/real/thread_executor.h"

namespace orrery::real {

namespace {

Error from_errno(const std::string& what, int number) {
    const std::string text = what + ": " + std::strerror(number);
    switch (number) {
        case ENOENT: return Error(Code::NotFound, text);
        case EEXIST: return Error(Code::Exists, text);
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        // Out of something that comes back when others let go: waited for like space, nothing is wrong with the file.
        case EMFILE:
        case ENFILE:
        case ENOMEM: return Error(Code::NoSpace, text);
        case EISDIR:
        case ENOTDIR:
        case ENOTEMPTY:
        case EINVAL:
        case ENAMETOOLONG:
        case EBADF:  // of an open descriptor: opened for reading, asked to write
        case EACCES:
        case EPERM:
        case ELOOP: return Error(Code::Invalid, text);
        default: return Error(Code::Io, text);
    }
}

/// The path as the *at() calls take it; "" is the data directory itself.
Result<std::string> relative(std::string_view path, bool empty_allowed = false) {
    const auto refuse = [path](const char* why) {
        return Error(Code::Invalid, "path '" + std::string(path) + "' " + why);
    };
    if (path.empty()) {
        if (empty_allowed) return std::string(".");
        return refuse("is empty");
    }
    if (path.find('\0') != std::string_view::npos) return refuse("holds a zero byte");
    size_t begin = 0;
    for (;;) {
        const size_t end = std::min(path.find('/', begin), path.size());
        const std::string_view part = path.substr(begin, end - begin);
        if (part.empty() || part == "." || part == "..") return refuse("is not relative to the data directory");
        if (end == path.size()) return std::string(path);
        begin = end + 1;
    }
}

/// A call that a signal may interrupt, repeated.
template <typename Call>
auto repeat_interrupted(Call call) {
    auto answer = call();
    while (answer < 0 && errno == EINTR) answer = call();
    return answer;
}

class PosixFile final : public File {
 public:
    PosixFile(Descriptor descriptor, std::string name, bool may_write)
        : descriptor_(std::move(descriptor)), name_(std::move(name)), may_write_(may_write) {}

    Result<size_t> pread(Blocking&, uint64_t offset, std::span<char> into) override {
        size_t got = 0;
        while (got < into.size()) {
            const ssize_t n = repeat_interrupted([&] {
                return ::pread(descriptor_.get(), into.data() + got, into.size() - got,
                               static_cast<off_t>(offset + got));
            });
            if (n < 0) return from_errno("reading '" + name_ + "' at " + std::to_string(offset + got), errno);
            if (n == 0) break;
            got += static_cast<size_t>(n);
        }
        return got;
    }

    Result<void> pwrite(Blocking&, uint64_t offset, ByteView bytes) override {
        TRY(writable());
        while (!bytes.empty()) {
            const ssize_t n = repeat_interrupted([&] { return write_some(offset, bytes); });
            if (n < 0) return doubt(from_errno("writing '" + name_ + "' at " + std::to_string(offset), errno));
            if (n == 0) return doubt(Error(Code::Io, "writing '" + name_ + "': the kernel took nothing"));
            bytes.remove_prefix(static_cast<size_t>(n));
            offset += static_cast<uint64_t>(n);
        }
        return {};
    }

    void bypass_cache(Blocking&) override {
        if (!may_write_) return;
        // A second descriptor of the same file. What can not be had (no /proc, a file system without it) is done without.
        const std::string self = "/proc/self/fd/" + std::to_string(descriptor_.get());
        direct_ = Descriptor(repeat_interrupted([&] { return ::open(self.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC); }));
    }

    Result<void> sync(Blocking&) override {
        TRY(writable());
        if (in_doubt_.load(std::memory_order_relaxed))
            return Error(Code::Io, "'" + name_ + "' is in doubt since an earlier failure and is not synced again");
        if (repeat_interrupted([&] { return ::fdatasync(descriptor_.get()); }) == 0) return {};
        // Io whatever the reason, a full disk too: what was to be made durable may be gone from memory by now.
        return doubt(Error(Code::Io, "syncing '" + name_ + "': " + std::strerror(errno)));
    }

    Result<void> truncate(Blocking&, uint64_t size_bytes) override {
        TRY(writable());
        if (repeat_interrupted([&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes)); }) == 0)
            return {};
        return doubt(from_errno("truncating '" + name_ + "' to " + std::to_string(size_bytes) + " bytes", errno));
    }

    Result<uint64_t> size(Blocking&) override {
        struct stat info {};
        if (::fstat(descriptor_.get(), &info) != 0) return from_errno("size of '" + name_ + "'", errno);
        return static_cast<uint64_t>(info.st_size);
    }

 private:
    /// As pwrite(2).
    ssize_t write_some(uint64_t offset, ByteView bytes) {
        constexpr size_t kBlockBytes = 4096, kBounceBytes = 256 << 10;
        const bool whole_blocks = offset % kBlockBytes == 0 && bytes.size() % kBlockBytes == 0;
        if (direct_.valid() && whole_blocks && !direct_refused_.load(std::memory_order_relaxed)) {
            // The kernel takes it from memory that lies at a block's boundary only.
            struct Free {
                void operator()(char* memory) const { std::free(memory); }
            };
            const size_t count = std::min(bytes.size(), kBounceBytes);
            std::unique_ptr<char, Free> bounce(static_cast<char*>(std::aligned_alloc(kBlockBytes, count)));
            CHECK(bounce != nullptr);
            std::memcpy(bounce.get(), bytes.data(), count);
            const ssize_t n = ::pwrite(direct_.get(), bounce.get(), count, static_cast<off_t>(offset));
            const int why = errno;
            bounce.reset();  // may change errno, which is the caller's to read
            errno = why;
            if (n >= 0 || (why != EINVAL && why != EOPNOTSUPP)) return n;
            direct_refused_.store(true, std::memory_order_relaxed);  // it was opened, and is not done all the same
        }
        return ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    }
    Result<void> writable() const {
        if (may_write_) return {};
        return Error(Code::Invalid, "'" + name_ + "' was opened for reading");
    }
    /// A full disk leaves pages as they were, so that such a file may still be synced; anything else does not.
    Error doubt(Error error) {
        if (error.code == Code::Io) in_doubt_.store(true, std::memory_order_relaxed);
        return error;
    }

    Descriptor descriptor_;
    std::string name_;
    bool may_write_;
    Descriptor direct_;  // bypass_cache()
    std::atomic<bool> direct_refused_{false};
    std::atomic<bool> in_doubt_{false};
};

class FlockLock final : public DirLock {
 public:
    explicit FlockLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
    Descriptor descriptor_;
};

/// "held by process 17 (orrery-kv)", from /proc/locks, or "held by another process".
std::string describe_lock_holder(int descriptor) {
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) return "held by another process";
    char place[64];
    std::snprintf(place, sizeof(place), "%02x:%02x:%llu", major(info.st_dev), minor(info.st_dev),
                  static_cast<unsigned long long>(info.st_ino));
    std::ifstream in("/proc/locks");
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream fields(line);
        std::string number, kind, mode, access, where;
        int64_t pid = 0;
        fields >> number >> kind >> mode >> access >> pid >> where;
        if (kind == "FLOCK" && where == place && pid > 0) return "held by " + describe_process(pid);
    }
    return "held by another process";
}

int open_flags(OpenMode mode) {
    switch (mode) {
        case OpenMode::Read: return O_RDONLY;
        case OpenMode::ReadWrite: return O_RDWR;
        case OpenMode::Create: return O_RDWR | O_CREAT;
        case OpenMode::CreateNew: return O_RDWR | O_CREAT | O_EXCL;
        case OpenMode::CreateTruncate: return O_RDWR | O_CREAT | O_TRUNC;
    }
    UNREACHABLE(static_cast<int>(mode));
}

ThreadBlocking& stateless_blocking() {
    static ThreadBlocking token;  // no state, so any thread may share it
    return token;
}

}  // namespace

Result<std::unique_ptr<PosixDisk>> PosixDisk::open_directory(const std::string& path) {
    const std::string what = "data directory '" + path + "'";
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) return from_errno(what, errno);
    const int root = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return from_errno(what, errno);
    Descriptor held(root);
    if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0) return from_errno(what, errno);
    return std::unique_ptr<PosixDisk>(new PosixDisk(path, held.release()));
}

PosixDisk::~PosixDisk() { ::close(root_); }

std::string PosixDisk::full(std::string_view path) const {
    return path.empty() ? directory_ : directory_ + "/" + std::string(path);
}

Result<std::unique_ptr<File>> PosixDisk::open(Blocking&, std::string_view path, OpenMode mode) {
    TRY(std::string name, relative(path));
    Descriptor descriptor(repeat_interrupted(
        [&] { return ::openat(root_, name.c_str(), open_flags(mode) | O_CLOEXEC | O_NOFOLLOW, 0640); }));
    if (!descriptor.valid()) return from_errno("opening '" + full(path) + "'", errno);
    struct stat info {};
    if (::fstat(descriptor.get(), &info) != 0) return from_errno("opening '" + full(path) + "'", errno);
    if (!S_ISREG(info.st_mode)) return Error(Code::Invalid, "'" + full(path) + "' is not a file");
    return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(descriptor), full(path), mode != OpenMode::Read));
}

Result<void> PosixDisk::rename(Blocking&, std::string_view from, std::string_view to) {
    TRY(std::string old_name, relative(from));
    TRY(std::string new_name, relative(to));
    if (::renameat(root_, old_name.c_str(), root_, new_name.c_str()) == 0) return {};
    return from_errno("renaming '" + full(from) + "' to '" + full(to) + "'", errno);
}

Result<void> PosixDisk::remove(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path));
    if (::unlinkat(root_, name.c_str(), 0) == 0) return {};
    return from_errno("removing '" + full(path) + "'", errno);
}

Result<void> PosixDisk::create_dir(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path));
    if (::mkdirat(root_, name.c_str(), 0750) == 0) return {};
    return from_errno("creating directory '" + full(path) + "'", errno);
}

Result<void> PosixDisk::remove_dir(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path));
    if (::unlinkat(root_, name.c_str(), AT_REMOVEDIR) == 0) return {};
    // POSIX allows either number for a directory that is not empty.
    return from_errno("removing directory '" + full(path) + "'", errno == EEXIST ? ENOTEMPTY : errno);
}

Result<void> PosixDisk::sync_dir(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path, true));
    Descriptor dir(::openat(root_, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid()) return from_errno("opening directory '" + full(path) + "'", errno);
    if (repeat_interrupted([&] { return ::fsync(dir.get()); }) == 0) return {};
    return Error(Code::Io, "syncing directory '" + full(path) + "': " + std::strerror(errno));
}

Result<std::vector<Disk::Entry>> PosixDisk::list(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path, true));
    const std::string what = "listing '" + full(path) + "'";
    Descriptor opened(::openat(root_, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.valid()) return from_errno(what, errno);
    DIR* dir = ::fdopendir(opened.get());
    if (dir == nullptr) return from_errno(what, errno);
    (void)opened.release();  // closedir() closes it
    std::vector<Entry> out;
    int failure = 0;
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(dir);
        if (entry == nullptr) {
            failure = errno;
            break;
        }
        const std::string_view entry_name = entry->d_name;
        if (entry_name == "." || entry_name == "..") continue;
        struct stat info {};
        if (::fstatat(::dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) continue;  // removed meanwhile
            failure = errno;
            break;
        }
        const bool is_dir = S_ISDIR(info.st_mode);
        out.push_back({std::string(entry_name), is_dir, is_dir ? 0 : static_cast<uint64_t>(info.st_size)});
    }
    ::closedir(dir);
    if (failure != 0) return from_errno(what, failure);
    std::sort(out.begin(), out.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
    return out;
}

Result<Disk::Entry> PosixDisk::stat(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path, true));
    struct stat info {};
    if (::fstatat(root_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        // A file where a directory was expected: the entry is not there either.
        if (errno == ENOTDIR) errno = ENOENT;
        return from_errno("'" + full(path) + "'", errno);
    }
    const size_t slash = path.rfind('/');
    const bool is_dir = S_ISDIR(info.st_mode);
    return Entry{std::string(slash == std::string_view::npos ? path : path.substr(slash + 1)), is_dir,
                 is_dir ? 0 : static_cast<uint64_t>(info.st_size)};
}

Result<Disk::Space> PosixDisk::space(Blocking&) {
    struct statvfs info {};
    if (repeat_interrupted([&] { return ::fstatvfs(root_, &info); }) != 0)
        return from_errno("space of '" + directory_ + "'", errno);
    return Space{.total_bytes = uint64_t{info.f_blocks} * info.f_frsize,
                 .free_bytes = uint64_t{info.f_bavail} * info.f_frsize};
}

Result<std::unique_ptr<DirLock>> PosixDisk::lock(Blocking&, std::string_view path) {
    TRY(std::string name, relative(path, true));
    Descriptor dir(::openat(root_, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid()) return from_errno("locking '" + full(path) + "'", errno);
    if (repeat_interrupted([&] { return ::flock(dir.get(), LOCK_EX | LOCK_NB); }) == 0)
        return std::unique_ptr<DirLock>(std::make_unique<FlockLock>(std::move(dir)));
    if (errno == EWOULDBLOCK)
        return Error(Code::Exists, "directory '" + full(path) + "' is " + describe_lock_holder(dir.get()));
    return from_errno("locking '" + full(path) + "'", errno);
}

Blocking& PosixDisk::adopt_blocking() {
    CHECK(!Loop::this_thread_runs_a_loop(), "disk work on the loop thread");
    return stateless_blocking();
}

}  // namespace orrery::real
