// Frames: what a byte stream between two sessions is cut into. A fixed 64-byte header, a payload, zeros up to a
// multiple of 8, so that every payload begins 8-byte aligned. README.md has the layout byte for byte.
//
// Nothing of a frame is believed before it has been checked: first magic, version and length cap, then the header's own
// crc32c, then, when all bytes are there, the payload's. Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "node/wire/operation.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::wire {

inline constexpr uint8_t kProtocolVersionMin = 1;
inline constexpr uint8_t kProtocolVersionMax = 1;
inline constexpr size_t kHeaderBytes = 64;
inline constexpr uint32_t kFrameMagic = 0x4652524f;  // "ORRF"

/// C = sent by the side that connected (it asks), A = by the side that accepted (it answers).
enum class FrameKind : uint8_t {  // on the wire; never renumber
    Hello = 1,       // C, A: the first frame each way. payload: Hello
    Request = 2,     // C: argument = time budget in ns (0: none), credit = bytes of stream data it will take
    Reply = 3,       // A: a good end of this id. payload: the answer
    StreamData = 4,  // C, A: argument = number of the frame in its stream and direction, from 0
    End = 5,         // A: the other end of an id. payload: Status; empty = good
    Cancel = 6,      // C: nobody waits for this id any more; its end is still owed
    Credit = 7,      // C, A: argument = further bytes of stream data; 0 from A: "still at work on it"
    Ping = 8,        // C, A: argument = number
    Pong = 9,        // C, A: argument = the ping's number
    OneWay = 10,     // C: no answer, id 0
};
std::string_view frame_kind_name(FrameKind kind);

/// Which queue a frame travels in. Ids rise within a class; frames of one id keep one class.
enum class TrafficClass : uint8_t { Control = 0, Foreground = 1, Bulk = 2 };  // on the wire; never renumber
inline constexpr size_t kTrafficClasses = 3;
std::string_view traffic_class_name(TrafficClass traffic);

namespace flag {
inline constexpr uint8_t kUpload = 1;  // Request: stream data of the asking side follows
inline constexpr uint8_t kLast = 2;    // StreamData of an upload: no more follows (its payload may be empty)
}  // namespace flag

struct FrameHeader {
    FrameKind kind = FrameKind::Ping;
    uint8_t flags = 0;
    TrafficClass traffic = TrafficClass::Control;
    uint32_t session_tag = 0;  // agreed in the handshake; 0 in Hello. A frame of another session's life differs
    RequestId id;
    Operation operation = Operation::None;
    GroupId group;
    uint64_t entity = 0;  // what the request is about within its group: a partition, an extent, a snapshot
    uint64_t argument = 0;
    uint32_t credit = 0;
    uint32_t payload_bytes = 0;  // filled in by encode_header()
    uint32_t payload_crc = 0;    // likewise
};

/// Writes the header for `payload` and appends it to `out`. Requires: payload.size() < 2^32.
void append_header(Bytes& out, FrameHeader header, ByteView payload);
/// Header, payload and padding, appended.
void append_frame(Bytes& out, const FrameHeader& header, ByteView payload);
/// How many zeros follow a payload of that size.
constexpr size_t padding_bytes(size_t payload_bytes) { return (8 - payload_bytes % 8) % 8; }

/// Reads and checks a header. Requires: bytes.size() >= kHeaderBytes.
/// Errors: Corrupt (magic, crc, reserved bits), Unsupported (version, kind), Invalid (payload above max_payload_bytes).
Result<FrameHeader> decode_header(ByteView bytes, uint32_t max_payload_bytes);

/// A payload: a view into the reader's buffer, or bytes of its own when it was large.
class Payload {
 public:
    Payload() = default;
    explicit Payload(ByteView view) : view_(view) {}
    explicit Payload(Bytes owned) : owned_(std::move(owned)), is_owned_(true) {}

    ByteView view() const { return is_owned_ ? ByteView(owned_) : view_; }
    size_t size() const { return view().size(); }
    /// The bytes as one's own: moved when they were large, copied else. Leaves the payload empty.
    Bytes take();

 private:
    ByteView view_;
    Bytes owned_;
    bool is_owned_ = false;
};

struct Frame {
    FrameHeader header;
    Payload payload;  // a view lives until the reader's next space()
};

/// Cuts a stream into frames, however it was split. Large payloads are received straight into memory of their own, so
/// that they are never copied; small ones are looked at in place.
class FrameReader {
 public:
    /// `max_payload_bytes` bounds what a peer can make us hold.
    explicit FrameReader(uint32_t max_payload_bytes);

    /// Where the next bytes of the stream go; never empty. Invalidates views of earlier frames.
    /// Requires: next() has answered nullopt since the last filled().
    std::span<char> space();
    /// `count` bytes were put at the front of space().
    void filled(size_t count);
    /// The next whole frame, or nullopt when more bytes are needed. After an error the stream is over for good.
    /// Errors: as decode_header(); Corrupt (payload crc, padding that is not zero).
    Result<std::optional<Frame>> next();
    /// Bytes received that belong to a frame not yet whole: a stream that ends here was cut.
    size_t pending_bytes() const { return end_ - begin_ + large_filled_; }
    void set_max_payload_bytes(uint32_t bytes) { max_payload_bytes_ = bytes; }

 private:
    Result<std::optional<Frame>> finish_large();

    uint32_t max_payload_bytes_;
    std::vector<uint64_t> words_;  // the buffer, as words: 8-byte aligned
    size_t begin_ = 0;             // of the bytes not yet taken, a multiple of 8 while no frame is pending
    size_t end_ = 0;
    // While a large payload is under way; its header has been taken from the buffer.
    std::optional<FrameHeader> large_header_;
    Bytes large_;              // payload and padding
    size_t large_filled_ = 0;
};

}  // namespace orrery::wire
