#include "tools/orrery/children.h"


#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tools/orrery/exit_code.h"

namespace orrery::cli {

Instant machine_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

namespace {

sigset_t stop_set() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

[[noreturn]] void run_child(pid_t parent, int reply_fd, int stderr_fd, const std::function<int(int)>& body) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(number_of(ExitCode::OwnBug));  // the parent died before the line above
    setpgid(0, 0);  // Ctrl-C is for the parent, which decides what becomes of its children
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    const rlimit no_core{0, 0};  // a crash is reported by its last events; thousands of core files would fill the disk
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(stderr_fd, STDOUT_FILENO);
    dup2(stderr_fd, STDERR_FILENO);
    const int status = body(reply_fd);
    std::fflush(nullptr);
    _exit(status);
}

}  // namespace

StopSignals::StopSignals() {
    const sigset_t set = stop_set();
    sigprocmask(SIG_BLOCK, &set, nullptr);
    fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd_ >= 0, errno);
}

StopSignals::~StopSignals() {
    close(fd_);
    const sigset_t set = stop_set();
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

int StopSignals::count() {
    signalfd_siginfo info;
    while (read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) ++count_;
    return count_;
}

Children::~Children() { kill_all(); }

void Children::kill_all() {
    for (Child& child : children_) kill(child.pid, SIGKILL);
    for (Child& child : children_) reap(child);
    children_.clear();
}

Result<void> Children::start(uint64_t token, const ChildLimits& limits, std::function<int(int)> body) {
    int reply[2], error[2];
    if (pipe2(reply, O_CLOEXEC) != 0) return Error(Code::Overloaded, std::string("no pipe: ") + std::strerror(errno));
    if (pipe2(error, O_CLOEXEC) != 0) {
        const int reason = errno;
        close(reply[0]), close(reply[1]);
        return Error(Code::Overloaded, std::string("no pipe: ") + std::strerror(reason));
    }
    std::fflush(nullptr);  // else the child would write our buffered output once more
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
        close(reply[0]), close(error[0]);
        for (const Child& sibling : children_) close(sibling.reply_fd), close(sibling.stderr_fd);
        run_child(parent, reply[1], error[1], body);
    }
    const int reason = errno;
    close(reply[1]), close(error[1]);
    if (pid < 0) {
        close(reply[0]), close(error[0]);
        return Error(Code::Overloaded, std::string("no process: ") + std::strerror(reason));
    }
    fcntl(reply[0], F_SETFL, O_NONBLOCK);
    fcntl(error[0], F_SETFL, O_NONBLOCK);
    children_.push_back({token, pid, reply[0], error[0], limits, machine_now(), {.token = token}});
    return {};
}

void Children::read_from(Child& child, int& fd, bool is_reply) {
    char buffer[65536];
    while (fd >= 0) {
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            close(fd);
            fd = -1;
        } else if (!is_reply) {
            std::string& tail = child.end.stderr_tail;
            tail.append(buffer, static_cast<size_t>(got));
            if (tail.size() > 2 * child.limits.stderr_bytes) tail.erase(0, tail.size() - child.limits.stderr_bytes);
        } else if (child.end.reply.size() + static_cast<size_t>(got) > child.limits.reply_bytes) {
            child.end.reply_too_long = true;
            kill(child.pid, SIGKILL);
            return;
        } else {
            child.end.reply.append(buffer, static_cast<size_t>(got));
        }
    }
}

ChildEnd Children::reap(Child& child) {
    int status = 0;
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (child.reply_fd >= 0) close(child.reply_fd);
    if (child.stderr_fd >= 0) close(child.stderr_fd);
    ChildEnd& end = child.end;
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    else end.exit_status = WEXITSTATUS(status);
    if (end.stderr_tail.size() > child.limits.stderr_bytes)
        end.stderr_tail.erase(0, end.stderr_tail.size() - child.limits.stderr_bytes);
    end.wall = machine_now() - child.began;
    return std::move(end);
}

std::vector<ChildEnd> Children::wait(Instant until) {
    std::vector<ChildEnd> ended;
    while (ended.empty()) {
        std::vector<pollfd> polled;
        if (stop_ != nullptr) polled.push_back({stop_->fd(), POLLIN, 0});
        Instant next = until;
        for (const Child& child : children_) {
            if (child.reply_fd >= 0) polled.push_back({child.reply_fd, POLLIN, 0});
            if (child.stderr_fd >= 0) polled.push_back({child.stderr_fd, POLLIN, 0});
            if (!child.end.timed_out) next = std::min(next, child.began + child.limits.wall);
        }
        const Duration left = next - machine_now();
        const int64_t left_ms = next == Instant::never() ? 60'000 : std::clamp<int64_t>(left.ns / 1'000'000 + 1, 0, 60'000);
        poll(polled.data(), polled.size(), static_cast<int>(left_ms));

        const Instant now = machine_now();
        for (size_t i = 0; i < children_.size();) {
            Child& child = children_[i];
            read_from(child, child.reply_fd, true);
            read_from(child, child.stderr_fd, false);
            if (!child.end.timed_out && child.began + child.limits.wall <= now) {
                child.end.timed_out = true;
                kill(child.pid, SIGKILL);
            }
            if (child.reply_fd >= 0 || child.stderr_fd >= 0) {
                ++i;
                continue;
            }
            ended.push_back(reap(child));
            children_.erase(children_.begin() + static_cast<ptrdiff_t>(i));
        }
        if (now >= until || children_.empty()) break;
        if (stop_ != nullptr && stop_->count() > 0 && !polled.empty() && (polled[0].revents & POLLIN)) break;
    }
    return ended;
}

bool write_all(int fd, ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t wrote = write(fd, bytes.data(), bytes.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(wrote));
    }
    return true;
}

}  // namespace orrery::cli
