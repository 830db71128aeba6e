#include "kv/stored_format.h"

#include "kv/created_keys.h"
#include "runtime/base/check.h"
#include "runtime/base/hash.h"

namespace orrery::kv {
namespace {

constexpr uint8_t kValueFormat = 1;
constexpr uint8_t kMetadataFormat = 2;
constexpr uint8_t kSlotFormat = 1;
constexpr uint8_t kStoredTimeFormat = 2;
constexpr uint8_t kCreatedFormat = 1;

Error malformed_record(std::string_view what) { return {Code::Corrupt, "kv store: " + std::string(what)}; }

Bytes area_begin(const Space& space, RecordArea area) {
    Bytes out = space_begin(space);
    out.push_back(static_cast<char>(area));
    return out;
}

Bytes area_end(const Space& space, RecordArea area) {
    Bytes out = space_begin(space);
    out.push_back(static_cast<char>(static_cast<uint8_t>(area) + 1));
    return out;
}

bool take_be64(ByteReader& reader, uint64_t& out) {
    ByteView raw;
    if (!reader.take_bytes(8, raw)) return false;
    out = get_be64(raw.data());
    return true;
}

// The space and area in front of every key.
Result<Space> take_space(ByteReader& reader, RecordArea wanted) {
    Space space;
    uint8_t area = 0;
    if (!take_be64(reader, space.group.value) || !take_be64(reader, space.generation.value) || !reader.take_le(area))
        return malformed_record("key cut short");
    if (area != static_cast<uint8_t>(wanted)) return malformed_record("key of area " + std::to_string(area));
    return space;
}

}  // namespace

Bytes space_begin(const Space& space) {
    Bytes out;
    put_be64(out, space.group.value);
    put_be64(out, space.generation.value);
    return out;
}

Bytes space_end(const Space& space) {
    // Areas are small numbers: no key of the space starts with this byte or a higher one.
    Bytes out = space_begin(space);
    out.push_back('\xff');
    return out;
}

Bytes metadata_key(const Space& space) { return area_begin(space, RecordArea::Metadata); }

Bytes slot_key(const Space& space, uint64_t client) {
    Bytes out = area_begin(space, RecordArea::Slots);
    put_be64(out, client);
    return out;
}

Bytes slots_begin(const Space& space) { return area_begin(space, RecordArea::Slots); }
Bytes slots_end(const Space& space) { return area_end(space, RecordArea::Slots); }

Bytes created_key(const Space& space, uint16_t bucket) {
    Bytes out = area_begin(space, RecordArea::Created);
    out.push_back(static_cast<char>(bucket >> 8));
    out.push_back(static_cast<char>(bucket & 0xff));
    return out;
}

Bytes created_begin(const Space& space) { return area_begin(space, RecordArea::Created); }
Bytes created_end(const Space& space) { return area_end(space, RecordArea::Created); }

Bytes position_begin(const Space& space, FlushEpoch epoch, uint64_t position) {
    CHECK(position < kScanPositions, position);
    Bytes out = epoch_begin(space, epoch);
    put_be64(out, position << 11);
    return out;
}

Bytes epoch_begin(const Space& space, FlushEpoch epoch) {
    Bytes out = area_begin(space, RecordArea::Data);
    put_be64(out, epoch.value);
    return out;
}

Bytes data_end(const Space& space) { return area_end(space, RecordArea::Data); }

Bytes data_key(const Space& space, FlushEpoch epoch, ByteView key) {
    Bytes out;
    put_data_key(out, space, epoch, key, key_hash(key));
    return out;
}

void put_data_key(Bytes& out, const Space& space, FlushEpoch epoch, ByteView key, uint64_t hash) {
    out.reserve(out.size() + kDataPrefixBytes + key.size());
    put_be64(out, space.group.value);
    put_be64(out, space.generation.value);
    out.push_back(static_cast<char>(RecordArea::Data));
    put_be64(out, epoch.value);
    put_be64(out, hash);
    out += key;
}

uint64_t key_hash(ByteView key) { return hash_bytes(key); }

Result<DataKey> decode_data_key(ByteView bytes) {
    ByteReader reader(bytes);
    DataKey out;
    TRY(out.space, take_space(reader, RecordArea::Data));
    if (!take_be64(reader, out.epoch.value) || !take_be64(reader, out.hash)) return malformed_record("key cut short");
    if (out.epoch.value == 0) return malformed_record("key of epoch 0");
    out.key = reader.rest();
    if (out.hash != key_hash(out.key)) return malformed_record("key does not match its hash");
    return out;
}

Result<uint64_t> decode_slot_key(ByteView bytes) {
    ByteReader reader(bytes);
    TRY(take_space(reader, RecordArea::Slots));
    uint64_t client = 0;
    if (!take_be64(reader, client) || !reader.empty() || client == 0) return malformed_record("slot key");
    return client;
}

Result<uint16_t> decode_created_key(ByteView bytes) {
    ByteReader reader(bytes);
    TRY(take_space(reader, RecordArea::Created));
    ByteView raw;
    if (!reader.take_bytes(2, raw) || !reader.empty()) return malformed_record("created key");
    const auto bucket = static_cast<uint16_t>(static_cast<uint8_t>(raw[0]) << 8 | static_cast<uint8_t>(raw[1]));
    if (bucket >= CreatedKeys::kBuckets) return malformed_record("bucket of a created key");
    return bucket;
}

Bytes encode_created(LogIndex index) {
    Bytes out;
    put_le<uint8_t>(out, kCreatedFormat);
    put_le<uint64_t>(out, index.value);
    return out;
}

Result<LogIndex> decode_created(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    LogIndex out;
    if (!reader.take_le(format) || !reader.take_le(out.value) || !reader.empty()) return malformed_record("created record");
    if (format != kCreatedFormat || out.value == 0) return malformed_record("created record contradicts itself");
    return out;
}

void put_value(Bytes& out, const ValueView& value) {
    CHECK(value.expire_at_ms >= 0, value.expire_at_ms);
    out.reserve(out.size() + 18 + value.data.size());
    put_le<uint8_t>(out, kValueFormat);
    put_le<uint8_t>(out, static_cast<uint8_t>(value.type));
    put_le<uint64_t>(out, value.modified.value);
    put_le<int64_t>(out, value.expire_at_ms);
    out += value.data;
}

Bytes encode_value(const ValueView& value) {
    Bytes out;
    put_value(out, value);
    return out;
}

Result<ValueView> decode_value(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0, type = 0;
    ValueView out;
    if (!reader.take_le(format) || !reader.take_le(type) || !reader.take_le(out.modified.value) ||
        !reader.take_le(out.expire_at_ms))
        return malformed_record("value cut short");
    if (format != kValueFormat) return malformed_record("value format " + std::to_string(format));
    if (type != static_cast<uint8_t>(ValueType::String)) return malformed_record("value type " + std::to_string(type));
    if (out.expire_at_ms < 0) return malformed_record("value expires before 1970");
    out.type = static_cast<ValueType>(type);
    out.data = reader.rest();
    return out;
}

Bytes encode_metadata(const Metadata& metadata) {
    Bytes out;
    put_le<uint8_t>(out, kMetadataFormat);
    put_le<uint64_t>(out, metadata.applied_index.value);
    put_le<uint64_t>(out, metadata.applied_term.value);
    put_le<int64_t>(out, metadata.time.ns);
    put_le<uint64_t>(out, metadata.time_term.value);
    put_le<uint64_t>(out, metadata.time_epoch.value);
    put_le<uint64_t>(out, metadata.epoch.value);
    put_le<uint64_t>(out, metadata.keys);
    put_le<uint64_t>(out, metadata.volatile_keys);
    return out;
}

Result<Metadata> decode_metadata(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    Metadata out;
    if (!reader.take_le(format)) return malformed_record("metadata cut short");
    if (format != kMetadataFormat) return malformed_record("metadata format " + std::to_string(format));
    if (!reader.take_le(out.applied_index.value) || !reader.take_le(out.applied_term.value) ||
        !reader.take_le(out.time.ns) || !reader.take_le(out.time_term.value) || !reader.take_le(out.time_epoch.value) ||
        !reader.take_le(out.epoch.value) || !reader.take_le(out.keys) ||
        !reader.take_le(out.volatile_keys))
        return malformed_record("metadata cut short");
    if (!reader.empty()) return malformed_record("metadata has trailing bytes");
    if (out.time.ns < 0 || out.epoch.value == 0 || out.volatile_keys > out.keys) return malformed_record("metadata contradicts itself");
    return out;
}

Bytes local_time_key(GroupId group) { return space_begin({group, Generation(0)}) + "time"; }

Bytes encode_stored_time(const StoredTime& time) {
    CHECK(time.time.ns >= 0 && time.wall.ns >= 0, time.time.ns, time.wall.ns);
    Bytes out;
    put_le<uint8_t>(out, kStoredTimeFormat);
    put_le<int64_t>(out, time.time.ns);
    put_le<int64_t>(out, time.wall.ns);
    put_le<uint64_t>(out, time.leader.value);
    put_le<uint64_t>(out, time.epoch.value);
    return out;
}

Result<StoredTime> decode_stored_time(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    StoredTime out;
    if (!reader.take_le(format)) return malformed_record("time cut short");
    if (format != kStoredTimeFormat) return malformed_record("time format " + std::to_string(format));
    if (!reader.take_le(out.time.ns) || !reader.take_le(out.wall.ns) || !reader.take_le(out.leader.value) || !reader.take_le(out.epoch.value))
        return malformed_record("time cut short");
    if (!reader.empty()) return malformed_record("time has trailing bytes");
    // So that sums and differences of them fit.
    constexpr int64_t kLimit = int64_t{1} << 62;
    if (out.time.ns < 0 || out.time.ns >= kLimit || out.wall.ns < 0 || out.wall.ns >= kLimit) return malformed_record("time out of range");
    return out;
}

Bytes encode_slot(const SlotRecord& record) {
    Bytes out;
    put_le<uint8_t>(out, kSlotFormat);
    put_le<uint64_t>(out, record.sequence);
    put_le<uint64_t>(out, record.used.value);
    put_le<uint8_t>(out, record.reply_kept);
    if (record.reply_kept) resp::put_reply(out, record.reply);
    return out;
}

Result<SlotRecord> decode_slot(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0, kept = 0;
    SlotRecord out;
    if (!reader.take_le(format)) return malformed_record("slot cut short");
    if (format != kSlotFormat) return malformed_record("slot format " + std::to_string(format));
    if (!reader.take_le(out.sequence) || !reader.take_le(out.used.value) || !reader.take_le(kept))
        return malformed_record("slot cut short");
    if (kept > 1) return malformed_record("slot flag");
    out.reply_kept = kept == 1;
    if (out.reply_kept) {
        TRY(out.reply, resp::take_reply(reader));
    }
    if (!reader.empty()) return malformed_record("slot has trailing bytes");
    return out;
}

}  // namespace orrery::kv
