// CLUSTER, READONLY's side of it, and -MOVED: what a client of a Redis cluster is told of the group.
#pragma once

#include <variant>

#include "kv/cluster_view.h"
#include "kv/command_table.h"

namespace orrery::kv {

inline constexpr uint16_t kSlots = 16384;

/// Of a key as Redis has it: CRC16 of it, or of what stands in its first pair of braces.
uint16_t key_slot(ByteView key);

/// 40 hexadecimal digits: cluster, replica, node. Another life of a node has another.
Bytes cluster_node_id(const ClusterView& view, const ClusterView::Node& node);

/// -MOVED to the leader, or -CLUSTERDOWN while none is known. Requires: the command has keys.
Reply moved_reply(const ClusterView& view, const CommandInfo& command, ArgvView argv);

/// All but COUNTKEYSINSLOT and GETKEYSINSLOT, which look at keys. Requires: passed check_request().
Reply cluster_command(ArgvView argv, const ClusterView& view);

/// The slot and, for GETKEYSINSLOT, the most keys that those two ask for; or the error reply.
struct SlotQuestion {
    uint16_t slot = 0;
    uint64_t keys_max = UINT64_MAX;
    bool count_only = false;
};
std::variant<SlotQuestion, Reply> slot_question(ArgvView argv);

/// Every CLUSTER command and ASKING with the standalone face.
Reply cluster_disabled();

}  // namespace orrery::kv
