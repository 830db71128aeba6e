// Lists of a volume's partitions as they are asked for and answered: the one question that every client and data node repeats
// all the time. So an answer that says "unchanged" is about a dozen bytes, and records travel as they are stored.
//
// Numbers are varints of seven bits a byte, low bits first, in their shortest form. What decode refuses is Corrupt.
#pragma once

#include <cstdint>
#include <string>

#include "node/wire/master.h"
#include "runtime/base/function.h"

namespace orrery::wire {

/// Asks for the list of one volume, named or by id.
struct MasterListRequest {
    static constexpr size_t kNameBytesMax = 255;
    std::string name;   // empty: by `volume`
    VolumeId volume;    // 0: by `name`
    LogIndex since;     // the version that the asker has; 0: none
    LogIndex at_least;  // answered from a state that has applied this, whichever master it is: the asker's session token
    Duration max_age;   // how old the answer may be when it leaves; 0: it has all that was committed when the question came
    Duration wait;      // while the list is still that of `since`, the answer may be held back so long
    bool operator==(const MasterListRequest&) const = default;
};
Bytes encode_master_list_request(const MasterListRequest& request);
/// Errors: Corrupt (also neither name nor id, or both).
Result<MasterListRequest> decode_master_list_request(ByteView bytes);

enum class ListKind : uint8_t {  // on the wire; never renumber
    Unchanged = 1,  // the version is `since`
    Delta = 2,      // the volume, and the partitions that changed since
    Full = 3,       // the volume and all partitions
};
/// "unchanged", "delta", "full".
std::string_view list_kind_name(ListKind kind);

/// What ends the answer. Records are first what came as stream data, in order, then `records`.
struct MasterListAnswer {
    ListKind kind = ListKind::Unchanged;
    VolumeId volume;
    LogIndex version;  // of the list: index of the last change of the volume or one of its partitions
    LogIndex applied;  // by who answers; not below `version`
    Term term;         // of the leader that vouched
    NodeId server;
    Duration age;      // of the state at most, when the answer left; travels in us, rounded up
    Duration held;     // of that, how long the answer was held back at least; travels in us, rounded down
    // Delta and Full.
    Bytes volume_record;        // a VolumeRecord, as stored
    uint64_t partitions = 0;    // records in all
    uint64_t stream_bytes = 0;  // of them, as stream data
    Bytes records;              // the others
    bool operator==(const MasterListAnswer&) const = default;
};
Bytes encode_master_list_answer(const MasterListAnswer& answer);
/// Errors: Corrupt.
Result<MasterListAnswer> decode_master_list_answer(ByteView bytes);

/// A record as it stands in a list: uint32 length, then a PartitionRecord as stored.
inline void put_list_record(Bytes& out, ByteView record) { put_string(out, record); }
/// Calls `take` for each record of a list's bytes. Errors: Corrupt (cut short), take's.
Result<void> for_each_list_record(ByteView records, FunctionRef<Result<void>(ByteView record)> take);

}  // namespace orrery::wire
