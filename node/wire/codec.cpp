#include "node/wire/codec.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>
#include <kj/io.h>

#include <vector>

#include "runtime/base/check.h"

namespace orrery::wire {

namespace {
constexpr size_t kPrefixBytes = 8;
constexpr size_t kScratchWords = 96;
constexpr int kNestingLimit = 8;
constexpr uint64_t kTraversalSlackWords = 64;
}  // namespace

Bytes encode_payload(FunctionRef<void(capnp::MessageBuilder&)> fill, size_t tail_bytes) {
    capnp::word scratch[kScratchWords] = {};  // capnp requires zeros
    capnp::MallocMessageBuilder builder(kj::arrayPtr(scratch, kScratchWords));
    fill(builder);
    const auto segments = builder.getSegmentsForOutput();
    const size_t message_bytes = capnp::computeSerializedSizeInWords(segments) * sizeof(capnp::word);
    CHECK(message_bytes < UINT32_MAX, message_bytes);
    Bytes out;
    out.reserve(kPrefixBytes + message_bytes + tail_bytes);
    put_le<uint32_t>(out, static_cast<uint32_t>(message_bytes));
    put_le<uint32_t>(out, 0);
    out.resize(kPrefixBytes + message_bytes);
    kj::ArrayOutputStream stream(
        kj::arrayPtr(reinterpret_cast<kj::byte*>(out.data()) + kPrefixBytes, message_bytes));
    capnp::writeMessage(stream, segments);
    return out;
}

Result<void> decode_payload(ByteView payload, const char* what,
                            FunctionRef<Result<void>(capnp::MessageReader&, Tail&)> read) {
    const auto corrupt = [what](const char* why) { return Error(Code::Corrupt, std::string(what) + ": " + why); };
    if (payload.size() < kPrefixBytes) return corrupt("too short");
    const auto message_bytes = get_le<uint32_t>(payload.data());
    if (get_le<uint32_t>(payload.data() + 4) != 0 || message_bytes % sizeof(capnp::word) != 0 ||
        message_bytes > payload.size() - kPrefixBytes)
        return corrupt("message length is wrong");

    const size_t words = message_bytes / sizeof(capnp::word);
    const char* const at = payload.data() + kPrefixBytes;
    std::vector<capnp::word> aligned;
    const capnp::word* message = reinterpret_cast<const capnp::word*>(at);
    if (reinterpret_cast<uintptr_t>(at) % sizeof(capnp::word) != 0) {
        aligned.resize(words);
        if (words > 0) std::memcpy(static_cast<void*>(aligned.data()), at, message_bytes);
        message = aligned.data();
    }
    capnp::ReaderOptions limits;
    limits.traversalLimitInWords = words + kTraversalSlackWords;
    limits.nestingLimit = kNestingLimit;
    Tail tail(payload.substr(kPrefixBytes + message_bytes));
    try {
        capnp::FlatArrayMessageReader reader(kj::arrayPtr(message, words), limits);
        if (reader.getEnd() != message + words) return corrupt("bytes between message and tail");
        TRY(read(reader, tail));
    } catch (const kj::Exception& exception) {
        return corrupt(exception.getDescription().cStr());
    }
    if (!tail.empty()) return corrupt("bytes left over");
    return {};
}

}  // namespace orrery::wire
