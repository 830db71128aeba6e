// Between our structs and Cap'n Proto. Included by this folder's .cpp files only: it is the one place where capnp's
// reader runs on bytes of a peer, and where kj::Exception ends.
//
// A payload is: uint32 bytes of the message, uint32 zero, the message (unpacked, one flat array with its segment
// table), then the tail: raw bytes whose lengths the message names.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/function.h"
#include "runtime/base/result.h"

namespace capnp {
class MessageBuilder;
class MessageReader;
}  // namespace capnp

namespace orrery::wire {

/// Serialises the message `fill` builds, with room for `tail_bytes` more to be appended by the caller.
Bytes encode_payload(FunctionRef<void(capnp::MessageBuilder&)> fill, size_t tail_bytes = 0);

/// False: `number` is none of the enumerators first..last.
template <typename Enum>
bool take_enum(uint8_t number, Enum first, Enum last, Enum& out) {
    if (number < static_cast<uint8_t>(first) || number > static_cast<uint8_t>(last)) return false;
    out = static_cast<Enum>(number);
    return true;
}

/// The tail of a payload being decoded: pieces are taken in the order they were appended.
class Tail {
 public:
    explicit Tail(ByteView bytes) : reader_(bytes) {}
    /// False when fewer bytes are left.
    bool take(uint64_t count, ByteView& out) { return reader_.take_bytes(count, out); }
    bool empty() const { return reader_.empty(); }

 private:
    ByteReader reader_;
};

/// Parses `payload` and calls `read`. Only bytes of the tail may be kept as views: a message misaligned in memory is
/// parsed from a copy. Errors: Corrupt: what capnp refuses, bytes left over, read's.
Result<void> decode_payload(ByteView payload, const char* what,
                            FunctionRef<Result<void>(capnp::MessageReader&, Tail&)> read);

}  // namespace orrery::wire
