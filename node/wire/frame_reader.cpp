// The buffer's unread bytes begin at a multiple of 8, because frames are multiples of 8 and the buffer is moved only by
// whole frames. A payload that does not fit beside others gets memory of its own as soon as its header is known good.
#include <algorithm>

#include "node/wire/frame.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"

namespace orrery::wire {

namespace {

constexpr size_t kBufferBytes = 64u << 10;
constexpr size_t kLargePayloadBytes = 16u << 10;
// A good header is no proof of bytes to come: memory for a large payload grows as it arrives.
constexpr size_t kLargeStepBytes = 1u << 20;

Result<void> check_payload(const FrameHeader& header, ByteView payload, ByteView padding) {
    if (crc32c(payload) != header.payload_crc) return Error(Code::Corrupt, "crc of a frame's payload is wrong");
    for (char c : padding)
        if (c != 0) return Error(Code::Corrupt, "padding of a frame is not zero");
    return {};
}

}  // namespace

Bytes Payload::take() {
    Bytes out = is_owned_ ? std::move(owned_) : Bytes(view_);
    *this = Payload();
    return out;
}

FrameReader::FrameReader(uint32_t max_payload_bytes)
    : max_payload_bytes_(max_payload_bytes), words_(kBufferBytes / sizeof(uint64_t)) {}

std::span<char> FrameReader::space() {
    if (large_header_.has_value()) {
        const size_t whole = large_header_->payload_bytes + padding_bytes(large_header_->payload_bytes);
        if (large_filled_ == large_.size()) large_.resize(std::min(whole, large_.size() + std::max(large_.size(), kLargeStepBytes)));
        return {large_.data() + large_filled_, large_.size() - large_filled_};
    }
    char* const buffer = reinterpret_cast<char*>(words_.data());
    if (begin_ > 0) {
        std::memmove(buffer, buffer + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    CHECK(end_ < kBufferBytes, end_);
    return {buffer + end_, kBufferBytes - end_};
}

void FrameReader::filled(size_t count) {
    if (large_header_.has_value()) {
        large_filled_ += count;
        CHECK(large_filled_ <= large_.size(), large_filled_, large_.size());
    } else {
        end_ += count;
        CHECK(end_ <= kBufferBytes, end_);
    }
}

Result<std::optional<Frame>> FrameReader::next() {
    if (large_header_.has_value()) return finish_large();
    const char* const at = reinterpret_cast<const char*>(words_.data()) + begin_;
    const size_t there = end_ - begin_;
    if (there < kHeaderBytes) {
        // Someone who speaks another protocol may well wait after a few bytes: do not wait for 64 of them.
        if (there >= 4 && get_le<uint32_t>(at) != kFrameMagic)
            return Error(Code::Corrupt, "not a frame: the peer does not speak this protocol");
        return std::optional<Frame>();
    }
    TRY(FrameHeader header, decode_header(ByteView(at, there), max_payload_bytes_));
    const size_t padding = padding_bytes(header.payload_bytes);
    const size_t whole = kHeaderBytes + header.payload_bytes + padding;
    if (header.payload_bytes >= kLargePayloadBytes) {
        const size_t body_there = std::min(there, whole) - kHeaderBytes;
        large_.assign(at + kHeaderBytes, body_there);
        large_filled_ = body_there;
        begin_ += kHeaderBytes + body_there;
        large_header_ = header;
        return finish_large();
    }
    if (there < whole) return std::optional<Frame>();
    const ByteView payload(at + kHeaderBytes, header.payload_bytes);
    TRY(check_payload(header, payload, ByteView(payload.data() + payload.size(), padding)));
    begin_ += whole;
    return std::optional<Frame>(Frame{header, Payload(payload)});
}

Result<std::optional<Frame>> FrameReader::finish_large() {
    const size_t payload_bytes = large_header_->payload_bytes;
    const size_t whole = payload_bytes + padding_bytes(payload_bytes);
    if (large_filled_ < whole) return std::optional<Frame>();
    const ByteView all(large_.data(), whole);
    TRY(check_payload(*large_header_, all.substr(0, payload_bytes), all.substr(payload_bytes)));
    large_.resize(payload_bytes);
    Frame frame{*large_header_, Payload(std::exchange(large_, Bytes()))};
    large_header_.reset();
    large_filled_ = 0;
    return std::optional<Frame>(std::move(frame));
}

}  // namespace orrery::wire
