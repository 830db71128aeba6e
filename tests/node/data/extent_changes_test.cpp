// What commands do to records, against a model that keeps the bytes and computes every checksum anew.
#include "node/data/extent_changes.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::data;
using namespace orrery::wire;

namespace {

struct Records : ExtentView {
    std::map<Bytes, Bytes> records;
    Result<std::optional<Bytes>> get(ByteView key) override {
        auto found = records.find(Bytes(key));
        return found == records.end() ? std::optional<Bytes>() : std::optional(found->second);
    }
    /// The refusal's code, if it was refused.
    std::optional<Code> apply(const ExtentCommand& command, LogIndex index) {
        const Bytes encoded = encode_extent_command(command);  // as it comes out of a log
        ExtentOutcome done = change_extent(decode_extent_command(encoded).value(), index, *this).value();
        if (done.refused) {
            REQUIRE(done.changes.empty());
            return done.refused->code;
        }
        for (auto& [key, value] : done.changes) {
            if (value) records[key] = *value;
            else records.erase(key);
        }
        return std::nullopt;
    }
};

Bytes drawn(RandomStream& draws, size_t bytes) {
    Bytes out(bytes, '\0');
    for (char& byte : out) byte = static_cast<char>(draws.below(256));
    return out;
}

ExtentCommand of_kind(ExtentCommandKind kind, ExtentId extent) {
    ExtentCommand out;
    out.kind = kind;
    out.extent = extent;
    return out;
}

}  // namespace

