#include "node/log/format.h"

#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"

namespace orrery::log {

namespace {

// Offsets within a batch header.
constexpr size_t kHeaderCrcAt = 124;
constexpr uint32_t kSealFlag = 1;

/// Seeds differ between epochs by salt and between batches by number; a crc with another seed never fits.
uint32_t names_seed(uint32_t salt, uint64_t number) {
    return salt ^ static_cast<uint32_t>(number) ^ static_cast<uint32_t>(number >> 32);
}

}  // namespace

void encode_header(BatchHeader& header, char* to) {
    std::memset(to, 0, kHeaderBytes);
    store_le<uint64_t>(to + 0, kBatchMagic);
    store_le<uint32_t>(to + 8, kFormatVersion);
    store_le<uint32_t>(to + 12, header.seal ? kSealFlag : 0);
    store_le<uint64_t>(to + 16, header.log_id);
    store_le<uint64_t>(to + 24, header.epoch);
    store_le<uint64_t>(to + 32, header.number);
    store_le<uint64_t>(to + 40, header.oldest);
    store_le<uint64_t>(to + 48, header.void_from);
    store_le<uint64_t>(to + 56, header.epoch_first);
    store_le<uint64_t>(to + 64, header.segment);
    store_le<uint64_t>(to + 72, header.offset);
    store_le<uint32_t>(to + 80, header.previous_crc);
    store_le<uint32_t>(to + 84, header.batch_bytes);
    store_le<uint32_t>(to + 88, header.record_bytes);
    store_le<uint32_t>(to + 92, header.record_count);
    store_le<uint32_t>(to + 96, header.group_count);
    store_le<uint32_t>(to + 100, header.groups_crc);
    store_le<uint32_t>(to + 104, header.salt);
    header.crc = crc32c(ByteView(to, kHeaderCrcAt));
    store_le<uint32_t>(to + kHeaderCrcAt, header.crc);
}

std::optional<BatchHeader> decode_header(ByteView bytes) {
    if (bytes.size() < kHeaderBytes) return std::nullopt;
    const char* from = bytes.data();
    if (get_le<uint64_t>(from) != kBatchMagic || get_le<uint32_t>(from + 8) != kFormatVersion) return std::nullopt;
    BatchHeader header;
    header.crc = get_le<uint32_t>(from + kHeaderCrcAt);
    if (header.crc != crc32c(bytes.substr(0, kHeaderCrcAt))) return std::nullopt;
    uint32_t flags = get_le<uint32_t>(from + 12);
    header.seal = (flags & kSealFlag) != 0;
    header.log_id = get_le<uint64_t>(from + 16);
    header.epoch = get_le<uint64_t>(from + 24);
    header.number = get_le<uint64_t>(from + 32);
    header.oldest = get_le<uint64_t>(from + 40);
    header.void_from = get_le<uint64_t>(from + 48);
    header.epoch_first = get_le<uint64_t>(from + 56);
    header.segment = get_le<uint64_t>(from + 64);
    header.offset = get_le<uint64_t>(from + 72);
    header.previous_crc = get_le<uint32_t>(from + 80);
    header.batch_bytes = get_le<uint32_t>(from + 84);
    header.record_bytes = get_le<uint32_t>(from + 88);
    header.record_count = get_le<uint32_t>(from + 92);
    header.group_count = get_le<uint32_t>(from + 96);
    header.groups_crc = get_le<uint32_t>(from + 100);
    header.salt = get_le<uint32_t>(from + 104);
    uint64_t used = kHeaderBytes + uint64_t{header.record_bytes} + uint64_t{header.group_count} * 8;
    bool sane = header.batch_bytes == round_up(used, kBlockBytes) && header.record_bytes % 8 == 0 &&
                uint64_t{header.record_count} * kRecordHeaderBytes <= header.record_bytes && header.void_from >= 1 &&
                header.epoch_first >= header.void_from && header.number >= header.epoch_first &&
                header.oldest >= 1 && header.oldest <= header.number && (flags & ~kSealFlag) == 0;
    if (!sane) return std::nullopt;
    return header;
}

void encode_record(Bytes& out, GroupId group, const Batch::Item& item) {
    char head[kRecordHeaderBytes] = {};
    store_le<uint32_t>(head + 4, crc32c(item.body));
    store_le<uint64_t>(head + 16, group.value);
    store_le<uint64_t>(head + 24, item.index);
    store_le<uint64_t>(head + 32, item.term.value);
    store_le<uint32_t>(head + 40, static_cast<uint32_t>(item.body.size()));
    head[44] = static_cast<char>(item.kind);
    head[45] = static_cast<char>(item.entry_kind);
    // What repairs a place, and what says that one is a hole, stands where the entry stood: it implies no truncation.
    const uint8_t repair = item.place == Batch::Place::Hole ? kCopyFlag | kHoleFlag : item.place == Batch::Place::Fill ? kCopyFlag : 0;
    head[46] = static_cast<char>((item.has_attachment ? kAttachmentFlag : 0) | repair);
    out.append(head, sizeof head);
    out.append(item.body);
    out.append(round_up(item.body.size(), 8) - item.body.size(), '\0');
}

void stamp_record(char* record, uint64_t batch, uint32_t salt, uint8_t flags) {
    store_le<uint64_t>(record + 8, batch);
    record[46] = static_cast<char>(flags);
    store_le<uint32_t>(record, crc32c(ByteView(record + 4, kRecordHeaderBytes - 4), salt));
}

RecordHeader peek_record(const char* record) {
    RecordHeader header;
    header.body_crc = get_le<uint32_t>(record + 4);
    header.batch = get_le<uint64_t>(record + 8);
    header.group = GroupId(get_le<uint64_t>(record + 16));
    header.index = get_le<uint64_t>(record + 24);
    header.term = Term(get_le<uint64_t>(record + 32));
    header.body_bytes = get_le<uint32_t>(record + 40);
    header.kind = static_cast<Batch::Kind>(record[44]);
    header.entry_kind = static_cast<uint8_t>(record[45]);
    header.flags = static_cast<uint8_t>(record[46]);
    return header;
}

std::optional<RecordHeader> decode_record(ByteView bytes, uint64_t batch, uint32_t salt) {
    if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
    if (get_le<uint32_t>(bytes.data()) != crc32c(bytes.substr(4, kRecordHeaderBytes - 4), salt)) return std::nullopt;
    RecordHeader header = peek_record(bytes.data());
    bool known = header.kind >= Batch::Kind::Entry && header.kind <= Batch::Kind::Tombstone;
    if (header.batch != batch || !known || header.total_bytes() > bytes.size()) return std::nullopt;
    return header;
}

bool body_is_intact(const RecordHeader& header, ByteView record) {
    return header.total_bytes() <= record.size() &&
           crc32c(record.substr(kRecordHeaderBytes, header.body_bytes)) == header.body_crc;
}

ByteView record_body(const RecordHeader& header, ByteView record) {
    CHECK(header.total_bytes() <= record.size());
    return record.substr(kRecordHeaderBytes, header.body_bytes);
}

uint32_t encode_groups(Bytes& out, const std::vector<GroupId>& groups, uint32_t salt, uint64_t number) {
    size_t start = out.size();
    for (GroupId group : groups) put_le<uint64_t>(out, group.value);
    return crc32c(ByteView(out).substr(start), names_seed(salt, number));
}

std::optional<std::vector<GroupId>> decode_groups(const BatchHeader& header, ByteView batch) {
    size_t at = kHeaderBytes + header.record_bytes;
    size_t size = size_t{header.group_count} * 8;
    if (batch.size() < at + size) return std::nullopt;
    ByteView names = batch.substr(at, size);
    if (crc32c(names, names_seed(header.salt, header.number)) != header.groups_crc) return std::nullopt;
    std::vector<GroupId> groups;
    groups.reserve(header.group_count);
    for (size_t i = 0; i < size; i += 8) groups.push_back(GroupId(get_le<uint64_t>(names.data() + i)));
    return groups;
}

bool batch_is_whole(const BatchHeader& header, ByteView batch) {
    if (batch.size() < header.batch_bytes || !decode_groups(header, batch)) return false;
    ByteView rest = batch.substr(kHeaderBytes, header.record_bytes);
    uint32_t count = 0;
    while (!rest.empty()) {
        std::optional<RecordHeader> record = decode_record(rest, header.number, header.salt);
        if (!record || !body_is_intact(*record, rest)) return false;
        rest.remove_prefix(record->total_bytes());
        ++count;
    }
    return count == header.record_count;
}

}  // namespace orrery::log
