#include "node/raft/group_host.h"

#include <algorithm>

#include "node/raft/convert.h"
#include "node/raft/member_contact.h"
#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

namespace {

Result<StoredGroup> read_stored_group(Fiber& fiber, store::Store& store, GroupId id) {
    StoredGroup out;
    TRY(std::optional<Bytes> pointer, store.get(fiber, pointer_key(id)));
    if (!pointer) return out;
    TRY(out.pointer, decode_pointer(*pointer));
    TRY(std::optional<Bytes> applied, store.get(fiber, applied_key({id, out.pointer->generation})));
    if (!applied) return Error(Code::Corrupt, "store: group " + std::to_string(id.value) + " has a pointer but no applied record");
    TRY(out.applied, decode_applied(*applied));
    return out;
}

}  // namespace

Result<std::map<GroupId, StoredGroup>> read_stored_groups(Fiber& fiber, store::Store& store) {
    std::map<GroupId, StoredGroup> out;
    Bytes from;
    for (;;) {
        TRY(store::Store::Chunk chunk, store.scan(fiber, nullptr, from, {}, {.pairs = 1}));
        if (chunk.pairs.empty()) return out;
        const Bytes& key = chunk.pairs.front().first;
        if (key.size() < kSpaceBytes) return Error(Code::Corrupt, "store: a key without group and generation");
        const GroupId id(get_be64(key.data()));
        TRY(StoredGroup group, read_stored_group(fiber, store, id));
        out.emplace(id, std::move(group));
        from.clear();
        put_be64(from, id.value + 1);
    }
}

Result<Configuration> founding_configuration(const NodeDirectory& directory) {
    if (directory.joined()) return Configuration();
    Configuration::Parts parts;
    for (const wire::NodeIdentity& member : directory.founding()->members) {
        parts.voters.push_back({member.node, ReplicaId(member.incarnation.value)});
        parts.contacts[parts.voters.back()] = encode_contact({member.peer_address, member.service_address});
    }
    return Configuration::make(std::move(parts));
}

GroupHost::GroupHost(Env& env, NodeDirectory& directory, GroupHostOptions options)
    : env_(env), directory_(directory), options_(std::move(options)), peer_spaces_(options_.peer_space_valid) {}

GroupHost::~GroupHost() = default;

Result<std::unique_ptr<GroupHost>> GroupHost::open(Fiber& fiber, Env& env, NodeDirectory& directory, GroupHostOptions options) {
    CHECK(directory.founding().has_value());
    std::unique_ptr<GroupHost> host(new GroupHost(env, directory, std::move(options)));
    std::map<GroupId, StoredGroup> stored;
    TRY(const std::optional<std::string> damage, host->open_store(fiber, stored));
    auto durable_applied = [&](GroupId id) -> log::DurableApplied {
        auto found = stored.find(id);
        if (found == stored.end() || !found->second.applied) return {};
        return {found->second.applied->applied.index, found->second.applied->applied.term};
    };
    auto fetchable = [&](GroupId id, const log::GroupReport& report) { return host->others_have(id, stored, &report); };
    Result<std::unique_ptr<log::SegmentedLog>> log = log::SegmentedLog::open(fiber, env, host->options_.log, durable_applied, &host->recovery_, fetchable);
    if (log.failed_with(Code::Corrupt)) {
        host->store_.reset();
        return host->retire(fiber, log.error(), stored);
    }
    if (!log.ok()) return log.error();
    host->log_ = std::move(*log);
    if (const std::string broken = host->broken_promises(stored); !broken.empty()) {
        host->log_.reset();
        host->store_.reset();
        return host->retire(fiber, Error(Code::Corrupt, broken + "; wipe the data directory and replace the member"), stored);
    }
    if (damage) TRY(host->renew_store(fiber, *damage));

    GroupHost* self = host.get();
    host->options_.peers.on_change = [self](NodeId node, rpc::TrafficClass traffic, rpc::LinkChange change) {
        if (change == rpc::LinkChange::Up) return;
        if (traffic == rpc::TrafficClass::Control) self->peer_spaces_.forget(node);
        for (auto& [id, group] : self->groups_) {
            if (group->core_) group->core_->unreachable(node);
            group->wake();
        }
    };
    host->peers_ = std::make_unique<rpc::Peers>(env, directory.identity(), host->options_.peers);
    host->log_->on_synced([self] {
        self->look_at_log();
        for (auto& [id, group] : self->groups_) group->on_log_synced();
    });
    host->store_->set_on_durable([self](uint64_t subject, uint64_t value) {
        if (Group* group = self->find(GroupId(subject)); group != nullptr && group->core_) group->on_durable(LogIndex(value));
    });
    host->log_->start();
    env.spawn("raft.outbox", [self](Fiber& own) { self->outbox_loop(own); });
    env.spawn("raft.caretaker", [self](Fiber& own) { self->caretaker(own); });
    env.spawn("raft.watch_store", [self](Fiber& own) { self->watch_store(own); });
    if (directory.retired()) env.spawn("raft.drop_retired", [self](Fiber& own) { self->drop_retired(own); });
    if (self->options_.reserve_bytes > 0) env.spawn("raft.space", [self](Fiber& own) { self->watch_space(own); });
    return host;
}

