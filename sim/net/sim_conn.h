// The Net, Listener and Conn that a simulated host's code holds; thin handles on SimNet's streams. Private to sim/net.
#pragma once

#include <deque>

#include "sim/net/sim_net.h"

namespace orrery::sim {

class SimEndpointNet : public Net {
 public:
    SimEndpointNet(SimNet& net, EndpointId endpoint, uint64_t life) : net_(net), endpoint_(endpoint), life_(life) {}
    Result<std::unique_ptr<Listener>> listen(const Address& at) override;
    Result<std::unique_ptr<Conn>> connect(Fiber& fiber, const Address& to, Instant deadline) override;

 private:
    SimNet& net_;
    EndpointId endpoint_;
    uint64_t life_;
};

class SimListener : public Listener {
 public:
    static constexpr size_t kBacklog = 128;
    SimListener(SimNet& net, EndpointId endpoint, uint16_t port) : net_(net), endpoint_(endpoint), port_(port) {}
    ~SimListener() override { close(); }
    Result<std::unique_ptr<Conn>> accept(Fiber& fiber) override;
    Address local() const override { return {net_.name(endpoint_), port_}; }
    void close() override;

 private:
    friend class SimNet;
    SimNet& net_;
    EndpointId endpoint_;
    uint16_t port_;
    bool closed_ = false;
    std::deque<std::unique_ptr<Conn>> backlog_;
    WaitQueue arrivals_;
};

class SimConn : public Conn {
 public:
    SimConn(SimNet& net, SimNet::Stream& stream, int side);
    ~SimConn() override { close(); }
    Result<size_t> read(Fiber& fiber, std::span<char> into, Instant deadline) override;
    Result<size_t> write(Fiber& fiber, ByteView bytes, Instant deadline) override;
    void shutdown_write() override;
    void close() override;
    Address peer() const override { return peer_; }

 private:
    SimNet& net_;
    SimNet::Stream* stream_;  // null once closed
    int side_;
    Address peer_;
};

}  // namespace orrery::sim
