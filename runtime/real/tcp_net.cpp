#include "runtime/real/tcp_net.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/check.h"
#include "runtime/real/port_holder.h"
#include "runtime/real/resolver.h"
#include "runtime/real/tcp_conn.h"

namespace orrery::real {

namespace {

bool same_place(const SocketAddress& a, const SocketAddress& b) {
    return a.length == b.length && std::memcmp(&a.storage, &b.storage, a.length) == 0;
}

/// A client port may happen to be the very port that is connected to, and then TCP connects the socket to itself.
bool connected_to_itself(int socket) {
    SocketAddress here, there;
    here.length = there.length = sizeof(sockaddr_storage);
    return getsockname(socket, here.raw(), &here.length) == 0 && getpeername(socket, there.raw(), &there.length) == 0 &&
           same_place(here, there);
}

Result<std::unique_ptr<Conn>> connect_one(Fiber& fiber, Loop& loop, const SocketAddress& to, Instant deadline,
                                          Duration peer_silence_max) {
    const Address address = address_of(to);
    Descriptor socket(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket.valid())
        return Error(Code::Unreachable, "connecting to " + address.text() + ": " + std::strerror(errno));
    set_stream_options(socket.get(), peer_silence_max);
    const int number = socket.get();
    int answer;
    do answer = ::connect(number, to.raw(), to.length);
    while (answer != 0 && errno == EINTR);
    if (answer != 0 && errno != EINPROGRESS)
        return Error(Code::Unreachable, "connecting to " + address.text() + ": " + std::strerror(errno));
    auto conn = TcpConn::make(loop, std::move(socket), address);
    if (!conn.ok()) return Error(Code::Unreachable, conn.error().context);
    TRY((*conn)->finish_connect(fiber, deadline));
    if (connected_to_itself(number))
        return Error(Code::Unreachable, "connecting to " + address.text() + ": nobody listens there");
    return std::unique_ptr<Conn>(std::move(*conn));
}

}  // namespace

TcpNet::TcpNet(Loop& loop, Tracer& tracer, Options options)
    : loop_(loop), tracer_(tracer), options_(options), resolver_(std::make_unique<Resolver>(loop)) {
    CHECK(options_.peer_silence_max >= Duration::seconds(1) && options_.backlog > 0);
}

TcpNet::~TcpNet() = default;

Result<std::unique_ptr<Listener>> TcpNet::listen(const Address& at) {
    std::optional<SocketAddress> where = numeric_address(at);
    if (!where) {
        auto found = look_up(at);
        if (!found.ok()) return Error(Code::Invalid, "cannot listen on " + at.text() + ": " + found.error().context);
        where = found->front();
    }
    Descriptor socket(::socket(where->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto failed = [&at](int number) {
        std::string what = "cannot listen on " + at.text() + ": " + std::strerror(number);
        if (number != EADDRINUSE) return Error(Code::Invalid, what);
        const std::string holder = describe_port_holder(at.port);
        return Error(Code::Exists, what + (holder.empty() ? "" : ", held by " + holder));
    };
    if (!socket.valid()) return failed(errno);
    const int on = 1;
    // Without it a restarted daemon would have to wait a minute for the streams of its predecessor to be forgotten.
    CHECK(setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0, errno);
    if (::bind(socket.get(), where->raw(), where->length) != 0) return failed(errno);
    if (::listen(socket.get(), options_.backlog) != 0) return failed(errno);
    SocketAddress local;
    local.length = sizeof(local.storage);
    CHECK(getsockname(socket.get(), local.raw(), &local.length) == 0, errno);
    auto made = TcpListener::make(loop_, tracer_, std::move(socket), address_of(local), options_.peer_silence_max);
    if (!made.ok()) return Error(Code::Invalid, "cannot listen on " + at.text() + ": " + made.error().context);
    return std::unique_ptr<Listener>(std::move(*made));
}

Result<std::unique_ptr<Conn>> TcpNet::connect(Fiber& fiber, const Address& to, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (to.port == 0) return Error(Code::Invalid, "cannot connect to port 0 of '" + to.host + "'");
    std::vector<SocketAddress> places;
    if (auto numeric = numeric_address(to)) {
        places.push_back(*numeric);
    } else {
        TRY(places, resolver_->resolve(fiber, to, deadline));
    }
    Error last(Code::Unreachable, "connecting to " + to.text());
    for (const SocketAddress& place : places) {
        auto conn = connect_one(fiber, loop_, place, deadline, options_.peer_silence_max);
        if (conn.ok() || !conn.failed_with(Code::Unreachable)) return conn;
        last = conn.error();
    }
    return last;
}

}  // namespace orrery::real
