#include "node/wire/frame.h"

#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"

namespace orrery::wire {

namespace {

// Offsets of the header's fields; README.md has the same table.
constexpr size_t kMagicAt = 0, kVersionAt = 4, kKindAt = 5, kFlagsAt = 6, kTrafficAt = 7, kPayloadBytesAt = 8,
                 kPayloadCrcAt = 12, kIdAt = 16, kGroupAt = 24, kEntityAt = 32, kArgumentAt = 40, kOperationAt = 48,
                 kCreditAt = 52, kSessionTagAt = 56, kHeaderCrcAt = 60;

}  // namespace

std::string_view operation_name(Operation operation) {
    switch (operation) {
        case Operation::None: return "none";
        case Operation::RaftMessage: return "raft_message";
        case Operation::RaftHeartbeats: return "raft_heartbeats";
        case Operation::RaftHeartbeatsReply: return "raft_heartbeats_reply";
        case Operation::InstallSnapshot: return "install_snapshot";
        case Operation::FetchEntryBody: return "fetch_entry_body";
        case Operation::WantSnapshot: return "want_snapshot";
        case Operation::KvForward: return "kv_forward";
        case Operation::GroupMembers: return "group_members";
        case Operation::GroupChange: return "group_change";
        case Operation::GroupTransfer: return "group_transfer";
        case Operation::Identity: return "identity";
        case Operation::Init: return "init";
        case Operation::Join: return "join";
        case Operation::MasterChange: return "master_change";
        case Operation::MasterQuery: return "master_query";
        case Operation::MasterConfirm: return "master_confirm";
        case Operation::MasterList: return "master_list";
        case Operation::MasterHeartbeat: return "master_heartbeat";
        case Operation::PartitionCreate: return "partition_create";
        case Operation::PartitionDestroy: return "partition_destroy";
        case Operation::Echo: return "echo";
    }
    return "unknown";
}

std::string_view frame_kind_name(FrameKind kind) {
    switch (kind) {
        case FrameKind::Hello: return "hello";
        case FrameKind::Request: return "request";
        case FrameKind::Reply: return "reply";
        case FrameKind::StreamData: return "data";
        case FrameKind::End: return "end";
        case FrameKind::Cancel: return "cancel";
        case FrameKind::Credit: return "credit";
        case FrameKind::Ping: return "ping";
        case FrameKind::Pong: return "pong";
        case FrameKind::OneWay: return "one_way";
    }
    return "unknown";
}

std::string_view traffic_class_name(TrafficClass traffic) {
    switch (traffic) {
        case TrafficClass::Control: return "control";
        case TrafficClass::Foreground: return "foreground";
        case TrafficClass::Bulk: return "bulk";
    }
    return "unknown";
}

void append_header(Bytes& out, FrameHeader header, ByteView payload) {
    CHECK(payload.size() <= UINT32_MAX - 8, payload.size());
    char raw[kHeaderBytes];
    store_le<uint32_t>(raw + kMagicAt, kFrameMagic);
    store_le<uint8_t>(raw + kVersionAt, kProtocolVersionMax);
    store_le<uint8_t>(raw + kKindAt, static_cast<uint8_t>(header.kind));
    store_le<uint8_t>(raw + kFlagsAt, header.flags);
    store_le<uint8_t>(raw + kTrafficAt, static_cast<uint8_t>(header.traffic));
    store_le<uint32_t>(raw + kPayloadBytesAt, static_cast<uint32_t>(payload.size()));
    store_le<uint32_t>(raw + kPayloadCrcAt, crc32c(payload));
    store_le<uint64_t>(raw + kIdAt, header.id.value);
    store_le<uint64_t>(raw + kGroupAt, header.group.value);
    store_le<uint64_t>(raw + kEntityAt, header.entity);
    store_le<uint64_t>(raw + kArgumentAt, header.argument);
    store_le<uint32_t>(raw + kOperationAt, static_cast<uint32_t>(header.operation));
    store_le<uint32_t>(raw + kCreditAt, header.credit);
    store_le<uint32_t>(raw + kSessionTagAt, header.session_tag);
    store_le<uint32_t>(raw + kHeaderCrcAt, crc32c(ByteView(raw, kHeaderCrcAt)));
    out.append(raw, kHeaderBytes);
}

void append_frame(Bytes& out, const FrameHeader& header, ByteView payload) {
    append_header(out, header, payload);
    out.append(payload);
    out.append(padding_bytes(payload.size()), '\0');
}

Result<FrameHeader> decode_header(ByteView bytes, uint32_t max_payload_bytes) {
    CHECK(bytes.size() >= kHeaderBytes, bytes.size());
    const char* raw = bytes.data();
    if (get_le<uint32_t>(raw + kMagicAt) != kFrameMagic)
        return Error(Code::Corrupt, "not a frame: the peer does not speak this protocol");
    // The cap comes before everything that takes the bytes at their word; the crc before any meaning.
    const auto payload_bytes = get_le<uint32_t>(raw + kPayloadBytesAt);
    if (payload_bytes > max_payload_bytes)
        return Error(Code::Invalid, "frame of " + std::to_string(payload_bytes) + " bytes, at most " +
                                        std::to_string(max_payload_bytes) + " are taken");
    if (get_le<uint32_t>(raw + kHeaderCrcAt) != crc32c(bytes.substr(0, kHeaderCrcAt)))
        return Error(Code::Corrupt, "crc of a frame header is wrong");
    const auto version = get_le<uint8_t>(raw + kVersionAt);
    if (version < kProtocolVersionMin || version > kProtocolVersionMax)
        return Error(Code::Unsupported, "frame of protocol version " + std::to_string(version) + ", this is " +
                                            std::to_string(kProtocolVersionMax));
    const auto kind = get_le<uint8_t>(raw + kKindAt);
    if (kind < static_cast<uint8_t>(FrameKind::Hello) || kind > static_cast<uint8_t>(FrameKind::OneWay))
        return Error(Code::Unsupported, "frame of unknown kind " + std::to_string(kind));
    const auto flags = get_le<uint8_t>(raw + kFlagsAt);
    const auto traffic = get_le<uint8_t>(raw + kTrafficAt);
    if ((flags & ~(flag::kUpload | flag::kLast)) != 0 || traffic >= kTrafficClasses)
        return Error(Code::Unsupported, "frame with unknown flags or traffic class");

    FrameHeader header;
    header.kind = static_cast<FrameKind>(kind);
    header.flags = flags;
    header.traffic = static_cast<TrafficClass>(traffic);
    header.payload_bytes = payload_bytes;
    header.payload_crc = get_le<uint32_t>(raw + kPayloadCrcAt);
    header.id = RequestId(get_le<uint64_t>(raw + kIdAt));
    header.group = GroupId(get_le<uint64_t>(raw + kGroupAt));
    header.entity = get_le<uint64_t>(raw + kEntityAt);
    header.argument = get_le<uint64_t>(raw + kArgumentAt);
    header.operation = static_cast<Operation>(get_le<uint32_t>(raw + kOperationAt));
    header.credit = get_le<uint32_t>(raw + kCreditAt);
    header.session_tag = get_le<uint32_t>(raw + kSessionTagAt);
    return header;
}

}  // namespace orrery::wire
