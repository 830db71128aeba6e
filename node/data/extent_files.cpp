#include "node/data/extent_files.h"

#include <charconv>

namespace orrery::data {

namespace {

constexpr size_t kNameDigits = 16;

std::string file_name_of(ExtentId extent) {
    std::string digits(kNameDigits, '0');
    for (size_t i = 0; i < kNameDigits; ++i) digits[i] = "0123456789abcdef"[extent.value >> (4 * (kNameDigits - 1 - i)) & 15];
    return digits;
}

/// nullopt: no name that we give.
std::optional<ExtentId> extent_of_name(const std::string& name) {
    uint64_t value = 0;
    const char* const end = name.data() + name.size();
    if (name.size() != kNameDigits || std::from_chars(name.data(), end, value, 16).ptr != end || file_name_of(ExtentId(value)) != name) return std::nullopt;
    return ExtentId(value);
}

Result<void> make_dir(Blocking& blocking, Disk& disk, const std::string& path) {
    if (Result<void> made = disk.create_dir(blocking, path); !made.ok() && made.code() != Code::Exists) return made;
    const size_t slash = path.rfind('/');
    return disk.sync_dir(blocking, slash == std::string::npos ? "" : path.substr(0, slash));
}

}  // namespace

std::string ExtentFiles::path(ExtentId extent) const { return directory_ + "/" + file_name_of(extent); }

Result<std::map<ExtentId, uint64_t>> ExtentFiles::open(Fiber& fiber, GroupId group, ReplicaId replica) {
    const std::string directory = disk_dir_ + "/" + std::to_string(group.value) + "-" + std::to_string(replica.value);
    TRY(std::vector<Disk::Entry> entries, env_.blocking(fiber, [&](Blocking& blocking) -> Result<std::vector<Disk::Entry>> {
        TRY(make_dir(blocking, env_.disk, disk_dir_));
        TRY(make_dir(blocking, env_.disk, directory));
        // A process that was killed may have left a name that is here and not durable; who finds the file would not sync it again.
        TRY(env_.disk.sync_dir(blocking, directory));
        return env_.disk.list(blocking, directory);
    }));
    directory_ = directory;
    std::map<ExtentId, uint64_t> out;
    for (const Disk::Entry& entry : entries)
        if (const std::optional<ExtentId> extent = extent_of_name(entry.name); extent && !entry.is_dir) out.emplace(*extent, entry.size_bytes);
    return out;
}

// ---- who uses a file

bool ExtentFiles::take(Users& users, Use use) {
    switch (use) {
        case Use::Read:
            if (users.change || users.changes_wanted > 0) return false;
            ++users.readers;
            return true;
        case Use::Append:
            if (users.writer) return false;
            return users.writer = true;
        case Use::Change:
            if (users.writer || users.readers > 0) return false;
            return users.writer = users.change = true;
    }
    return false;
}

Result<ExtentFiles::Hold> ExtentFiles::hold(Fiber& fiber, ExtentId extent, Use use, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (use == Use::Change) ++users_[extent].changes_wanted;
    Result<void> waited;
    bool taken = take(users_[extent], use);
    while (!taken && waited.ok()) {
        waited = released_.wait(fiber, deadline);
        if (waited.ok()) taken = take(users_[extent], use);
    }
    if (use == Use::Change) --users_[extent].changes_wanted;
    if (taken) return Hold(*this, extent, use);
    forget_idle(extent);
    released_.notify_all();  // readers may have waited for us
    return waited.error();
}

void ExtentFiles::release(ExtentId extent, Use use) {
    Users& users = users_[extent];
    if (use == Use::Read) {
        CHECK(users.readers > 0, extent);
        --users.readers;
    } else {
        CHECK(users.writer, extent);
        users.writer = users.change = false;
    }
    forget_idle(extent);
    released_.notify_all();
}

void ExtentFiles::forget_idle(ExtentId extent) {
    if (auto found = users_.find(extent); found != users_.end() && found->second.idle()) users_.erase(found);
}

// ---- what is done to it

Result<void> ExtentFiles::write(Fiber& fiber, ExtentId extent, const std::vector<Piece>& pieces, Durable durable) {
    const std::string path = this->path(extent);
    return env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        Result<std::unique_ptr<File>> file = env_.disk.open(blocking, path, OpenMode::ReadWrite);
        const bool created = file.failed_with(Code::NotFound);
        if (created) file = env_.disk.open(blocking, path, OpenMode::CreateNew);
        if (!file.ok()) return file.error().within(path);
        for (const Piece& piece : pieces) {
            CHECK(piece.offset % wire::kImageBytes == 0 && piece.bytes.size() % wire::kImageBytes == 0, piece.offset, piece.bytes.size());
            if (Result<void> written = (*file)->pwrite(blocking, piece.offset, piece.bytes); !written.ok()) return written.error().within(path);
        }
        // The name before the bytes: whoever finds it after a failure in between may rely on it.
        if (created) TRY(env_.disk.sync_dir(blocking, directory_));
        if (durable == Durable::Later) return {};
        if (Result<void> synced = (*file)->sync(blocking); !synced.ok()) return synced.error().within(path);
        return {};
    });
}

Result<Bytes> ExtentFiles::read(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length) const {
    const std::string path = this->path(extent);
    return env_.blocking(fiber, [&](Blocking& blocking) -> Result<Bytes> {
        Result<std::unique_ptr<File>> file = env_.disk.open(blocking, path, OpenMode::Read);
        if (!file.ok()) return file.error().within(path);
        Bytes out(length, '\0');
        Result<size_t> got = (*file)->pread(blocking, offset, out);
        if (!got.ok()) return got.error().within(path);
        out.resize(*got);
        return out;
    });
}

Result<void> ExtentFiles::remove(Fiber& fiber, const std::vector<ExtentId>& extents) {
    return env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        for (const ExtentId extent : extents) {
            Result<void> removed = env_.disk.remove(blocking, path(extent));
            if (!removed.ok() && removed.code() != Code::NotFound) return removed;
        }
        return env_.disk.sync_dir(blocking, directory_);
    });
}

}  // namespace orrery::data
