#include "node/data/extent_format.h"

namespace orrery::data {

namespace {

constexpr uint8_t kFormat = 1;
constexpr char kExtentArea = '\x03';  // area 0 is the driver's
constexpr char kBlockArea = '\x04';

Bytes key_of(char area, uint64_t number) {
    Bytes out(1, area);
    put_be64(out, number);
    return out;
}

}  // namespace

std::string extent_name(ExtentId extent) { return "extent " + std::to_string(extent.value); }

Bytes extent_key(ExtentId extent) { return key_of(kExtentArea, extent.value); }

Bytes block_key(ExtentId extent, uint64_t block) {
    Bytes out = key_of(kBlockArea, extent.value);
    put_be64(out, block);
    return out;
}

Bytes extents_begin() { return Bytes(1, kExtentArea); }
Bytes extents_end() { return Bytes(1, kBlockArea); }

Result<ExtentId> extent_of_key(ByteView key) {
    if (key.size() != 9 || key.front() != kExtentArea) return Error(Code::Corrupt, "key of an extent is malformed");
    return ExtentId(get_be64(key.data() + 1));
}

Bytes encode_extent_record(const ExtentRecord& record) {
    Bytes out(1, static_cast<char>(kFormat));
    out.push_back(static_cast<char>(record.state));
    put_le<uint64_t>(out, record.size_bytes);
    put_le<uint64_t>(out, record.changed.value);
    put_le<uint64_t>(out, record.overwritten.value);
    return out;
}

Result<ExtentRecord> decode_extent_record(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0, state = 0;
    uint64_t size = 0, changed = 0, overwritten = 0;
    if (!reader.take_le(format) || format != kFormat || !reader.take_le(state) || !reader.take_le(size) || !reader.take_le(changed) ||
        !reader.take_le(overwritten) || !reader.empty())
        return Error(Code::Corrupt, "record of an extent is malformed");
    if (state < static_cast<uint8_t>(ExtentState::Live) || state > static_cast<uint8_t>(ExtentState::Deleted))
        return Error(Code::Corrupt, "record of an extent in an unknown state");
    if (size > wire::kExtentBytesMax || overwritten > changed) return Error(Code::Corrupt, "record of an extent contradicts itself");
    return ExtentRecord{static_cast<ExtentState>(state), size, LogIndex(changed), LogIndex(overwritten)};
}

Bytes encode_block_record(const BlockRecord& record) {
    Bytes out(1, static_cast<char>(kFormat));
    put_le<uint32_t>(out, record.covered);
    put_le<uint32_t>(out, record.checksum);
    put_le<uint32_t>(out, record.freed);
    return out;
}

Result<BlockRecord> decode_block_record(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    BlockRecord out;
    if (!reader.take_le(format) || format != kFormat || !reader.take_le(out.covered) || !reader.take_le(out.checksum) || !reader.take_le(out.freed) ||
        !reader.empty())
        return Error(Code::Corrupt, "record of a block is malformed");
    if (out.covered == 0 || out.covered > wire::kCheckedBytes) return Error(Code::Corrupt, "record of a block covers nothing, or too much");
    const uint64_t images = whole_images(out.covered) / wire::kImageBytes;
    if (images < 32 && out.freed >> images != 0) return Error(Code::Corrupt, "record of a block has freed what it does not cover");
    return out;
}

}  // namespace orrery::data