Result<Group*> GroupHost::add_group(Fiber& fiber, GroupId id, MachineFactory machine, GroupOptions options) {
    CHECK(!groups_.contains(id), id);
    const NodeId self = directory_.identity().node;
    // A member's replica id is its directory's incarnation: random, and gone with the directory. Who joined later begins
    // with no configuration, which decides nothing, and hears of it as of everything else.
    TRY(const Configuration founders, founding_configuration(directory_));
    Configuration at_joining;
    if (directory_.joined()) {
        options.core.member_since = directory_.joined()->since;
        TRY(at_joining, Configuration::decode(directory_.joined()->configuration));
        follow_members(id, {&at_joining}, {});
    }
    options.core.self = {self, ReplicaId(directory_.identity().incarnation.value)};

    TRY(StoredGroup stored, read_stored_group(fiber, *store_, id));
    auto recovered_log = recovery_.groups.find(id);
    const bool log_knows = recovered_log != recovery_.groups.end();
    if (!stored.pointer) {
        stored.pointer = StatePointer{Generation(1), Floor{LogIndex(0), Term(0), founders}};
        stored.applied = AppliedRecord{{}, founders};
        store::Batch batch;
        batch.put(pointer_key(id), encode_pointer(*stored.pointer));
        batch.put(applied_key({id, stored.pointer->generation}), encode_applied(*stored.applied));
        TRY(store_->write_when_possible(fiber, batch));
    }
    const StateSpace space{id, stored.pointer->generation};

    Recovered recovered;
    recovered.applied = stored.applied->applied.index;
    recovered.floor = Floor{LogIndex(0), Term(0), founders};
    std::optional<Floor> reset;
    if (log_knows) {
        const log::GroupReport& report = recovered_log->second;
        if (report.hard_state) {
            const uint64_t node = report.hard_state->opaque.size() == 8 ? get_le<uint64_t>(report.hard_state->opaque.data()) : 0;
            recovered.hard_state = {report.hard_state->term, {NodeId(node), report.hard_state->vote}};
        }
        recovered.floor.index = report.floor.index;
        recovered.floor.term = report.floor.term;
        if (report.configuration && !report.configuration->empty()) {
            TRY(recovered.floor.configuration, Configuration::decode(*report.configuration));
        }
        for (const log::Entry& entry : report.entries) {
            Entry one;
            one.term = entry.term;
            one.index = entry.index;
            one.kind = static_cast<EntryKind>(entry.kind);
            one.has_attachment = entry.has_attachment;
            one.hole = std::any_of(report.holes.begin(), report.holes.end(), [&](const log::Hole& hole) { return hole.index == entry.index; });
            if (!entry.body.empty()) one.body = std::make_shared<const Bytes>(entry.body);
            recovered.entries.push_back(std::move(one));
        }
        // Recovery moves the floor above damage that the Store does not miss, and a change of members may have lain below it:
        // what was in force when the Store's last entry was applied is in force at the floor, if no entry between says else.
        const bool changed_since = std::any_of(recovered.entries.begin(), recovered.entries.end(), [&](const Entry& entry) {
            return entry.kind == EntryKind::Config && entry.index <= recovered.applied;
        });
        if (!changed_since && recovered.applied >= recovered.floor.index) recovered.floor.configuration = stored.applied->configuration;
    }
    if (stored.pointer->base.index > recovered.floor.index) {
        // A snapshot was installed and the crash came before its floor joined the log: the log is reset to it, and a tail
        // that holds exactly its (index, term) is kept.
        const Floor base = stored.pointer->base;
        auto at = std::find_if(recovered.entries.begin(), recovered.entries.end(),
                               [&](const Entry& entry) { return entry.index == base.index; });
        const bool matches = at != recovered.entries.end() && at->term == base.term;
        const bool had_tail = !recovered.entries.empty() && recovered.entries.back().index > base.index;
        if (matches) {
            recovered.entries.erase(recovered.entries.begin(), at + 1);
        } else {
            recovered.entries.clear();
        }
        env_.tracer.info("raft.log_reset", {{"group", id}, {"index", base.index}, {"term", base.term}, {"kept", static_cast<int64_t>(recovered.entries.size())}});
        std::unique_ptr<Group>& group = groups_[id];
        group.reset(new Group(*this, id, machine(*store_), options));
        if (!matches && had_tail) group->floor_cut_ = recovered.floor.index.next();
        recovered.floor = base;
        reset = base;
    } else {
        groups_[id].reset(new Group(*this, id, machine(*store_), options));
    }
    Group& group = *groups_[id];
    if (directory_.joined()) group.hint_ = {directory_.joined()->since, std::move(at_joining)};
    group.log_floor_ = log_knows ? recovered_log->second.floor.index : LogIndex(0);
    const LogIndex last = recovered.entries.empty() ? recovered.floor.index : recovered.entries.back().index;
    if (recovered.applied < recovered.floor.index) {
        // The Store was lost, or came back as it was long ago: the state in between is nowhere here.
        if (options_.repair == DamageRepair::Off || !others_have(id, {}, log_knows ? &recovered_log->second : nullptr))
            return Error(Code::Corrupt, "the store of group " + std::to_string(id.value) + " ends at index " +
                                            std::to_string(recovered.applied.value) + ", before the log's floor " +
                                            std::to_string(recovered.floor.index.value) +
                                            "; where the group has other members, allow raft.repair or replace the member, else restore the data directory from a backup");
        recovered.stateless = true;
        if (ORRERY_DEFECT(store_damage_served)) {
            recovered.stateless = false;
            stored.applied->applied = recovered.floor.position();
        }
    }
    if (recovered.applied > last)
        return Error(Code::Corrupt, "the log of group " + std::to_string(id.value) + " ends at index " + std::to_string(last.value) +
                                        ", before the applied index " + std::to_string(recovered.applied.value) +
                                        " of the store; wipe the data directory and replace the member");

    // Generations that the pointer does not name are left over from installs that did not end.
    if (space.generation > Generation(1)) {
        store::Batch batch;
        batch.erase_range(space_begin({id, Generation(1)}), space_begin(space));
        TRY(store_->write_when_possible(fiber, batch));
    }
    {
        store::Batch batch;
        batch.erase_range(space_end(space), space_begin({GroupId(id.value + 1), Generation(0)}));
        TRY(store_->write_when_possible(fiber, batch));
    }
    TRY(group.start(fiber, std::move(recovered), *stored.applied, space, reset));
    return &group;
}

