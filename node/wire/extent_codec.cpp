// Codec of the commands of extents. They are replicated, so whatever a sound leader cannot have written is refused here, before
// anything is changed by it.
#include <capnp/message.h>

#include <algorithm>

#include "extent.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/extent_command.h"
#include "runtime/base/crc32c.h"

namespace orrery::wire {

namespace {

Error corrupt(const char* why) { return Error(Code::Corrupt, std::string("extent command: ") + why); }

/// Whether [offset, offset + length) is a range of an extent that begins at a block.
bool is_range(uint64_t offset, uint64_t length) {
    return offset % kImageBytes == 0 && length > 0 && offset <= kExtentBytesMax && length <= kExtentBytesMax - offset;
}

Result<void> check_append(const ExtentCommand& command) {
    if (!is_range(command.offset, command.length) || command.length > kAppendBytesMax) return corrupt("no range to append to");
    if (command.pieces.size() != pieces_of(command.offset, command.length)) return corrupt("wrong number of pieces");
    uint32_t whole = 0;
    uint64_t at = command.offset;
    const uint64_t end = command.offset + command.length;
    for (const uint32_t piece : command.pieces) {
        const uint64_t piece_end = std::min(end, (at / kCheckedBytes + 1) * kCheckedBytes);
        whole = crc32c_combine(whole, piece, piece_end - at);
        at = piece_end;
    }
    if (whole != command.checksum) return corrupt("checksums of the pieces are not that of the whole");
    return {};
}

Result<void> check_images(const ExtentCommand& command) {
    if (command.images.empty()) return corrupt("no images");
    if (!command.after) return corrupt("images of nothing");
    uint64_t next = 0;
    for (const BlockImage& image : command.images) {
        if (image.block < next || image.block >= kExtentBytesMax / kImageBytes) return corrupt("blocks that do not rise");
        next = image.block + 1;
        if (image.covered == 0 || image.covered > kImageBytes) return corrupt("a block that covers nothing");
        if (image.bytes.find_first_not_of('\0', image.covered) != ByteView::npos) return corrupt("bytes behind what an image covers");
    }
    return {};
}

}  // namespace

std::string_view extent_command_name(ExtentCommandKind kind) {
    switch (kind) {
        case ExtentCommandKind::Create: return "create";
        case ExtentCommandKind::Append: return "append";
        case ExtentCommandKind::WriteImages: return "write_images";
        case ExtentCommandKind::Punch: return "punch";
        case ExtentCommandKind::Delete: return "delete";
    }
    return "?";
}

uint64_t pieces_of(uint64_t offset, uint64_t length) {
    return length == 0 ? 0 : (offset + length - 1) / kCheckedBytes - offset / kCheckedBytes + 1;
}

ExtentCommand append_command(ExtentId extent, uint64_t offset, ByteView payload) {
    ExtentCommand out{.kind = ExtentCommandKind::Append, .extent = extent, .offset = offset, .length = payload.size(), .pieces = {}, .after = {}, .images = {}};
    uint64_t at = offset;
    while (!payload.empty()) {
        const ByteView piece = payload.substr(0, kCheckedBytes - at % kCheckedBytes);
        out.pieces.push_back(crc32c(piece));
        out.checksum = crc32c_combine(out.checksum, out.pieces.back(), piece.size());
        at += piece.size();
        payload.remove_prefix(piece.size());
    }
    return out;
}

Bytes encode_extent_command(const ExtentCommand& command) {
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::ExtentCommand>();
            root.setKind(static_cast<uint8_t>(command.kind));
            root.setExtent(command.extent.value);
            root.setOffset(command.offset);
            root.setLength(command.length);
            root.setChecksum(command.checksum);
            root.setAfter(command.after.value);
            auto pieces = root.initPieces(static_cast<unsigned>(command.pieces.size()));
            for (unsigned i = 0; i < pieces.size(); ++i) pieces.set(i, command.pieces[i]);
            auto images = root.initImages(static_cast<unsigned>(command.images.size()));
            for (unsigned i = 0; i < images.size(); ++i) {
                images[i].setBlock(command.images[i].block);
                images[i].setCovered(command.images[i].covered);
                images[i].setReplaced(command.images[i].replaced);
            }
        },
        command.images.size() * kImageBytes);
    for (const BlockImage& image : command.images) out.append(image.bytes);
    return out;
}

Result<ExtentCommand> decode_extent_command(ByteView bytes) {
    ExtentCommand command;
    TRY(decode_payload(bytes, "extent command", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::ExtentCommand>();
        if (!take_enum(root.getKind(), ExtentCommandKind::Create, ExtentCommandKind::Delete, command.kind)) return corrupt("unknown kind");
        command.extent = ExtentId(root.getExtent());
        command.offset = root.getOffset();
        command.length = root.getLength();
        command.checksum = root.getChecksum();
        command.after = LogIndex(root.getAfter());
        auto pieces = root.getPieces();
        if (pieces.size() > pieces_of(kImageBytes, kAppendBytesMax)) return corrupt("too many pieces");
        command.pieces.reserve(pieces.size());
        for (const uint32_t piece : pieces) command.pieces.push_back(piece);
        auto images = root.getImages();
        if (images.size() > kImagesMax) return corrupt("too many images");
        command.images.reserve(images.size());
        for (auto in : images) {
            BlockImage& image = command.images.emplace_back(BlockImage{in.getBlock(), in.getCovered(), in.getReplaced(), {}});
            if (!tail.take(kImageBytes, image.bytes)) return corrupt("bytes of an image are missing");
        }
        return {};
    }));
    if (!command.extent) return corrupt("no extent is named");
    const bool append = command.kind == ExtentCommandKind::Append, images = command.kind == ExtentCommandKind::WriteImages;
    const bool ranged = append || command.kind == ExtentCommandKind::Punch;
    if ((!ranged && (command.offset != 0 || command.length != 0)) || (!append && (command.checksum != 0 || !command.pieces.empty())) ||
        (!images && (command.after || !command.images.empty())))
        return corrupt("fields of another kind");
    if (append) TRY(check_append(command));
    if (images) TRY(check_images(command));
    if (command.kind == ExtentCommandKind::Punch && (!is_range(command.offset, command.length) || command.length % kImageBytes != 0))
        return corrupt("no range to free");
    return command;
}

Bytes encode_extent_answer(const ExtentAnswer& answer) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::ExtentAnswer>();
        root.setCode(answer.code);
        root.setContext(capnp::Text::Reader(answer.context.c_str(), answer.context.size()));
    });
}

Result<ExtentAnswer> decode_extent_answer(ByteView bytes) {
    ExtentAnswer answer;
    TRY(decode_payload(bytes, "answer about an extent", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::ExtentAnswer>();
        answer.code = root.getCode();
        if (answer.code != 0 && !code_from_number(answer.code)) return Error(Code::Corrupt, "answer about an extent: unknown code");
        auto context = root.getContext();
        answer.context.assign(context.begin(), context.size());
        return {};
    }));
    return answer;
}

}  // namespace orrery::wire
