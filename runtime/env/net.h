// Net: byte streams. They never lose, repeat or reorder bytes; they split, stall, reset and hang.
//
// Messages, framing and matching of replies are node/rpc's affair, so that the simulator can attack them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/fiber/fiber.h"

namespace orrery {

/// `host` is a name or a numeric address (real) or a simulated host's name; port 0 in listen() means "any free port".
struct Address {
    std::string host;
    uint16_t port = 0;

    auto operator<=>(const Address&) const = default;
    std::string text() const;
    /// "host:port", "[v6]:port". Errors: Invalid.
    static Result<Address> parse(std::string_view text);
};

/// One end of a connected stream. At most one fiber reads and one fiber writes at a time. Destruction closes at once:
/// bytes not yet sent may be lost, the peer sees end of stream or a reset.
class Conn {
 public:
    virtual ~Conn() = default;
    /// Yields: until at least one byte is there. Returns the bytes read, 0 at the peer's end of stream.
    /// Errors: Unreachable (reset, timed out by the kernel), Timeout, Cancelled.
    virtual Result<size_t> read(Fiber& fiber, std::span<char> into, Instant deadline = Instant::never()) = 0;
    /// Yields: until at least one byte was taken over. Returns how many were, often fewer than given; says nothing of
    /// their arrival. Errors: as read(); Invalid after shutdown_write().
    virtual Result<size_t> write(Fiber& fiber, ByteView bytes, Instant deadline = Instant::never()) = 0;
    /// Half-close: the peer reads end of stream after what was written; reading goes on. Idempotent.
    virtual void shutdown_write() = 0;
    /// Ends both directions now; fibers that read or write here wake with Unreachable. Idempotent.
    virtual void close() = 0;
    /// The other end, as the transport sees it. For messages to people only: addresses are reused.
    virtual Address peer() const = 0;

    /// write() until all is taken over. Errors: as write(); some bytes may have been sent.
    Result<void> write_all(Fiber& fiber, ByteView bytes, Instant deadline = Instant::never());
};

class Listener {
 public:
    virtual ~Listener() = default;
    /// Yields: until somebody connects. Running out of descriptors is waited out, not an error.
    /// Errors: Cancelled; Unreachable after close().
    virtual Result<std::unique_ptr<Conn>> accept(Fiber& fiber) = 0;
    virtual Address local() const = 0;
    virtual void close() = 0;
};

class Net {
 public:
    virtual ~Net() = default;
    /// Errors: Exists (the address is taken; context says by whom where known), Invalid.
    virtual Result<std::unique_ptr<Listener>> listen(const Address& at) = 0;
    /// Yields. Errors: Unreachable (refused, no route), Timeout, Cancelled, Invalid.
    virtual Result<std::unique_ptr<Conn>> connect(Fiber& fiber, const Address& to, Instant deadline) = 0;
};

}  // namespace orrery
