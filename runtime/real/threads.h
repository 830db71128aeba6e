// Threads of a daemon beside its loop's: signals are the loop's, so all of them start with every signal blocked but those
// that a fault of their own raises.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

#include "runtime/base/check.h"

namespace orrery::real {

/// A thread that took one of the process's signals would bypass the loop's signalfd.
template <typename Work>
std::thread start_thread_without_signals(Work work) {
    sigset_t all, before;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigdelset(&all, fault);
    ORRERY_CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    std::thread out(std::move(work));
    ORRERY_CHECK(pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
    return out;
}

}  // namespace orrery::real
