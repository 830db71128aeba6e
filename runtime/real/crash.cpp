#include "runtime/real/crash.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/check.h"

namespace orrery::real {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

/// What the handlers of this process may look at.
struct CrashState {
    const char* program = nullptr;
    Loop* loop = nullptr;
    FlightRecorder* recorder = nullptr;
    struct sigaction before[std::size(kSignals)];
};
CrashState state_of_process;
CrashState* crash_state = nullptr;  // &state_of_process while a CrashHandler lives

const char* signal_text(int signal) {
    switch (signal) {
        case SIGSEGV: return "SIGSEGV (bad memory access)";
        case SIGBUS: return "SIGBUS (bad memory access, or a mapped file that is gone)";
        case SIGILL: return "SIGILL (illegal instruction)";
        case SIGFPE: return "SIGFPE (arithmetic error)";
        case SIGABRT: return "SIGABRT (abort)";
    }
    return "a signal";
}

/// Text into a fixed buffer, with nothing but what a signal handler may use.
class Line {
 public:
    Line& operator<<(std::string_view text) {
        const size_t room = sizeof(buffer_) - length_;
        const size_t taken = text.size() < room ? text.size() : room;
        std::memcpy(buffer_ + length_, text.data(), taken);
        length_ += taken;
        return *this;
    }
    Line& hex(uintptr_t value) {
        char digits[2 * sizeof(value)];
        size_t count = 0;
        do digits[count++] = "0123456789abcdef"[value & 15];
        while ((value >>= 4) != 0);
        *this << "0x";
        while (count > 0) *this << std::string_view(&digits[--count], 1);
        return *this;
    }
    void write() const {
        if (::write(STDERR_FILENO, buffer_, length_) < 0) return;  // nobody is left to be told
    }

 private:
    char buffer_[512];
    size_t length_ = 0;
};

void on_crash(int signal, siginfo_t* info, void*) {
    const int saved = errno;
    if (const CrashState* state = crash_state; state != nullptr) {
        Line line;
        line << state->program << ": error[E0002]: killed by " << signal_text(signal);
        if (signal == SIGSEGV || signal == SIGBUS) (line << " at ").hex(reinterpret_cast<uintptr_t>(info->si_addr));
        const bool on_loop = Loop::this_thread_runs_a_loop() && state->loop != nullptr;
        if (on_loop && state->loop->scheduler().in_fiber())
            line << " in fiber '" << state->loop->scheduler().running_name() << "'";
        if (on_loop && signal == SIGSEGV && state->loop->stacks().is_guard(info->si_addr))
            line << "; the stack of this fiber has overflowed";
        line << "; this is a bug of orrery, please report it with the events below\n";
        line.write();
        if (state->recorder != nullptr) state->recorder->dump(STDERR_FILENO);
    }
    // The default action, on return: the faulting instruction runs again, or abort() raises the signal again.
    struct sigaction fallback {};
    fallback.sa_handler = SIG_DFL;
    sigaction(signal, &fallback, nullptr);
    if (info->si_code <= 0 && signal != SIGABRT) raise(signal);  // sent by kill(2): nothing would repeat it
    errno = saved;
}

}  // namespace

SignalStack::SignalStack() : memory_(std::make_unique<char[]>(kBytes)) {
    stack_t stack{};
    stack.ss_sp = memory_.get();
    stack.ss_size = kBytes;
    CHECK(sigaltstack(&stack, nullptr) == 0, errno);
}

SignalStack::~SignalStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    (void)sigaltstack(&none, nullptr);
}

CrashHandler::CrashHandler(const char* program, Loop* loop, FlightRecorder* recorder) {
    CHECK(crash_state == nullptr, "a second CrashHandler");
    crash_state = &state_of_process;
    state_of_process = {.program = program, .loop = loop, .recorder = recorder, .before = {}};
    struct sigaction action {};
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < std::size(kSignals); ++i)
        CHECK(sigaction(kSignals[i], &action, &crash_state->before[i]) == 0, errno);
}

CrashHandler::~CrashHandler() {
    for (size_t i = 0; i < std::size(kSignals); ++i) (void)sigaction(kSignals[i], &crash_state->before[i], nullptr);
    crash_state = nullptr;
}

}  // namespace orrery::real
