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
  leaving @4 :Bool;
  bad @5 :Bool;
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
  leaving @9 :Bool;
  waitsFor @10 :Text;
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
  maxPartitions @8 :UInt32;
}

struct PartitionMember {
  node @0 :UInt64;
  disk @1 :UInt32;
  replica @2 :UInt64;
  created @3 :Bool;
}

struct PartitionRecord {
  partition @0 :UInt64;
  volume @1 :UInt64;
  epoch @2 :UInt64;
  members @3 :List(PartitionMember);
  created @4 :UInt64;
  modified @5 :UInt64;
  leader @6 :UInt64;
  leaderTerm @7 :UInt64;
  failures @8 :UInt32;
  failedAt @9 :UInt64;
  lastError @10 :Text;
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
  nextTask @8 :UInt64;
  tasks @9 :UInt64;
  placed @10 :UInt64;
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
  disk @12 :UInt32;
  maxPartitions @13 :UInt32;
  expectedPartitions @14 :UInt32;
  diskMarks @15 :List(DiskMark);
  partitionMarks @16 :List(PartitionMark);
  waits @17 :List(WaitMark);
  task @18 :TaskRecord;
  next @19 :UInt8;
  voters @20 :List(UInt64);
  learners @21 :List(UInt64);
  reason @22 :Text;
}

struct MasterAnswer {
  code @0 :UInt8;
  context @1 :Text;
  index @2 :UInt64;
  volume @3 :UInt64;
  task @4 :UInt64;
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
  tasks @10 :List(TaskRecord);
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
  life @5 :UInt64;
  number @6 :UInt64;
  since @7 :UInt64;
  reports @8 :List(PartitionReport);
}

struct TaskRecord {
  task @0 :UInt64;
  kind @1 :UInt8;
  partition @2 :UInt64;
  volume @3 :UInt64;
  epoch @4 :UInt64;
  source @5 :PartitionMember;
  destination @6 :PartitionMember;
  step @7 :UInt8;
  priority @8 :UInt32;
  created @9 :UInt64;
  modified @10 :UInt64;
  waitsFor @11 :Text;
  since @12 :UInt64;
  failures @13 :UInt32;
  lastError @14 :Text;
}

struct DiskMark {
  node @0 :UInt64;
  incarnation @1 :UInt64;
  disk @2 :UInt32;
  bad @3 :Bool;
}

struct PartitionMark {
  partition @0 :UInt64;
  leader @1 :UInt64;
  term @2 :UInt64;
  created @3 :List(UInt64);
}

struct WaitMark {
  node @0 :UInt64;
  task @1 :UInt64;
  waitsFor @2 :Text;
}

struct ConfiguredMember {
  node @0 :UInt64;
  replica @1 :UInt64;
  voter @2 :Bool;
  caughtUp @3 :Bool;
}

struct PartitionReport {
  partition @0 :UInt64;
  replica @1 :UInt64;
  disk @2 :UInt32;
  role @3 :UInt8;
  term @4 :UInt64;
  state @5 :UInt8;
  usedBytes @6 :UInt64;
  configuration @7 :UInt64;
  members @8 :List(ConfiguredMember);
}

struct HeartbeatAnswer {
  term @0 :UInt64;                # these two as MasterConfirmation has them
  version @1 :UInt64;
  number @2 :UInt64;
  wantFull @3 :Bool;
}

struct PartitionPeer {
  node @0 :UInt64;
  replica @1 :UInt64;
  peerAddress @2 :Text;
}

struct PartitionCreate {
  partition @0 :UInt64;
  replica @1 :UInt64;
  volume @2 :UInt64;
  disk @3 :UInt32;
  members @4 :List(PartitionPeer);
}

struct PartitionDestroy {
  partition @0 :UInt64;
  replica @1 :UInt64;
  term @2 :UInt64;
  removedBy @3 :UInt64;
}
