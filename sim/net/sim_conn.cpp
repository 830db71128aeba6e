#include "sim/net/sim_conn.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::sim {

Result<std::unique_ptr<Listener>> SimEndpointNet::listen(const Address& at) {
    SimNet::Endpoint& endpoint = *net_.endpoints_[endpoint_.value];
    if (endpoint.life != life_ || !endpoint.up) return Error(Code::Cancelled, "the host is down");
    if (!at.host.empty() && at.host != endpoint.name && at.host != "0.0.0.0")
        return Error(Code::Invalid, "host '" + endpoint.name + "' has no address '" + at.host + "'");
    uint16_t port = at.port;
    while (port == 0) {
        if (!endpoint.listeners.contains(endpoint.next_ephemeral)) port = endpoint.next_ephemeral;
        ++endpoint.next_ephemeral;
    }
    if (endpoint.listeners.contains(port))
        return Error(Code::Exists, "port " + std::to_string(port) + " of host '" + endpoint.name + "' is taken");
    auto listener = std::make_unique<SimListener>(net_, endpoint_, port);
    endpoint.listeners[port] = listener.get();
    return std::unique_ptr<Listener>(std::move(listener));
}

Result<std::unique_ptr<Conn>> SimEndpointNet::connect(Fiber& fiber, const Address& to, Instant deadline) {
    TRY(fiber.maybe_yield());
    SimNet::Endpoint& endpoint = *net_.endpoints_[endpoint_.value];
    if (endpoint.life != life_ || !endpoint.up) return Error(Code::Cancelled, "the host is down");
    auto target = std::find_if(net_.endpoints_.begin(), net_.endpoints_.end(),
                               [&](const auto& candidate) { return candidate->name == to.host; });
    if (target == net_.endpoints_.end()) return Error(Code::Unreachable, "no host is called '" + to.host + "'");
    auto at = EndpointId{static_cast<uint32_t>(target - net_.endpoints_.begin())};
    if (const auto lent = net_.lent_.find(to.host); lent != net_.lent_.end()) {
        at = lent->second;
        ++net_.counters_.misdirected;
    }
    SimNet::Stream& stream = net_.new_stream();
    stream.host[0] = endpoint_;
    stream.host[1] = at;
    for (int side = 0; side < 2; ++side) stream.link[side] = &net_.link(stream.host[side], stream.host[1 - side]);
    stream.port = to.port;
    stream.ephemeral = endpoint.next_ephemeral++;
    if (endpoint.next_ephemeral == 0) endpoint.next_ephemeral = 32768;
    stream.connecting = true;
    ++net_.counters_.connects;
    auto conn = std::make_unique<SimConn>(net_, stream, 0);
    net_.schedule_on_link(stream, 0, SimNet::What::Syn, 0);
    while (!stream.connect_done) TRY(fiber.wait(stream.readable[0], deadline));
    TRY(stream.connect_outcome);
    return std::unique_ptr<Conn>(std::move(conn));
}

Result<std::unique_ptr<Conn>> SimListener::accept(Fiber& fiber) {
    TRY(fiber.maybe_yield());
    while (backlog_.empty() && !closed_) TRY(fiber.wait(arrivals_));
    if (closed_) return Error(Code::Unreachable, "listener closed");
    std::unique_ptr<Conn> conn = std::move(backlog_.front());
    backlog_.pop_front();
    return conn;
}

void SimListener::close() {
    if (closed_) return;
    closed_ = true;
    SimNet::Endpoint& endpoint = *net_.endpoints_[endpoint_.value];
    if (auto at = endpoint.listeners.find(port_); at != endpoint.listeners.end() && at->second == this)
        endpoint.listeners.erase(at);
    backlog_.clear();
    arrivals_.wake_all();
}

SimConn::SimConn(SimNet& net, SimNet::Stream& stream, int side) : net_(net), stream_(&stream), side_(side) {
    stream.attached[side] = true;
    const EndpointId other = stream.host[1 - side];
    peer_ = {net.name(other), side == 0 ? stream.port : stream.ephemeral};
}

