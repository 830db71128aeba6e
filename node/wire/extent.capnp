# Commands of a data partition's extents: in its log, on disk and between nodes. Fields are only ever added, at the end; numbers never
# change.
@0xb3f0c5a2d1478e69;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("orrery::wire::schema");

struct BlockImage {
  block @0 :UInt64;
  covered @1 :UInt32;
  replaced @2 :UInt32;
}

struct ExtentCommand {
  kind @0 :UInt8;
  extent @1 :UInt64;
  offset @2 :UInt64;
  length @3 :UInt64;
  checksum @4 :UInt32;
  pieces @5 :List(UInt32);
  after @6 :UInt64;
  images @7 :List(BlockImage);    # the 4096 bytes of each, in order: in the tail
}

struct ExtentAnswer {
  code @0 :UInt8;
  context @1 :Text;
}