void GroupHost::follow_members(GroupId group, std::initializer_list<const Configuration*> configurations, const std::vector<Member>& also) {
    if ((*(configurations.end() - 1))->empty()) return;  // not told yet: as it was when we joined
    const std::map<NodeId, Reached> before = members_[group];
    std::map<NodeId, Reached>& now = members_[group];
    now.clear();
    for (const Configuration* configuration : configurations) {
        for (const Member& member : configuration->members()) {
            if (member.node == directory_.identity().node || !configuration->is_member(member)) continue;
            Result<MemberContact> contact = decode_contact(configuration->contact(member));
            Result<Address> address = contact.ok() ? Address::parse(contact->peer_address) : Result<Address>(contact.error());
            if (address.ok()) {
                now[member.node] = {*address, Incarnation(member.replica.value)};
            } else {
                env_.tracer.warning("raft.no_address", {{"group", group}, {"node", member.node}, {"why", address.error().text()}});
            }
        }
    }
    for (const Member& member : also)
        if (auto known = before.find(member.node); known != before.end()) now.try_emplace(member.node, known->second);
    for (const auto& [node, reached] : now) {
        peers_->set_address(node, reached.address, reached.incarnation);
        // Who has just started answers with its vote or not at all: a lost answer costs its group an election timeout.
        peers_->begin(node, wire::TrafficClass::Control);
    }
    for (const auto& [node, reached] : before) {
        const bool kept = std::any_of(members_.begin(), members_.end(), [&, node = node](const auto& item) { return item.second.contains(node); });
        if (!kept) peers_->remove(node);
    }
}

