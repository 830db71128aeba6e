#include "node/log/segment_files.h"

#include <algorithm>
#include <cstdio>

#include "runtime/base/crc32c.h"

namespace orrery::log {

namespace {

constexpr uint64_t kIdentityMagic = 0x3144494c5952524full;  // "ORRYLID1"
constexpr uint32_t kIdentityVersion = 1;
constexpr size_t kIdentityCopyBytes = 512;  // one sector each: a torn or rotten one leaves the other
constexpr size_t kIdentityUsedBytes = 32;
constexpr std::string_view kPrefix = "segment-";

Bytes identity_copy(const Identity& identity) {
    Bytes out;
    put_le<uint64_t>(out, kIdentityMagic);
    put_le<uint32_t>(out, kIdentityVersion);
    put_le<uint64_t>(out, identity.log_id);
    put_le<uint64_t>(out, identity.segment_bytes);
    put_le<uint32_t>(out, crc32c(out));
    out.resize(kIdentityCopyBytes, '\0');
    return out;
}

/// Writes `fill` over [0, total) of a new file, makes it durable and gives it its name.
Result<void> publish(Blocking& blocking, Disk& disk, const std::string& directory, const std::string& path, ByteView fill,
                     uint64_t total_bytes) {
    std::string temporary = path + ".new";
    TRY(auto file, disk.open(blocking, temporary, OpenMode::CreateTruncate));
    file->bypass_cache(blocking);
    for (uint64_t at = 0; at < total_bytes; at += fill.size())
        TRY(file->pwrite(blocking, at, fill.substr(0, std::min<uint64_t>(fill.size(), total_bytes - at))));
    TRY(file->sync(blocking));
    file.reset();
    TRY(disk.rename(blocking, temporary, path));
    return disk.sync_dir(blocking, directory);
}

}  // namespace

std::string segment_path(const std::string& directory, uint64_t number) {
    char name[32];
    std::snprintf(name, sizeof name, "segment-%010llu", static_cast<unsigned long long>(number));
    return directory + "/" + name;
}

std::optional<uint64_t> segment_number(std::string_view name) {
    if (name.size() < kPrefix.size() + 10 || name.size() > kPrefix.size() + 18 || !name.starts_with(kPrefix))
        return std::nullopt;
    uint64_t number = 0;
    for (char c : name.substr(kPrefix.size())) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    return number;
}

Result<Segment> create_segment(Blocking& blocking, Disk& disk, const std::string& directory, uint64_t number,
                               uint64_t segment_bytes) {
    Segment segment;
    segment.number = number;
    segment.path = segment_path(directory, number);
    Bytes zeros(std::min<uint64_t>(segment_bytes, 1 << 20), '\0');
    if (Result<void> made = publish(blocking, disk, directory, segment.path, zeros, segment_bytes); !made.ok()) {
        // The space goes back at once, or a full disk stays full of a file that nobody uses. Best effort: the next
        // start removes leftovers too.
        (void)disk.remove(blocking, segment.path + ".new");
        return std::move(made).error();
    }
    TRY(segment.file, disk.open(blocking, segment.path, OpenMode::ReadWrite));
    segment.file->bypass_cache(blocking);
    return segment;
}

Result<Identity> read_identity(Blocking& blocking, Disk& disk, const std::string& directory) {
    TRY(auto file, disk.open(blocking, directory + "/identity", OpenMode::Read));
    bool newer = false;
    for (size_t copy = 0; copy < 2; ++copy) {
        char raw[kIdentityUsedBytes];
        // A sector that can not be read is as bad as one that was changed: the other copy decides.
        Result<size_t> got = file->pread(blocking, copy * kIdentityCopyBytes, raw);
        if (!got.ok() || *got != sizeof raw) continue;
        if (get_le<uint64_t>(raw) != kIdentityMagic || get_le<uint32_t>(raw + 28) != crc32c(ByteView(raw, 28))) continue;
        if (get_le<uint32_t>(raw + 8) != kIdentityVersion) {
            newer = true;
            continue;
        }
        return Identity{get_le<uint64_t>(raw + 12), get_le<uint64_t>(raw + 20)};
    }
    if (newer) return Error(Code::Unsupported, directory + "/identity: the log was written by a newer version");
    return Error(Code::Corrupt, directory + "/identity at 0: both copies of the log's identity are damaged");
}

Result<void> write_identity(Blocking& blocking, Disk& disk, const std::string& directory, const Identity& identity) {
    Bytes both = identity_copy(identity);
    both += identity_copy(identity);
    return publish(blocking, disk, directory, directory + "/identity", both, both.size());
}

}  // namespace orrery::log
