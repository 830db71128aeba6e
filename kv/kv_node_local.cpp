// KvNode's side of LocalNode: what clients' own commands ask of the node and change in it.
#include "kv/client_session.h"
#include "kv/kv_node.h"
#include "node/raft/member_contact.h"

namespace orrery::kv {

namespace {

std::optional<Address> service_address(ByteView contact) {
    const Result<raft::MemberContact> known = raft::decode_contact(contact);
    if (!known.ok()) return std::nullopt;
    Result<Address> address = Address::parse(known->service_address);
    return address.ok() ? std::optional<Address>(std::move(*address)) : std::nullopt;
}

uint16_t peer_port(ByteView contact) {
    const Result<raft::MemberContact> known = raft::decode_contact(contact);
    if (!known.ok()) return 0;
    const Result<Address> address = Address::parse(known->peer_address);
    return address.ok() ? address->port : 0;
}

}  // namespace

ServerFacts KvNode::facts() const {
    ServerFacts facts;
    facts.orrery_version = options_.version;
    facts.run_id = run_id_;
    facts.process_id = options_.process_id;
    facts.port = client_address().port;
    facts.uptime = uptime();
    facts.wall = env_.clock.wall();
    facts.connected_clients = clients_.size();
    for (const auto& [id, session] : clients_) facts.blocked_clients += session->client().blocked;
    facts.clients_max = settings_.clients_max;
    facts.counters = counters_;
    facts.cluster_face = options_.face == ClientFace::Cluster;
    facts.node = options_.node;
    facts.loading = group() == nullptr;
    if (group() == nullptr || service_ == nullptr) return facts;
    const KvMachine& machine = service_->machine();
    const KvMachine::TimeView time = machine.time_view();
    facts.state_time_ns = time.time.ns;
    facts.wall = time.wall;
    facts.state_time_source = time_origin_name(time.origin);
    const store::Stats stats = host()->store().stats();
    facts.used_memory_bytes = stats.memtable_bytes + stats.cache_used_bytes;
    facts.hits = machine.hits() - hits_before_;
    facts.misses = machine.misses() - misses_before_;
    facts.expired_keys = service_->counters().purged - expired_before_;
    facts.counters.stale_reads = service_->counters().stale_reads - stale_reads_before_;
    const raft::Status status = group()->status();
    facts.leader = status.role == raft::Role::Leader;
    facts.leader_node = status.leader.node;
    facts.term = status.hard_state.term;
    facts.commit_index = status.commit;
    facts.applied_index = group()->applied();
    if (const std::optional<Address> address = service_address(status.configuration.contact(status.leader))) {
        facts.leader_host = address->host;
        facts.leader_port = address->port;
    }
    if (facts.leader) {
        for (const raft::MemberStatus& member : status.members) {
            if (member.member == status.self) continue;
            ServerFacts::Replica replica;
            replica.node = member.member.node;
            if (const std::optional<Address> address = service_address(status.configuration.contact(member.member))) {
                replica.host = address->host;
                replica.port = address->port;
            }
            replica.connected = member.active;
            replica.durable = member.match;
            replica.applied = member.applied;
            facts.replicas.push_back(std::move(replica));
        }
    }
    facts.keys = machine.metadata().keys;
    facts.volatile_keys = machine.metadata().volatile_keys;
    return facts;
}

ClusterView KvNode::cluster() const {
    ClusterView view;
    view.cluster = directory() != nullptr ? directory()->identity().cluster.value : 0;
    if (group() == nullptr) return view;
    const raft::Status status = group()->status();
    const bool leads = group()->leads();
    view.term = status.hard_state.term;
    view.serving = !group()->stopped() && !status.removed;
    const raft::Member leader = group()->leader();
    for (const raft::MemberStatus& member : status.members) {
        // Of a node that is being replaced the old replica never answers again.
        if (!status.configuration.is_member(member.member)) continue;
        const ByteView contact = status.configuration.contact(member.member);
        ClusterView::Node node{.node = member.member.node, .replica = member.member.replica};
        if (const std::optional<Address> address = service_address(contact)) {
            node.host = address->host;
            node.port = address->port;
        }
        node.peer_port = peer_port(contact);
        node.self = member.member == status.self;
        node.leader = leader.node && member.member == leader;
        node.voter = member.voter;
        node.connected = leads ? node.self || member.active : static_cast<bool>(leader.node) || node.self;
        node.applied = node.self ? group()->applied() : leads ? member.applied : LogIndex();
        view.nodes.push_back(std::move(node));
    }
    return view;
}

void KvNode::change_settings(const Settings& settings) {
    settings_ = settings;
    if (service_) service_->change(settings.wait_zero, settings.request_limit);
    for (auto& [id, session] : clients_) session->settings_changed();
    env_.tracer.info("kv.settings_changed", {{"clients_max", static_cast<int64_t>(settings.clients_max)}});
}

void KvNode::change_acl(Acl acl) {
    options_.acl = std::move(acl);
    for (auto& [id, session] : clients_) session->access_changed();
    env_.tracer.info("kv.users_changed", {{"users", static_cast<int64_t>(options_.acl.users().size())}});
}

void KvNode::reset_statistics() {
    counters_ = {};
    if (!service_) return;
    hits_before_ = service_->machine().hits();
    misses_before_ = service_->machine().misses();
    expired_before_ = service_->counters().purged;
    stale_reads_before_ = service_->counters().stale_reads;
}

void KvNode::for_each_client(FunctionRef<void(const ClientState&)> visit) {
    for (auto& [id, session] : clients_) visit(session->look());
}

void KvNode::kill_client(uint64_t id) {
    const auto at = clients_.find(id);
    if (at == clients_.end()) return;
    ++counters_.clients_killed;
    at->second->kill();
}

bool KvNode::unblock_client(uint64_t id, Unblock how) {
    const auto at = clients_.find(id);
    return at != clients_.end() && at->second->unblock(how);
}

}  // namespace orrery::kv
