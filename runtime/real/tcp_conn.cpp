#include "runtime/real/tcp_conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/base/check.h"
#include "runtime/real/socket_address.h"

namespace orrery::real {

void set_stream_options(int socket, Duration peer_silence_max) {
    // None of these can fail on a TCP socket for a reason that a caller could act on.
    const auto set = [socket](int level, int name, int value) {
        (void)setsockopt(socket, level, name, &value, sizeof(value));
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(peer_silence_max.as_millis()));
    // Probes find a vanished peer of an idle stream: silence/2 without traffic, then one probe each silence/8.
    const int seconds = static_cast<int>(std::max<int64_t>(peer_silence_max.as_millis() / 1000, 1));
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(seconds / 2, 1));
    set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(seconds / 8, 1));
    set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

// ---- TcpConn ------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<TcpConn>> TcpConn::make(Loop& loop, Descriptor socket, Address peer) {
    std::unique_ptr<TcpConn> conn(new TcpConn(loop, std::move(socket), std::move(peer)));
    TRY(loop.watch(conn->socket_.get(), *conn));
    return conn;
}

TcpConn::~TcpConn() { close(); }

void TcpConn::on_events(uint32_t epoll_events) {
    constexpr uint32_t over = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if ((epoll_events & over) != 0) ending_ = true;
    if ((epoll_events & (EPOLLIN | over)) != 0) {
        may_read_ = true;
        readers_.wake_all();
    }
    if ((epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        may_write_ = true;
        writers_.wake_all();
    }
}

Error TcpConn::failed(const char* what, int number) const {
    return Error(Code::Unreachable, std::string(what) + " " + peer_.text() + ": " + std::strerror(number));
}

Result<size_t> TcpConn::read(Fiber& fiber, std::span<char> into, Instant deadline) {
    CHECK(!into.empty(), "a read of no bytes cannot be told from the end of the stream");
    TRY(fiber.maybe_yield());
    for (;;) {
        if (!socket_.valid()) return Error(Code::Unreachable, "stream to " + peer_.text() + " is closed");
        if (may_read_) {
            const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
            if (got >= 0) {
                // Short: the kernel has no more for now, and the next byte will be an edge. Unless the end was announced:
                // that edge has been, and the end itself is still to be read.
                if (static_cast<size_t>(got) < into.size() && !ending_) may_read_ = false;
                return static_cast<size_t>(got);
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return failed("reading from", errno);
            may_read_ = false;
        }
        TRY(fiber.wait(readers_, deadline));
    }
}

Result<size_t> TcpConn::write(Fiber& fiber, ByteView bytes, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (bytes.empty()) return 0;
    for (;;) {
        if (!socket_.valid()) return Error(Code::Unreachable, "stream to " + peer_.text() + " is closed");
        if (write_shut_) return Error(Code::Invalid, "write after shutdown_write");
        if (may_write_) {
            const ssize_t taken = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (taken >= 0) {
                if (static_cast<size_t>(taken) < bytes.size()) may_write_ = false;  // the buffer is full
                return static_cast<size_t>(taken);
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return failed("writing to", errno);
            may_write_ = false;
        }
        TRY(fiber.wait(writers_, deadline));
    }
}

Result<void> TcpConn::finish_connect(Fiber& fiber, Instant deadline) {
    for (;;) {
        // The first edge may have been for the socket before connect(2): what counts is the kernel's state.
        int failure = 0;
        socklen_t length = sizeof(failure);
        CHECK(getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &failure, &length) == 0, errno);
        if (failure != 0) return failed("connecting to", failure);
        SocketAddress there;
        there.length = sizeof(there.storage);
        if (getpeername(socket_.get(), there.raw(), &there.length) == 0) return {};
        if (errno != ENOTCONN) return failed("connecting to", errno);
        Result<void> waited = fiber.wait(writers_, deadline);
        if (!waited.ok()) return waited.error().within("connecting to " + peer_.text());
    }
}

void TcpConn::shutdown_write() {
    if (!socket_.valid() || write_shut_) return;
    write_shut_ = true;
    (void)::shutdown(socket_.get(), SHUT_WR);  // fails only when the stream is over already
    writers_.wake_all();
}

void TcpConn::close() {
    if (!socket_.valid()) return;
    loop_.unwatch(socket_.get());
    socket_.reset();
    readers_.wake_all();
    writers_.wake_all();
}

// ---- TcpListener --------------------------------------------------------------------------------------------------

Result<std::unique_ptr<TcpListener>> TcpListener::make(Loop& loop, Tracer& tracer, Descriptor socket, Address local,
                                                       Duration peer_silence_max) {
    std::unique_ptr<TcpListener> listener(
        new TcpListener(loop, tracer, std::move(socket), std::move(local), peer_silence_max));
    TRY(loop.watch(listener->socket_.get(), *listener));
    return listener;
}

TcpListener::~TcpListener() { close(); }

void TcpListener::on_events(uint32_t) {
    may_accept_ = true;
    waiters_.wake_all();
}

void TcpListener::close() {
    if (!socket_.valid()) return;
    loop_.unwatch(socket_.get());
    socket_.reset();
    waiters_.wake_all();
}

Result<void> TcpListener::wait_for_descriptors(Fiber& fiber, const std::string& why, Duration& pause) {
    // The connection stays in the kernel's queue and its client waits; dropping it would only make the client come back.
    if (pause == Duration{})
        tracer_.warning("listener.out_of_descriptors", {{"listener", local_.text()}, {"why", why}});
    pause = std::min(std::max(pause * 2, Duration::millis(5)), Duration::millis(320));
    Result<void> slept = fiber.wait(waiters_, loop_.clock().now() + pause);
    if (slept.failed_with(Code::Timeout)) return {};
    return slept;
}

Result<std::unique_ptr<Conn>> TcpListener::accept(Fiber& fiber) {
    TRY(fiber.maybe_yield());
    Duration pause{};
    for (;;) {
        if (!socket_.valid()) return Error(Code::Unreachable, "listener on " + local_.text() + " is closed");
        if (!may_accept_) {
            TRY(fiber.wait(waiters_));
            continue;
        }
        SocketAddress from;
        from.length = sizeof(from.storage);
        Descriptor socket(::accept4(socket_.get(), from.raw(), &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket.valid()) {
            switch (errno) {
                case EAGAIN:
                    may_accept_ = false;
                    continue;
                case EMFILE:
                case ENFILE:
                case ENOBUFS:
                case ENOMEM:
                    TRY(wait_for_descriptors(fiber, std::strerror(errno), pause));
                    continue;
                default:
                    // The connection was gone before it was accepted (ECONNABORTED and what the network may say of it).
                    CHECK(errno != EBADF && errno != EINVAL && errno != ENOTSOCK, errno);
                    TRY(fiber.yield());
                    continue;
            }
        }
        set_stream_options(socket.get(), peer_silence_max_);
        auto conn = TcpConn::make(loop_, std::move(socket), address_of(from));
        if (!conn.ok()) {
            TRY(wait_for_descriptors(fiber, conn.error().context, pause));
            continue;
        }
        return std::unique_ptr<Conn>(std::move(*conn));
    }
}

}  // namespace orrery::real