TEST_CASE("data: records of extents agree with the bytes they speak of (random commands, checksums computed anew)") {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        RandomStream draws(seed, "data.changes", 0);
        Records view;
        const ExtentId id(seed);
        Bytes model;  // padded to whole images
        uint64_t size = 0;
        std::vector<uint64_t> freed;
        LogIndex index(10), changed;
        REQUIRE(view.apply(of_kind(ExtentCommandKind::Create, id), index) == std::nullopt);
        changed = index;
        for (int step = 0; step < 60; ++step) {
            index = index.next();
            const uint64_t images = model.size() / kImageBytes;
            if (images == 0 || draws.chance(0.4)) {
                Bytes payload = drawn(draws, draws.chance(0.2) ? 1 + draws.below(3 * kCheckedBytes) : 1 + draws.below(20'000));
                REQUIRE(view.apply(append_command(id, model.size(), payload), index) == std::nullopt);
                size = model.size() + payload.size();
                payload.resize(whole_images(payload.size()), '\0');
                model += payload;
            } else if (draws.chance(0.9)) {
                ExtentCommand command = of_kind(ExtentCommandKind::WriteImages, id);
                command.after = changed;
                std::vector<Bytes> made;
                uint64_t block = draws.chance(0.3) ? images - 1 + draws.below(2) : draws.below(images);
                for (uint64_t end = block + 1 + draws.below(4); block < end; ++block) {
                    if (block > model.size() / kImageBytes || std::ranges::count(freed, block) != 0) break;
                    const bool fresh = block == model.size() / kImageBytes;
                    uint32_t covered = kImageBytes;
                    if (fresh) {
                        covered = static_cast<uint32_t>(1 + draws.below(kImageBytes));
                    } else if ((block + 1) * kImageBytes == model.size()) {
                        const uint64_t least = std::max<uint64_t>(1, size - block * kImageBytes);
                        covered = static_cast<uint32_t>(least + draws.below(kImageBytes - least + 1));
                    }
                    Bytes image = drawn(draws, covered);
                    image.resize(kImageBytes, '\0');
                    made.push_back(image);
                    const uint32_t replaced = fresh ? 0 : crc32c(ByteView(model).substr(block * kImageBytes, kImageBytes));
                    command.images.push_back({block, covered, replaced, {}});
                    if (fresh) model += image;
                    else model.replace(block * kImageBytes, kImageBytes, image);
                    size = std::max(size, block * kImageBytes + covered);
                }
                if (made.empty()) continue;
                for (size_t i = 0; i < made.size(); ++i) command.images[i].bytes = made[i];
                REQUIRE(view.apply(command, index) == std::nullopt);
            } else {
                ExtentCommand command = of_kind(ExtentCommandKind::Punch, id);
                const uint64_t block = draws.below(images), count = 1 + draws.below(std::min<uint64_t>(3, images - block));
                command.offset = block * kImageBytes;
                command.length = count * kImageBytes;
                REQUIRE(view.apply(command, index) == std::nullopt);
                for (uint64_t i = 0; i < count; ++i) freed.push_back(block + i);
            }
            changed = index;
            const ExtentRecord record = read_extent(view, id).value().value();
            REQUIRE(record.size_bytes == size);
            REQUIRE(record.changed == index);
            for (uint64_t block = 0; block * kCheckedBytes < model.size(); ++block) {
                const BlockRecord one = read_block(view, id, block).value().value();
                const uint64_t covered = std::min(kCheckedBytes, size - block * kCheckedBytes);
                REQUIRE(whole_images(one.covered) == whole_images(covered));
                if (covered < kCheckedBytes) REQUIRE(one.covered == covered);  // a gap at a block's end is padding
                REQUIRE(one.checksum == crc32c(ByteView(model).substr(block * kCheckedBytes, kCheckedBytes)));
                for (uint64_t i = 0; i < 32; ++i) REQUIRE((one.freed >> i & 1) == (std::ranges::count(freed, block * 32 + i) != 0));
            }
        }
        REQUIRE(view.apply(of_kind(ExtentCommandKind::Delete, id), index.next()) == std::nullopt);
        REQUIRE(view.records.size() == 1);  // the tombstone
        CHECK(view.apply(of_kind(ExtentCommandKind::Create, id), index.next()) == Code::Exists);
        CHECK(view.apply(append_command(id, 0, "x"), index.next()) == Code::NotFound);
        CHECK(view.apply(of_kind(ExtentCommandKind::Delete, id), index.next()) == Code::NotFound);
    }
}

TEST_CASE("data: what does not fit the extent is refused, and changes nothing") {
    Records view;
    const ExtentId id(5);
    const Bytes image(kImageBytes, 'i');
    CHECK(view.apply(append_command(id, 0, "x"), LogIndex(1)) == Code::NotFound);
    REQUIRE(view.apply(of_kind(ExtentCommandKind::Create, id), LogIndex(2)) == std::nullopt);
    CHECK(view.apply(of_kind(ExtentCommandKind::Create, id), LogIndex(3)) == Code::Exists);
    REQUIRE(view.apply(append_command(id, 0, Bytes(10'000, 'a')), LogIndex(4)) == std::nullopt);
    const auto before = view.records;
    CHECK(view.apply(append_command(id, 0, "x"), LogIndex(5)) == Code::Stale);
    CHECK(view.apply(append_command(id, 4 * kImageBytes, "x"), LogIndex(5)) == Code::Stale);
    std::vector<std::unique_ptr<Bytes>> kept;  // commands look into them
    auto images = [&](LogIndex after, uint64_t block, uint32_t covered) {
        ExtentCommand out = of_kind(ExtentCommandKind::WriteImages, id);
        out.after = after;
        kept.push_back(std::make_unique<Bytes>(image));
        std::fill(kept.back()->begin() + covered, kept.back()->end(), '\0');
        out.images.push_back({block, covered, 0, *kept.back()});
        return out;
    };
    CHECK(view.apply(images(LogIndex(3), 0, kImageBytes), LogIndex(6)) == Code::Stale);     // of an older state
    CHECK(view.apply(images(LogIndex(4), 4, kImageBytes), LogIndex(6)) == Code::Invalid);   // leaves a hole
    CHECK(view.apply(images(LogIndex(4), 0, 100), LogIndex(6)) == Code::Invalid);           // not the last one
    CHECK(view.apply(images(LogIndex(4), 2, 1807), LogIndex(6)) == Code::Invalid);          // 1808 it has
    ExtentCommand punch = of_kind(ExtentCommandKind::Punch, id);
    punch.length = 4 * kImageBytes;
    CHECK(view.apply(punch, LogIndex(6)) == Code::Invalid);
    CHECK(view.records == before);
    punch.length = kImageBytes;
    CHECK(view.apply(punch, LogIndex(7)) == std::nullopt);
    CHECK(view.apply(images(LogIndex(7), 0, kImageBytes), LogIndex(8)) == Code::NotFound);  // freed
}

TEST_CASE("data: records of extents come back equal; cut or damaged they are refused or make sense") {
    RandomStream draws(3, "data.records", 0);
    for (int i = 0; i < 300; ++i) {
        ExtentRecord extent{draws.chance(0.5) ? ExtentState::Live : ExtentState::Deleted, draws.below(kExtentBytesMax + 1), LogIndex(1000 + draws.below(1000)), LogIndex(draws.below(1000))};
        CHECK(decode_extent_record(encode_extent_record(extent)).value() == extent);
        BlockRecord block{static_cast<uint32_t>(1 + draws.below(kCheckedBytes)), static_cast<uint32_t>(draws.below(1ull << 32)), 0};
        block.freed = static_cast<uint32_t>(draws.below(uint64_t{1} << (whole_images(block.covered) / kImageBytes)));
        CHECK(decode_block_record(encode_block_record(block)).value() == block);
        for (const Bytes& sample : {encode_extent_record(extent), encode_block_record(block)}) {
            for (size_t size = 0; size < sample.size(); ++size) CHECK_FALSE(decode_extent_record(ByteView(sample).substr(0, size)).ok());
            CHECK_FALSE(decode_extent_record(sample + "x").ok());
            CHECK_FALSE(decode_block_record(sample + "x").ok());
            Bytes bent = sample;
            for (uint64_t flips = 1 + draws.below(3); flips > 0; --flips) bent[draws.below(bent.size())] = static_cast<char>(draws.below(256));
            if (auto got = decode_extent_record(bent); got.ok()) CHECK(encode_extent_record(*got) == bent);
            if (auto got = decode_block_record(bent); got.ok()) CHECK(encode_block_record(*got) == bent);
        }
    }
    for (unsigned state = 0; state < 256; ++state) {
        Bytes bytes = encode_extent_record({});
        bytes[1] = static_cast<char>(state);
        CHECK(decode_extent_record(bytes).ok() == (state == 1 || state == 2));
    }
    CHECK(extent_of_key(extent_key(ExtentId(1ull << 60))).value() == ExtentId(1ull << 60));
    CHECK(extent_of_key(block_key(ExtentId(1), 2)).failed_with(Code::Corrupt));
}
