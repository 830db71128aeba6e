// The other messages: handshake, status of an end, forwarded client commands, node identity and founding record.
// Same rule as raft_message.h: views look into the payload; what decode refuses is Corrupt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/wire/frame.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::wire {

enum class Role : uint8_t {  // on the wire; never renumber
    Node = 1,      // a member, or one to be
    Client = 2,    // the client library
    Operator = 3,  // orreryctl
};

/// The first frame each way. The accepting side's says in `refusal` why it will not talk, if so.
struct Hello {
    uint8_t version_min = kProtocolVersionMin;
    uint8_t version_max = kProtocolVersionMax;
    Role role = Role::Node;
    TrafficClass traffic = TrafficClass::Foreground;  // what the connection is mainly for
    ClusterId cluster;        // 0: not founded, or not known to this client
    NodeId node;              // 0 for clients
    Incarnation incarnation;  // 0 for clients
    NodeId expected_node;     // whom the connecting side means to reach; 0: anybody
    uint64_t nonce = 0;       // both nonces together give the session tag
    uint32_t window_requests = 0;       // A: how many ids may be open at once
    uint32_t stream_credit_bytes = 0;   // A: upload bytes of each request it takes without being asked
    uint32_t max_payload_bytes = 0;     // largest payload this side takes
    uint8_t refusal_code = 0;           // A: 0 = welcome, else a Code
    std::string refusal;                // A: for people
    bool operator==(const Hello&) const = default;
};
Bytes encode_hello(const Hello& hello);
/// Errors: Corrupt.
Result<Hello> decode_hello(ByteView payload);

/// How an id ended, when it did not end well; with a hint where the leader is.
struct Status {
    uint8_t code = 0;  // 0 = good; else a Code, or a newer peer's
    std::string context;
    NodeId leader;     // NotLeader: 0 = not known
    Term leader_term;
    std::string leader_address;
    bool operator==(const Status&) const = default;
};
Bytes encode_status(const Status& status);
/// Errors: Corrupt.
Result<Status> decode_status(ByteView payload);

/// A client's command on its way from the node it reached to the leader.
struct ForwardedCommand {
    uint64_t client = 0;    // deduplication slot; 0: none
    uint64_t sequence = 0;
    bool read = false;      // has no effect: may be repeated
    uint8_t hops = 0;       // how often it was forwarded before
    std::vector<ByteView> argv;
    bool operator==(const ForwardedCommand&) const = default;
};
Bytes encode_forwarded_command(const ForwardedCommand& command);
/// Errors: Corrupt.
Result<ForwardedCommand> decode_forwarded_command(ByteView payload);

struct ForwardedReply {
    Term term;
    LogIndex index;   // of the write, for WAIT; 0 for reads
    ByteView reply;   // as the client shall get it
    bool operator==(const ForwardedReply&) const = default;
};
Bytes encode_forwarded_reply(const ForwardedReply& reply);
/// Errors: Corrupt.
Result<ForwardedReply> decode_forwarded_reply(ByteView payload);

/// Which entry body a damaged member asks for, and the answer is the body (attachment behind it).
struct EntryName {
    GroupId group;
    LogIndex index;
    Term term;
    bool operator==(const EntryName&) const = default;
};
Bytes encode_entry_name(const EntryName& name);
/// Errors: Corrupt.
Result<EntryName> decode_entry_name(ByteView payload);

struct NodeIdentity {
    NodeId node;
    Incarnation incarnation;
    std::string peer_address;     // HOST:PORT
    std::string service_address;
    auto operator<=>(const NodeIdentity&) const = default;
};

/// What founds a cluster. The same members give the same record, whoever collects them and in whatever order.
struct FoundingRecord {
    std::vector<NodeIdentity> members;
    /// Sorted by node id. Errors: Invalid (empty, a node twice, id or incarnation 0).
    static Result<FoundingRecord> make(std::vector<NodeIdentity> members);
    /// Hash of the members in order (ids and incarnations; addresses may change in a cluster's life); never 0.
    ClusterId cluster() const;
    bool operator==(const FoundingRecord&) const = default;
};
Bytes encode_founding_record(const FoundingRecord& record);
/// Errors: Corrupt; Invalid when make() would refuse it.
Result<FoundingRecord> decode_founding_record(ByteView payload);

struct IdentityReply {
    NodeIdentity identity;
    ClusterId cluster;  // 0: waits for init
    bool operator==(const IdentityReply&) const = default;
};
Bytes encode_identity_reply(const IdentityReply& reply);
/// Errors: Corrupt.
Result<IdentityReply> decode_identity_reply(ByteView payload);

}  // namespace orrery::wire
