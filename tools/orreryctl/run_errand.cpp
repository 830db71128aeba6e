#include "tools/orreryctl/run_errand.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/env/errand.h"
#include "runtime/real/daemon.h"
#include "runtime/real/signals.h"

namespace orrery::ctl {

namespace {

/// While the temporary directory is there, the signals that would end the process wait, also for every thread that is started.
/// What came meanwhile and nobody took has its effect in release().
class HeldSignals {
 public:
    HeldSignals() {
        sigset_t set;
        sigemptyset(&set);
        for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) sigaddset(&set, signal);
        CHECK(pthread_sigmask(SIG_BLOCK, &set, &before_) == 0);
    }
    void release() { CHECK(pthread_sigmask(SIG_SETMASK, &before_, nullptr) == 0); }

 private:
    sigset_t before_;
};

/// As whoever started this process wants it (nohup, a shell's background).
bool is_ignored(int signal) {
    struct sigaction now;
    CHECK(sigaction(signal, nullptr, &now) == 0);
    return now.sa_handler == SIG_IGN;
}

bool is_refusal(Code code) {
    switch (code) {
        case Code::Stale:
        case Code::NotFound:
        case Code::Exists:
        case Code::Invalid:
        case Code::NoSpace:
        case Code::Unsupported: return true;
        default: return false;
    }
}

int say_why(const Error& error, const ErrandOptions& options) {
    if (options.refused != nullptr && is_refusal(error.code) && !error.context.empty()) {
        std::fprintf(stderr, "orreryctl: error[%s]: %s\n", options.refused, error.context.c_str());
    } else {
        std::fprintf(stderr, "orreryctl: error[E0302]: %s\n", error.text().c_str());
    }
    return exit_code_of_command(error.code);
}

/// Sets `signalled` when a signal broke it off.
Result<void> run_in(real::RealEnv& env, const Work& work, int& signalled) {
    real::Signals signals(env.loop(), {SIGINT, SIGTERM, SIGHUP, SIGPIPE}, [&signalled](int signal) {
        if (!is_ignored(signal)) signalled = signal;
    });
    const auto should_stop = [&signalled] { return signalled == 0 ? real::RealEnv::Stop::No : real::RealEnv::Stop::Now; };
    return env.run([&](Env& inner) { return std::make_unique<Errand>(inner, work); }, {}, should_stop);
}

}  // namespace

int exit_code_of_command(Code code) {
    switch (code) {
        case Code::Exists:
        case Code::NotFound:
        case Code::Invalid: return real::kExitUsage;
        case Code::Unknown:
        case Code::Timeout: return real::kExitUnreachable;
        case Code::Stale:
        case Code::NotReady: return real::kExitTryAgain;
        default: return real::exit_code_of(Error(code));
    }
}

int run_errand(const Work& work, ErrandOptions options) {
    HeldSignals held;
    char directory[] = "/tmp/orreryctl-XXXXXX";
    if (mkdtemp(directory) == nullptr) {
        std::fprintf(stderr, "orreryctl: error[E0301]: no temporary directory could be made below /tmp; check its permissions\n");
        return real::kExitIo;
    }
    real::RealEnvOptions env_options;
    env_options.data_directory = directory;
    env_options.log.least = Severity::Error;
    Result<std::unique_ptr<real::RealEnv>> env = real::RealEnv::open(std::move(env_options));
    int signalled = 0;
    const Result<void> done = env.ok() ? run_in(**env, work, signalled) : Result<void>(env.error());
    // Only what RealEnv itself made is in there.
    (void)unlink((std::string(directory) + "/LOCK").c_str());
    (void)rmdir(directory);
    held.release();
    if (signalled != 0) {
        if (options.ends == Ends::ByInterrupt && signalled != SIGPIPE) return real::kExitFine;
        raise(signalled);
    }
    if (!done.ok()) return say_why(done.error(), options);
    if (std::fflush(stdout) != 0) {
        std::fprintf(stderr, "orreryctl: error[E0307]: standard output can not be written: %s\n", std::strerror(errno));
        return real::kExitIo;
    }
    return real::kExitFine;
}

bool parse_addresses(const char* flag, const std::vector<std::string>& texts, std::vector<Address>& out) {
    for (const std::string& text : texts) {
        Result<Address> address = Address::parse(text);
        if (!address.ok()) {
            std::fprintf(stderr, "%s: error[E0303]: %s\n", flag, address.error().context.c_str());
            return false;
        }
        out.push_back(*address);
    }
    return true;
}

}  // namespace orrery::ctl
