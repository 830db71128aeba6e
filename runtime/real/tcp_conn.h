// TcpConn and TcpListener: one socket each, watched edge-triggered by the loop.
//
// `may_read_` and `may_write_` mean "the kernel has not said would-block since the last edge". They start true, so the
// first call goes straight to the kernel; a short read clears the flag too, which saves the read that would only say so.
#pragma once

#include "runtime/env/net.h"
#include "runtime/env/tracer.h"
#include "runtime/real/descriptor.h"
#include "runtime/real/loop.h"

namespace orrery::real {

class TcpConn final : public Conn, private EventSource {
 public:
    /// `socket` is non-blocking. Errors: Overloaded (no room for an epoll watch).
    static Result<std::unique_ptr<TcpConn>> make(Loop& loop, Descriptor socket, Address peer);
    ~TcpConn() override;

    Result<size_t> read(Fiber& fiber, std::span<char> into, Instant deadline) override;
    Result<size_t> write(Fiber& fiber, ByteView bytes, Instant deadline) override;
    void shutdown_write() override;
    void close() override;
    Address peer() const override { return peer_; }

    /// After a connect(2) that said EINPROGRESS: waits for its end. Yields. Errors: Unreachable, Timeout, Cancelled.
    Result<void> finish_connect(Fiber& fiber, Instant deadline);
    int descriptor() const { return socket_.get(); }

 private:
    TcpConn(Loop& loop, Descriptor socket, Address peer)
        : loop_(loop), socket_(std::move(socket)), peer_(std::move(peer)) {}
    void on_events(uint32_t epoll_events) override;
    Error failed(const char* what, int number) const;

    Loop& loop_;
    Descriptor socket_;
    Address peer_;
    bool may_read_ = true;
    bool may_write_ = true;
    bool ending_ = false;  // the kernel announced the peer's end of stream, or an error: every read has an answer
    bool write_shut_ = false;
    WaitQueue readers_;
    WaitQueue writers_;
};

class TcpListener final : public Listener, private EventSource {
 public:
    static Result<std::unique_ptr<TcpListener>> make(Loop& loop, Tracer& tracer, Descriptor socket, Address local,
                                                     Duration peer_silence_max);
    ~TcpListener() override;

    Result<std::unique_ptr<Conn>> accept(Fiber& fiber) override;
    Address local() const override { return local_; }
    void close() override;

 private:
    TcpListener(Loop& loop, Tracer& tracer, Descriptor socket, Address local, Duration peer_silence_max)
        : loop_(loop), tracer_(tracer), socket_(std::move(socket)), local_(std::move(local)),
          peer_silence_max_(peer_silence_max) {}
    void on_events(uint32_t epoll_events) override;
    Result<void> wait_for_descriptors(Fiber& fiber, const std::string& why, Duration& pause);

    Loop& loop_;
    Tracer& tracer_;
    Descriptor socket_;
    Address local_;
    Duration peer_silence_max_;
    bool may_accept_ = true;
    WaitQueue waiters_;
};

/// What every stream of ours has: no delay, a bound on the peer's silence.
void set_stream_options(int socket, Duration peer_silence_max);

}  // namespace orrery::real
