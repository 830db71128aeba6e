# Payloads of frames. Fields are only ever added, at the end; numbers never change.
# Bulk bytes are not in here: a message names their lengths, and they follow it raw in the same payload.
@0xb2d1f6a3c8e04917;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("orrery::wire::schema");

struct Hello {
  versionMin @0 :UInt8;
  versionMax @1 :UInt8;
  role @2 :UInt8;
  traffic @3 :UInt8;
  cluster @4 :UInt64;
  node @5 :UInt64;
  incarnation @6 :UInt64;
  expectedNode @7 :UInt64;
  nonce @8 :UInt64;
  windowRequests @9 :UInt32;
  streamCreditBytes @10 :UInt32;
  maxPayloadBytes @11 :UInt32;
  refusalCode @12 :UInt8;
  refusal @13 :Text;
}

struct Status {
  code @0 :UInt8;
  context @1 :Text;
  leader @2 :UInt64;
  leaderTerm @3 :UInt64;
  leaderAddress @4 :Text;
}

struct RaftEntry {
  kind @0 :UInt8;
  hasAttachment @1 :Bool;
  term @2 :UInt64;
  index @3 :UInt64;
  supersededBy @4 :UInt64;
  bodyBytes @5 :UInt32;
  attachmentBytes @6 :UInt32;
}

struct RaftMessage {
  kind @0 :UInt8;
  verdict @1 :UInt8;
  transfer @2 :Bool;
  push @3 :Bool;
  group @4 :UInt64;
  fromNode @5 :UInt64;
  fromReplica @6 :UInt64;
  toNode @7 :UInt64;
  toReplica @8 :UInt64;
  term @9 :UInt64;
  logIndex @10 :UInt64;
  logTerm @11 :UInt64;
  commit @12 :UInt64;
  lowestClaim @13 :UInt64;
  match @14 :UInt64;
  received @15 :UInt64;
  applied @16 :UInt64;
  rejectedIndex @17 :UInt64;
  hintIndex @18 :UInt64;
  hintTerm @19 :UInt64;
  round @20 :UInt64;
  context @21 :UInt64;
  stateTimeNs @22 :Int64;
  entries @23 :List(RaftEntry);   # body, then attachment, of each in order: in the tail
  textBytes @24 :UInt32;          # in the tail, behind the entries
  stateTimeEstimated @25 :Bool;
  stateTimeLeader @26 :UInt64;
  stateTimeEpoch @27 :UInt64;
}

struct Heartbeat {
  group @0 :UInt64;
  fromReplica @1 :UInt64;
  toReplica @2 :UInt64;
  term @3 :UInt64;
  round @4 :UInt64;
  commit @5 :UInt64;
  lowestClaim @6 :UInt64;
  stateTimeNs @7 :Int64;
  push @8 :Bool;
  stateTimeEpoch @9 :UInt64;
}

struct HeartbeatBatch {
  fromNode @0 :UInt64;
  toNode @1 :UInt64;
  number @2 :UInt64;
  groups @3 :List(Heartbeat);
}

struct HeartbeatReplyBatch {
  struct Refused {
    group @0 :UInt64;
    fromReplica @1 :UInt64;
    toReplica @2 :UInt64;
    why @3 :UInt8;
    term @4 :UInt64;
  }
  struct Progress {
    group @0 :UInt64;
    fromReplica @1 :UInt64;
    toReplica @2 :UInt64;
    term @3 :UInt64;
    round @4 :UInt64;
    match @5 :UInt64;
    received @6 :UInt64;
    applied @7 :UInt64;
  }
  fromNode @0 :UInt64;
  toNode @1 :UInt64;
  number @2 :UInt64;
  refused @3 :List(Refused);
  progress @4 :List(Progress);
  space @5 :UInt8;                # of the answering node's disk
}

struct SnapshotChunk {
  group @0 :UInt64;
  fromNode @1 :UInt64;
  fromReplica @2 :UInt64;
  toNode @3 :UInt64;
  toReplica @4 :UInt64;
  term @5 :UInt64;
  snapshotId @6 :UInt64;
  generation @7 :UInt64;
  index @8 :UInt64;
  indexTerm @9 :UInt64;
  configurationBytes @10 :UInt32; # in the tail
  sequence @11 :UInt64;
  offsetBytes @12 :UInt64;
  totalBytes @13 :UInt64;
  crc @14 :UInt32;
  last @15 :Bool;
  bytes @16 :UInt32;              # in the tail, behind the configuration
}

struct ForwardedCommand {
  client @0 :UInt64;
  sequence @1 :UInt64;
  read @2 :Bool;
  hops @3 :UInt8;
  argBytes @4 :List(UInt32);      # the words, one after the other, in the tail
}

struct ForwardedReply {
  term @0 :UInt64;
  index @1 :UInt64;
  bytes @2 :UInt32;               # in the tail
}

struct EntryName {
  group @0 :UInt64;
  index @1 :UInt64;
  term @2 :UInt64;
}

struct NodeIdentity {
  node @0 :UInt64;
  incarnation @1 :UInt64;
  peerAddress @2 :Text;
  serviceAddress @3 :Text;
}

struct FoundingRecord {
  members @0 :List(NodeIdentity);
}

struct IdentityReply {
  identity @0 :NodeIdentity;
  cluster @1 :UInt64;
}

struct JoinRequest {
  founding @0 :FoundingRecord;
  group @1 :UInt64;
  node @2 :UInt64;
  replica @3 :UInt64;
  since @4 :UInt64;
  configurationBytes @5 :UInt32;  # in the tail
}

struct GroupMember {
  node @0 :UInt64;
  replica @1 :UInt64;
  peerAddress @2 :Text;
  serviceAddress @3 :Text;
  role @4 :UInt8;
  leader @5 :Bool;
  inTouch @6 :Bool;
  match @7 :UInt64;
  applied @8 :UInt64;
  note @9 :Text;
}

struct GroupMembersReply {
  fromLeader @0 :Bool;
  removed @1 :Bool;
  committed @2 :Bool;
  joint @3 :Bool;
  term @4 :UInt64;
  commit @5 :UInt64;
  last @6 :UInt64;
  configurationIndex @7 :UInt64;
  leader @8 :UInt64;
  members @9 :List(GroupMember);
  leasePromiseNs @10 :UInt64;
  leaseDriftPpm @11 :UInt32;
  leaseHolds @12 :Bool;
}

struct GroupChange {
  action @0 :UInt8;
  identity @1 :NodeIdentity;
  cluster @2 :UInt64;
  replaces @3 :List(UInt64);
  leaseDriftPpm @4 :UInt32;
  replica @5 :UInt64;
  configuration @6 :UInt64;       # index + 1; 0: whichever
}

struct GroupChangeReply {
  changed @0 :Bool;
  index @1 :UInt64;
}
