// Resolver: names to addresses, on one thread of its own that starts with the first name.
//
// A lookup cannot be interrupted, so nobody waits for it longer than his own deadline: the answer to a request that was
// given up is thrown away.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/real/loop.h"
#include "runtime/real/socket_address.h"

namespace orrery::real {

class Resolver {
 public:
    static constexpr size_t kQueueMax = 256;

    explicit Resolver(Loop& loop) : loop_(loop) {}
    /// Waits for a lookup under way. Requires: no fiber is in resolve().
    ~Resolver();

    /// Yields. Errors: Unreachable (no such name, or too many lookups are waiting), Timeout, Cancelled.
    Result<std::vector<SocketAddress>> resolve(Fiber& fiber, const Address& address, Instant deadline);

 private:
    struct Request {
        Address address;
        Result<std::vector<SocketAddress>> answer = Error(Code::Unreachable);
        bool answered = false;  // loop thread only
        WaitQueue waiter;       // loop thread only
    };
    void work();

    Loop& loop_;
    std::mutex mutex_;
    std::condition_variable changed_;
    // Guarded by mutex_.
    std::deque<std::shared_ptr<Request>> requests_;
    bool stopping_ = false;
    std::thread thread_;  // loop thread only
};

}  // namespace orrery::real
