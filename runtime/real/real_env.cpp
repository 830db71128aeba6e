#include "runtime/real/real_env.h"

#include <sys/random.h>

#include <cerrno>

#include "runtime/base/check.h"

namespace orrery::real {

namespace {

uint64_t seed_from_system() {
    uint64_t seed = 0;
    ssize_t got;
    do got = getrandom(&seed, sizeof(seed), 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == sizeof(seed), errno);
    return seed;
}

}  // namespace

RealEnv::RealEnv(RealEnvOptions options)
    : options_(std::move(options)), loop_(options_.loop), tracer_(loop_.clock(), options_.log) {}

Result<std::unique_ptr<RealEnv>> RealEnv::open(RealEnvOptions options) {
    std::unique_ptr<RealEnv> out(new RealEnv(std::move(options)));
    TRY(out->disk_, PosixDisk::open_directory(out->options_.data_directory));
    ThreadBlocking before_the_loop_runs;
    TRY(out->lock_, out->disk_->lock(before_the_loop_runs, ""));
    out->executor_ = std::make_unique<ThreadExecutor>(out->loop_, out->options_.executor);
    out->net_ = std::make_unique<TcpNet>(out->loop_, out->tracer_, out->options_.net);
    const uint64_t seed = out->options_.seed ? *out->options_.seed : seed_from_system();
    out->env_.reset(new Env{.scheduler = out->loop_.scheduler(),
                            .clock = out->loop_.clock(),
                            .net = *out->net_,
                            .disk = *out->disk_,
                            .random = Random(seed),
                            .tracer = out->tracer_,
                            .executor = *out->executor_});
    return out;
}

RealEnv::~RealEnv() {
    loop_.drop_posts();
    if (executor_) executor_->stop();
}

Result<void> RealEnv::run(const Program& program) {
    return run(program, StopLimits(), [] { return Stop::No; });
}

Result<void> RealEnv::run(const Program& program, StopLimits limits, FunctionRef<Stop()> should_stop,
                          std::string* stuck) {
    std::unique_ptr<Process> process = program(*env_);
    std::optional<Result<void>> answer;
    env_->spawn("main", [&](Fiber& fiber) { answer = process->run(fiber); });

    // Until the main fiber has returned by itself, or there is no more patience with it.
    Instant drain_until = Instant::never();
    Stop wanted = Stop::No;
    bool draining = false;
    while (!answer && wanted != Stop::Now && SystemClock::read_now() < drain_until) {
        loop_.run_until(drain_until, [&] {
            wanted = should_stop();
            return answer || wanted == Stop::Now || (wanted == Stop::Drain && !draining);
        });
        if (answer || wanted == Stop::No || draining) continue;
        draining = true;
        drain_until = SystemClock::read_now() + limits.drain;
        tracer_.info("process.draining", {{"limit_ns", limits.drain}});
        process->request_stop();
    }
    const bool gave_up = !answer;
    if (gave_up)
        tracer_.warning("process.drain_given_up", {{"fibers", static_cast<uint64_t>(env_->scheduler.live())}});

    // What is left ends by Cancelled. A fiber may spawn another on its way out, so everybody is told once a turn.
    const Instant give_up_at = SystemClock::read_now() + limits.cancelled;
    const bool all_over = loop_.run_until(give_up_at, [&] {
        env_->scheduler.cancel_all();
        return env_->scheduler.live() == 0;
    });
    if (!all_over) {
        std::string names;
        for (const std::string& name : env_->scheduler.live_names()) names += (names.empty() ? "" : ", ") + name;
        CHECK(stuck != nullptr, "fibers that do not end", names);
        *stuck = names;
        (void)process.release();  // fibers still refer to it; the caller ends the process by _exit
        return Error(Code::Timeout, "fibers that do not end: " + names);
    }
    loop_.drop_posts();
    process.reset();
    if (gave_up && (answer->ok() || answer->failed_with(Code::Cancelled)))
        return Error(Code::Timeout, "stopped before it had drained");
    return std::move(*answer);
}

}  // namespace orrery::real
