#include "tools/orrery/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tools/orrery/children.h"

namespace orrery::cli {

namespace {

Error file_error(int reason, std::string_view verb, const std::string& path) {
    Code code = Code::Io;
    if (reason == ENOENT || reason == ENOTDIR || reason == EACCES || reason == ELOOP || reason == ENAMETOOLONG) code = Code::NotFound;
    if (reason == EISDIR) code = Code::Invalid;
    if (reason == ENOSPC || reason == EDQUOT) code = Code::NoSpace;
    return {code, fmt::format("cannot {} '{}': {}", verb, path, std::strerror(reason))};
}

// What can not be written is an I/O error to our caller, whatever the reason.
Error write_error(int reason, std::string_view verb, const std::string& path) {
    Error error = file_error(reason, verb, path);
    if (error.code != Code::NoSpace) error.code = Code::Io;
    return error;
}

}  // namespace

Result<Bytes> read_file(const std::string& path, size_t max_bytes) {
    const int fd = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file_error(errno, "read", path);
    Bytes content;
    char buffer[1 << 16];
    while (true) {
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            const int reason = errno;
            close(fd);
            return file_error(reason, "read", path);
        }
        if (got == 0) break;
        content.append(buffer, static_cast<size_t>(got));
        if (content.size() > max_bytes) {
            close(fd);
            return Error(Code::Invalid, fmt::format("'{}' is longer than {} bytes", path, max_bytes));
        }
    }
    close(fd);
    return content;
}

Result<void> write_file(const std::string& path, ByteView content) {
    const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
    const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return write_error(errno, "write", path);
    errno = 0;
    const bool written = write_all(fd, content);
    int reason = written ? 0 : errno;
    if (close(fd) != 0 && reason == 0) reason = errno;
    if (reason == 0 && rename(temporary.c_str(), path.c_str()) == 0) return {};
    if (reason == 0) reason = errno;
    unlink(temporary.c_str());
    return write_error(reason, "write", path);
}

Result<void> append_to_file(const std::string& path, ByteView content) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return write_error(errno, "write", path);
    const bool written = write_all(fd, content);
    const int reason = errno;
    if (close(fd) != 0 || !written) return write_error(written ? errno : reason, "write", path);
    return {};
}

Result<void> make_directories(const std::string& path) {
    std::error_code failed;
    std::filesystem::create_directories(path, failed);
    if (failed) return write_error(failed.value(), "create directory", path);
    return {};
}

void remove_tree(const std::string& path) {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

bool is_directory(const std::string& path) {
    struct stat info{};
    return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool exists(const std::string& path) {
    struct stat info{};
    return stat(path.c_str(), &info) == 0;
}

Result<std::vector<std::string>> toml_files(const std::string& directory) {
    std::error_code failed;
    std::vector<std::string> files;
    for (std::filesystem::directory_iterator at(directory, failed), end; !failed && at != end; at.increment(failed))
        if (at->path().extension() == ".toml") files.push_back(at->path().string());
    if (failed) return file_error(failed.value(), "list", directory);
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace orrery::cli
