#include "runtime/store/manifest_tail.h"

#include <algorithm>
#include <optional>

#include "runtime/base/crc32c.h"

namespace orrery::store {

namespace {

// RocksDB's log format: blocks of 32 KiB, records of crc32c (masked), length, type and payload; a record that does not fit
// its block is cut into first, middle and last pieces (docs: "Write Ahead Log File Format").
constexpr size_t kBlockBytes = 32 * 1024;
constexpr size_t kHeaderBytes = 7;
constexpr uint64_t kMaxManifestBytes = 64 << 20;
enum Type : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t unmask(uint32_t masked) {
    const uint32_t rotated = masked - 0xa282ead8u;
    return (rotated >> 17) | (rotated << 15);
}

struct Piece {
    Type type;
    size_t end;
};

/// The whole piece that begins at `at`, if one does.
std::optional<Piece> piece_at(ByteView bytes, size_t at) {
    const size_t room = std::min(bytes.size(), (at / kBlockBytes + 1) * kBlockBytes) - at;
    if (room < kHeaderBytes) return std::nullopt;
    const auto type = static_cast<uint8_t>(bytes[at + 6]);
    const size_t length = get_le<uint16_t>(bytes.data() + at + 4);
    if (type < kFull || type > kLast || kHeaderBytes + length > room) return std::nullopt;
    if (crc32c(bytes.substr(at + 6, 1 + length)) != unmask(get_le<uint32_t>(bytes.data() + at))) return std::nullopt;
    return Piece{static_cast<Type>(type), at + kHeaderBytes + length};
}

/// Where the last whole record ends, if everything behind it is torn; nullopt when nothing is to be cut.
std::optional<size_t> torn_from(ByteView bytes) {
    size_t whole = 0;
    size_t at = 0;
    while (at < bytes.size()) {
        if (kBlockBytes - at % kBlockBytes < kHeaderBytes) {  // a block's last bytes hold no header
            at = (at / kBlockBytes + 1) * kBlockBytes;
            continue;
        }
        const std::optional<Piece> piece = piece_at(bytes, at);
        if (!piece) break;
        at = piece->end;
        if (piece->type == kFull || piece->type == kLast) whole = at;
    }
    if (whole >= bytes.size() || whole == 0) return std::nullopt;
    // A record that begins behind the bad place was written after that was synced: then this is damage. Later pieces of the record
    // that is torn may well be whole.
    for (size_t behind = at + 1; behind + kHeaderBytes <= bytes.size(); ++behind)
        if (const std::optional<Piece> piece = piece_at(bytes, behind); piece && (piece->type == kFull || piece->type == kFirst)) return std::nullopt;
    return whole;
}

Result<Bytes> read_all(Blocking& blocking, Disk& disk, const std::string& path) {
    TRY(std::unique_ptr<File> file, disk.open(blocking, path, OpenMode::Read));
    TRY(uint64_t size, file->size(blocking));
    if (size > kMaxManifestBytes) return Error(Code::Unsupported, path + " is larger than looked at");
    Bytes bytes(size, '\0');
    if (size == 0) return bytes;
    TRY(size_t read, file->pread(blocking, 0, bytes));
    bytes.resize(read);
    return bytes;
}

}  // namespace

Result<uint64_t> cut_torn_manifest_tail(Blocking& blocking, Disk& disk, const std::string& directory) {
    Result<Bytes> current = read_all(blocking, disk, directory + "/CURRENT");
    if (!current.ok()) return uint64_t{0};  // a new store, or one that RocksDB has to judge
    while (!current->empty() && current->back() == '\n') current->pop_back();
    const std::string path = directory + "/" + *current;
    Result<Bytes> bytes = read_all(blocking, disk, path);
    if (!bytes.ok()) return uint64_t{0};
    const std::optional<size_t> cut = torn_from(*bytes);
    if (!cut) return uint64_t{0};
    TRY(std::unique_ptr<File> file, disk.open(blocking, path, OpenMode::ReadWrite));
    TRY(file->truncate(blocking, *cut));
    TRY(file->sync(blocking));
    return bytes->size() - *cut;
}

}  // namespace orrery::store
