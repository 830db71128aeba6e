// What a session still has to send, in three queues. Control goes first, foreground next; bulk gets at least one frame
// of every batch, so that it is slowed by the others but never starved. Pure.
#pragma once

#include <array>
#include <deque>
#include <optional>

#include "node/wire/frame.h"

namespace orrery::rpc {

struct OutFrame {
    wire::FrameHeader header;
    Bytes payload;
};

class OutputQueue {
 public:
    /// Bounds of each of the three queues.
    OutputQueue(uint32_t max_frames, uint64_t max_bytes) : max_frames_(max_frames), max_bytes_(max_bytes) {}

    /// Whether a frame of that size may join. An empty queue takes any.
    bool has_room(wire::TrafficClass traffic, size_t payload_bytes) const;
    /// Joins whether there is room or not: the caller has asked, or the frame is bounded otherwise.
    void push(OutFrame frame);
    /// Removes what is queued of an id: everything, if its request is still here; else its stream data only.
    /// True when the request was here: the peer will never hear of this id.
    bool forget(RequestId id, wire::TrafficClass traffic);
    bool empty() const { return lanes_[0].frames.empty() && lanes_[1].frames.empty() && lanes_[2].frames.empty(); }
    size_t frames() const { return lanes_[0].frames.size() + lanes_[1].frames.size() + lanes_[2].frames.size(); }
    void clear();

    /// The next frame of a batch that already has `batch_bytes` of at most `limit_bytes`; nullopt ends the batch.
    /// `bulk_taken` is the batch's own note, false at its begin.
    std::optional<OutFrame> next(uint64_t batch_bytes, uint64_t limit_bytes, bool& bulk_taken);

 private:
    struct Lane {
        std::deque<OutFrame> frames;
        uint64_t bytes = 0;
    };
    static size_t lane_of(const wire::FrameHeader& header);
    OutFrame pop(Lane& lane);

    uint32_t max_frames_;
    uint64_t max_bytes_;
    std::array<Lane, wire::kTrafficClasses> lanes_;
};

}  // namespace orrery::rpc
