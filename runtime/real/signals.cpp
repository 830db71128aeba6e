#include "runtime/real/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/check.h"

namespace orrery::real {

struct SavedMask {
    sigset_t mask;
};

/// Shared with what was posted, which may run after the Signals are gone.
struct Signals::Handler {
    UniqueFunction<void(int)> call;
    bool live = true;
};

Signals::Signals(Loop& loop, std::initializer_list<int> signals, UniqueFunction<void(int)> on_signal)
    : loop_(loop), handler_(std::make_shared<Handler>()), saved_(std::make_unique<SavedMask>()) {
    handler_->call = std::move(on_signal);
    sigset_t set;
    sigemptyset(&set);
    for (int signal : signals) sigaddset(&set, signal);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, &saved_->mask) == 0);
    descriptor_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(descriptor_ >= 0, errno);
    CHECK(loop_.watch(descriptor_, *this).ok());
}

Signals::~Signals() {
    handler_->live = false;
    loop_.unwatch(descriptor_);
    ::close(descriptor_);
    CHECK(pthread_sigmask(SIG_SETMASK, &saved_->mask, nullptr) == 0);
}

void Signals::on_events(uint32_t) {
    signalfd_siginfo info;
    while (::read(descriptor_, &info, sizeof(info)) == sizeof(info)) {
        loop_.post([handler = handler_, signal = static_cast<int>(info.ssi_signo)] {
            if (handler->live) handler->call(signal);
        });
    }
}

}  // namespace orrery::real
