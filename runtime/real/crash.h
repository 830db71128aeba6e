// What a daemon says when it dies of a signal: which one, the fiber that ran, whether its stack overflowed, the last
// events. Then the signal takes its default action, so that a core and the supervisor see the true cause.
//
// Handlers run on a stack of their own: a fiber that overflowed has none left. Signal handlers are the one thing here
// that needs state of the process; there is one CrashHandler at a time.
#pragma once

#include <cstddef>
#include <memory>

#include "runtime/real/log_tracer.h"
#include "runtime/real/loop.h"

namespace orrery::real {

/// Gives the calling thread a stack for signal handlers, until destroyed on that thread.
class SignalStack {
 public:
    SignalStack();
    ~SignalStack();
    SignalStack(const SignalStack&) = delete;
    SignalStack& operator=(const SignalStack&) = delete;

 private:
    static constexpr size_t kBytes = 64 * 1024;
    std::unique_ptr<char[]> memory_;
};

class CrashHandler {
 public:
    /// For SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT (a failed CHECK). Create it on the loop's thread; any may be null.
    CrashHandler(const char* program, Loop* loop, FlightRecorder* recorder);
    ~CrashHandler();
    CrashHandler(const CrashHandler&) = delete;
    CrashHandler& operator=(const CrashHandler&) = delete;

 private:
    SignalStack stack_;
};

}  // namespace orrery::real
