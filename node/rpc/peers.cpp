#include "node/rpc/peers.h"

#include <algorithm>

#include "runtime/base/hash.h"

namespace orrery::rpc {

struct Peers::Link {
    Link(RandomStream the_jitter) : jitter(the_jitter) {}

    std::shared_ptr<Session> session;  // null while there is none
    bool removed = false;
    Error failure{Code::Unreachable, "not tried yet"};  // why there is none
    std::string said;                                   // the failure last told in an event
    RandomStream jitter;
    Notify changed;                                     // a session came, or removed
    Notify wake;                                        // removed: the keeper's own
};

namespace {

/// Configuration or software has to change before another attempt can succeed.
bool is_lasting(Code code) {
    return code == Code::Invalid || code == Code::Unsupported || code == Code::Corrupt;
}

}  // namespace

Peers::Peers(Env& env, const Identity& identity, PeersOptions options)
    : env_(env),
      identity_(identity),
      options_(std::move(options)),
      nonces_(env.random.stream("rpc.nonce.asking", identity.incarnation.value)) {}

Peers::~Peers() = default;

void Peers::abandon(Link& link, const char* why) {
    link.removed = true;
    link.failure = Error(Code::Unreachable, why);
    if (link.session != nullptr) link.session->shut(Error(Code::Unreachable, why));
    link.changed.notify_all();
    link.wake.notify_all();
}

void Peers::set_address(NodeId node, const Address& address, Incarnation incarnation) {
    Node& entry = nodes_[node];
    if (entry.address == address && entry.incarnation == incarnation) return;
    for (std::shared_ptr<Link>& link : entry.links) {
        if (link != nullptr) abandon(*link, "the peer's address or incarnation changed");
        link.reset();
    }
    entry.address = address;
    entry.incarnation = incarnation;
}

void Peers::remove(NodeId node) {
    auto at = nodes_.find(node);
    if (at == nodes_.end()) return;
    for (std::shared_ptr<Link>& link : at->second.links)
        if (link != nullptr) abandon(*link, "the peer was removed");
    nodes_.erase(at);
}

std::optional<Address> Peers::address(NodeId node) const {
    auto at = nodes_.find(node);
    if (at == nodes_.end()) return std::nullopt;
    return at->second.address;
}

std::shared_ptr<Peers::Link> Peers::want(NodeId node, TrafficClass traffic) {
    auto at = nodes_.find(node);
    if (at == nodes_.end()) return nullptr;
    std::shared_ptr<Link>& link = at->second.links[static_cast<size_t>(traffic)];
    if (link == nullptr) {
        std::optional<Gate::Pass> pass = gate_.enter();
        if (!pass.has_value()) return nullptr;
        const uint64_t entity = combine64(node.value, static_cast<uint64_t>(traffic));
        link = std::make_shared<Link>(env_.random.stream("rpc.backoff", entity));
        env_.spawn("rpc.peer", [this, node, traffic, link, held = std::move(*pass)](Fiber& fiber) {
            keep(fiber, node, traffic, link);
        });
    }
    return link;
}

void Peers::keep(Fiber& fiber, NodeId node, TrafficClass traffic, const std::shared_ptr<Link>& link) {
    Duration pause = options_.backoff_min;
    while (!link->removed) {
        Result<std::shared_ptr<Session>> made = connect(fiber, node, traffic, *link);
        if (made.ok()) {
            if (link->removed) (*made)->shut(Error(Code::Unreachable, link->failure.context));
            link->session = *made;
            link->said.clear();
            pause = options_.backoff_min;
            if (!(*made)->closed()) {
                link->changed.notify_all();
                if (options_.on_change) options_.on_change(node, traffic, LinkChange::Up);
                Result<void> over = (*made)->wait_closed(fiber);
                if (options_.on_change) options_.on_change(node, traffic, LinkChange::Down);
                if (!over.ok()) (*made)->shut(over.error());
            }
            if (!link->removed) link->failure = (*made)->close_reason();
            bytes_sent_ += (*made)->counters().bytes_out;
            link->session.reset();
        } else if (!link->removed) {
            link->failure = made.error();
            std::string text = made.error().text();
            if (text != link->said && !made.failed_with(Code::Cancelled)) {
                env_.tracer.event(is_lasting(made.code()) ? Severity::Error : Severity::Info, "rpc.connect_failed",
                                  {{"peer", node}, {"class", wire::traffic_class_name(traffic)}, {"why", text}});
                link->said = std::move(text);
            }
        }
        if (fiber.cancelled()) break;
        if (link->removed) break;
        const Duration drawn = link->jitter.between(pause / 2, pause);
        Result<void> slept = link->wake.wait(fiber, env_.now() + drawn);
        if (slept.failed_with(Code::Cancelled)) break;
        pause = std::min(pause * 2, options_.backoff_max);
    }
    if (!link->removed) link->failure = Error(Code::Cancelled, "this node is stopping");
    link->removed = true;
    link->changed.notify_all();
}

Result<std::shared_ptr<Session>> Peers::connect(Fiber& fiber, NodeId node, TrafficClass traffic, const Link& link) {
    auto at = nodes_.find(node);
    CHECK(at != nodes_.end() || link.removed, node);
    if (link.removed) return link.failure;
    // Copies: the address book may change while we wait.
    const Address to = at->second.address;
    const Session::ConnectOptions connect{
        .expected_node = node,
        .expected_incarnation = at->second.incarnation,
        .traffic = traffic,
        .nonce = combine64(nonces_.next(), static_cast<uint64_t>(env_.now().ns)),
    };
    TRY(std::unique_ptr<Conn> conn, env_.net.connect(fiber, to, env_.now() + options_.connect_timeout));
    return Session::connect(fiber, env_, std::move(conn), identity_, options_.session, connect);
}

// ---- use

Result<std::shared_ptr<Session>> Peers::session(Fiber& fiber, NodeId node, TrafficClass traffic, Instant deadline) {
    TRY(fiber.maybe_yield());
    const Instant until = std::min(deadline, env_.now() + options_.wait_for_session);
    std::shared_ptr<Link> link = want(node, traffic);
    if (link == nullptr)
        return gate_.closed() ? Error(Code::Unreachable, "this node is stopping")
                              : Error(Code::Unreachable, "no address of node " + std::to_string(node.value));
    while (link->session == nullptr || link->session->closed()) {
        if (link->removed) return Error(Code::Unreachable, link->failure.context);
        Result<void> waited = link->changed.wait(fiber, until);
        if (waited.failed_with(Code::Timeout))
            return Error(Code::Unreachable, "no session with node " + std::to_string(node.value) + ": " + link->failure.text());
        TRY(std::move(waited));
    }
    return link->session;
}

bool Peers::send(NodeId node, Operation operation, GroupId group, uint64_t entity, TrafficClass traffic, Bytes payload) {
    std::shared_ptr<Link> link = want(node, traffic);
    if (link != nullptr && link->session != nullptr &&
        link->session->send(operation, group, entity, traffic, std::move(payload)))
        return true;
    ++messages_dropped_;
    return false;
}

Result<Bytes> Peers::call(Fiber& fiber, NodeId node, const Target& target, Bytes body) {
    TRY(Exchange exchange, open(fiber, node, target, std::move(body)));
    return exchange.finish(fiber);
}

Result<Exchange> Peers::open(Fiber& fiber, NodeId node, const Target& target, Bytes body, Upload upload) {
    TRY(std::shared_ptr<Session> live, session(fiber, node, target.traffic, target.deadline.at));
    return live->open(target, std::move(body), upload);
}

bool Peers::connected(NodeId node, TrafficClass traffic) const {
    auto at = nodes_.find(node);
    if (at == nodes_.end()) return false;
    const std::shared_ptr<Link>& link = at->second.links[static_cast<size_t>(traffic)];
    return link != nullptr && link->session != nullptr && !link->session->closed();
}

Result<void> Peers::close(Fiber& fiber, Instant deadline) {
    for (auto& [node, entry] : nodes_)
        for (std::shared_ptr<Link>& link : entry.links)
            if (link != nullptr) abandon(*link, "this node is stopping");
    return gate_.close(fiber, deadline);
}

uint64_t Peers::bytes_sent() const {
    uint64_t bytes = bytes_sent_;
    for (const auto& [node, entry] : nodes_)
        for (const std::shared_ptr<Link>& link : entry.links)
            if (link != nullptr && link->session != nullptr) bytes += link->session->counters().bytes_out;
    return bytes;
}

std::string Peers::dump() const {
    std::string out;
    for (const auto& [node, entry] : nodes_) {
        for (size_t traffic = 0; traffic < wire::kTrafficClasses; ++traffic) {
            const std::shared_ptr<Link>& link = entry.links[traffic];
            if (link == nullptr) continue;
            if (link->session != nullptr)
                out += link->session->dump() + "\n";
            else
                out += "to node=" + std::to_string(node.value) + " address=" + entry.address.text() + " class=" +
                       std::string(wire::traffic_class_name(static_cast<TrafficClass>(traffic))) + " down='" +
                       link->failure.text() + "'\n";
        }
    }
    return out;
}

}  // namespace orrery::rpc
