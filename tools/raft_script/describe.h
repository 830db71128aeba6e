// What raft-script prints of messages, states and logs: one line each, the same on every run.
#pragma once

#include "tools/raft_script/cluster.h"

namespace orrery::raft::script {

/// "append", "snapshot-reply": what `type` names.
std::string_view type_of(const Parcel& parcel);
/// "1->2 append term=3 prev=2/4 entries=2 commit=4"; positions are term/index.
std::string describe(const Parcel& parcel);
/// "1 leader term=3 ...", or "2 down".
std::string describe_state(const Replica& replica);
/// "1: compacted=1 1/2:put-a 2/3:conf(v1,v2,v3)", or "2: down".
std::string describe_log(const Replica& replica);

}  // namespace orrery::raft::script
