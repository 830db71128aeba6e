// Commands of extents come back equal, and what no sound leader writes is refused.
#include "node/wire/extent_command.h"

#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::wire;

namespace {

Bytes pattern(size_t bytes, unsigned seed) {
    Bytes out(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 7 + i / 251 + seed);
    return out;
}

ExtentCommand of_kind(ExtentCommandKind kind) {
    ExtentCommand out;
    out.kind = kind;
    out.extent = ExtentId(1ull << 60);
    return out;
}

ExtentCommand images_of(const Bytes& image, std::vector<uint64_t> blocks) {
    ExtentCommand out = of_kind(ExtentCommandKind::WriteImages);
    out.after = LogIndex(1ull << 59);
    for (uint64_t block : blocks) out.images.push_back({block, kImageBytes, 0xfedcba98, image});
    return out;
}

ExtentCommand punch_of(uint64_t offset, uint64_t length) {
    ExtentCommand out = of_kind(ExtentCommandKind::Punch);
    out.offset = offset;
    out.length = length;
    return out;
}

bool command_comes_back(const ExtentCommand& sent) {
    const Bytes payload = encode_extent_command(sent), shifted = "x" + payload;
    const auto got = decode_extent_command(payload), misaligned = decode_extent_command(ByteView(shifted).substr(1));
    return got.ok() && misaligned.ok() && *got == sent && *misaligned == sent && encode_extent_command(*got) == payload;
}
bool refused(const ExtentCommand& sent) { return decode_extent_command(encode_extent_command(sent)).failed_with(Code::Corrupt); }

}  // namespace

