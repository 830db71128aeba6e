// Frames: any split parses equal, any damage is refused, nothing is believed before its checksum.
#include "node/wire/frame.h"

#include <rapidcheck.h>

#include <algorithm>

#include "runtime/base/crc32c.h"
#include <doctest/doctest.h>

namespace orrery::wire {
namespace {

constexpr uint32_t kMaxPayload = 1u << 20;

struct Sent {
    FrameHeader header;
    Bytes payload;
};

Sent any_sent() {
    Sent sent;
    sent.header.kind = static_cast<FrameKind>(*rc::gen::inRange(1, 11));
    sent.header.flags = static_cast<uint8_t>(*rc::gen::inRange(0, 4));
    sent.header.traffic = static_cast<TrafficClass>(*rc::gen::inRange(0, 3));
    sent.header.session_tag = *rc::gen::arbitrary<uint32_t>();
    sent.header.id = RequestId(*rc::gen::arbitrary<uint64_t>());
    sent.header.operation = static_cast<Operation>(*rc::gen::arbitrary<uint32_t>());
    sent.header.group = GroupId(*rc::gen::arbitrary<uint64_t>());
    sent.header.entity = *rc::gen::arbitrary<uint64_t>();
    sent.header.argument = *rc::gen::arbitrary<uint64_t>();
    sent.header.credit = *rc::gen::arbitrary<uint32_t>();
    // Small, around the limit between "in place" and "memory of its own", and beyond the buffer and the growth step.
    const size_t base = *rc::gen::element<size_t>(0, 0, 8, 100, 16384, 16384, 65536, 200000);
    const size_t size = base + *rc::gen::inRange<size_t>(0, 20) - std::min<size_t>(base, 10);
    sent.payload.assign(size, *rc::gen::arbitrary<char>());
    for (size_t i = 0; i < size; i += 7) sent.payload[i] = static_cast<char>(i * 31 + size);
    return sent;
}

bool same(const FrameHeader& a, const FrameHeader& b) {
    return a.kind == b.kind && a.flags == b.flags && a.traffic == b.traffic && a.session_tag == b.session_tag &&
           a.id == b.id && a.operation == b.operation && a.group == b.group && a.entity == b.entity &&
           a.argument == b.argument && a.credit == b.credit;
}

/// Feeds `stream` in the given pieces; the frames that came out, then the error if there was one.
std::optional<Error> read_all(ByteView stream, const std::vector<size_t>& pieces, std::vector<Sent>& out,
                              size_t* pending = nullptr) {
    FrameReader reader(kMaxPayload);
    size_t piece = 0;
    while (true) {
        for (;;) {
            Result<std::optional<Frame>> next = reader.next();
            if (!next.ok()) return next.error();
            if (!next->has_value()) break;
            RC_ASSERT(reinterpret_cast<uintptr_t>((*next)->payload.view().data()) % 8 == 0u ||
                      (*next)->payload.size() == 0u);
            out.push_back({(*next)->header, (*next)->payload.take()});
        }
        if (stream.empty()) break;
        const std::span<char> space = reader.space();
        RC_ASSERT(!space.empty());
        size_t count = pieces.empty() ? space.size() : 1 + pieces[piece++ % pieces.size()];
        count = std::min({count, space.size(), stream.size()});
        std::copy_n(stream.data(), count, space.data());
        reader.filled(count);
        stream.remove_prefix(count);
    }
    if (pending != nullptr) *pending = reader.pending_bytes();
    return std::nullopt;
}

TEST_CASE("wire: any split of a stream of frames gives the same frames") {
    CHECK(rc::check("splits", [] {
        std::vector<Sent> sent;
        Bytes stream;
        const int count = *rc::gen::inRange(1, 8);
        for (int i = 0; i < count; ++i) {
            sent.push_back(any_sent());
            append_frame(stream, sent.back().header, sent.back().payload);
            RC_ASSERT(stream.size() % 8 == 0u);
        }
        const auto pieces = *rc::gen::container<std::vector<size_t>>(rc::gen::element<size_t>(0, 1, 6, 63, 64, 1000, 70000));
        std::vector<Sent> got;
        size_t pending = 1;
        const std::optional<Error> error = read_all(stream, pieces, got, &pending);
        RC_ASSERT(!error.has_value());
        RC_ASSERT(pending == 0u);
        RC_ASSERT(got.size() == sent.size());
        for (size_t i = 0; i < got.size(); ++i) {
            RC_ASSERT(same(got[i].header, sent[i].header));
            RC_ASSERT(got[i].payload == sent[i].payload);
        }
    }));
}

TEST_CASE("wire: a flipped bit anywhere is refused, and what came before it is not touched") {
    CHECK(rc::check("bit flips", [] {
        std::vector<Sent> sent;
        Bytes stream;
        std::vector<size_t> ends;
        for (int i = 0; i < 3; ++i) {
            sent.push_back(any_sent());
            append_frame(stream, sent.back().header, sent.back().payload);
            ends.push_back(stream.size());
        }
        const size_t at = *rc::gen::inRange<size_t>(0, stream.size());
        stream[at] = static_cast<char>(stream[at] ^ (1 << *rc::gen::inRange(0, 8)));
        std::vector<Sent> got;
        size_t pending = 0;
        const std::optional<Error> error = read_all(stream, {}, got, &pending);
        const size_t good = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), at) - ends.begin());
        RC_ASSERT(error.has_value());
        RC_ASSERT(got.size() == good);
        for (size_t i = 0; i < good; ++i) RC_ASSERT(got[i].payload == sent[i].payload);
    }));
}

