// What fibers wait on: Event, Mutex, Semaphore, Channel, Gate, Guarded. All for fibers of one scheduler; none is a lock
// between threads.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/fiber/fiber.h"
#include "runtime/fiber/scheduler.h"

namespace orrery {

/// Wakes all that wait now. Waiters look at their condition again: `while (!ready) TRY(changed.wait(fiber, deadline));`
class Notify {
 public:
    void notify_all() { queue_.wake_all(); }
    void notify_one() { queue_.wake_one(); }
    bool has_waiters() const { return !queue_.empty(); }
    /// Yields. Errors: Timeout, Cancelled.
    Result<void> wait(Fiber& fiber, Instant deadline = Instant::never()) { return fiber.wait(queue_, deadline); }

 private:
    WaitQueue queue_;
};

/// Set once (or reset); waiting for a set event does not wait.
class Event {
 public:
    void set() {
        set_ = true;
        queue_.wake_all();
    }
    void reset() { set_ = false; }
    bool is_set() const { return set_; }
    /// Yields. Errors: Timeout, Cancelled.
    Result<void> wait(Fiber& fiber, Instant deadline = Instant::never());

 private:
    bool set_ = false;
    WaitQueue queue_;
};

/// Mutual exclusion across yields. Fair: first come, first served.
class Mutex {
 public:
    class [[nodiscard]] Lock {
     public:
        explicit Lock(Mutex& mutex) : mutex_(&mutex) {}
        Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

     private:
        Mutex* mutex_;
    };
    /// Yields. Errors: Timeout, Cancelled.
    Result<Lock> lock(Fiber& fiber, Instant deadline = Instant::never());
    bool locked() const { return locked_; }

 private:
    void unlock();
    bool locked_ = false;
    WaitQueue queue_;
};

/// Counts permits. Fair: a large request is not overtaken by later small ones.
class Semaphore {
 public:
    explicit Semaphore(uint64_t permits) : available_(permits) {}
    /// Yields. Errors: Timeout, Cancelled. Requires: count <= the permits there are in all.
    Result<void> acquire(Fiber& fiber, uint64_t count = 1, Instant deadline = Instant::never());
    bool try_acquire(uint64_t count = 1);
    void release(uint64_t count = 1);
    uint64_t available() const { return available_; }

 private:
    uint64_t available_;
    std::deque<uint64_t> tickets_;  // of those who wait, oldest first
    uint64_t next_ticket_ = 0;
    WaitQueue queue_;
};

/// A bounded queue between fibers.
template <typename T>
class Channel {
 public:
    explicit Channel(size_t bound) : bound_(bound) { ORRERY_CHECK(bound > 0); }
    /// Yields: while full. Errors: Timeout, Cancelled; Unreachable once closed.
    Result<void> push(Fiber& fiber, T value, Instant deadline = Instant::never()) {
        TRY(fiber.maybe_yield());
        while (!closed_ && items_.size() >= bound_) TRY(fiber.wait(not_full_, deadline));
        if (closed_) return Error(Code::Unreachable, "channel closed");
        items_.push_back(std::move(value));
        not_empty_.wake_one();
        return {};
    }
    /// False when full or closed; the value is then lost with the argument.
    bool try_push(T value) {
        if (closed_ || items_.size() >= bound_) return false;
        items_.push_back(std::move(value));
        not_empty_.wake_one();
        return true;
    }
    /// Yields: while empty. Errors: Timeout, Cancelled; Unreachable once closed and drained.
    Result<T> pop(Fiber& fiber, Instant deadline = Instant::never()) {
        TRY(fiber.maybe_yield());
        while (items_.empty() && !closed_) TRY(fiber.wait(not_empty_, deadline));
        if (items_.empty()) return Error(Code::Unreachable, "channel closed");
        T value = std::move(items_.front());
        items_.pop_front();
        not_full_.wake_one();
        return value;
    }
    std::optional<T> try_pop() {
        if (items_.empty()) return std::nullopt;
        T value = std::move(items_.front());
        items_.pop_front();
        not_full_.wake_one();
        return value;
    }
    void close() {
        closed_ = true;
        not_empty_.wake_all();
        not_full_.wake_all();
    }
    size_t size() const { return items_.size(); }
    bool empty() const { return items_.empty(); }

 private:
    size_t bound_;
    bool closed_ = false;
    std::deque<T> items_;
    WaitQueue not_empty_;
    WaitQueue not_full_;
};

/// Counts who is inside; close() lets nobody in any more and waits until all have left.
class Gate {
 public:
    class [[nodiscard]] Pass {
     public:
        explicit Pass(Gate& gate) : gate_(&gate) { ++gate_->inside_; }
        Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
        Pass& operator=(Pass&&) = delete;
        ~Pass() {
            if (gate_ != nullptr && --gate_->inside_ == 0) gate_->empty_.wake_all();
        }

     private:
        Gate* gate_;
    };
    ~Gate() { ORRERY_CHECK(inside_ == 0, inside_); }
    /// nullopt once closed.
    std::optional<Pass> enter() {
        if (closed_) return std::nullopt;
        return Pass(*this);
    }
    bool closed() const { return closed_; }
    uint64_t inside() const { return inside_; }
    /// Yields: until everybody has left. Errors: Timeout, Cancelled (the gate stays closed).
    Result<void> close(Fiber& fiber, Instant deadline = Instant::never());

 private:
    bool closed_ = false;
    uint64_t inside_ = 0;
    WaitQueue empty_;
};

/// Shared state that may be touched only between two yields: pin() gives access, and a yield while pinned traps.
template <typename T>
class Guarded {
 public:
    template <typename... Args>
    explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

    class [[nodiscard]] Pin {
     public:
        Pin(Fiber& fiber, T& value) : fiber_(fiber), value_(value) { fiber_.pin(); }
        Pin(const Pin&) = delete;
        Pin& operator=(const Pin&) = delete;
        ~Pin() { fiber_.unpin(); }
        T* operator->() const { return &value_; }
        T& operator*() const { return value_; }

     private:
        Fiber& fiber_;
        T& value_;
    };
    Pin pin(Fiber& fiber) { return Pin(fiber, value_); }

 private:
    T value_;
};

}  // namespace orrery
