#include "node/raft/found_cluster.h"

#include <algorithm>

#include "node/rpc/operator_call.h"

namespace orrery::raft {

namespace {

Result<Bytes> ask_once(Fiber& fiber, Env& env, const Address& to, wire::Operation operation, Bytes body, Instant deadline) {
    const Instant by = std::min(deadline, env.now() + Duration::seconds(2));
    return rpc::operator_call(fiber, env, to, {operation, GroupId(), 0, wire::TrafficClass::Control, {by}}, std::move(body));
}

/// Until it answers, refuses for good, or the deadline passes.
Result<Bytes> ask_until(Fiber& fiber, Env& env, const Address& to, wire::Operation operation, const Bytes& body, Instant deadline) {
    for (;;) {
        Result<Bytes> answer = ask_once(fiber, env, to, operation, body, deadline);
        if (answer.ok() || answer.code() == Code::Cancelled || answer.code() == Code::Invalid || answer.code() == Code::Exists)
            return answer;
        if (env.now() + Duration::millis(50) >= deadline)
            return Error(Code::Timeout, "node at " + to.text() + " did not answer: " + answer.error().text());
        TRY(env.sleep(fiber, Duration::millis(50)));
    }
}

}  // namespace

Result<wire::FoundingRecord> found_cluster(Fiber& fiber, Env& env, const std::vector<Address>& peers, Instant deadline) {
    std::vector<wire::NodeIdentity> members;
    std::vector<std::pair<Address, ClusterId>> founded;
    for (const Address& peer : peers) {
        TRY(Bytes answer, ask_until(fiber, env, peer, wire::Operation::Identity, {}, deadline));
        TRY(wire::IdentityReply reply, wire::decode_identity_reply(answer));
        if (reply.cluster) founded.emplace_back(peer, reply.cluster);
        members.push_back(std::move(reply.identity));
    }
    TRY(wire::FoundingRecord record, wire::FoundingRecord::make(std::move(members)));
    // Before anybody is told: a node whose disk was replaced would take the record that the others refuse.
    for (const auto& [peer, cluster] : founded)
        if (cluster != record.cluster())
            return Error(Code::Exists, "node at " + peer.text() + " belongs to another cluster already, or a member's data directory was "
                                       "replaced since its founding");
    const Bytes encoded = wire::encode_founding_record(record);
    for (const Address& peer : peers) {
        Result<Bytes> taken = ask_until(fiber, env, peer, wire::Operation::Init, encoded, deadline);
        if (!taken.ok()) return taken.error().within("node at " + peer.text());
    }
    return record;
}

}  // namespace orrery::raft