TEST_CASE("wire: garbage never crashes and never becomes a frame") {
    CHECK(rc::check("garbage", [] {
        Bytes stream = *rc::gen::container<Bytes>(rc::gen::arbitrary<char>());
        if (*rc::gen::arbitrary<bool>()) {  // gets past the first check
            Bytes magic;
            put_le<uint32_t>(magic, kFrameMagic);
            stream = magic + stream + Bytes(200, '\x01');
        }
        std::vector<Sent> got;
        const std::optional<Error> error = read_all(stream, {3}, got);
        RC_ASSERT(got.empty());
        RC_ASSERT(error.has_value() || stream.size() < kHeaderBytes);
    }));
}

TEST_CASE("wire: a length above the cap is refused by its header alone") {
    Bytes stream;
    append_header(stream, {.kind = FrameKind::Request}, Bytes(kMaxPayload + 1, 'x'));
    const Result<FrameHeader> refused = decode_header(stream, kMaxPayload);
    CHECK(refused.failed_with(Code::Invalid));
    const Result<FrameHeader> taken = decode_header(stream, kMaxPayload + 1);
    REQUIRE(taken.ok());
    CHECK(taken->payload_bytes == kMaxPayload + 1);
}

TEST_CASE("wire: another frame version, kind or flag is told apart from damage") {
    for (const auto& [at, value] : {std::pair<size_t, char>{4, 9}, {5, 0}, {5, 11}, {6, 4}, {7, 3}}) {
        CAPTURE(at);
        Bytes stream;
        append_header(stream, {.kind = FrameKind::Request}, "");
        stream[at] = value;
        const uint32_t crc = crc32c(ByteView(stream).substr(0, 60));
        for (size_t i = 0; i < 4; ++i) stream[60 + i] = static_cast<char>(crc >> (8 * i));
        CHECK(decode_header(stream, kMaxPayload).failed_with(Code::Unsupported));
    }
}

TEST_CASE("wire: the header's layout is the README's, byte for byte") {
    Bytes stream;
    append_frame(stream,
                 {.kind = FrameKind::StreamData,
                  .flags = flag::kLast,
                  .traffic = TrafficClass::Bulk,
                  .session_tag = 0x11121314,
                  .id = RequestId(0x2122232425262728),
                  .operation = static_cast<Operation>(0x31323334),
                  .group = GroupId(0x4142434445464748),
                  .entity = 0x5152535455565758,
                  .argument = 0x6162636465666768,
                  .credit = 0x71727374},
                 "abc");
    REQUIRE(stream.size() == 72);
    CHECK(stream.substr(0, 12) == ByteView("ORRF\x01\x04\x02\x02\x03\0\0\0", 12));
    CHECK(get_le<uint32_t>(stream.data() + 12) == crc32c("abc"));
    CHECK(get_le<uint64_t>(stream.data() + 16) == 0x2122232425262728);
    CHECK(get_le<uint64_t>(stream.data() + 24) == 0x4142434445464748);
    CHECK(get_le<uint64_t>(stream.data() + 32) == 0x5152535455565758);
    CHECK(get_le<uint64_t>(stream.data() + 40) == 0x6162636465666768);
    CHECK(get_le<uint32_t>(stream.data() + 48) == 0x31323334);
    CHECK(get_le<uint32_t>(stream.data() + 52) == 0x71727374);
    CHECK(get_le<uint32_t>(stream.data() + 56) == 0x11121314);
    CHECK(get_le<uint32_t>(stream.data() + 60) == crc32c(ByteView(stream).substr(0, 60)));
    CHECK(stream.substr(64) == ByteView("abc\0\0\0\0\0", 8));
}

}  // namespace
}  // namespace orrery::wire
