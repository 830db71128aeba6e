#include "node/log/format.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::log;

namespace {

Bytes sample_batch(BatchHeader& header) {
    Bytes bytes(kHeaderBytes, '\0');
    encode_record(bytes, GroupId(7), {Batch::Kind::Entry, 2, true, 11, Term(3), "a body"});
    encode_record(bytes, GroupId(8), {Batch::Kind::Floor, 0, false, 5, Term(2), {}});
    header.log_id = 1;
    header.epoch = 2;
    header.number = 9;
    header.oldest = 4;
    header.void_from = 5;
    header.epoch_first = 8;
    header.segment = 3;
    header.offset = 8192;
    header.record_bytes = static_cast<uint32_t>(bytes.size() - kHeaderBytes);
    header.record_count = 2;
    header.group_count = 2;
    header.salt = 99;
    for (uint64_t at = kHeaderBytes; at < bytes.size();) {
        RecordHeader record = peek_record(bytes.data() + at);
        stamp_record(bytes.data() + at, header.number, header.salt, record.flags);
        at += record.total_bytes();
    }
    header.groups_crc = encode_groups(bytes, {GroupId(1), GroupId(2)}, header.salt, header.number);
    bytes.resize(round_up(bytes.size(), kBlockBytes), '\0');
    header.batch_bytes = static_cast<uint32_t>(bytes.size());
    encode_header(header, bytes.data());
    return bytes;
}

}  // namespace

TEST_CASE("log format: a batch decodes to what was encoded") {
    BatchHeader header;
    Bytes bytes = sample_batch(header);
    auto decoded = decode_header(bytes);
    REQUIRE(decoded.has_value());
    CHECK(decoded->number == 9);
    CHECK(decoded->predecessor() == 8);
    CHECK(batch_is_whole(*decoded, bytes));
    auto record = decode_record(ByteView(bytes).substr(kHeaderBytes), 9, 99);
    REQUIRE(record.has_value());
    CHECK(record->group == GroupId(7));
    CHECK(record->index == 11);
    CHECK(record_body(*record, ByteView(bytes).substr(kHeaderBytes)) == "a body");
    CHECK(decode_groups(*decoded, bytes) == std::vector{GroupId(1), GroupId(2)});
}

TEST_CASE("log format: a record fits no other batch and no other epoch") {
    BatchHeader header;
    Bytes bytes = sample_batch(header);
    ByteView record = ByteView(bytes).substr(kHeaderBytes);
    CHECK_FALSE(decode_record(record, 10, 99));
    CHECK_FALSE(decode_record(record, 9, 98));
}

TEST_CASE("log format: every flipped bit of what is used makes the batch not whole") {
    BatchHeader header;
    Bytes good = sample_batch(header);
    uint64_t used = kHeaderBytes + header.record_bytes + 16;
    for (uint64_t bit = 0; bit < used * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        auto decoded = decode_header(bad);
        bool padding = bit / 8 >= kHeaderBytes + kRecordHeaderBytes + 6 && bit / 8 < kHeaderBytes + kRecordHeaderBytes + 8;
        CHECK((decoded && batch_is_whole(*decoded, bad)) == padding);
    }
}

TEST_CASE("log format: random and cut bytes never crash a decoder (fuzz)") {
    bool held = rc::check("fuzz", [](const std::vector<uint8_t>& noise, uint16_t cut, uint16_t at) {
        BatchHeader header;
        Bytes bytes = sample_batch(header);
        for (size_t i = 0; i < noise.size(); ++i) bytes[(at + i) % bytes.size()] = static_cast<char>(noise[i]);
        // Sizes that lie, under a header crc that is right.
        if (!noise.empty()) {
            header.record_bytes = noise[0] * 8u;
            header.record_count = noise[0] / 2;
            header.group_count = at;
            header.batch_bytes = static_cast<uint32_t>(
                round_up(kHeaderBytes + header.record_bytes + uint64_t{header.group_count} * 8, kBlockBytes));
            encode_header(header, bytes.data());
        }
        ByteView view = ByteView(bytes).substr(0, cut % (bytes.size() + 1));
        if (auto decoded = decode_header(view)) {
            RC_ASSERT(!batch_is_whole(*decoded, view) || decoded->batch_bytes <= view.size());
            (void)decode_groups(*decoded, view);
        }
        if (view.size() > at) (void)decode_record(view.substr(at), 9, 99);
    });
    CHECK(held);
}
