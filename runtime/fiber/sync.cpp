#include "runtime/fiber/sync.h"

#include <algorithm>

namespace orrery {

Result<void> Event::wait(Fiber& fiber, Instant deadline) {
    TRY(fiber.maybe_yield());
    while (!set_) TRY(fiber.wait(queue_, deadline));
    return {};
}

Result<Mutex::Lock> Mutex::lock(Fiber& fiber, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (!locked_) {
        locked_ = true;
        return Lock(*this);
    }
    // unlock() hands the lock over to the one it wakes, so nobody can slip in between.
    Result<void> woken = fiber.wait(queue_, deadline);
    if (!woken.ok()) return woken.error();
    return Lock(*this);
}

void Mutex::unlock() {
    if (!queue_.wake_one()) locked_ = false;
}

Result<void> Semaphore::acquire(Fiber& fiber, uint64_t count, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (tickets_.empty() && available_ >= count) {
        available_ -= count;
        return {};
    }
    const uint64_t ticket = next_ticket_++;
    tickets_.push_back(ticket);
    while (tickets_.front() != ticket || available_ < count) {
        Result<void> woken = fiber.wait(queue_, deadline);
        if (woken.ok()) continue;
        std::erase(tickets_, ticket);
        queue_.wake_all();
        return woken;
    }
    tickets_.pop_front();
    available_ -= count;
    if (!tickets_.empty()) queue_.wake_all();
    return {};
}

bool Semaphore::try_acquire(uint64_t count) {
    if (!tickets_.empty() || available_ < count) return false;
    available_ -= count;
    return true;
}

void Semaphore::release(uint64_t count) {
    available_ += count;
    if (!tickets_.empty()) queue_.wake_all();
}

Result<void> Gate::close(Fiber& fiber, Instant deadline) {
    closed_ = true;
    while (inside_ > 0) TRY(fiber.wait(empty_, deadline));
    return {};
}

}  // namespace orrery
