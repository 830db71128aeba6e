#include "node/replica/replica_process.h"

#include "node/raft/return_to_group.h"

namespace orrery::replica {

ReplicaProcess::ReplicaProcess(Env& env, ReplicaKind kind, ReplicaOptions options)
    : env_(env), kind_(std::move(kind)), options_(std::move(options)) {
    if (options_.peer_advertise.empty()) options_.peer_advertise = options_.peer_listen.text();
    if (options_.service_advertise.empty()) options_.service_advertise = options_.service_listen.text();
    options_.host.groups = {kind_.group};
}

ReplicaProcess::~ReplicaProcess() = default;

void ReplicaProcess::request_stop() {
    stopping_.set();
    founded_or_stopping_.notify_all();
}

Address ReplicaProcess::peer_address() const { return peer_server_ ? peer_server_->local() : options_.peer_listen; }

Result<void> ReplicaProcess::run(Fiber& fiber) {
    started_at_ = env_.now();
    TRY(directory_, raft::NodeDirectory::open(fiber, env_, {options_.node, options_.peer_advertise, options_.service_advertise}));
    raft::GroupHost::handle_peers(peer_service_, *directory_, host_);
    handle_requests(peer_service_);

    TRY(start_admin());
    for (;;) {
        if (!directory_->founding()) TRY(wait_for_cluster(fiber));
        Result<void> served = stopping_.is_set() ? Result<void>() : serve(fiber);
        if (served.failed_with(Code::Cancelled)) return served;
        // Stale: its replica was retired as it was opened; the node goes on as another one.
        if (!served.failed_with(Code::Stale) || host_) return drain(fiber, std::move(served));
    }
}

Result<void> ReplicaProcess::start_peers() {
    if (peer_server_) return {};
    peer_server_ = std::make_unique<rpc::Server>(env_, directory_->identity(), peer_service_, rpc::ServerOptions{.name = "peer"});
    return peer_server_->start(options_.peer_listen);
}

Result<void> ReplicaProcess::wait_for_cluster(Fiber& fiber) {
    // In no cluster yet: only identity, init and join are answered, and nothing of a log is there yet.
    TRY(start_peers());
    env_.tracer.info("node.waits_for_founding", {{"peer", options_.peer_listen.text()}, {"retired", directory_->retired() ? 1 : 0}});
    if (directory_->retired())
        env_.spawn(kind_.name + ".return", [this](Fiber& own) { (void)raft::return_to_group(own, env_, *directory_, not_back_yet_); });
    env_.spawn(kind_.name + ".founding_watch", [this](Fiber& own) {
        if (directory_->wait_founded(own).ok()) founded_or_stopping_.notify_all();
    });
    while (!directory_->founding() && !stopping_.is_set()) TRY(founded_or_stopping_.wait(fiber));
    return {};
}

Result<void> ReplicaProcess::serve(Fiber& fiber) {
    TRY(host_, raft::GroupHost::open(fiber, env_, *directory_, options_.host));
    TRY(start_peers());
    TRY(group_, host_->add_group(fiber, kind_.group, [this](store::Store& store) { return make_machine(store); }, options_.group));
    TRY(service_address_, start_service(fiber));
    env_.tracer.info("node.serving", {{"clients", service_address_->text()}, {"peers", peer_server_->local().text()}});
    env_.spawn(kind_.name + ".stopped_watch", [this](Fiber& own) {
        // Nothing can be served here until a restart.
        if (group_->wait_stopped(own).ok()) send_clients_away();
    });
    env_.spawn(kind_.name + ".failed_watch", [this](Fiber& own) {
        if (host_->wait_failed(own).ok()) request_stop();
    });
    TRY(stopping_.wait(fiber));
    return host_->failed() ? Result<void>(*host_->failed()) : Result<void>();
}

Result<void> ReplicaProcess::drain(Fiber& fiber, Result<void> served) {
    // Drain: no new client, let the present ones finish, hand leadership over, then close what is below.
    env_.tracer.info("node.draining", {});
    const Instant deadline = env_.now() + options_.drain_timeout;
    if (Result<void> gone = drain_clients(fiber, deadline); gone.failed_with(Code::Cancelled)) return gone;
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

void ReplicaProcess::hand_over(Fiber& fiber) {
    (void)group_->hand_over(raft::Successor::Any);
    const Instant deadline = env_.now() + options_.group.core.election_timeout_max;
    while (group_->leads() && env_.now() < deadline)
        if (!env_.sleep(fiber, Duration::millis(10)).ok()) return;
}

// ---- what operators see -----------------------------------------------------------------------------------------

std::optional<Address> ReplicaProcess::admin_address() const {
    if (!admin_) return std::nullopt;
    return admin_->local();
}

Result<void> ReplicaProcess::start_admin() {
    if (!options_.admin_listen) return {};
    admin_ = std::make_unique<admin::AdminServer>(env_, admin::AdminOptions{.name = kind_.daemon});
    // Ready means all of it at once; each line says what is missing.
    auto check = [this](std::string name, bool (*holds)(const ReplicaProcess&), std::string otherwise) {
        admin_->add_check(std::move(name), [this, holds, otherwise = std::move(otherwise)]() -> Result<void> {
            if (holds(*this)) return {};
            return Error(Code::NotReady, otherwise);
        });
    };
    const std::string command = "`orreryctl " + kind_.name;
    check("founded", [](const ReplicaProcess& p) { return p.directory_ && p.directory_->founding().has_value(); },
          "in no cluster: if damage took it out of one, /status says why it is not back yet; else run " + command + " init`, or " +
              command + " add` at a cluster that is to take it in");
    check("group_running", [](const ReplicaProcess& p) { return p.group_ != nullptr && !p.group_->stopped(); },
          "the group is loading, or has stopped on this node: see /status");
    check("member", [](const ReplicaProcess& p) { return p.group_ == nullptr || p.group_->exclusion().empty(); },
          "this node was removed from the cluster: see /status");
    check("leader_known", [](const ReplicaProcess& p) { return p.group_ != nullptr && static_cast<bool>(p.group_->leader()); },
          "no leader is known: a majority may be out of reach");
    check("disk_writable", [](const ReplicaProcess& p) { return p.host_ && !p.host_->short_of_space() && p.host_->store().health() == store::Health::Writable; },
          "the disk is full or failed: see /status");
    check("listener_open", [](const ReplicaProcess& p) { return p.serving(); }, "clients are not accepted");
    admin_->set_status([this] { return status_json(); });
    admin_->set_metrics([this] { return metrics_page(); });
    return admin_->start(*options_.admin_listen);
}

std::string ReplicaProcess::status_json() const {
    admin::JsonWriter json;
    json.begin_object().field("node", options_.node.value).field("version", options_.version).field("uptime_ms", uptime().as_millis());
    if (directory_) {
        json.field("incarnation", directory_->identity().incarnation.value).field("cluster", directory_->identity().cluster.value);
        json.field("founded", directory_->founding().has_value());
    }
    json.field("serving", serving());
    if (directory_ && directory_->retired()) add_retired(json);
    if (group_ != nullptr) {
        const raft::Status status = group_->status();
        add_group(json, status);
        add_disk(json, status);
        add_status(json);
    }
    json.end_object();
    return json.text();
}

void ReplicaProcess::add_retired(admin::JsonWriter& json) const {
    json.key("retired").begin_object().field("replica", directory_->retired()->replica.value);
    json.field("taken_back", directory_->founding().has_value());
    if (!not_back_yet_.empty()) json.field("why_not", not_back_yet_);
    json.end_object();
}

void ReplicaProcess::add_group(admin::JsonWriter& json, const raft::Status& status) const {
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
}

void ReplicaProcess::add_disk(admin::JsonWriter& json, const raft::Status& status) const {
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
}

}  // namespace orrery::replica
