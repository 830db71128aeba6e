#include "kv/kv_node.h"

#include "kv/client_session.h"
#include "kv/kv_metrics.h"
#include "runtime/base/check.h"

namespace orrery::kv {

KvNode::KvNode(Env& env, KvNodeOptions options)
    : ReplicaProcess(env, {.daemon = "orrery-kv", .name = "kv", .group = kKvGroup}, options), options_(std::move(options)) {
    RandomStream draws = env_.random.stream("kv.run_id");
    static constexpr char kDigits[] = "0123456789abcdef";
    for (int i = 0; i < 40; ++i) run_id_ += kDigits[draws.below(16)];
    const uint64_t batch_bytes = options_.host.log.batch_bytes;  // the log leaves an eighth of it to headers
    options_.service.transaction_bytes_max = batch_bytes - batch_bytes / 8 - (4 << 10);
    settings_ = {.clients_max = options_.max_clients,
                 .idle_limit = options_.client_idle_limit,
                 .bulk_bytes_max = options_.limits.bulk_bytes_max,
                 .wait_zero = options_.service.wait_zero,
                 .output = options_.client_output,
                 .slow_client_limit = options_.slow_client_timeout,
                 .request_limit = options_.service.request_timeout};
    options_.service.first_client = env_.random.stream("kv.client_ids").next() >> 1;
}

KvNode::~KvNode() {
    CHECK(clients_.empty(), clients_.size());
}

Address KvNode::client_address() const { return client_listener_ ? client_listener_->local() : options_.service_listen; }

void KvNode::handle_requests(rpc::Service& peer_service) { KvService::handle_forwards(peer_service, service_); }

std::unique_ptr<raft::StateMachine> KvNode::make_machine(store::Store& store) {
    return std::make_unique<KvMachine>(env_, store, options_.cache);
}

Result<Address> KvNode::start_service(Fiber& /*fiber*/) {
    service_ = std::make_unique<KvService>(env_, *host(), *group(), options_.service);
    TRY(client_listener_, env_.net.listen(options_.service_listen));
    env_.spawn("kv.accept", [this](Fiber& own) { accept_clients(own); });
    return client_listener_->local();
}

void KvNode::send_clients_away() {
    client_listener_->close();
    for (auto& [id, session] : clients_) session->stop();
}

Result<void> KvNode::drain_clients(Fiber& fiber, Instant deadline) {
    if (client_listener_) send_clients_away();
    return clients_gate_.close(fiber, deadline);
}

void KvNode::accept_clients(Fiber& fiber) {
    for (;;) {
        Result<std::unique_ptr<Conn>> conn = client_listener_->accept(fiber);
        if (!conn.ok()) return;
        ++counters_.connections_received;
        if (clients_.size() >= settings_.clients_max) {
            refuse_client(std::move(*conn));
            continue;
        }
        auto pass = clients_gate_.enter();
        if (!pass) return;
        const uint64_t id = next_client_++;
        auto session = std::make_shared<ClientSession>(env_, *this, id, std::move(*conn));
        clients_.emplace(id, session.get());
        env_.spawn("kv.client", [this, id, session = std::move(session), pass = std::move(*pass)](Fiber& own) mutable {
            session->run(own);
            clients_.erase(id);
            session.reset();
        });
    }
}

void KvNode::refuse_client(std::unique_ptr<Conn> conn) {
    ++counters_.connections_rejected;
    constexpr size_t kRefusingMax = 128;
    if (refusing_ >= kRefusingMax) return;  // closed without a word: even a refusal takes a fiber
    auto pass = clients_gate_.enter();
    if (!pass) return;
    ++refusing_;
    env_.spawn("kv.refuse_client", [this, conn = std::move(conn), pass = std::move(*pass)](Fiber& own) {
        const Instant deadline = env_.now() + Duration::seconds(1);
        if (conn->write_all(own, "-ERR max number of clients reached\r\n", deadline).ok()) {
            // Until it has read that, which closing over unread bytes of its own would take from it.
            conn->shutdown_write();
            Bytes ignored(1024, '\0');
            for (Result<size_t> more = size_t{1}; more.ok() && *more > 0;) more = conn->read(own, ignored, deadline);
        }
        --refusing_;
    });
}

// ---- what operators see -----------------------------------------------------------------------------------------

std::string KvNode::metrics_page() { return kv_metrics_page(*this); }

void KvNode::add_status(admin::JsonWriter& json) const {
    json.key("kv").begin_object().field("keys", service_ ? service_->machine().metadata().keys : 0).field("clients", static_cast<uint64_t>(clients_.size()));
    if (service_) json.field("writes", service_->counters().writes).field("reads", service_->counters().reads).field("forwarded", service_->counters().forwarded);
    json.end_object();
    if (!service_) return;
    const KvMachine::TimeView time = service_->machine().time_view();
    json.key("state_time").begin_object().field("time_ns", time.time.ns).field("wall_ns", time.wall.ns);
    json.field("ahead_ms", time.ahead().as_millis()).field("source", time_origin_name(time.origin)).end_object();
}

KvNode::Traffic KvNode::traffic() const {
    Traffic traffic{.clients = clients_.size(), .connections = counters_.connections_received, .rejected = counters_.connections_rejected,
                    .commands = counters_.commands_processed};
    for (const auto& [id, session] : clients_) traffic.blocked += session->client().blocked;
    return traffic;
}

}  // namespace orrery::kv
