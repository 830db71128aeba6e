#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "tests/runtime/real/harness.h"

namespace {
std::atomic<int> fdatasync_errno{0};  // of the next call; 0: the real one
}

/// Stands before the C library's, for this program: the kernel's failures cannot be ordered.
extern "C" int fdatasync(int descriptor) {
    if (const int failure = fdatasync_errno.exchange(0); failure != 0) {
        errno = failure;
        return -1;
    }
    return fsync(descriptor);
}

namespace orrery::real::test {
namespace {

TEST_CASE("disk: a failed sync is Io and leaves the file in doubt for good, whatever the reason") {
    TemporaryDirectory directory;
    auto disk = PosixDisk::open_directory(directory.path());
    CHECK(disk.ok());
    ThreadBlocking blocking;
    for (int failure : {EIO, ENOSPC, EDQUOT}) {
        auto file = (*disk)->open(blocking, "f", OpenMode::Create);
        CHECK((*file)->pwrite(blocking, 0, "bytes").ok());
        CHECK((*file)->sync(blocking).ok());
        fdatasync_errno = failure;
        const auto failed = (*file)->sync(blocking);
        CHECK(failed.failed_with(Code::Io));
        CHECK(failed.error().context.find(directory.path() + "/f") != std::string::npos);
        // The kernel would say "fine" now.
        CHECK((*file)->sync(blocking).failed_with(Code::Io));
        CHECK((*file)->sync(blocking).failed_with(Code::Io));
    }
    fdatasync_errno = EINTR;
    auto file = (*disk)->open(blocking, "f", OpenMode::Create);
    CHECK((*file)->sync(blocking).ok());
}

TEST_CASE("disk: a full file system is NoSpace, and the file can be used again when there is space") {
    TemporaryDirectory directory;
    if (mount("none", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
        std::printf("SKIPPED disk.full_tmpfs mount: %s\n", std::strerror(errno));
        return;
    }
    {
        auto disk = PosixDisk::open_directory(directory.path());
        ThreadBlocking blocking;
        auto file = (*disk)->open(blocking, "big", OpenMode::Create);
        CHECK((*file)->pwrite(blocking, 0, Bytes(2 << 20, 'x')).failed_with(Code::NoSpace));
        CHECK((*disk)->space(blocking)->total_bytes == 1 << 20);
        CHECK((*disk)->space(blocking)->free_bytes == 0);
        auto other = (*disk)->open(blocking, "other", OpenMode::Create);
        if (other.ok()) CHECK((*other)->pwrite(blocking, 0, "x").failed_with(Code::NoSpace));
        CHECK((*file)->truncate(blocking, 100).ok());
        CHECK((*file)->pwrite(blocking, 100, "more").ok());
        CHECK((*file)->sync(blocking).ok());
    }
    CHECK(umount(directory.path().c_str()) == 0);
}

TEST_CASE("disk: a second process of the same data directory is refused by name") {
    TemporaryDirectory directory;
    int ready[2], finish[2];
    CHECK(pipe(ready) == 0);
    CHECK(pipe(finish) == 0);
    const pid_t child = fork();
    if (child == 0) {
        auto disk = PosixDisk::open_directory(directory.path());
        ThreadBlocking blocking;
        auto lock = (*disk)->lock(blocking, "");
        char byte = lock.ok() ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        (void)!read(finish[0], &byte, 1);
        _exit(0);
    }
    char byte = 0;
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(byte == 'y');
    const auto second = RealEnv::open({.data_directory = directory.path()});
    CHECK(second.failed_with(Code::Exists));
    const std::string& said = second.error().context;
    INFO(said);
    CHECK(said.find(directory.path()) != std::string::npos);
    if (std::ifstream("/proc/locks").peek() == EOF)
        std::printf("SKIPPED disk.lock_holder /proc/locks is not readable\n");
    else
        CHECK(said.find("held by process " + std::to_string(child)) != std::string::npos);
    CHECK(write(finish[1], &byte, 1) == 1);
    CHECK(waitpid(child, nullptr, 0) == child);
    CHECK(RealEnv::open({.data_directory = directory.path()}).ok());
    for (int end : {ready[0], ready[1], finish[0], finish[1]}) ::close(end);
}

TEST_CASE("disk: a data directory is created, and one that cannot be is refused with its path") {
    TemporaryDirectory directory;
    CHECK(PosixDisk::open_directory(directory.path() + "/new").ok());
    CHECK(std::filesystem::is_directory(directory.path() + "/new"));
    CHECK(PosixDisk::open_directory(directory.path() + "/no/new").failed_with(Code::NotFound));
    std::ofstream(directory.path() + "/file") << "x";
    const auto refused = PosixDisk::open_directory(directory.path() + "/file");
    CHECK(refused.failed_with(Code::Invalid));
    CHECK(refused.error().context.find(directory.path() + "/file") != std::string::npos);
}

}  // namespace
}  // namespace orrery::real::test
