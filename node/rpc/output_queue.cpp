#include "node/rpc/output_queue.h"

namespace orrery::rpc {

size_t OutputQueue::lane_of(const wire::FrameHeader& header) {
    // Only frames that no other frame of their id waits for may overtake.
    const bool free_to_overtake = header.kind == wire::FrameKind::Ping || header.kind == wire::FrameKind::Pong ||
                                  header.kind == wire::FrameKind::Credit;
    return free_to_overtake ? 0 : static_cast<size_t>(header.traffic);
}

bool OutputQueue::has_room(wire::TrafficClass traffic, size_t payload_bytes) const {
    const Lane& lane = lanes_[static_cast<size_t>(traffic)];
    return lane.frames.empty() ||
           (lane.frames.size() < max_frames_ && lane.bytes + payload_bytes <= max_bytes_);
}

void OutputQueue::push(OutFrame frame) {
    Lane& lane = lanes_[lane_of(frame.header)];
    lane.bytes += frame.payload.size();
    lane.frames.push_back(std::move(frame));
}

bool OutputQueue::forget(RequestId id, wire::TrafficClass traffic) {
    Lane& lane = lanes_[static_cast<size_t>(traffic)];
    bool request_here = false;
    std::erase_if(lane.frames, [&](const OutFrame& frame) {
        if (frame.header.id != id) return false;
        const bool request = frame.header.kind == wire::FrameKind::Request;
        if (!request && frame.header.kind != wire::FrameKind::StreamData) return false;
        request_here = request_here || request;
        lane.bytes -= frame.payload.size();
        return true;
    });
    return request_here;
}

void OutputQueue::clear() {
    for (Lane& lane : lanes_) lane = Lane();
}

OutFrame OutputQueue::pop(Lane& lane) {
    OutFrame frame = std::move(lane.frames.front());
    lane.frames.pop_front();
    lane.bytes -= frame.payload.size();
    return frame;
}

std::optional<OutFrame> OutputQueue::next(uint64_t batch_bytes, uint64_t limit_bytes, bool& bulk_taken) {
    const bool room = batch_bytes < limit_bytes;
    if (room && !lanes_[0].frames.empty()) return pop(lanes_[0]);
    if (room && !lanes_[1].frames.empty()) return pop(lanes_[1]);
    if (!lanes_[2].frames.empty() && (room || !bulk_taken)) {
        bulk_taken = true;
        return pop(lanes_[2]);
    }
    return std::nullopt;
}

}  // namespace orrery::rpc
