#include "tools/orreryctl/members.h"

#include <algorithm>
#include <cstdio>

#include "node/admin/json_writer.h"
#include "node/raft/found_cluster.h"

namespace orrery::ctl {

namespace {

unsigned long long plain(uint64_t value) { return value; }

std::string json_text(const wire::GroupMembersReply& reply) {
    admin::JsonWriter json;
    json.begin_object().field("from_leader", reply.from_leader).field("leader", reply.leader.value).field("term", reply.term.value);
    json.field("commit", reply.commit.value).field("last", reply.last.value);
    json.field("configuration_index", reply.configuration_index.value).field("committed", reply.committed).field("joint", reply.joint);
    json.field("lease_promise_ms", static_cast<uint64_t>(reply.lease_promise.as_millis())).field("lease_drift_ppm", uint64_t{reply.lease_drift_ppm});
    if (reply.from_leader) json.field("lease_holds", reply.lease_holds);
    json.key("members").begin_array();
    for (const wire::GroupMember& member : reply.members) {
        json.begin_object().field("node", member.node.value).field("replica", member.replica.value);
        json.field("address", member.peer_address).field("clients", member.service_address);
        json.field("role", wire::member_role_name(member.role)).field("leader", member.leader);
        if (reply.from_leader) {
            json.field("match", member.match.value).field("applied", member.applied.value);
            json.field("lag", reply.last.value - std::min(reply.last, member.match).value).field("in_touch", member.in_touch);
        }
        if (!member.note.empty()) json.field("note", member.note);
        json.end_object();
    }
    json.end_array().end_object();
    return json.text();
}

void print_table(const wire::GroupMembersReply& reply) {
    size_t wide = 7;
    for (const wire::GroupMember& member : reply.members) wide = std::max(wide, member.peer_address.size());
    std::printf("%-1s %4s  %-16s  %-*s  %-9s  %10s  %8s  %s\n", "", "node", "replica", static_cast<int>(wide), "address", "role", "match", "lag", "in touch");
    for (const wire::GroupMember& member : reply.members) {
        std::printf("%-1s %4llu  %016llx  %-*s  %-9s", member.leader ? "*" : "", plain(member.node.value), plain(member.replica.value),
                    static_cast<int>(wide), member.peer_address.empty() ? "?" : member.peer_address.c_str(),
                    std::string(wire::member_role_name(member.role)).c_str());
        if (reply.from_leader) {
            const uint64_t lag = reply.last.value - std::min(reply.last, member.match).value;
            std::printf("  %10llu  %8llu  %s", plain(member.match.value), plain(lag), member.in_touch ? "yes" : "no");
        }
        std::printf("%s%s\n", member.note.empty() ? "" : "  ", member.note.c_str());
    }
    if (reply.from_leader) {
        std::printf("* leads, term %llu; configuration %llu%s\n", plain(reply.term.value), plain(reply.configuration_index.value),
                    reply.joint ? ", a change is under way" : reply.committed ? "" : ", not committed yet");
    } else {
        std::printf("no leader answers: this is what one member believes\n");
    }
    if (reply.lease_promise.ns > 0)
        std::printf("reads under leases: promised for %lld ms, clocks may differ by %u ppm%s\n", static_cast<long long>(reply.lease_promise.as_millis()),
                    reply.lease_drift_ppm,
                    !reply.from_leader ? "" : reply.lease_holds ? "; the leader's holds" : "; the leader has none just now, reads take a round");
}

}  // namespace

Result<void> Members::found(Fiber& fiber, Env& env) const {
    TRY(wire::FoundingRecord record, raft::found_cluster(fiber, env, at, env.now() + timeout));
    std::printf("founded cluster %016llx with %zu members:", plain(record.cluster().value), record.members.size());
    for (const wire::NodeIdentity& member : record.members) std::printf(" %llu", plain(member.node.value));
    std::printf("\n");
    return {};
}

Result<void> Members::show(Fiber& fiber, Env& env, Form form) const {
    TRY(wire::GroupMembersReply reply, raft::ask_members(fiber, env, {at, group}, env.now() + timeout));
    if (form == Form::Json) {
        std::printf("%s\n", json_text(reply).c_str());
    } else {
        print_table(reply);
    }
    return {};
}

Result<void> Members::add(Fiber& fiber, Env& env, const Address& node, raft::AddAs as) const {
    TRY(wire::GroupMember member, raft::add_member(fiber, env, {at, group}, node, as, env.now() + timeout,
                                                   [](const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }));
    std::printf("node %llu at %s is a %s\n", plain(member.node.value), member.peer_address.c_str(),
                std::string(wire::member_role_name(member.role)).c_str());
    return {};
}

Result<void> Members::remove(Fiber& fiber, Env& env, NodeId node) const {
    const wire::GroupChange change{wire::ChangeAction::Remove, {.node = node, .incarnation = {}, .peer_address = {}, .service_address = {}}};
    TRY(wire::GroupChangeReply done, raft::change_members(fiber, env, {at, group}, change, env.now() + timeout));
    std::printf("node %llu %s\n", plain(node.value), done.changed ? "is out" : "was no member");
    return {};
}

Result<void> Members::transfer(Fiber& fiber, Env& env, NodeId node) const {
    const wire::GroupChange change{wire::ChangeAction::Transfer, {.node = node, .incarnation = {}, .peer_address = {}, .service_address = {}}};
    TRY(raft::change_members(fiber, env, {at, group}, change, env.now() + timeout));
    // The old leader has let go; who leads now is for the members to say.
    const Instant deadline = env.now() + timeout;
    for (;;) {
        TRY(wire::GroupMembersReply reply, raft::ask_members(fiber, env, {at, group}, deadline));
        if (reply.from_leader) {
            if (reply.leader != node)
                return Error(Code::NotReady, "node " + std::to_string(reply.leader.value) + " leads instead; node " + std::to_string(node.value) +
                                                 " may lag or be out of touch");
            std::printf("node %llu leads\n", plain(node.value));
            return {};
        }
        if (env.now() >= deadline) return Error(Code::Timeout, "no leader answers");
    }
}

Result<void> Members::leases(Fiber& fiber, Env& env, bool on, uint32_t drift_ppm) const {
    wire::GroupChange change;
    change.action = on ? wire::ChangeAction::LeasesOn : wire::ChangeAction::LeasesOff;
    if (on) change.lease_drift_ppm = drift_ppm;
    TRY(wire::GroupChangeReply done, raft::change_members(fiber, env, {at, group}, change, env.now() + timeout));
    std::printf("reads under leases: %s%s\n", on ? "on" : "off", done.changed ? "" : " already");
    return {};
}

}  // namespace orrery::ctl
