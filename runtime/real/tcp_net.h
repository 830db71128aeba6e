// TcpNet: byte streams over TCP, non-blocking and edge-triggered, for the fibers of one loop.
//
// A call tries the system call first and waits only when the kernel said "would block" since the last edge. Names are
// resolved by a thread of its own, so that a silent name server stalls neither the loop nor the disk pool.
#pragma once

#include <memory>

#include "runtime/env/net.h"
#include "runtime/env/tracer.h"
#include "runtime/real/loop.h"

namespace orrery::real {

class Resolver;

class TcpNet final : public Net {
 public:
    struct Options {
        /// Sent bytes unacknowledged for so long end the stream (TCP_USER_TIMEOUT); an idle peer that answers no probe
        /// is found in about the same time. 1 s to 10 min.
        Duration peer_silence_max = Duration::seconds(20);
        /// Connections that the kernel keeps for us until accept(). 1 to 65535, and the system's own limit.
        int backlog = 1024;
    };

    TcpNet(Loop& loop, Tracer& tracer, Options options);
    ~TcpNet() override;

    /// A host that is a name is looked up here and now: listeners are opened at start, before anything is served.
    Result<std::unique_ptr<Listener>> listen(const Address& at) override;
    Result<std::unique_ptr<Conn>> connect(Fiber& fiber, const Address& to, Instant deadline) override;

 private:
    Loop& loop_;
    Tracer& tracer_;
    Options options_;
    std::unique_ptr<Resolver> resolver_;
};

}  // namespace orrery::real
