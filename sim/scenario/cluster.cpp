#include "sim/scenario/cluster.h"

#include <algorithm>
#include <charconv>

#include "node/log/format.h"
#include "node/raft/operate_members.h"

namespace orrery::sim {

namespace {
constexpr Duration kSupervisorDelay = Duration::seconds(1);
}  // namespace

Cluster::Cluster(World& world, const Scenario& plan) : world_(world), plan_(plan) {
    const uint64_t members = plan.cluster.nodes();
    changes_members_ = plan.cluster.spare > 0;
    for (const PlannedFault& event : plan.plan.events)
        changes_members_ |= std::holds_alternative<MemberAdd>(event.fault) || std::holds_alternative<MemberRemove>(event.fault) ||
                            std::holds_alternative<MemberReplace>(event.fault) || std::holds_alternative<DiskBitRot>(event.fault) ||
                            std::holds_alternative<DiskReadError>(event.fault);  // a damaged replica is replaced by the node itself
    HostOptions node;
    node.disk.latency = DiskLatency{};
    // RocksDB appends to its files within sectors and owes nothing for what it had synced in one that a power loss tears.
    node.disk.power_loss.garbage_spares_synced = {store::Options::small().path + "/"};
    for (uint64_t i = 0; i < members; ++i) {
        node.clock_offset = Duration::seconds(static_cast<int64_t>(1000 * (i + 1)));
        members_.push_back(&world.add_host(plan.cluster.names().member(i + 1), node));
    }
    for (uint64_t i = 0; i < plan.workload.clients; ++i) {
        clients_.push_back(&world.add_host("c" + std::to_string(i + 1)));
        others_.push_back(clients_.back());
    }
    for (uint64_t i = 0; plan.cluster.of_masters() && i < plan.cluster.data; ++i) {
        data_.push_back(&world.add_host("d" + std::to_string(i + 1)));
        others_.push_back(data_.back());
    }
    op_ = &world.add_host("op");
    others_.push_back(op_);
    wiped_.resize(members);
    damaged_.resize(members);
    kept_down_.resize(members);
    renewed_.resize(members);
    retired_.resize(members);
    for (const std::string& name : plan.check.expect_errors)
        for (Host* host : members_) host->expect_error(name);
    world.add_observer(*this, false);
}

void Cluster::set_replica_options(replica::ReplicaOptions& options, size_t index) const {
    const ClusterKnobs& knobs = plan_.cluster.knobs;
    options.node = NodeId(index + 1);
    options.peer_listen = {members_[index]->name(), kPeerPort};
    options.service_listen = {members_[index]->name(), kClientPort};
    options.host.store = store::Options::small();
    options.host.store.memtable_bytes = knobs.memtable_bytes;
    options.host.log.segment_bytes = knobs.log_segment_bytes;
    options.host.log.batch_bytes = knobs.log_batch_bytes;
    options.host.log.queue_bytes = std::min(knobs.log_segment_bytes / 2, knobs.log_batch_bytes * 4);
    options.host.log.copy_bytes = std::min<uint64_t>(knobs.log_batch_bytes, 64 << 10);
    options.host.peers.backoff_max = Duration::millis(500);
    options.host.peers.connect_timeout = Duration::seconds(1);
    options.host.flush_log_bytes = knobs.flush_log_bytes;
    options.group.core.election_timeout_min = knobs.election_timeout_min;
    options.group.core.election_timeout_max = knobs.election_timeout_max;
    options.group.core.heartbeat = knobs.heartbeat;
    options.group.core.check_quorum = knobs.check_quorum;
    options.group.retain_bytes = knobs.retain_bytes;
    options.group.snapshot_timeout = knobs.snapshot_timeout;
    options.group.slowed_bytes_per_second = knobs.slowed_bytes_per_second;
    options.host.retain_bytes_node = knobs.retain_bytes_node;
    options.host.reserve_bytes = knobs.reserve_bytes;
    options.group.snapshot_chunk_bytes = knobs.snapshot_chunk_bytes;
    options.group.apply_batch_entries = knobs.apply_batch_entries;
    options.drain_timeout = Duration::seconds(2);
}

std::unique_ptr<Process> Cluster::make_node(Env& env, size_t index) const {
    const ClusterKnobs& knobs = plan_.cluster.knobs;
    if (plan_.cluster.of_masters()) {
        master::MasterNodeOptions options;
        set_replica_options(options, index);
        options.service.request_timeout = knobs.request_timeout;
        options.service.node_silence = knobs.node_silence;
        options.service.node_check = Duration::millis(300);
        options.service.refresh = Duration::millis(300);
        // Lists so large for them that they are cut into pages, streamed, forgotten, and not held back for everybody.
        options.service.lists.cache = {.bytes_max = 20'000, .page_partitions = 2};
        options.service.lists.inline_bytes_max = 400;
        options.service.lists.streams_max = 4;
        options.service.lists.held_max = 6;
        options.service.tasks.period = Duration::millis(200);
        options.service.tasks.order_timeout = Duration::seconds(2);
        options.service.tasks.plan.repair_after = knobs.node_silence + Duration::seconds(1);
        options.service.tasks.plan.retry_after = Duration::millis(200);
        options.service.tasks.steps.create_max = Duration::seconds(10);
        return std::make_unique<master::MasterNode>(env, options);
    }
    kv::KvNodeOptions options;
    set_replica_options(options, index);
    options.cache.slots = 64;  // few, so that keys push each other out
    options.service.request_timeout = knobs.request_timeout;
    return std::make_unique<kv::KvNode>(env, options);
}

void Cluster::start_all() {
    for (Host* host : members_) start(*host);
    for (Host* host : others_) start(*host);
}

void Cluster::start(Host& host) {
    if (host.up() || world_.failure()) return;
    if (host.index() < members_.size()) {
        host.start([this, index = host.index()](Env& env) { return make_node(env, index); });
    } else {
        host.start([](Env&) { return std::make_unique<IdleProcess>(); });
    }
}

std::vector<Address> Cluster::peer_addresses() const {
    std::vector<Address> out;
    for (size_t i = 0; i < founders(); ++i) out.push_back({members_[i]->name(), kPeerPort});
    return out;
}

replica::ReplicaProcess* Cluster::node(size_t index) {
    return static_cast<replica::ReplicaProcess*>(members_[index]->process());
}

kv::KvNode* Cluster::kv(size_t index) {
    CHECK(!plan_.cluster.of_masters());
    return static_cast<kv::KvNode*>(members_[index]->process());
}

master::MasterNode* Cluster::master(size_t index) {
    CHECK(plan_.cluster.of_masters());
    return static_cast<master::MasterNode*>(members_[index]->process());
}

raft::Group* Cluster::group(size_t index) {
    replica::ReplicaProcess* node = this->node(index);
    return node != nullptr ? node->group() : nullptr;
}

std::optional<size_t> Cluster::leader() {
    std::optional<size_t> best;
    Term highest;
    for (size_t i = 0; i < members_.size(); ++i) {
        raft::Group* group = this->group(i);
        if (group == nullptr || !group->leads() || group->stopped()) continue;
        if (best && group->core().term() <= highest) continue;
        best = i;
        highest = group->core().term();
    }
    return best;
}

bool Cluster::all_applied() {
    LogIndex highest;
    for (size_t i = 0; i < members_.size(); ++i)
        if (raft::Group* group = this->group(i)) highest = std::max(highest, group->core().commit());
    for (size_t i = 0; i < members_.size(); ++i) {
        if (standing(i) != Standing::Member) continue;
        raft::Group* group = this->group(i);
        if (group == nullptr || group->applied() != highest) return false;
    }
    return true;
}

std::vector<Host*> Cluster::resolve(const NodeName& name, RandomStream& draws) {
    const MemberNames names = plan_.cluster.names();
    const std::string of_kind = "(" + names.kind + ")";
    if (name == "all" || name == "all" + of_kind) return members_;
    if (name == "any" || name == "any" + of_kind) return {members_[draws.below(members_.size())]};
    const std::optional<size_t> leading = leader();
    if (name == names.leader())
        return leading ? std::vector<Host*>{members_[*leading]} : std::vector<Host*>{};
    const std::string follower = "follower(" + names.kind + ",";
    if (name.starts_with(follower) && name.ends_with(")")) {
        size_t which = 0;
        std::from_chars(name.data() + follower.size(), name.data() + name.size() - 1, which);
        for (size_t i = 0; i < members_.size(); ++i) {
            if (leading && i == *leading) continue;
            if (which-- == 0) return {members_[i]};
        }
        return {};
    }
    if (name == "clients") return clients_;
    Host* host = world_.find_host(name);
    return host != nullptr ? std::vector<Host*>{host} : std::vector<Host*>{};
}

bool Cluster::transfer(Host& to) {
    const std::optional<size_t> leading = leader();
    if (!leading || members_[*leading] == &to || members_[*leading]->state() != Host::State::Up)
        return false;
    return group(*leading)->transfer(node_id(to)).ok();
}

// ---- who is a member ------------------------------------------------------------------------------------------------

Cluster::Standing Cluster::standing(size_t index) {
    const NodeId id(index + 1);
    const std::optional<size_t> leading = leader();
    if (!leading) return wiped_[index] || damaged_[index] ? Standing::Lost : index < founders() ? Standing::Member : Standing::Outside;
    const std::optional<raft::Member> named = group(*leading)->core().log().configuration().find(id);
    if (!named) return Standing::Outside;
    if (damaged_[index]) return Standing::Lost;
    replica::ReplicaProcess* node = this->node(index);
    if (node == nullptr || node->directory() == nullptr) return wiped_[index] ? Standing::Lost : Standing::Member;
    return node->directory()->identity().incarnation.value == named->replica.value ? Standing::Member : Standing::Lost;
}

bool Cluster::replaced(size_t index, ReplicaId replica) const {
    auto* self = const_cast<Cluster*>(this);
    const std::optional<size_t> leading = self->leader();
    if (!leading || !replica) return false;
    const raft::Core& core = self->group(*leading)->core();
    return core.log().configuration_index() <= core.commit() && !core.log().configuration().names({NodeId(index + 1), replica});
}

void Cluster::order(MemberOrder order, Host& host, Duration within, std::function<void(const std::string&, bool)> done) {
    // A voter less, and a replica that will never answer: two gone, where the budget has one. So an operator looks first.
    if (order == MemberOrder::Remove) {
        for (size_t i = 0; i < members_.size(); ++i)
            if (wiped_[i] && standing(i) == Standing::Lost) return done("not taken out: " + members_[i]->name() + " is not back yet", false);
        ++removals_running_;
    }
    ++orders_running_;
    op_->env()->spawn("op.members", [this, order, &host, within, done = std::move(done), env = op_->env()](Fiber& fiber) {
        raft::OperatedGroup group{{}, group_id()};
        for (const Host* member : members_)
            if (member != &host) group.at.push_back({member->name(), kPeerPort});
        if (group.at.empty()) group.at.push_back({host.name(), kPeerPort});
        const Instant deadline = env->now() + within;
        std::string what;
        bool effective = false;
        if (order == MemberOrder::Add || order == MemberOrder::AddLearner) {
            auto added = raft::add_member(fiber, *env, group, {host.name(), kPeerPort},
                                          order == MemberOrder::Add ? raft::AddAs::Voter : raft::AddAs::Learner, deadline, {});
            effective = added.ok();
            what = "taking " + host.name() + " in: " + (added.ok() ? "done" : added.error().text());
        } else {
            wire::GroupChange change;
            change.action = order == MemberOrder::Remove ? wire::ChangeAction::Remove : wire::ChangeAction::Transfer;
            change.identity.node = node_id(host);
            auto changed = raft::change_members(fiber, *env, group, change, deadline);
            effective = changed.ok() && changed->changed;
            what = (order == MemberOrder::Remove ? "taking out " : "leadership for ") + host.name() + ": " +
                   (changed.ok() ? (changed->changed ? "done" : "so already") : changed.error().text());
        }
        --orders_running_;
        if (order == MemberOrder::Remove) --removals_running_;
        if (done) done(what, effective);
    });
}

void Cluster::replace_lost(Duration within) {
    for (size_t i = 0; i < members_.size(); ++i)
        if (!damaged_[i] && !renewed_[i] && standing(i) == Standing::Lost) order(MemberOrder::Add, *members_[i], within, {});
}

// One replica may be gone, and it is back when all voters hold all that is committed.
bool Cluster::may_lose(Host& host) {
    if (!changes_members_ || host.index() >= members_.size()) return true;
    const std::optional<size_t> leading = leader();
    if (!leading || removals_running_ > 0) return false;
    const raft::Core& core = group(*leading)->core();
    // One that was deposed and has not heard of it knows members of old.
    for (size_t i = 0; i < members_.size(); ++i)
        if (raft::Group* other = group(i); other != nullptr && other->core().term() > core.term()) return false;
    const raft::Configuration& now = core.log().configuration();
    if (now.joint() || core.log().configuration_index() > core.commit()) return false;
    const bool voter = std::any_of(now.voters().begin(), now.voters().end(), [&](const raft::Member& one) { return one.node == node_id(host); });
    if (!voter) return standing(host.index()) == Standing::Outside;
    if (now.voters().size() < 3) return false;
    for (const raft::Member& one : now.voters()) {
        const size_t index = one.node.value - 1;
        raft::Group* other = group(index);
        if (damaged_[index] || other == nullptr || other->stopped() || other->self() != one || other->core().durable() < core.commit()) return false;
    }
    return true;
}

// The newest batch of a log can not prove itself: damaged, it is what a torn write leaves.
SimDisk::Spared Cluster::beyond_detection(Host& host) {
    if (host.index() >= members_.size()) return {};
    struct Newest {
        std::string path;
        uint64_t from = 0, to = 0;
    } newest;
    std::pair<uint64_t, uint64_t> highest;
    for (const SimDisk::Entry& entry : host.disk().tree(SimDisk::View::Durable)) {
        if (!entry.name.starts_with("log/segment-") || entry.name.ends_with(".new")) continue;
        const std::optional<Bytes> bytes = host.disk().peek(entry.name, SimDisk::View::Durable);
        for (uint64_t at = 0; bytes && at + log::kBlockBytes <= bytes->size(); at += log::kBlockBytes) {
            const std::optional<log::BatchHeader> header = log::decode_header(ByteView(*bytes).substr(at));
            if (!header || std::pair(header->epoch, header->number) < highest || !log::batch_is_whole(*header, ByteView(*bytes).substr(at))) continue;
            highest = {header->epoch, header->number};
            newest = {entry.name, at, at + header->batch_bytes};
        }
    }
    return [newest](const std::string& path, uint64_t offset) { return path == newest.path && offset >= newest.from && offset < newest.to; };
}

void Cluster::dies(Host& host, bool wiped) {
    if (host.index() >= members_.size()) return;
    if (wiped) wiped_[host.index()] = true;
    if (wiped) renewed_[host.index()] = false;
    if (listener_ != nullptr) listener_->node_dies(node_id(host), wiped);
}

void Cluster::keeps_down(Host& host, bool down) {
    if (host.index() < members_.size()) kept_down_[host.index()] = down;
}

void Cluster::on_event(Host& host, const TraceEvent& event) {
    if (host.index() >= members_.size()) return;
    if (event.name == "log.damaged") damaged_[host.index()] = true;
    if (event.name == "replica.retired") {
        // As if its disk were emptied, but that nobody has to take it in.
        damaged_[host.index()] = false;
        const auto replica = static_cast<uint64_t>(event.number("replica"));
        if (retired_[host.index()] != replica) dies(host, true);
        retired_[host.index()] = replica;
        renewed_[host.index()] = true;
    }
    if (event.name == "process.failed" || event.name == "process.exited" ||
        event.name == "raft.group_stopped" || event.name == "log.sealed")
        supervise(host);
}

void Cluster::supervise(Host& host) {
    const uint64_t life = host.life();
    world_.at(world_.now() + kSupervisorDelay, [this, &host, life] {
        if (host.life() != life || kept_down_[host.index()] || damaged_[host.index()]) return;
        if (host.state() == Host::State::Paused) return supervise(host);
        ++restarts_;
        if (host.up()) {
            dies(host, false);
            host.crash(Host::Death::Kill);
        }
        start(host);
    });
}

}  // namespace orrery::sim
