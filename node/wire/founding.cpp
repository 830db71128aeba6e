// Founding records and node identities: their rules, and the cluster id that follows from the members alone.
#include <algorithm>

#include "node/wire/messages.h"
#include "runtime/base/hash.h"

namespace orrery::wire {

Result<FoundingRecord> FoundingRecord::make(std::vector<NodeIdentity> members) {
    if (members.empty()) return Error(Code::Invalid, "a cluster needs at least one member");
    std::sort(members.begin(), members.end());
    for (size_t i = 0; i < members.size(); ++i) {
        const NodeIdentity& member = members[i];
        if (!member.node || !member.incarnation)
            return Error(Code::Invalid, "a founding member has node id or incarnation 0");
        if (i > 0 && members[i - 1].node == member.node)
            return Error(Code::Invalid, "node " + std::to_string(member.node.value) + " is named twice as a member");
    }
    return FoundingRecord{std::move(members)};
}

ClusterId FoundingRecord::cluster() const {
    Bytes text = "orrery cluster 1";
    for (const NodeIdentity& member : members) {
        put_le<uint64_t>(text, member.node.value);
        put_le<uint64_t>(text, member.incarnation.value);
    }
    const uint64_t hash = hash_bytes(text);
    return ClusterId(hash != 0 ? hash : 1);
}

}  // namespace orrery::wire