Group* GroupHost::find(GroupId id) {
    auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : found->second.get();
}

Result<void> GroupHost::stop(Fiber& fiber, Instant deadline) {
    stopping_ = true;
    outbox_filled_.notify_all();
    care_.notify_all();
    look_at_space_.notify_all();
    (void)peers_->close(fiber, deadline);
    (void)record_store_damage(fiber);  // also what showed as the groups were loaded
    Result<void> log = log_->stop(fiber);
    Result<void> store = store_->close(fiber, deadline);
    if (store.failed_with(Code::Timeout)) {
        // What was not flushed in time is replayed from the log, which is whole: a slower start, not an error.
        env_.tracer.warning("raft.store_not_flushed", {{"deadline", deadline.ns}});
        store = {};
    }
    return log.ok() ? store : log;
}

// ---- outgoing ---------------------------------------------------------------------------------------------------

void GroupHost::send(GroupId group, Message message, TimeOffer time) {
    const NodeId to = message.to.node;
    switch (kind_of(message)) {
        case MessageKind::Heartbeat:
            outbox_[to].heartbeats.push_back(to_wire_heartbeat(group, message, time));
            break;
        case MessageKind::HeartbeatReply: outbox_[to].replies.push_back(to_wire_heartbeat_reply(group, message)); break;
        default:
            peers_->send(to, wire::Operation::RaftMessage, group, message.to.replica.value, wire::TrafficClass::Control,
                         encode_raft_message(to_wire(group, message, time)));
            return;
    }
    outbox_dirty_ = true;
}

void GroupHost::turn_ended() {
    if (!outbox_dirty_) return;
    if (groups_.size() == 1) return flush_outbox();
    outbox_filled_.notify_all();
}

void GroupHost::outbox_loop(Fiber& fiber) {
    while (!stopping_) {
        if (!outbox_dirty_ && outbox_filled_.wait(fiber).failed_with(Code::Cancelled)) return;
        if (!fiber.maybe_yield().ok()) return;
        flush_outbox();
    }
}

void GroupHost::flush_outbox() {
    outbox_dirty_ = false;
    for (auto& [to, box] : outbox_) {
        if (!box.heartbeats.empty()) {
            wire::HeartbeatBatch batch{directory_.identity().node, to, ++box.number, std::move(box.heartbeats)};
            peers_->send(to, wire::Operation::RaftHeartbeats, GroupId(), 0, wire::TrafficClass::Control, encode_heartbeats(batch));
            box.heartbeats = std::move(batch.groups);  // its room
            box.heartbeats.clear();
        }
        if (!box.replies.empty() || box.space_is_news) {
            // Every group is confirmed or refused by its own line; the batch number confirms nothing.
            wire::HeartbeatReplyBatch batch{directory_.identity().node, to, 0, {}, std::move(box.replies), space_level()};
            box.space_is_news = false;
            box.space_told = batch.space;
            peers_->send(to, wire::Operation::RaftHeartbeatsReply, GroupId(), 0, wire::TrafficClass::Control,
                         encode_heartbeats_reply(batch));
            box.replies = std::move(batch.progress);
            box.replies.clear();
        }
    }
}

// ---- incoming ---------------------------------------------------------------------------------------------------

