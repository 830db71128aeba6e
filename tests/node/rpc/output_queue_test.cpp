// Which frame goes next.
#include "node/rpc/output_queue.h"

#include "runtime/base/check.h"
#include <doctest/doctest.h>

namespace orrery::rpc {
namespace {

using wire::FrameKind;
using wire::TrafficClass;

OutFrame frame(FrameKind kind, TrafficClass traffic, uint64_t id, size_t size = 10) {
    return {{.kind = kind, .traffic = traffic, .id = RequestId(id)}, Bytes(size, 'x')};
}

std::vector<uint64_t> batch(OutputQueue& queue, uint64_t limit) {
    std::vector<uint64_t> ids;
    bool bulk_taken = false;
    uint64_t bytes = 0;
    while (std::optional<OutFrame> next = queue.next(bytes, limit, bulk_taken)) {
        bytes += next->payload.size();
        ids.push_back(next->header.id.value);
    }
    return ids;
}

TEST_CASE("rpc: control goes first, then foreground, then bulk; frames of one class keep their order") {
    OutputQueue queue(100, 100'000);
    queue.push(frame(FrameKind::Request, TrafficClass::Bulk, 1));
    queue.push(frame(FrameKind::Request, TrafficClass::Foreground, 2));
    queue.push(frame(FrameKind::StreamData, TrafficClass::Foreground, 3));
    queue.push(frame(FrameKind::Request, TrafficClass::Control, 4));
    queue.push(frame(FrameKind::Credit, TrafficClass::Bulk, 5));  // may overtake its class
    queue.push(frame(FrameKind::End, TrafficClass::Bulk, 6));     // may not
    CHECK(batch(queue, 1000) == std::vector<uint64_t>{4, 5, 2, 3, 1, 6});
    CHECK(queue.empty());
}

TEST_CASE("rpc: bulk gets one frame of every batch, however much foreground there is") {
    OutputQueue queue(100, 100'000);
    for (uint64_t i = 0; i < 20; ++i) queue.push(frame(FrameKind::Request, TrafficClass::Foreground, i));
    queue.push(frame(FrameKind::Request, TrafficClass::Bulk, 100));
    queue.push(frame(FrameKind::Request, TrafficClass::Bulk, 101));
    CHECK(batch(queue, 30) == std::vector<uint64_t>{0, 1, 2, 100});
    CHECK(batch(queue, 30) == std::vector<uint64_t>{3, 4, 5, 101});
    CHECK(batch(queue, 30) == std::vector<uint64_t>{6, 7, 8});
}

TEST_CASE("rpc: each class has its own bounds, and an empty queue takes any frame") {
    OutputQueue queue(2, 50);
    CHECK(queue.has_room(TrafficClass::Bulk, 1000));
    queue.push(frame(FrameKind::Request, TrafficClass::Bulk, 1, 40));
    CHECK(!queue.has_room(TrafficClass::Bulk, 11));
    CHECK(queue.has_room(TrafficClass::Bulk, 10));
    queue.push(frame(FrameKind::Request, TrafficClass::Bulk, 2, 1));
    CHECK(!queue.has_room(TrafficClass::Bulk, 0));
    CHECK(queue.has_room(TrafficClass::Foreground, 50));
    (void)batch(queue, 1000);
    CHECK(queue.has_room(TrafficClass::Bulk, 1000));
}

TEST_CASE("rpc: forgetting an id takes its request and data, and tells whether the peer can have heard of it") {
    OutputQueue queue(100, 100'000);
    queue.push(frame(FrameKind::Request, TrafficClass::Foreground, 1));
    queue.push(frame(FrameKind::Request, TrafficClass::Foreground, 2));
    queue.push(frame(FrameKind::StreamData, TrafficClass::Foreground, 1));
    queue.push(frame(FrameKind::StreamData, TrafficClass::Foreground, 3));
    queue.push(frame(FrameKind::Cancel, TrafficClass::Foreground, 3));
    CHECK(queue.forget(RequestId(1), TrafficClass::Foreground));
    CHECK(!queue.forget(RequestId(3), TrafficClass::Foreground));
    CHECK(!queue.forget(RequestId(9), TrafficClass::Foreground));
    CHECK(batch(queue, 1000) == std::vector<uint64_t>{2, 3});
}

}  // namespace
}  // namespace orrery::rpc
