#include "kv/stored_format.h"

#include "kv/created_keys.h"
#include "tests/kv/any_bytes.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::kv {
namespace {

using test::any_bytes;
Space any_space() { return {GroupId(*rc::gen::arbitrary<uint64_t>()), Generation(*rc::gen::arbitrary<uint64_t>())}; }

// Encoded, decoded, and every other length refused or (values only, whose data is the rest) different.
template <typename Record, typename Encode, typename Decode>
void round_trip(const Record& record, Encode encode, Decode decode) {
    const Bytes raw = encode(record);
    const auto back = decode(ByteView(raw));
    RC_ASSERT(back.ok());
    RC_ASSERT(*back == record);
    for (size_t size = 0; size < raw.size(); ++size) {
        const auto cut = decode(ByteView(raw).substr(0, size));
        if (cut.ok()) RC_ASSERT(!(*cut == record));
    }
    Bytes flipped = raw;
    flipped[*rc::gen::inRange<size_t>(0, raw.size())] = *rc::gen::arbitrary<char>();
    const auto other = decode(ByteView(flipped));
    if (other.ok()) RC_ASSERT(encode(*other) == flipped);
}

TEST_CASE("kv store: value records round trip and refuse what is not one (any record)") {
    CHECK(rc::check([] {
        const Bytes data = *any_bytes();
        const ValueView record{.modified = LogIndex(*rc::gen::arbitrary<uint64_t>()), .expire_at_ms = *rc::gen::nonNegative<int64_t>(), .data = data};
        round_trip(record, encode_value, decode_value);
        for (size_t size = 0; size < 18; ++size)
            RC_ASSERT(decode_value(ByteView(encode_value(record)).substr(0, size)).failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv store: a stored time round trips; every other length and what no clock shows is refused (any pair)") {
    CHECK(rc::check([] {
        const StoredTime time{{*rc::gen::inRange<int64_t>(0, int64_t{1} << 62)}, {*rc::gen::inRange<int64_t>(0, int64_t{1} << 62)},
                              Term(*rc::gen::arbitrary<uint64_t>()), Term(*rc::gen::arbitrary<uint64_t>())};
        round_trip(time, encode_stored_time, decode_stored_time);
        Bytes raw = encode_stored_time(time);
        RC_ASSERT(decode_stored_time(raw + "x").failed_with(Code::Corrupt));
        for (size_t size = 0; size < raw.size(); ++size) RC_ASSERT(decode_stored_time(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        raw[*rc::gen::element(8, 16)] = '\xff';
        RC_ASSERT(decode_stored_time(raw).failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv store: metadata round trips; every other length is refused (any metadata)") {
    CHECK(rc::check([] {
        Metadata metadata;
        metadata.applied_index = LogIndex(*rc::gen::arbitrary<uint64_t>());
        metadata.applied_term = Term(*rc::gen::arbitrary<uint64_t>());
        metadata.time = LogTime{*rc::gen::nonNegative<int64_t>()};
        metadata.time_term = Term(*rc::gen::arbitrary<uint64_t>());
        metadata.time_epoch = Term(*rc::gen::arbitrary<uint64_t>());
        metadata.epoch = FlushEpoch(*rc::gen::inRange<uint64_t>(1, UINT64_MAX));
        metadata.keys = *rc::gen::arbitrary<uint64_t>();
        metadata.volatile_keys = metadata.keys / 2;
        round_trip(metadata, encode_metadata, decode_metadata);
        const Bytes raw = encode_metadata(metadata);
        for (size_t size = 0; size < raw.size(); ++size)
            RC_ASSERT(decode_metadata(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        RC_ASSERT(decode_metadata(raw + "x").failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv store: slot records round trip; every other length is refused (any record)") {
    CHECK(rc::check([] {
        SlotRecord record;
        record.sequence = *rc::gen::arbitrary<uint64_t>();
        record.used = LogIndex(*rc::gen::arbitrary<uint64_t>());
        record.reply_kept = *rc::gen::arbitrary<bool>();
        if (record.reply_kept) record.reply = resp::Reply::bulk(*any_bytes());
        round_trip(record, encode_slot, decode_slot);
        const Bytes raw = encode_slot(record);
        for (size_t size = 0; size < raw.size(); ++size)
            RC_ASSERT(decode_slot(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        RC_ASSERT(decode_slot(raw + "x").failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv store: keys order by space, area, epoch, hash; each range holds exactly its own (any keys)") {
    CHECK(rc::check([] {
        const Space space = any_space();
        const FlushEpoch epoch(*rc::gen::inRange<uint64_t>(1, 1000));
        const Bytes name = *any_bytes(), other = *any_bytes();
        const Bytes key = data_key(space, epoch, name);
        const auto back = decode_data_key(key);
        RC_ASSERT(back.ok());
        RC_ASSERT(back->space == space);
        RC_ASSERT(back->epoch == epoch);
        RC_ASSERT(back->key == name);
        RC_ASSERT(back->hash == key_hash(name));
        for (size_t size = 0; size < kDataPrefixBytes; ++size)
            RC_ASSERT(decode_data_key(ByteView(key).substr(0, size)).failed_with(Code::Corrupt));
        RC_ASSERT(epoch_begin(space, epoch) < key);
        RC_ASSERT(key < epoch_begin(space, epoch.next()));
        RC_ASSERT(key < data_end(space));
        RC_ASSERT(space_begin(space) < metadata_key(space));
        RC_ASSERT(metadata_key(space) < slots_begin(space));
        const uint64_t client = *rc::gen::inRange<uint64_t>(1, UINT64_MAX);
        RC_ASSERT(slots_begin(space) < slot_key(space, client));
        RC_ASSERT(slot_key(space, client) < slots_end(space));
        RC_ASSERT(slots_end(space) <= epoch_begin(space, FlushEpoch(1)));
        RC_ASSERT(data_end(space) < space_end(space));
        RC_ASSERT(*decode_slot_key(slot_key(space, client)) == client);
        RC_ASSERT(decode_slot_key(key).failed_with(Code::Corrupt));
        if (key_hash(name) != key_hash(other))
            RC_ASSERT((key < data_key(space, epoch, other)) == (key_hash(name) < key_hash(other)));
        Bytes wrong = key;
        wrong[kDataPrefixBytes - 1] = static_cast<char>(wrong[kDataPrefixBytes - 1] + 1);
        RC_ASSERT(decode_data_key(wrong).failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv store: hashes and records of version 1 stay what they are (golden)") {
    CHECK(key_hash("") == 0x2d06800538d394c2);
    CHECK(key_hash("foo") == 0xab6e5f64077e7d8a);
    const ValueView record{.modified = LogIndex(3), .expire_at_ms = 5, .data = "xy"};
    CHECK(encode_value(record) == Bytes({1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 'x', 'y'}));
    CHECK(metadata_key({GroupId(1), Generation(2)}) == Bytes({0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1}));
}

TEST_CASE("kv store: records of created keys round trip, and their keys lie in their own area (any bucket)") {
    CHECK(rc::check([] {
        const Space space = any_space();
        const auto bucket = static_cast<uint16_t>(*rc::gen::inRange<uint32_t>(0, CreatedKeys::kBuckets));
        const Bytes key = created_key(space, bucket);
        RC_ASSERT(decode_created_key(key).value() == bucket);
        RC_ASSERT(created_begin(space) < key);
        RC_ASSERT(key < created_end(space));
        RC_ASSERT(created_begin(space) >= data_end(space));
        for (size_t size = 0; size < key.size(); ++size) RC_ASSERT(decode_created_key(ByteView(key).substr(0, size)).failed_with(Code::Corrupt));
        round_trip(LogIndex(*rc::gen::inRange<uint64_t>(1, UINT64_MAX)), encode_created, decode_created);
    }));
    CHECK(decode_created_key(created_key({}, CreatedKeys::kBuckets)).failed_with(Code::Corrupt));
}

TEST_CASE("kv store: a scan position begins before the keys that have it, and after those below (any key)") {
    CHECK(rc::check([] {
        const Space space = any_space();
        const Bytes key = *any_bytes();
        const uint64_t position = scan_position(key_hash(key));
        RC_ASSERT(position_begin(space, FlushEpoch(3), position) <= data_key(space, FlushEpoch(3), key));
        if (position + 1 < kScanPositions) RC_ASSERT(data_key(space, FlushEpoch(3), key) < position_begin(space, FlushEpoch(3), position + 1));
    }));
}

}  // namespace
}  // namespace orrery::kv
