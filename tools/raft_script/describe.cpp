// Formats only.
#include "tools/raft_script/describe.h"

namespace orrery::raft::script {
namespace {

std::string field(std::string_view name, uint64_t value) {
    return " " + std::string(name) + "=" + std::to_string(value);
}
std::string field(std::string_view name, LogPosition at) {
    return field(name, at.term.value) + "/" + std::to_string(at.index.value);
}
std::string verdict(bool granted) { return granted ? " granted" : " refused"; }

std::string details(const Message& message) {
    if (const auto* body = std::get_if<PreVote>(&message.body)) return field("last", body->last);
    if (const auto* body = std::get_if<Vote>(&message.body))
        return field("last", body->last) + (body->transfer ? " transfer" : "");
    if (const auto* body = std::get_if<PreVoteReply>(&message.body)) return verdict(body->granted);
    if (const auto* body = std::get_if<VoteReply>(&message.body)) return verdict(body->granted);
    if (const auto* body = std::get_if<Append>(&message.body))
        return field("prev", body->prev) + field("entries", body->entries.size()) +
               field("commit", body->commit.value);
    if (const auto* body = std::get_if<AppendReply>(&message.body))
        return body->accepted ? " accepted" + field("match", body->state.match.value)
                              : " rejected" + field("prev", body->rejected_prev.value) +
                                    field("hint", body->hint);
    if (const auto* body = std::get_if<Heartbeat>(&message.body))
        return field("round", body->round) + field("commit", body->commit.value);
    if (const auto* body = std::get_if<HeartbeatReply>(&message.body))
        return field("round", body->round) + field("match", body->state.match.value);
    return "";
}

}  // namespace

std::string_view type_of(const Parcel& parcel) {
    if (parcel.snapshot) return "snapshot";
    if (parcel.installed) return "snapshot-reply";
    return message_kind_name(kind_of(parcel.message));
}

std::string describe(const Parcel& parcel) {
    std::string text = std::to_string(parcel.message.from.node.value) + "->" +
                       std::to_string(parcel.message.to.node.value) + " " + std::string(type_of(parcel)) +
                       field("term", parcel.message.term.value);
    if (parcel.snapshot)
        return text + field("last", parcel.snapshot->position()) + " config=" +
               parcel.snapshot->configuration.text();
    if (parcel.installed)
        return text + (*parcel.installed ? " installed" + field("index", parcel.installed->value) : " refused");
    return text + details(parcel.message);
}

std::string describe_state(const Replica& replica) {
    std::string text = std::to_string(replica.self.node.value);
    if (!replica.core) return text + " down";
    const Core& core = *replica.core;
    const Status status = core.status(Instant{});
    return text + " " + std::string(role_name(core.role())) + field("term", core.term().value) +
           field("vote", status.hard_state.vote.node.value) + field("leader", core.leader().node.value) +
           field("commit", core.commit().value) + field("applied", core.applied_index().value) +
           field("last", core.log().last()) + field("durable", core.durable().value) +
           " config=" + core.log().configuration().text();
}

std::string describe_log(const Replica& replica) {
    std::string text = std::to_string(replica.self.node.value) + ":";
    if (!replica.core) return text + " down";
    const LogView& log = replica.core->log();
    if (log.floor().index) text += field("compacted", log.floor().index.value);
    for (LogIndex i = log.floor().index.next(); i <= log.last().index; i = i.next()) {
        const Entry& entry = *log.at(i);
        text += " " + std::to_string(entry.term.value) + "/" + std::to_string(i.value) + ":";
        switch (entry.kind) {
            case EntryKind::Noop: text += "noop"; break;
            case EntryKind::Data: text += entry.body_view(); break;
            case EntryKind::Config:
                text += "conf(" + Configuration::decode(entry.body_view()).value().text() + ")";
                break;
        }
    }
    return text;
}

}  // namespace orrery::raft::script
