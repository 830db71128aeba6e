// The daemon skeleton from outside: signals, exit codes, messages. Starts real processes.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "runtime/real/daemon.h"
#include "tests/runtime/real/harness.h"

namespace orrery::real::test {
namespace {

class Daemon {
 public:
    explicit Daemon(std::vector<std::string> arguments) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        arguments.insert(arguments.begin(), TEST_DAEMON);
        std::vector<char*> raw;
        for (std::string& argument : arguments) raw.push_back(argument.data());
        raw.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            dup2(ends[1], STDOUT_FILENO);
            dup2(ends[1], STDERR_FILENO);
            ::close(ends[0]);
            ::close(ends[1]);
            execv(TEST_DAEMON, raw.data());
            _exit(127);
        }
        ::close(ends[1]);
        output_ = ends[0];
    }
    ~Daemon() {
        if (!ended_) {
            kill(pid_, SIGKILL);
            (void)waitpid(pid_, nullptr, 0);
        }
        ::close(output_);
    }

    void signal(int number) { CHECK(kill(pid_, number) == 0); }
    pid_t pid() const { return pid_; }

    /// Reads until `text` was said; false when the process ended or 20 s passed first.
    bool says(const std::string& text) {
        while (said.find(text) == std::string::npos) {
            pollfd wanted{.fd = output_, .events = POLLIN, .revents = 0};
            if (poll(&wanted, 1, 20'000) <= 0) return false;
            char buffer[4096];
            const ssize_t got = ::read(output_, buffer, sizeof(buffer));
            if (got <= 0) return false;
            said.append(buffer, static_cast<size_t>(got));
        }
        return true;
    }
    /// Everything it says until its end; its exit code, or minus the signal that killed it.
    int wait() {
        (void)says("\x01 never said");
        int status = 0;
        CHECK(waitpid(pid_, &status, 0) == pid_);
        ended_ = true;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    uint16_t port() {
        CHECK(says("\"address\":\"127.0.0.1:"));
        const size_t at = said.find("\"address\":\"127.0.0.1:") + 21;
        while (said.find('"', at) == std::string::npos && says("}\n")) {
        }
        return static_cast<uint16_t>(std::stoi(said.substr(at)));
    }

    std::string said;

 private:
    pid_t pid_;
    int output_;
    bool ended_ = false;
};

TEST_CASE("daemon: SIGTERM drains and exits with 0, and serves until then") {
    TemporaryDirectory directory;
    Daemon daemon({"--data-dir", directory.path() + "/d"});
    const uint16_t port = daemon.port();
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(client, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
    CHECK(send(client, "hello", 5, 0) == 5);
    char buffer[16];
    CHECK(recv(client, buffer, sizeof(buffer), 0) == 5);
    daemon.signal(SIGHUP);
    CHECK(daemon.says("\"signal\":1"));
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == kExitFine);
    CHECK(daemon.said.find("process.stopped") != std::string::npos);
    CHECK(recv(client, buffer, sizeof(buffer), 0) == 0);
    ::close(client);
}

TEST_CASE("daemon: a second signal, or the end of the drain limit, cancels what is left") {
    TemporaryDirectory directory;
    {
        Daemon daemon({"--data-dir", directory.path(), "--stubborn", "true"});
        (void)daemon.port();
        daemon.signal(SIGINT);
        CHECK(daemon.says("process.draining"));
        daemon.signal(SIGTERM);
        CHECK(daemon.wait() == kExitUnreachable);
        CHECK(daemon.said.find("stopped before it had drained") != std::string::npos);
    }
    Daemon daemon({"--data-dir", directory.path(), "--stubborn", "true", "--stop-drain-limit", "50ms"});
    (void)daemon.port();
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == kExitUnreachable);
    CHECK(daemon.said.find("process.drain_given_up") != std::string::npos);
}

TEST_CASE("daemon: a taken port and a taken directory exit with 75 and name the holder") {
    TemporaryDirectory directory;
    Daemon first({"--data-dir", directory.path() + "/a"});
    const std::string port = std::to_string(first.port());
    const std::string holder = "held by process " + std::to_string(first.pid());
    Daemon same_port({"--data-dir", directory.path() + "/b", "--listen", "127.0.0.1:" + port});
    CHECK(same_port.wait() == kExitTryAgain);
    CHECK(same_port.said.find("orrery-echo: error[E0105]: cannot listen on 127.0.0.1:" + port) != std::string::npos);
    CHECK(same_port.said.find(holder) != std::string::npos);
    Daemon same_directory({"--data-dir", directory.path() + "/a"});
    CHECK(same_directory.wait() == kExitTryAgain);
    CHECK(same_directory.said.find("/a' is held by") != std::string::npos);
}

TEST_CASE("daemon: killed with -9, it leaves nothing that keeps the next one from starting") {
    TemporaryDirectory directory;
    {
        Daemon daemon({"--data-dir", directory.path()});
        (void)daemon.port();
        daemon.signal(SIGKILL);
        CHECK(daemon.wait() == -SIGKILL);
    }
    Daemon again({"--data-dir", directory.path()});
    (void)again.port();
    again.signal(SIGTERM);
    CHECK(again.wait() == kExitFine);
}

TEST_CASE("daemon: configuration errors and unusable directories have their exit codes, and nothing is started") {
    TemporaryDirectory directory;
    Daemon wrong({"--disk-threads", "1000", "--log-level", "loud"});
    CHECK(wrong.wait() == kExitUsage);
    CHECK(wrong.said.find("--disk-threads: error[E0204]") != std::string::npos);
    CHECK(wrong.said.find("--log-level: error[E0204]") != std::string::npos);
    CHECK(wrong.said.find("'data_dir' is not set") != std::string::npos);
    Daemon unknown({"--no-such-flag"});
    CHECK(unknown.wait() == kExitUsage);
    Daemon check({"--check-config", "--data-dir", directory.path() + "/x"});
    CHECK(check.wait() == kExitFine);
    CHECK(!std::filesystem::exists(directory.path() + "/x"));
    Daemon print({"--print-config", "--data-dir", "/somewhere"});
    CHECK(print.wait() == kExitFine);
    CHECK(print.said.find("data_dir = \"/somewhere\"  # --data-dir\n") != std::string::npos);
    Daemon no_parent({"--data-dir", directory.path() + "/no/such"});
    CHECK(no_parent.wait() == kExitIo);
}

}  // namespace
}  // namespace orrery::real::test
