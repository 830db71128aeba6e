// Child processes, one world each. The parent never runs a world and has one thread, so that every child begins alike.
//
// A child gets a pipe for its reply and one for standard error; the parent reads both, keeps a bounded part, enforces the
// wall limit, and sees how the child ended. When the parent dies, its children are killed by the kernel.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::cli {

/// Monotonic time of this machine, for limits and speeds; never for a verdict.
Instant machine_now();

/// SIGINT and SIGTERM as a file descriptor. While one lives they no longer end the process; children get them back.
class StopSignals {
 public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;
    int fd() const { return fd_; }
    /// How many have come since it began.
    int count();

 private:
    int fd_;
    int count_ = 0;
};

struct ChildLimits {
    Duration wall = Duration::seconds(60);
    size_t reply_bytes = 64u << 20;
    size_t stderr_bytes = 32u << 10;  // the last of them are kept
};

struct ChildEnd {
    uint64_t token = 0;  // what start() was given
    int exit_status = 0;  // when signal == 0
    int signal = 0;       // that ended it
    bool timed_out = false;      // killed by the wall limit
    bool reply_too_long = false; // killed because of it
    Bytes reply;
    std::string stderr_tail;
    Duration wall{};
};

class Children {
 public:
    explicit Children(StopSignals* stop = nullptr) : stop_(stop) {}
    /// Kills what is left and waits for it.
    ~Children();
    Children(const Children&) = delete;
    Children& operator=(const Children&) = delete;

    /// Forks; the child runs `body` with the writing end of its reply pipe and leaves with the status that it answers.
    /// Standard output of the child leads to standard error's pipe. Errors: Overloaded: no process or descriptor is to be had.
    Result<void> start(uint64_t token, const ChildLimits& limits, std::function<int(int reply_fd)> body);
    size_t running() const { return children_.size(); }
    /// Until a child has ended, `until` has come, or a stop signal came. Those that ended since the last call.
    std::vector<ChildEnd> wait(Instant until);
    void kill_all();

 private:
    struct Child {
        uint64_t token;
        pid_t pid;
        int reply_fd;
        int stderr_fd;
        ChildLimits limits;
        Instant began;
        ChildEnd end;
    };
    void read_from(Child& child, int& fd, bool is_reply);
    ChildEnd reap(Child& child);

    StopSignals* stop_;
    std::vector<Child> children_;
};

/// Writes all of it. False when the reader has gone.
bool write_all(int fd, ByteView bytes);

}  // namespace orrery::cli