void GroupHost::handle_peers(rpc::Service& service, NodeDirectory& directory, const std::unique_ptr<GroupHost>& host) {
    service.handle_message(wire::Operation::RaftMessage, [&host](rpc::Message& message) {
        if (host) host->on_raft_message(message);
    });
    service.handle_message(wire::Operation::RaftHeartbeats, [&host](rpc::Message& message) {
        if (host) host->on_heartbeats(message);
    });
    service.handle_message(wire::Operation::RaftHeartbeatsReply, [&host](rpc::Message& message) {
        if (host) host->on_heartbeat_replies(message);
    });
    service.handle(wire::Operation::InstallSnapshot, [&host](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
        Group* group = host ? host->find(request.group()) : nullptr;
        if (group == nullptr || !group->core_) return responder.fail(Error(Code::NotFound, "no such group on this node"));
        group->handle_install(fiber, request, responder);
    });
    service.handle(wire::Operation::FetchEntryBody, [&host](Fiber&, rpc::Request& request, rpc::Responder& responder) {
        Group* group = host ? host->find(request.group()) : nullptr;
        if (group == nullptr || !group->core_) return responder.fail(Error(Code::NotFound, "no such group on this node"));
        group->handle_fetch(request, responder);
    });
    service.handle(wire::Operation::WantSnapshot, [&host](Fiber&, rpc::Request& request, rpc::Responder& responder) {
        Group* group = host ? host->find(request.group()) : nullptr;
        if (group == nullptr || !group->core_) return responder.fail(Error(Code::NotFound, "no such group on this node"));
        group->handle_want_snapshot(request, responder);
    });
    service.handle(wire::Operation::Identity, [&directory](Fiber&, rpc::Request&, rpc::Responder& responder) {
        responder.reply(wire::encode_identity_reply({directory.node_identity(), directory.identity().cluster}));
    });
    service.handle(wire::Operation::Init, [&directory](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
        Result<wire::FoundingRecord> record = wire::decode_founding_record(request.body());
        if (!record.ok()) return responder.fail(record.error());
        if (Result<void> founded = directory.found(fiber, *record); !founded.ok()) return responder.fail(founded.error());
        responder.reply();
    });
    service.handle(wire::Operation::Join, [&directory, &host](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
        Result<wire::JoinRequest> join = wire::decode_join_request(request.body());
        if (!join.ok()) return responder.fail(join.error());
        // Only a member of that very cluster may say so.
        if (request.peer().role != rpc::Role::Node || request.peer().cluster != join->founding.cluster())
            return responder.fail(Error(Code::Invalid, "only a member of a cluster takes a node into it"));
        if (Result<void> joined = directory.join(fiber, *join); !joined.ok()) return responder.fail(joined.error());
        if (Group* group = host ? host->find(join->group) : nullptr; group != nullptr && group->core_)
            if (Result<Configuration> told = Configuration::decode(join->configuration); told.ok()) group->hear_configuration(join->since, *told);
        responder.reply();
    });
    // What operators ask goes to the leader, from whichever node was asked; once, and what is answered is the leader's word.
    auto forward = [&host](Fiber& fiber, rpc::Request& request, const Group& group) -> Result<Bytes> {
        const NodeId leader = group.leader().node;
        if (request.entity() != 0 || !leader || leader == group.self().node) return rpc::redirect_error({leader == group.self().node ? NodeId() : leader, group.core().term(), {}});
        const rpc::Target target{request.operation(), request.group(), 1, wire::TrafficClass::Control, request.deadline()};
        return host->peers().call(fiber, leader, target, Bytes(request.body()));
    };
    auto find = [&host](rpc::Request& request, rpc::Responder& responder) -> Group* {
        Group* group = host ? host->find(request.group()) : nullptr;
        if (group != nullptr && group->core_) return group;
        responder.fail(Error(Code::NotReady, host ? "no such group on this node" : "this node belongs to no cluster yet, or is loading"));
        return nullptr;
    };
    service.handle(wire::Operation::GroupMembers, [find, forward](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
        Group* group = find(request, responder);
        if (group == nullptr) return;
        if (!group->leads() && request.entity() == 0) {
            Result<Bytes> answer = forward(fiber, request, *group);
            if (answer.ok()) return responder.reply(std::move(*answer));
            if (answer.code() == Code::Cancelled) return responder.fail(answer.error());
        }
        responder.reply(wire::encode_group_members_reply(group->members()));
    });
    for (wire::Operation operation : {wire::Operation::GroupChange, wire::Operation::GroupTransfer}) {
        service.handle(operation, [find, forward, operation, &host](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
            Group* group = find(request, responder);
            if (group == nullptr) return;
            Result<wire::GroupChange> change = wire::decode_group_change(request.body());
            if (!change.ok()) return responder.fail(change.error());
            if ((change->action == wire::ChangeAction::Transfer) != (operation == wire::Operation::GroupTransfer))
                return responder.fail(Error(Code::Invalid, "that action does not belong to this operation"));
            if (!group->exclusion().empty()) return responder.fail(Error(Code::NotReady, group->exclusion()));
            if (!group->leads()) {
                Result<Bytes> answer = forward(fiber, request, *group);
                return answer.ok() ? responder.reply(std::move(*answer)) : responder.fail(answer.error());
            }
            if (change->action == wire::ChangeAction::Replace && change->cluster != host->directory().identity().cluster)
                return responder.fail(Error(Code::Invalid, "the node that asks was in another cluster"));
            Result<wire::GroupChangeReply> done = change_members(fiber, *group, *change, request.deadline().at);
            if (!done.ok()) return responder.fail(done.error());
            responder.reply(wire::encode_group_change_reply(*done));
        });
    }
}

