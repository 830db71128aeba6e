// Signals: chosen signals as calls on the loop thread, through a signalfd.
//
// The signals are blocked for the creating thread and for every thread it starts later, so create this before any.
#pragma once

#include <initializer_list>

#include "runtime/base/function.h"
#include "runtime/real/loop.h"

namespace orrery::real {

class Signals final : private EventSource {
 public:
    /// `on_signal` is called between fibers, once for each delivery that the kernel kept apart.
    Signals(Loop& loop, std::initializer_list<int> signals, UniqueFunction<void(int)> on_signal);
    /// Restores the thread's signal mask.
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

 private:
    struct Handler;
    void on_events(uint32_t epoll_events) override;

    Loop& loop_;
    std::shared_ptr<Handler> handler_;
    int descriptor_ = -1;
    std::unique_ptr<struct SavedMask> saved_;
};

}  // namespace orrery::real
