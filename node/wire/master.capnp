# Records, commands and questions of the masters: on disk, in their log, and between nodes. Fields are only ever added, at the end;
# numbers never change.
@0xd86f14b07a92ce35;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("orrery::wire::schema");

struct DiskRecord {
  disk @0 :UInt32;
  path @1 :Text;
  capacityBytes @2 :UInt64;
  members @3 :UInt32;
}

struct NodeRecord {
  node @0 :UInt64;
  incarnation @1 :UInt64;
  zone @2 :Text;
  peerAddress @3 :Text;
  serviceAddress @4 :Text;
  disks @5 :List(DiskRecord);
  registered @6 :UInt64;
  modified @7 :UInt64;
  state @8 :UInt8;
}

struct VolumeRecord {
  volume @0 :UInt64;
  name @1 :Text;
  state @2 :UInt8;
  replicas @3 :UInt32;
  partitions @4 :UInt32;
  capacityBytes @5 :UInt64;
  created @6 :UInt64;
  modified @7 :UInt64;
}

struct PartitionMember {
  node @0 :UInt64;
  disk @1 :UInt32;
  replica @2 :UInt64;
}

struct PartitionRecord {
  partition @0 :UInt64;
  volume @1 :UInt64;
  epoch @2 :UInt64;
  members @3 :List(PartitionMember);
  created @4 :UInt64;
  modified @5 :UInt64;
}

struct MasterCounters {
  nextVolume @0 :UInt64;
  nextPartition @1 :UInt64;
  nextReplica @2 :UInt64;
  nodes @3 :UInt64;
  volumes @4 :UInt64;
  partitions @5 :UInt64;
  applied @6 :UInt64;
  forgotten @7 :UInt64;
}

struct SessionRecord {
  client @0 :UInt64;
  sequence @1 :UInt64;
  used @2 :UInt64;
  answerBytes @3 :UInt32;         # in the tail
}

struct Place {
  node @0 :UInt64;
  disk @1 :UInt32;
}

struct Placement {
  places @0 :List(Place);
}

struct NodeMark {
  node @0 :UInt64;
  incarnation @1 :UInt64;
  state @2 :UInt8;
}

struct MasterCommand {
  kind @0 :UInt8;
  client @1 :UInt64;
  sequence @2 :UInt64;
  node @3 :NodeRecord;
  name @4 :Text;
  replicas @5 :UInt32;
  partitions @6 :UInt32;
  capacityBytes @7 :UInt64;
  placements @8 :List(Placement);
  unplaced @9 :Text;
  since @10 :UInt64;
  marks @11 :List(NodeMark);
}

struct MasterAnswer {
  code @0 :UInt8;
  context @1 :Text;
  index @2 :UInt64;
  volume @3 :UInt64;
}

struct MasterQuery {
  topic @0 :UInt8;
  name @1 :Text;
  after @2 :UInt64;
  limit @3 :UInt32;
  maxAgeNs @4 :UInt64;
  atLeast @5 :UInt64;
}

struct MasterView {
  leader @0 :UInt64;
  term @1 :UInt64;
  version @2 :UInt64;
  more @3 :Bool;
  counters @4 :MasterCounters;
  nodes @5 :List(NodeRecord);
  volumes @6 :List(VolumeRecord);
  partitions @7 :List(PartitionRecord);
  server @8 :UInt64;
  ageNs @9 :UInt64;
}

struct MasterConfirmation {
  term @0 :UInt64;
  version @1 :UInt64;
  serviceAddress @2 :Text;
}

struct DiskReport {
  disk @0 :UInt32;
  usedBytes @1 :UInt64;
  trouble @2 :Text;
}

struct NodeHeartbeat {
  node @0 :UInt64;
  incarnation @1 :UInt64;
  partitions @2 :UInt32;
  loaded @3 :UInt32;
  disks @4 :List(DiskReport);
}
