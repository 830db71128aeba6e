// What a session is told: who this node is, its bounds and its intervals.
#pragma once

#include <cstdint>
#include <string>

#include "node/wire/messages.h"
#include "runtime/base/time.h"

namespace orrery::rpc {

using wire::FrameKind;
using wire::Operation;
using wire::Role;
using wire::TrafficClass;

/// Who speaks. Owned by the daemon; `cluster` is set once, at founding, and read at every handshake.
struct Identity {
    NodeId node;
    Incarnation incarnation;
    ClusterId cluster;  // 0: not founded
    Role role = Role::Node;
    uint8_t version_min = wire::kProtocolVersionMin;
    uint8_t version_max = wire::kProtocolVersionMax;
};

/// Who is at the other end, as its handshake said and ours accepted.
struct PeerInfo {
    NodeId node;  // 0: a client
    Incarnation incarnation;
    ClusterId cluster;
    Role role = Role::Node;
    TrafficClass traffic = TrafficClass::Foreground;
    uint8_t version = 0;  // agreed
    std::string address;  // for people
};

struct SessionOptions {
    /// Ids open at once, cancelled ones that the peer has not ended included. Full: Overloaded at home. 1..65536
    uint32_t window_requests = 1024;
    /// Of these, how many may be about one (group, entity). 1..window_requests
    uint32_t entity_share = 512;
    /// Frames queued and not yet handed to the transport, per traffic class; one-way messages beyond it are dropped,
    /// requests refused (Overloaded), stream data waits. Ends are always queued: the window bounds them.
    uint32_t queue_frames = 4096;
    uint64_t queue_bytes = 32u << 20;
    /// Stream data that may be under way to us per request and not yet read by its consumer. 4 KiB..1 GiB
    uint32_t stream_credit_bytes = 1u << 20;
    /// Largest payload of a frame either way. 4 KiB..1 GiB
    uint32_t max_payload_bytes = 16u << 20;
    Duration handshake_timeout = Duration::seconds(5);
    /// A ping leaves when nothing was received for so long; the session ends when nothing was for three times so long.
    /// Also: an id without a frame for three times so long, while pings are answered, is an error event.
    Duration liveness = Duration::seconds(2);
    /// How much the writer gathers into one write.
    uint64_t write_batch_bytes = 256u << 10;
};

/// What happened on a session, for /status and tests. Counts never go down.
struct SessionCounters {
    uint64_t frames_in = 0;
    uint64_t frames_out = 0;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    uint64_t writes = 0;               // of the transport: frames_out / writes is the batching
    uint64_t requests = 0;             // asked
    uint64_t answered = 0;             // ended by us
    uint64_t late_frames = 0;          // for cancelled ids: dropped
    uint64_t crossings = 0;            // credit, cancel, upload data for ended ids: ignored
    uint64_t refused_at_home = 0;      // window or queue full
    uint64_t messages_sent = 0;        // one-way
    uint64_t messages_dropped = 0;     // one-way: queue full or closed
    uint64_t cancelled = 0;            // ids given up by their caller
    uint64_t silent_ids = 0;           // error events
    uint64_t doubts = 0;               // 0 or 1
};

}  // namespace orrery::rpc
