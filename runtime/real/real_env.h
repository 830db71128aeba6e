// RealEnv: the Env of a daemon, on epoll, TCP, POSIX files and threads. Built once, in a *_main.cpp (through
// run_daemon) or by a test.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/env/process.h"
#include "runtime/real/log_tracer.h"
#include "runtime/real/loop.h"
#include "runtime/real/posix_disk.h"
#include "runtime/real/tcp_net.h"
#include "runtime/real/thread_executor.h"

namespace orrery::real {

struct RealEnvOptions {
    std::string data_directory;
    std::optional<uint64_t> seed;  // of Env::random; from the operating system when not given
    Loop::Options loop;
    ThreadExecutor::Options executor;
    TcpNet::Options net;
    LogTracer::Options log;
};

class RealEnv {
 public:
    /// Opens the data directory and holds its lock until destroyed. Errors: as PosixDisk::open_directory() and lock().
    static Result<std::unique_ptr<RealEnv>> open(RealEnvOptions options);
    /// Requires: no live fiber.
    ~RealEnv();

    Env& env() { return *env_; }
    Loop& loop() { return loop_; }
    LogTracer& tracer() { return tracer_; }
    ThreadExecutor& executor() { return *executor_; }
    PosixDisk& disk() { return *disk_; }

    struct StopLimits {
        Duration drain = Duration::seconds(10);  // from request_stop() until every fiber is cancelled
        Duration cancelled = Duration::seconds(5);  // from there until the stop is given up
    };
    /// One life of a process: makes it, runs its main fiber, cancels and ends the other fibers, destroys it. `should_stop`
    /// is asked once a turn: Drain calls request_stop(), Now cancels everything. Errors: run()'s; Timeout when draining
    /// took longer than allowed. Fibers that do not end at all are named in `stuck` (null: CHECK), and then nothing can
    /// be destroyed: the caller ends the process by _exit.
    enum class Stop { No, Drain, Now };
    Result<void> run(const Program& program, StopLimits limits, FunctionRef<Stop()> should_stop,
                     std::string* stuck = nullptr);
    /// run() without anything that stops it from outside.
    Result<void> run(const Program& program);

 private:
    explicit RealEnv(RealEnvOptions options);

    RealEnvOptions options_;
    Loop loop_;
    LogTracer tracer_;
    std::unique_ptr<PosixDisk> disk_;
    std::unique_ptr<DirLock> lock_;
    std::unique_ptr<ThreadExecutor> executor_;
    std::unique_ptr<TcpNet> net_;
    std::unique_ptr<Env> env_;
};

}  // namespace orrery::real