TEST_CASE("wire: commands of extents come back equal, misaligned too") {
    const Bytes image = pattern(kImageBytes, 1), payload = pattern(300'001, 2), last_payload = pattern(kAppendBytesMax, 3);
    CHECK(command_comes_back(of_kind(ExtentCommandKind::Create)));
    CHECK(command_comes_back(of_kind(ExtentCommandKind::Delete)));
    for (uint64_t offset : {uint64_t{0}, kImageBytes, kCheckedBytes - kImageBytes, kCheckedBytes, kExtentBytesMax - 77 * kImageBytes})
        CHECK(command_comes_back(append_command(ExtentId(7), offset, payload)));
    CHECK(command_comes_back(append_command(ExtentId(7), kImageBytes, last_payload)));
    CHECK(command_comes_back(append_command(ExtentId(7), 0, "x")));
    CHECK(command_comes_back(punch_of(kImageBytes, 3 * kImageBytes)));
    CHECK(command_comes_back(images_of(image, {0, 1, 5, kExtentBytesMax / kImageBytes - 1})));
    std::vector<uint64_t> most(kImagesMax);
    for (size_t i = 0; i < most.size(); ++i) most[i] = i;
    CHECK(command_comes_back(images_of(image, most)));
    CHECK(decode_extent_answer(encode_extent_answer({})).value() == ExtentAnswer{});
    const ExtentAnswer answer{static_cast<uint8_t>(Code::Stale), "of another time"};
    CHECK(decode_extent_answer(encode_extent_answer(answer)).value() == answer);
    CHECK(decode_extent_answer(encode_extent_answer({200, ""})).failed_with(Code::Corrupt));
}

TEST_CASE("wire: an append names the checksum of its payload, and of each piece of a checked block") {
    const Bytes payload = pattern(2 * kCheckedBytes, 4);
    const ExtentCommand command = append_command(ExtentId(7), kCheckedBytes - kImageBytes, payload);
    REQUIRE(command.pieces.size() == 3);
    CHECK(command.checksum == crc32c(payload));
    CHECK(command.pieces[0] == crc32c(ByteView(payload).substr(0, kImageBytes)));
    CHECK(command.pieces[1] == crc32c(ByteView(payload).substr(kImageBytes, kCheckedBytes)));
    CHECK(command.pieces[2] == crc32c(ByteView(payload).substr(kImageBytes + kCheckedBytes)));
}

TEST_CASE("wire: commands of extents that no sound leader writes are Corrupt") {
    const Bytes image = pattern(kImageBytes, 1), payload = pattern(5000, 2);
    const ExtentCommand append = append_command(ExtentId(7), kImageBytes, payload);
    for (unsigned kind = 0; kind < 256; ++kind) {
        CAPTURE(kind);
        CHECK(refused(of_kind(static_cast<ExtentCommandKind>(kind))) == (kind != 1 && kind != 5));
        CHECK((extent_command_name(static_cast<ExtentCommandKind>(kind)) != "?") == (kind >= 1 && kind <= 5));
    }
    auto bent = [](ExtentCommand command, auto change) {
        change(command);
        return refused(command);
    };
    CHECK(bent(append, [](auto& c) { c.extent = ExtentId(); }));
    CHECK(bent(append, [](auto& c) { c.offset += 1; }));
    CHECK(bent(append, [](auto& c) { c.length = 0; }));
    CHECK(bent(append, [](auto& c) { c.length = UINT64_MAX; }));
    CHECK(bent(append, [](auto& c) { c.offset = UINT64_MAX & ~(kImageBytes - 1); }));
    CHECK(bent(append, [](auto& c) { c.checksum ^= 1; }));
    CHECK(bent(append, [](auto& c) { c.pieces[0] ^= 1; }));
    CHECK(bent(append, [](auto& c) { c.pieces.push_back(0); }));
    CHECK(bent(append, [](auto& c) { c.after = LogIndex(1); }));
    CHECK(bent(append, [](auto& c) { c.kind = ExtentCommandKind::Create; }));
    CHECK(bent(append, [&](auto& c) { c.images.push_back({0, 1, 0, image}); }));
    CHECK(refused(append_command(ExtentId(7), kExtentBytesMax - kImageBytes, payload)));
    CHECK(refused(append_command(ExtentId(7), 0, pattern(kAppendBytesMax + 1, 1))));
    CHECK(refused(punch_of(kImageBytes, 0)));
    CHECK(refused(punch_of(kImageBytes, 100)));
    CHECK(refused(punch_of(1, kImageBytes)));
    CHECK(refused(punch_of(kExtentBytesMax, kImageBytes)));
    CHECK(refused(images_of(image, {})));
    CHECK(refused(images_of(image, {1, 1})));
    CHECK(refused(images_of(image, {2, 1})));
    CHECK(refused(images_of(image, {kExtentBytesMax / kImageBytes})));
    CHECK(refused(images_of(image, std::vector<uint64_t>(kImagesMax + 1))));
    CHECK(bent(images_of(image, {1}), [](auto& c) { c.after = LogIndex(); }));
    CHECK(bent(images_of(image, {1}), [](auto& c) { c.images[0].covered = 0; }));
    CHECK(bent(images_of(image, {1}), [](auto& c) { c.images[0].covered = kImageBytes + 1; }));
    CHECK(bent(images_of(image, {1}), [](auto& c) { c.images[0].covered = 100; }));  // with something behind
}

TEST_CASE("wire: commands of extents, cut or damaged, are refused or make sense (15,000 damages)") {
    const Bytes image = pattern(kImageBytes, 1), payload = pattern(300'001, 2);
    RandomStream draws(1, "wire.extent", 0);
    for (const Bytes& sample : {encode_extent_command(append_command(ExtentId(7), kImageBytes, payload)), encode_extent_command(images_of(image, {3, 4})),
                                encode_extent_command(punch_of(0, kImageBytes))}) {
        REQUIRE(decode_extent_command(sample).ok());
        CHECK(decode_extent_command(sample + "x").failed_with(Code::Corrupt));
        for (size_t size = 0; size < sample.size(); ++size) CHECK_FALSE(decode_extent_command(ByteView(sample).substr(0, size)).ok());
        for (int i = 0; i < 5000; ++i) {
            Bytes bent = sample;
            const size_t reach = draws.chance(0.7) ? std::min<size_t>(bent.size(), 160) : bent.size();
            for (uint64_t flips = 1 + draws.below(5); flips > 0; --flips) bent[draws.below(reach)] = static_cast<char>(draws.below(256));
            const auto got = decode_extent_command(bent);
            if (got.ok()) {
                REQUIRE(command_comes_back(*got));
            } else {
                REQUIRE(got.failed_with(Code::Corrupt));
            }
            const auto answer = decode_extent_answer(bent);
            if (!answer.ok()) REQUIRE(answer.failed_with(Code::Corrupt));
        }
    }
}
