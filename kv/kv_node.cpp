#include "kv/kv_node.h"

#include <algorithm>

#include "kv/client_session.h"
#include "kv/kv_metrics.h"
#include "node/admin/json_writer.h"
#include "node/raft/return_to_group.h"
#include "runtime/base/check.h"

namespace orrery::kv {

KvNode::KvNode(Env& env, KvNodeOptions options) : env_(env), options_(std::move(options)) {
    if (options_.peer_advertise.empty()) options_.peer_advertise = options_.peer_listen.text();
    if (options_.client_advertise.empty()) options_.client_advertise = options_.client_listen.text();
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
    options_.host.groups = {kKvGroup};
    options_.service.first_client = env_.random.stream("kv.client_ids").next() >> 1;
}

KvNode::~KvNode() {
    CHECK(clients_.empty(), clients_.size());
}

void KvNode::request_stop() {
    stopping_.set();
    founded_or_stopping_.notify_all();
}

Address KvNode::client_address() const { return client_listener_ ? client_listener_->local() : options_.client_listen; }
Address KvNode::peer_address() const { return peer_server_ ? peer_server_->local() : options_.peer_listen; }

Result<void> KvNode::run(Fiber& fiber) {
    started_at_ = env_.now();
    TRY(directory_, raft::NodeDirectory::open(fiber, env_, {options_.node, options_.peer_advertise, options_.client_advertise}));
    raft::GroupHost::handle_peers(peer_service_, *directory_, host_);
    KvService::handle_forwards(peer_service_, service_);

    TRY(start_admin());
    for (;;) {
        if (!directory_->founding()) TRY(wait_for_cluster(fiber));
        Result<void> served = stopping_.is_set() ? Result<void>() : serve(fiber);
        if (served.failed_with(Code::Cancelled)) return served;
        // Stale: its replica was retired as it was opened; the node goes on as another one.
        if (!served.failed_with(Code::Stale) || host_) return drain(fiber, std::move(served));
    }
}

Result<void> KvNode::wait_for_cluster(Fiber& fiber) {
    // In no cluster yet: only identity, init and join are answered, and nothing of a log is there yet.
    if (!peer_server_) {
        peer_server_ = std::make_unique<rpc::Server>(env_, directory_->identity(), peer_service_, rpc::ServerOptions{.name = "peer"});
        TRY(peer_server_->start(options_.peer_listen));
    }
    env_.tracer.info("node.waits_for_founding", {{"peer", options_.peer_listen.text()}, {"retired", directory_->retired() ? 1 : 0}});
    if (directory_->retired())
        env_.spawn("kv.return", [this](Fiber& own) { (void)raft::return_to_group(own, env_, *directory_, not_back_yet_); });
    env_.spawn("kv.founding_watch", [this](Fiber& own) {
        if (directory_->wait_founded(own).ok()) founded_or_stopping_.notify_all();
    });
    while (!directory_->founding() && !stopping_.is_set()) TRY(founded_or_stopping_.wait(fiber));
    return {};
}

Result<void> KvNode::drain(Fiber& fiber, Result<void> served) {
    // Drain: no new client, let the present ones finish, hand leadership over, then close what is below.
    env_.tracer.info("node.draining", {});
    const Instant deadline = env_.now() + options_.drain_timeout;
    if (client_listener_) client_listener_->close();
    for (auto& [id, session] : clients_) session->stop();
    if (Result<void> gone = clients_gate_.close(fiber, deadline); gone.failed_with(Code::Cancelled)) return gone;
    if (group_ != nullptr && group_->leads()) hand_over(fiber);
    if (admin_) TRY(admin_->stop(fiber));
    if (peer_server_) TRY(peer_server_->stop(fiber, env_.now()));
    if (host_) {
        Result<void> stopped = host_->stop(fiber, deadline);
        if (served.ok()) served = stopped;
    }
    env_.tracer.info("node.stopped", {});
    return served;
}

void KvNode::hand_over(Fiber& fiber) {
    (void)group_->hand_over(raft::Successor::Any);
    const Instant deadline = env_.now() + options_.group.core.election_timeout_max;
    while (group_->leads() && env_.now() < deadline)
        if (!env_.sleep(fiber, Duration::millis(10)).ok()) return;
}

Result<void> KvNode::serve(Fiber& fiber) {
    TRY(host_, raft::GroupHost::open(fiber, env_, *directory_, options_.host));
    if (!peer_server_) {
        peer_server_ = std::make_unique<rpc::Server>(env_, directory_->identity(), peer_service_, rpc::ServerOptions{.name = "peer"});
        TRY(peer_server_->start(options_.peer_listen));
    }
    TRY(group_, host_->add_group(fiber, kKvGroup, [this](store::Store& store) { return std::make_unique<KvMachine>(env_, store, options_.cache); },
                                 options_.group));
    service_ = std::make_unique<KvService>(env_, *host_, *group_, options_.service);
    TRY(client_listener_, env_.net.listen(options_.client_listen));
    env_.tracer.info("node.serving", {{"clients", client_listener_->local().text()}, {"peers", peer_server_->local().text()}});
    env_.spawn("kv.accept", [this](Fiber& own) { accept_clients(own); });
    env_.spawn("kv.stopped_watch", [this](Fiber& own) {
        if (!group_->wait_stopped(own).ok()) return;
        // Nothing can be served here until a restart: clients are sent away, so that they find a node that can.
        client_listener_->close();
        for (auto& [id, session] : clients_) session->stop();
    });
    env_.spawn("kv.failed_watch", [this](Fiber& own) {
        if (host_->wait_failed(own).ok()) request_stop();
    });
    TRY(stopping_.wait(fiber));
    return host_->failed() ? Result<void>(*host_->failed()) : Result<void>();
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

std::optional<Address> KvNode::admin_address() const {
    if (!admin_) return std::nullopt;
    return admin_->local();
}

Result<void> KvNode::start_admin() {
    if (!options_.admin_listen) return {};
    admin_ = std::make_unique<admin::AdminServer>(env_, admin::AdminOptions{.name = "orrery-kv"});
    // Ready means all of it at once; each line says what is missing.
    auto check = [this](std::string name, bool (*holds)(const KvNode&), const char* otherwise) {
        admin_->add_check(std::move(name), [this, holds, otherwise]() -> Result<void> {
            if (holds(*this)) return {};
            return Error(Code::NotReady, otherwise);
        });
    };
    check("founded", [](const KvNode& n) { return n.directory_ && n.directory_->founding().has_value(); },
          "in no cluster: if damage took it out of one, /status says why it is not back yet; else run `orreryctl kv init`, or `orreryctl kv add` at a cluster that is to take it in");
    check("group_running", [](const KvNode& n) { return n.group_ != nullptr && !n.group_->stopped(); },
          "the group is loading, or has stopped on this node: see /status");
    check("member", [](const KvNode& n) { return n.group_ == nullptr || n.group_->exclusion().empty(); },
          "this node was removed from the cluster: see /status");
    check("leader_known", [](const KvNode& n) { return n.group_ != nullptr && static_cast<bool>(n.group_->leader()); },
          "no leader is known: a majority may be out of reach");
    check("disk_writable", [](const KvNode& n) { return n.host_ && !n.host_->short_of_space() && n.host_->store().health() == store::Health::Writable; },
          "the disk is full or failed: see /status");
    check("listener_open", [](const KvNode& n) { return n.serving(); }, "clients are not accepted");
    admin_->set_status([this] { return status_json(); });
    admin_->set_metrics([this] { return kv_metrics_page(*this); });
    return admin_->start(*options_.admin_listen);
}

std::string KvNode::status_json() const {
    admin::JsonWriter json;
    json.begin_object().field("node", options_.node.value).field("version", options_.version).field("uptime_ms", (env_.now() - started_at_).as_millis());
    if (directory_) {
        json.field("incarnation", directory_->identity().incarnation.value).field("cluster", directory_->identity().cluster.value);
        json.field("founded", directory_->founding().has_value());
    }
    json.field("serving", serving());
    if (directory_ && directory_->retired()) {
        json.key("retired").begin_object().field("replica", directory_->retired()->replica.value);
        json.field("taken_back", directory_->founding().has_value());
        if (!not_back_yet_.empty()) json.field("why_not", not_back_yet_);
        json.end_object();
    }
    if (group_ != nullptr) {
        const raft::Status status = group_->status();
        json.key("group").begin_object();
        json.field("role", raft::role_name(status.role)).field("term", status.hard_state.term.value).field("leader", status.leader.node.value);
        json.field("commit", status.commit.value).field("applied", group_->applied().value).field("durable", status.durable.value);
        json.field("last", status.last.index.value).field("floor", status.floor.index.value);
        if (status.first_hole)
            json.field("holes", status.holes).field("first_hole_index", status.first_hole->index.value).field("first_hole_term", status.first_hole->term.value);
        if (status.stateless) json.field("waits_for_snapshot", true);
        if (group_->stopped()) json.field("stopped", group_->stopped()->text());
        json.field("configuration", status.configuration.text()).field("configuration_index", status.configuration_index.value);
        if (const std::string out = group_->exclusion(); !out.empty()) json.field("removed", status.removed).field("excluded", out);
        json.key("members").begin_array();
        for (const raft::MemberStatus& member : status.members) {
            json.begin_object().field("node", member.member.node.value).field("replica", member.member.replica.value).field("voter", member.voter);
            if (member.promoting) json.field("promoting", true);
            if (status.role == raft::Role::Leader)
                json.field("durable", member.match.value).field("applied", member.applied.value).field("active", member.active);
            json.end_object();
        }
        json.end_array();
        const raft::Group::Retention retention = group_->retention();
        json.field("retained_bytes", retention.retained_bytes).field("transfers", static_cast<uint64_t>(retention.transfers));
        json.key("slowed").begin_object().field("now", group_->slowed()).field("bytes_per_second", retention.slowed_to_bytes_per_second);
        json.field("periods", retention.slow.periods).field("waited", retention.slow.waited).field("refused", retention.slow.refused).end_object();
        json.end_object();
        json.key("space").begin_object().field("level", wire::space_level_name(host_->space_level())).field("reserve_bytes", options_.host.reserve_bytes);
        json.key("peers_short").begin_array();
        for (const raft::MemberStatus& member : status.members)
            if (const wire::SpaceLevel level = host_->peer_space(member.member.node); level != wire::SpaceLevel::Room)
                json.begin_object().field("node", member.member.node.value).field("level", wire::space_level_name(level)).end_object();
        json.end_array().end_object();
        const log::Status log = host_->log().status();
        json.key("log").begin_object().field("segments", log.segments).field("free_segments", log.free_segments).field("live_bytes", log.live_bytes);
        json.field("batches", log.counters.batches).field("appends", log.counters.appends).field("short_of_space", log.short_of_space).end_object();
        const store::Stats stats = host_->store().stats();
        json.key("store").begin_object().field("health", host_->store().health_text().empty() ? "writable" : host_->store().health_text());
        json.field("unflushed_bytes", stats.unflushed_bytes).field("table_files_bytes", stats.table_files_bytes).field("flushes", stats.flushes_completed).end_object();
        json.key("kv").begin_object().field("keys", service_ ? service_->machine().metadata().keys : 0).field("clients", static_cast<uint64_t>(clients_.size()));
        if (service_) json.field("writes", service_->counters().writes).field("reads", service_->counters().reads).field("forwarded", service_->counters().forwarded);
        json.end_object();
        if (service_) {
            const KvMachine::TimeView time = service_->machine().time_view();
            json.key("state_time").begin_object().field("time_ns", time.time.ns).field("wall_ns", time.wall.ns);
            json.field("ahead_ms", time.ahead().as_millis()).field("source", time_origin_name(time.origin)).end_object();
        }
    }
    json.end_object();
    return json.text();
}

KvNode::Traffic KvNode::traffic() const {
    Traffic traffic{.node = options_.node, .version = options_.version, .uptime = env_.now() - started_at_, .clients = clients_.size(),
                    .connections = counters_.connections_received, .rejected = counters_.connections_rejected,
                    .commands = counters_.commands_processed};
    for (const auto& [id, session] : clients_) traffic.blocked += session->client().blocked;
    if (admin_) traffic.admin_requests = admin_->counters().requests;
    return traffic;
}

}  // namespace orrery::kv
