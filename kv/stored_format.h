// Keys and records of the KV in the Store. Spelled out in README.md; every decoder refuses what its encoder does not write.
//
// All keys of a group start with (group, generation): a snapshot installs under a fresh generation, and dropping an old
// one is a range. Below that an epoch (FLUSHALL starts a new one), then a 64-bit hash of the key: the order of SCAN.
#pragma once

#include <cstdint>

#include "kv/log_entry.h"
#include "kv/resp/reply.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::kv {

using FlushEpoch = Counter<struct FlushEpochTag>;  // of a keyspace: one per FLUSHALL; the first is 1

/// Where a group's records live.
struct Space {
    GroupId group;
    Generation generation;
    auto operator<=>(const Space&) const = default;
};

inline constexpr size_t kSpaceBytes = 16;
inline constexpr size_t kDataPrefixBytes = kSpaceBytes + 1 + 8 + 8;

enum class RecordArea : uint8_t {  // stored; never renumber
    Metadata = 1,
    Slots = 2,  // deduplication
    Data = 3,
    Created = 4,  // CreatedKeys
};

/// [space_begin, space_end) holds all records of the group and generation.
Bytes space_begin(const Space& space);
Bytes space_end(const Space& space);
Bytes metadata_key(const Space& space);
Bytes slot_key(const Space& space, uint64_t client);
/// [slots_begin, slots_end) holds all slot records.
Bytes slots_begin(const Space& space);
Bytes slots_end(const Space& space);
Bytes created_key(const Space& space, uint16_t bucket);
/// [created_begin, created_end) holds all records of CreatedKeys.
Bytes created_begin(const Space& space);
Bytes created_end(const Space& space);
Bytes data_key(const Space& space, FlushEpoch epoch, ByteView key);
/// The same, with a key_hash() known already.
void put_data_key(Bytes& out, const Space& space, FlushEpoch epoch, ByteView key, uint64_t hash);
/// [epoch_begin(e), epoch_begin(e + 1)) holds all keys of an epoch; all data below epoch_begin(current) is garbage.
Bytes epoch_begin(const Space& space, FlushEpoch epoch);
Bytes data_end(const Space& space);

/// The order of SCAN. Stable for ever: it is stored.
uint64_t key_hash(ByteView key);
/// SCAN's cursor: the upper 53 bits of the hash, since clients that count in doubles hold no more. Keys that share one are
/// never parted.
constexpr uint64_t scan_position(uint64_t key_hash) { return key_hash >> 11; }
inline constexpr uint64_t kScanPositions = uint64_t{1} << 53;
/// Where the data of an epoch begins that is at or above a position. Requires: position < kScanPositions.
Bytes position_begin(const Space& space, FlushEpoch epoch, uint64_t position);

struct DataKey {
    Space space;
    FlushEpoch epoch;
    uint64_t hash = 0;
    ByteView key;  // into the bytes decoded
};
/// Errors: Corrupt, also when the hash is not that of the key.
Result<DataKey> decode_data_key(ByteView bytes);
/// The client of a slot key. Errors: Corrupt.
Result<uint64_t> decode_slot_key(ByteView bytes);

/// The bucket of a created key. Errors: Corrupt.
Result<uint16_t> decode_created_key(ByteView bytes);
Bytes encode_created(LogIndex index);
Result<LogIndex> decode_created(ByteView bytes);

enum class ValueType : uint8_t {  // stored; never renumber
    String = 1,
};

struct ValueView {
    ValueType type = ValueType::String;
    LogIndex modified;         // the entry that last changed value or expiry
    int64_t expire_at_ms = 0;  // LogTime in milliseconds; 0 = never
    ByteView data;

    bool expired(LogTime time) const { return expire_at_ms != 0 && expire_at_ms <= time.millis(); }
    bool operator==(const ValueView&) const = default;
};
void put_value(Bytes& out, const ValueView& value);
Bytes encode_value(const ValueView& value);
/// `data` looks into `bytes`. Errors: Corrupt.
Result<ValueView> decode_value(ByteView bytes);

/// One per group and generation, in every batch: after a crash the Store is a prefix, and this says which.
struct Metadata {
    LogIndex applied_index;
    Term applied_term;
    LogTime time;             // the last stamp applied
    Term time_term;           // of the entry that had it
    Term time_epoch;          // of the stamp
    FlushEpoch epoch{1};
    uint64_t keys = 0;        // DBSIZE: changed by log entries only
    uint64_t volatile_keys = 0;  // those with an expiry
    bool operator==(const Metadata&) const = default;
};
Bytes encode_metadata(const Metadata& metadata);
Result<Metadata> decode_metadata(ByteView bytes);

/// What a member knows of state-machine time for itself alone: the value it had when its wall clock showed `wall`. It lies
/// beside the generations, so it is in no snapshot, and in no digest. In the Store it goes with the applied state: after a
/// crash both are of one batch.
struct StoredTime {
    LogTime time;
    WallTime wall;
    Term leader;  // kv/state_time.h: TimeTag
    Term epoch;
    bool operator==(const StoredTime&) const = default;
};
Bytes local_time_key(GroupId group);
Bytes encode_stored_time(const StoredTime& time);
Result<StoredTime> decode_stored_time(ByteView bytes);

/// The last write of a client. `reply_kept` is false when the reply was too large to keep.
struct SlotRecord {
    uint64_t sequence = 0;
    LogIndex used;  // its entry; the record with the lowest goes first when the table is full
    bool reply_kept = false;
    resp::Reply reply;
    bool operator==(const SlotRecord&) const = default;
};
Bytes encode_slot(const SlotRecord& record);
Result<SlotRecord> decode_slot(ByteView bytes);

}  // namespace orrery::kv
