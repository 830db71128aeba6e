#include "node/raft/operate_members.h"

#include <algorithm>

#include "node/rpc/session.h"

namespace orrery::raft {

namespace {

constexpr Duration kPause = Duration::millis(100);

Result<Bytes> ask(Fiber& fiber, Env& env, const Address& to, wire::Operation operation, GroupId group, const Bytes& body, Instant deadline) {
    TRY(std::unique_ptr<Conn> conn, env.net.connect(fiber, to, std::min(deadline, env.now() + Duration::seconds(2))));
    rpc::Identity identity;
    identity.role = rpc::Role::Operator;
    TRY(std::shared_ptr<rpc::Session> session, rpc::Session::connect(fiber, env, std::move(conn), identity, {}, {}));
    Result<Bytes> answer = session->call(fiber, {operation, group, 0, wire::TrafficClass::Control, {deadline}}, body);
    session->shut(Error(Code::Cancelled, "asked"));
    TRY(session->wait_closed(fiber));
    return answer;
}

/// An answer that another attempt would not change.
bool is_final(Code code) { return code == Code::Cancelled || code == Code::Invalid || code == Code::Exists || code == Code::Unsupported; }

/// `unknown`: an attempt before the last ended so.
Result<Bytes> ask_in_turn(Fiber& fiber, Env& env, const std::vector<Address>& at, wire::Operation operation, GroupId group, const Bytes& body,
                          Duration each, Instant deadline, bool& unknown) {
    Error last(Code::Timeout, "nobody was asked");
    for (size_t turn = 0;; ++turn) {
        const Address& to = at[turn % at.size()];
        Result<Bytes> answer = ask(fiber, env, to, operation, group, body, std::min(deadline, env.now() + each));
        if (answer.ok() || is_final(answer.code())) return answer;
        unknown |= answer.code() == Code::Unknown;
        last = answer.error().within("node at " + to.text());
        if (env.now() + kPause >= deadline) break;
        TRY(env.sleep(fiber, kPause));
    }
    if (unknown) return Error(Code::Unknown, "it may or may not have taken effect; " + last.text());
    if (last.code == Code::NotReady || last.code == Code::NotLeader) return Error(Code::NotReady, last.text());
    return Error(Code::Timeout, last.text());
}

}  // namespace

Result<wire::IdentityReply> ask_identity(Fiber& fiber, Env& env, const Address& node, Instant deadline) {
    bool unknown = false;
    TRY(Bytes answer, ask_in_turn(fiber, env, {node}, wire::Operation::Identity, GroupId(), {}, Duration::seconds(2), deadline, unknown));
    return wire::decode_identity_reply(answer);
}

Result<wire::GroupMembersReply> ask_members(Fiber& fiber, Env& env, const OperatedGroup& group, Instant deadline) {
    std::optional<wire::GroupMembersReply> best;
    Error last(Code::Timeout, "nobody was asked");
    for (size_t turn = 0; turn == 0 || env.now() + kPause < deadline; ++turn) {
        const Address& to = group.at[turn % group.at.size()];
        Result<Bytes> answer = ask(fiber, env, to, wire::Operation::GroupMembers, group.group, {}, std::min(deadline, env.now() + Duration::seconds(2)));
        if (answer.ok()) {
            TRY(wire::GroupMembersReply reply, wire::decode_group_members_reply(*answer));
            if (reply.from_leader) return reply;
            if (!reply.removed) best = std::move(reply);
        } else if (is_final(answer.code())) {
            return answer.error().within("node at " + to.text());
        } else {
            last = answer.error().within("node at " + to.text());
        }
        TRY(env.sleep(fiber, kPause));
    }
    if (best) return *std::move(best);
    return Error(Code::Timeout, last.text());
}

Result<wire::GroupChangeReply> change_members(Fiber& fiber, Env& env, const OperatedGroup& group, const wire::GroupChange& change,
                                              Instant deadline) {
    const wire::Operation operation = change.action == wire::ChangeAction::Transfer ? wire::Operation::GroupTransfer : wire::Operation::GroupChange;
    bool unknown = false;
    TRY(Bytes answer, ask_in_turn(fiber, env, group.at, operation, group.group, wire::encode_group_change(change), Duration::seconds(5), deadline, unknown));
    TRY(wire::GroupChangeReply reply, wire::decode_group_change_reply(answer));
    reply.changed |= unknown;  // it is so now: by the attempt of which nobody could tell, for all we know
    return reply;
}

Result<wire::GroupMember> add_member(Fiber& fiber, Env& env, const OperatedGroup& group, const Address& node, AddAs as, Instant deadline,
                                     const std::function<void(const std::string&)>& progress) {
    TRY(wire::IdentityReply there, ask_identity(fiber, env, node, deadline));
    const wire::NodeIdentity identity = there.identity;
    auto is_it = [&](const wire::GroupMember& member) { return member.node == identity.node && member.replica.value == identity.incarnation.value; };
    if (there.cluster) {
        TRY(wire::GroupMembersReply now, ask_members(fiber, env, group, deadline));
        if (std::none_of(now.members.begin(), now.members.end(), is_it))
            return Error(Code::Exists, "node " + std::to_string(identity.node.value) + " at " + node.text() +
                                           " belongs to another cluster, or was removed from this one; wipe its data directory first");
    }
    const wire::GroupChange change{as == AddAs::Voter ? wire::ChangeAction::AddVoter : wire::ChangeAction::AddLearner, identity};
    TRY(change_members(fiber, env, group, change, deadline));
    std::string said;
    for (;;) {
        Result<wire::GroupMembersReply> now = ask_members(fiber, env, group, std::min(deadline, env.now() + Duration::seconds(3)));
        if (now.failed_with(Code::Cancelled)) return now.error();
        std::string text = now.ok() ? "no leader answers" : now.error().text();
        if (now.ok() && now->from_leader) {
            auto found = std::find_if(now->members.begin(), now->members.end(), is_it);
            if (found == now->members.end())
                return Error(Code::Invalid, "node " + std::to_string(identity.node.value) + " was taken out again by somebody else");
            if (now->committed && !now->joint && found->in_touch && found->role == (as == AddAs::Voter ? wire::MemberRole::Voter : wire::MemberRole::Learner))
                return *found;
            text = std::string(wire::member_role_name(found->role)) + ", " +
                   (found->in_touch ? "holds " + std::to_string(found->match.value) + " of " + std::to_string(now->last.value) : "not in touch yet") +
                   (found->note.empty() ? "" : " (" + found->note + ")");
        }
        if (progress && text != said) progress("node " + std::to_string(identity.node.value) + ": " + text);
        said = text;
        if (env.now() + kPause >= deadline)
            return Error(Code::Timeout, "node " + std::to_string(identity.node.value) + " is named, but not there yet: " + text + "; it goes on by itself");
        TRY(env.sleep(fiber, kPause));
    }
}

}  // namespace orrery::raft
