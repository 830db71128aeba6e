// The bytes of a batch and of a record; README.md has the tables. Pure: encodes into and decodes from memory.
//
// Every checksum is bound to its place: a batch header to the log, file and offset it was written for, a record to the
// number and the salt of its batch. What an earlier use of the same blocks left behind therefore never fits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "node/log/records.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"

namespace orrery::log {

inline constexpr uint64_t kBlockBytes = 4096;
inline constexpr uint64_t kBatchMagic = 0x31474f4c5952524full;  // "ORRYLOG1"
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kHeaderBytes = 128;
inline constexpr size_t kRecordHeaderBytes = 48;

constexpr uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

struct BatchHeader {
    uint64_t log_id = 0;
    uint64_t epoch = 0;
    uint64_t number = 0;
    uint64_t oldest = 0;       // lower numbers are recycled remains
    uint64_t void_from = 0;    // this epoch voids batches of earlier epochs from this number on
    uint64_t epoch_first = 0;  // number of this epoch's first batch; its predecessor is void_from - 1
    uint64_t segment = 0;      // file number
    uint64_t offset = 0;
    uint32_t previous_crc = 0;  // header crc of the predecessor; 0 when there is none
    uint32_t batch_bytes = 0;   // multiple of 4 KiB
    uint32_t record_bytes = 0;
    uint32_t record_count = 0;
    uint32_t group_count = 0;   // names of the predecessor's groups, behind the records
    uint32_t groups_crc = 0;
    uint32_t salt = 0;          // of the epoch; seeds the crcs of records and names
    bool seal = false;
    uint32_t crc = 0;           // of this header; set by encode and decode

    /// Predecessor's number in the row of batches that count; 0 = none.
    uint64_t predecessor() const { return number == epoch_first ? void_from - 1 : number - 1; }
};

/// Writes kHeaderBytes at `to` and sets header.crc.
void encode_header(BatchHeader& header, char* to);
/// nullopt unless the magic, version, crc and all sizes are right. `bytes` may be shorter than a header.
std::optional<BatchHeader> decode_header(ByteView bytes);

inline constexpr uint8_t kCopyFlag = 1;
inline constexpr uint8_t kAttachmentFlag = 2;
inline constexpr uint8_t kHoleFlag = 4;  // an entry whose body was lost: no body, always marked as a copy

struct RecordHeader {
    uint32_t body_crc = 0;
    uint64_t batch = 0;
    GroupId group;
    uint64_t index = 0;  // see Batch::Item
    Term term;
    uint32_t body_bytes = 0;
    Batch::Kind kind = Batch::Kind::Entry;
    uint8_t entry_kind = 0;
    uint8_t flags = 0;

    bool is_copy() const { return (flags & kCopyFlag) != 0; }
    bool is_hole() const { return (flags & kHoleFlag) != 0; }
    uint64_t total_bytes() const { return record_bytes(body_bytes); }
    static uint64_t record_bytes(uint64_t body_bytes) { return kRecordHeaderBytes + round_up(body_bytes, 8); }
};

/// Appends the record with its body's crc, not yet stamped: stamp_record() makes it valid when it takes its place.
void encode_record(Bytes& out, GroupId group, const Batch::Item& item);
/// Writes batch number, flags and header crc into the record at `record`.
void stamp_record(char* record, uint64_t batch, uint32_t salt, uint8_t flags);
/// Reads the fields without looking at the header crc. Requires: kRecordHeaderBytes at `record`.
RecordHeader peek_record(const char* record);
/// nullopt unless the header's crc fits this batch and the record fits into `bytes`. The body is not looked at.
std::optional<RecordHeader> decode_record(ByteView bytes, uint64_t batch, uint32_t salt);
bool body_is_intact(const RecordHeader& header, ByteView record);
/// Requires: intact.
ByteView record_body(const RecordHeader& header, ByteView record);

/// Appends the names; the crc goes into the batch header.
uint32_t encode_groups(Bytes& out, const std::vector<GroupId>& groups, uint32_t salt, uint64_t number);
/// nullopt when the crc does not fit. Requires: decoded header, its whole batch in `batch`.
std::optional<std::vector<GroupId>> decode_groups(const BatchHeader& header, ByteView batch);

/// Header, all records and the names are right: the batch counts. `batch` is the whole of it.
bool batch_is_whole(const BatchHeader& header, ByteView batch);

}  // namespace orrery::log