Result<wire::GroupChangeReply> GroupHost::change_members(Fiber& fiber, Group& group, const wire::GroupChange& change, Instant deadline) {
    const Member member{change.identity.node, change.replica ? change.replica : ReplicaId(change.identity.incarnation.value)};
    if (change.action == wire::ChangeAction::LeasesOn || change.action == wire::ChangeAction::LeasesOff) {
        const bool on = change.action == wire::ChangeAction::LeasesOn;
        const Lease lease{on ? group.options().core.election_timeout_min : Duration{}, on ? change.lease_drift_ppm : 0};
        TRY(const MembersChanged done, group.set_lease(fiber, lease, deadline));
        return wire::GroupChangeReply{done.changed, done.index};
    }
    if (!member.node) return Error(Code::Invalid, "the change names no node");
    if (change.action == wire::ChangeAction::Transfer) {
        if (group.leads() && group.self().node == member.node) return wire::GroupChangeReply{};
        TRY(group.transfer(member.node));
        while (group.leads()) {
            if (group.env_.now() >= deadline || !group.core().status(group.env_.now()).transferring_to)
                return Error(Code::NotReady, "node " + std::to_string(member.node.value) + " did not take over; it may lag or be out of touch");
            TRY(group.env_.sleep(fiber, Duration::millis(20)));
        }
        return wire::GroupChangeReply{true, LogIndex()};
    }
    MembersChanged done;
    if (change.action == wire::ChangeAction::Remove) {
        TRY(done, group.remove_member(fiber, {member.node, change.replica}, change.configuration, deadline));
    } else {
        if (!member.replica) return Error(Code::Invalid, "the change names no incarnation of the node");
        if (!Address::parse(change.identity.peer_address).ok()) return Error(Code::Invalid, "the node has no peer address");
        const Bytes contact = encode_contact({change.identity.peer_address, change.identity.service_address});
        if (change.action == wire::ChangeAction::Replace) {
            TRY(done, group.replace_member(fiber, member, change.replaces, contact, deadline));
        } else {
            const AddAs as = change.action == wire::ChangeAction::AddVoter ? AddAs::Voter : AddAs::Learner;
            TRY(done, group.add_member(fiber, member, as, contact, change.configuration, deadline));
        }
    }
    return wire::GroupChangeReply{done.changed, done.index};
}

void GroupHost::on_raft_message(rpc::Message& message) {
    Result<wire::RaftMessage> decoded = wire::decode_raft_message(message.payload.view());
    if (!decoded.ok()) {
        env_.tracer.warning("raft.bad_message", {{"peer", message.peer.node}, {"error", decoded.error().text()}});
        return;
    }
    if (decoded->kind == wire::RaftKind::Refused) {
        env_.tracer.warning("raft.refused_by_peer", {{"group", decoded->group}, {"peer", message.peer.node}, {"text", decoded->text}});
        return;
    }
    Group* group = find(decoded->group);
    if (group == nullptr || !group->core_) return;
    Result<Message> core_message = from_wire(*decoded);
    if (!core_message.ok()) {
        env_.tracer.warning("raft.bad_message", {{"peer", message.peer.node}, {"error", core_message.error().text()}});
        return;
    }
    group->receive(std::move(*core_message), {decoded->state_time_ns, decoded->state_time_estimated, decoded->state_time_leader, decoded->state_time_epoch});
}