Result<size_t> SimConn::read(Fiber& fiber, std::span<char> into, Instant deadline) {
    CHECK(!into.empty());
    TRY(fiber.maybe_yield());
    for (;;) {
        if (stream_ == nullptr) return Error(Code::Unreachable, "connection closed");
        SimNet::Pipe& pipe = stream_->pipe[1 - side_];
        const size_t available = pipe.received.size() - pipe.read_offset;
        if (available > 0) {
            size_t count = std::min(available, into.size());
            const NetOptions& options = net_.options_;
            if (options.split_p > 0) {
                RandomStream& draws = *stream_->link[1 - side_]->draws;
                if (draws.chance(options.split_p)) count = std::min<size_t>(count, 1 + draws.below(options.split_max_bytes));
            }
            std::copy_n(pipe.received.data() + pipe.read_offset, count, into.data());
            pipe.read_offset += count;
            if (pipe.read_offset == pipe.received.size()) {
                pipe.received.clear();
                pipe.read_offset = 0;
            } else if (pipe.read_offset > 64 * 1024) {
                pipe.received.erase(0, pipe.read_offset);
                pipe.read_offset = 0;
            }
            stream_->writable[1 - side_].wake_all();
            return count;
        }
        if (stream_->reset[side_]) return Error(Code::Unreachable, "connection reset by " + peer_.text());
        if (pipe.fin_received) return size_t{0};
        TRY(fiber.wait(stream_->readable[side_], deadline));
    }
}

Result<size_t> SimConn::write(Fiber& fiber, ByteView bytes, Instant deadline) {
    CHECK(!bytes.empty());
    TRY(fiber.maybe_yield());
    for (;;) {
        if (stream_ == nullptr) return Error(Code::Unreachable, "connection closed");
        SimNet::Pipe& pipe = stream_->pipe[side_];
        if (stream_->reset[side_]) return Error(Code::Unreachable, "connection reset by " + peer_.text());
        if (pipe.fin_sent) return Error(Code::Invalid, "write after shutdown_write");
        const NetOptions& options = net_.options_;
        const uint64_t used = pipe.flight_bytes + pipe.received.size() - pipe.read_offset;
        if (used < options.window_bytes) {
            size_t count = std::min<size_t>(bytes.size(), options.window_bytes - used);
            if (options.split_p > 0 || options.reset_p > 0) {
                RandomStream& draws = *stream_->link[side_]->draws;
                if (options.reset_p > 0 && draws.chance(options.reset_p)) {
                    const bool keep = draws.chance(0.5);
                    ++net_.counters_.resets;
                    net_.timeline_.note(Step::NetControl, stream_->slot, 0x7273);
                    if (!keep) stream_->pipe[1 - side_].received.clear(), stream_->pipe[1 - side_].read_offset = 0;
                    net_.send_reset(*stream_, side_);
                    net_.reset_side(*stream_, side_, keep);
                    continue;
                }
                if (draws.chance(options.split_p)) count = std::min<size_t>(count, 1 + draws.below(options.split_max_bytes));
            }
            net_.send_segment(*stream_, side_, {Bytes(bytes.substr(0, count)), false});
            return count;
        }
        TRY(fiber.wait(stream_->writable[side_], deadline));
    }
}

void SimConn::shutdown_write() {
    if (stream_ == nullptr) return;
    SimNet::Pipe& pipe = stream_->pipe[side_];
    if (pipe.fin_sent || stream_->reset[side_]) return;
    pipe.fin_sent = true;
    net_.send_segment(*stream_, side_, {Bytes(), true});
}

void SimConn::close() {
    if (stream_ == nullptr) return;
    SimNet::Stream& stream = *std::exchange(stream_, nullptr);
    net_.detach(stream, side_);
}

}  // namespace orrery::sim