void GroupHost::on_heartbeats(rpc::Message& message) {
    Result<wire::HeartbeatBatch> batch = wire::decode_heartbeats(message.payload.view());
    if (!batch.ok()) {
        env_.tracer.warning("raft.bad_message", {{"peer", message.peer.node}, {"error", batch.error().text()}});
        return;
    }
    for (const wire::Heartbeat& heartbeat : batch->groups) {
        Group* group = find(heartbeat.group);
        if (group == nullptr || !group->core_) continue;
        group->receive(from_wire_heartbeat(heartbeat, batch->from_node, batch->to_node),
                       {heartbeat.state_time_ns, false, heartbeat.term, heartbeat.state_time_epoch});
    }
    // What is answered for groups may wait for our disk, and that is just when the disk is short.
    if (!peers_->address(message.peer.node)) return;
    Outbox& box = outbox_[message.peer.node];
    if (space_level() == wire::SpaceLevel::Room && box.space_told == wire::SpaceLevel::Room) return;
    box.space_is_news = true;
    outbox_dirty_ = true;
    outbox_filled_.notify_all();
}

void GroupHost::on_heartbeat_replies(rpc::Message& message) {
    Result<wire::HeartbeatReplyBatch> batch = wire::decode_heartbeats_reply(message.payload.view());
    if (!batch.ok()) {
        env_.tracer.warning("raft.bad_message", {{"peer", message.peer.node}, {"error", batch.error().text()}});
        return;
    }
    const NodeId peer = message.peer.node;
    if (peers_->address(peer) && peer_spaces_.said(peer, batch->space, env_.now()))
        env_.tracer.info("raft.peer_space", {{"peer", peer}, {"level", wire::space_level_name(batch->space)}});
    for (const auto& progress : batch->progress) {
        Group* group = find(progress.group);
        if (group == nullptr || !group->core_) continue;
        group->receive(from_wire_heartbeat_reply(progress, batch->from_node, batch->to_node), {});
    }
}

void GroupHost::refused(GroupId id, const Refusal& refusal) {
    const std::string text = "replica " + std::to_string(refusal.from.replica.value) + " of node " + std::to_string(refusal.from.node.value) +
                             " to replica " + std::to_string(refusal.to.replica.value) + ": " +
                             std::string(refusal_reason_name(refusal.reason)) + "; if its data directory was replaced, replace the member: `add` the node with orreryctl, by its address";
    // Once per sender and in growing steps: a misaddressed peer repeats itself with every heartbeat.
    if (refusals_told_.size() > 1024) refusals_told_.clear();
    const uint64_t times = ++refusals_told_[{id, refusal.from}];
    if ((times & (times - 1)) != 0) return;
    // A leader that contradicts what is committed, or a second one of a term: somebody forgot what it had promised.
    const bool promise_broken = refusal.reason == RefusalReason::BelowCommit || refusal.reason == RefusalReason::SecondLeader;
    env_.tracer.event(promise_broken ? Severity::Error : Severity::Warning, "raft.refused", {{"group", id}, {"kind", message_kind_name(refusal.kind)}, {"text", text}});
    if (refusal.reason != RefusalReason::WrongReceiver && refusal.reason != RefusalReason::WrongSender) return;
    wire::RaftMessage answer;
    answer.kind = wire::RaftKind::Refused;
    answer.group = id;
    answer.from_node = refusal.to.node;
    answer.from_replica = refusal.to.replica;
    answer.to_node = refusal.from.node;
    answer.to_replica = refusal.from.replica;
    answer.term = refusal.term;
    answer.text = text;
    peers_->send(refusal.from.node, wire::Operation::RaftMessage, id, refusal.from.replica.value, wire::TrafficClass::Control,
                 encode_raft_message(answer));
}

// ---- flushes and space ------------------------------------------------------------------------------------------

Result<void> GroupHost::pace_transfer(Fiber& fiber, uint64_t bytes, bool gives_way) {
    const int halvings = transfers_give_way_.halvings(env_.now(), env_.scheduler.crowded_out());
    const uint64_t bound = options_.snapshot_bytes_per_second;
    transfer_pace_.set_rate(env_.now(), bound == 0 ? 0 : std::max<uint64_t>(1, bound >> (gives_way ? halvings : 0)));
    for (Instant due; (due = transfer_pace_.due(env_.now())) > env_.now();) TRY(env_.sleep(fiber, due - env_.now()));
    transfer_pace_.take(env_.now(), bytes);
    return {};
}

void GroupHost::note_applied(uint64_t bytes) {
    applied_since_look_ += bytes;
    if (applied_since_look_ >= options_.reserve_bytes / 8) look_at_space_.notify_all();
    if (log_->appended_bytes() - flushed_at_ < options_.flush_log_bytes) return;
    Result<void> asked = store_->request_flush();
    if (asked.ok()) {
        flushed_at_ = log_->appended_bytes();
    } else if (asked.code() != Code::Cancelled && asked.code() != Code::NoSpace) {
        env_.tracer.warning("raft.flush_refused", {{"error", asked.error().text()}});
    }
}

void GroupHost::watch_space(Fiber& fiber) {
    // An eighth of the reserve may be applied between two looks; a quarter more than it is needed to leave the state again.
    while (!stopping_) {
        applied_since_look_ = 0;
        Result<Disk::Space> space = Code::Io;
        if (!env_.blocking(fiber, [&](Blocking& blocking) { space = env_.disk.space(blocking); }).ok()) return;
        const uint64_t wanted = options_.reserve_bytes + (below_reserve_ ? options_.reserve_bytes / 4 : 0);
        const bool below = space.ok() && space->free_bytes < wanted;
        if (below != below_reserve_) {
            below_reserve_ = below;
            env_.tracer.event(below ? Severity::Warning : Severity::Info, below ? "raft.below_reserve" : "raft.above_reserve",
                              {{"free_bytes", space->free_bytes}, {"reserve_bytes", options_.reserve_bytes}});
            care_.notify_all();
        }
        const Duration pause = below ? Duration::millis(250) : Duration::seconds(1);
        if (look_at_space_.wait(fiber, env_.now() + pause).failed_with(Code::Cancelled)) return;
    }
}

uint64_t GroupHost::retained_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [id, group] : groups_)
        if (group->core_) bytes += group->retained_bytes();
    return bytes;
}

void GroupHost::keep_within_bound() {
    // Followers cut at the last claim they heard: only where this node leads there is something to take away.
    while (options_.retain_bytes_node > 0 && retained_bytes() > options_.retain_bytes_node) {
        Group* most = nullptr;
        Group::Holder holder;
        for (const auto& [id, group] : groups_) {
            const std::optional<Group::Holder> lowest = group->core_ ? group->lowest_holder() : std::nullopt;
            if (!lowest || lowest->bytes <= holder.bytes || group->transfer_lives(lowest->node)) continue;
            most = group.get();
            holder = *lowest;
        }
        if (most == nullptr) return;
        most->revoke(holder, "node");
        most->cut_log();
    }
}

void GroupHost::note_no_space() {
    if (!trouble_) env_.tracer.warning("raft.no_space", {{"free_segments", log_->status().free_segments}});
    trouble_ = true;
    care_.notify_all();
}

void GroupHost::caretaker(Fiber& fiber) {
    // A log or Store that was full works again when recycling or the disk made room. Nothing tells us, so we look: often
    // while there is trouble, seldom for trouble that nobody has met yet.
    while (!stopping_) {
        const bool waits = std::any_of(groups_.begin(), groups_.end(), [](const auto& item) { return item.second->log_waits_; });
        const bool trouble = waits || short_of_space();
        if (trouble_ && !trouble) env_.tracer.info("raft.space_returned", {});
        trouble_ = trouble;
        if (trouble) {
            if (!env_.sleep(fiber, Duration::millis(250)).ok()) return;
        } else if (care_.wait(fiber, env_.now() + Duration::seconds(2)).failed_with(Code::Cancelled)) {
            return;
        }
        if (stopping_) continue;
        // A transfer that gets nowhere loses its claim by the clock, not by anything that happens.
        for (auto& [id, group] : groups_)
            if (!group->transfers_.empty()) group->compact();
        if (!trouble_) continue;
        // Another member may have room. Seldom, so that a group whose disks are all full does not change leaders for ever.
        if (short_of_space() && env_.now() - handed_over_at_ > Duration::seconds(10)) {
            for (auto& [id, group] : groups_)
                if (group->core_ && group->hand_over(Successor::WithRoom)) handed_over_at_ = env_.now();
        }
        if (store_->health() == store::Health::NoSpace && store_->try_resume(fiber).failed_with(Code::Cancelled)) return;
        // A flush moves floors up, which frees segments.
        if (stopping_) return;
        (void)store_->request_flush();
        for (auto& [id, group] : groups_) group->on_log_synced();
    }
}

}  // namespace orrery::raft
