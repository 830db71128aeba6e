#include "kv/cluster_commands.h"

#include <algorithm>
#include <array>

#include "kv/common_replies.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

using Node = ClusterView::Node;

// CRC16-CCITT (XMODEM): polynomial 0x1021, nothing reflected, begins with 0.
constexpr std::array<uint16_t, 256> kCrcTable = [] {
    std::array<uint16_t, 256> out{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t crc = byte << 8;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1;
        out[byte] = static_cast<uint16_t>(crc);
    }
    return out;
}();

uint16_t crc16(ByteView bytes) {
    uint16_t crc = 0;
    for (char c : bytes) crc = static_cast<uint16_t>((crc << 8) ^ kCrcTable[((crc >> 8) ^ static_cast<unsigned char>(c)) & 0xff]);
    return crc;
}

void append_hex(Bytes& out, uint64_t value, int digits) {
    static constexpr char kDigits[] = "0123456789abcdef";
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out.push_back(kDigits[(value >> shift) & 15]);
}

/// The leader, then the other voters: who holds the slots, and who has copies.
std::vector<const Node*> serving_nodes(const ClusterView& view) {
    std::vector<const Node*> out;
    const Node* leader = view.leader();
    if (leader == nullptr) return out;
    out.push_back(leader);
    for (const Node& node : view.nodes)
        if (!node.leader && node.voter && !node.host.empty()) out.push_back(&node);
    return out;
}

Reply slots(const ClusterView& view) {
    const std::vector<const Node*> nodes = serving_nodes(view);
    if (nodes.empty()) return Reply::array({});  // no leader: nobody holds them
    std::vector<Reply> range{Reply::integer(0), Reply::integer(kSlots - 1)};
    for (const Node* node : nodes)
        range.push_back(Reply::array({bulk_of(node->host), Reply::integer(node->port), Reply::bulk(cluster_node_id(view, *node)), Reply::array({})}));
    return Reply::array({Reply::array(std::move(range))});
}

Reply shards(const ClusterView& view) {
    const bool covered = view.leader() != nullptr;
    std::vector<Reply> nodes;
    for (const Node& node : view.nodes) {
        nodes.push_back(Reply::map({bulk_of("id"), Reply::bulk(cluster_node_id(view, node)), bulk_of("port"), Reply::integer(node.port),
                                    bulk_of("ip"), bulk_of(node.host), bulk_of("endpoint"), bulk_of(node.host),
                                    bulk_of("role"), bulk_of(node.leader ? "master" : "replica"),
                                    bulk_of("replication-offset"), Reply::integer(static_cast<int64_t>(node.applied.value)),
                                    bulk_of("health"), bulk_of(!node.connected ? "fail" : node.voter ? "online" : "loading")}));
    }
    std::vector<Reply> range;
    if (covered) range = {Reply::integer(0), Reply::integer(kSlots - 1)};
    return Reply::array({Reply::map({bulk_of("slots"), Reply::array(std::move(range)), bulk_of("nodes"), Reply::array(std::move(nodes))})});
}

Reply nodes(const ClusterView& view) {
    const Node* leader = view.leader();
    Bytes out;
    for (const Node& node : view.nodes) {
        out += cluster_node_id(view, node);
        out += " " + node.host + ":" + std::to_string(node.port) + "@" + std::to_string(node.peer_port) + " ";
        if (node.self) out += "myself,";
        out += node.leader ? "master" : "slave";
        if (!node.connected) out += ",fail?";
        out += " " + (node.leader || leader == nullptr ? Bytes("-") : cluster_node_id(view, *leader));
        // Pings are those of the group, and not counted by pairs.
        out += " 0 0 " + std::to_string(view.term.value) + (node.connected ? " connected" : " disconnected");
        if (node.leader) out += " 0-" + std::to_string(kSlots - 1);
        out += "\n";
    }
    return Reply::verbatim(std::move(out));
}

Reply info(const ClusterView& view) {
    const bool covered = view.serving && view.leader() != nullptr;
    const std::string term = std::to_string(view.term.value), all = std::to_string(kSlots);
    return Reply::verbatim(std::string("cluster_state:") + (covered ? "ok" : "fail") + "\r\ncluster_slots_assigned:" + all +
                           "\r\ncluster_slots_ok:" + (covered ? all : "0") + "\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:" + (covered ? "0" : all) +
                           "\r\ncluster_known_nodes:" + std::to_string(view.nodes.size()) + "\r\ncluster_size:1\r\ncluster_current_epoch:" + term +
                           "\r\ncluster_my_epoch:" + term + "\r\n");
}

}  // namespace

uint16_t key_slot(ByteView key) {
    const size_t open = key.find('{');
    if (open != ByteView::npos) {
        const size_t close = key.find('}', open + 1);
        if (close != ByteView::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
    }
    return crc16(key) % kSlots;
}

Bytes cluster_node_id(const ClusterView& view, const Node& node) {
    Bytes out;
    append_hex(out, view.cluster, 16);
    append_hex(out, node.replica.value, 16);
    append_hex(out, node.node.value, 8);
    return out;
}

Reply moved_reply(const ClusterView& view, const CommandInfo& command, ArgvView argv) {
    const Node* leader = view.leader();
    if (!view.serving || leader == nullptr || leader->host.empty()) return Reply::error("CLUSTERDOWN The cluster is down");
    return Reply::error("MOVED " + std::to_string(key_slot(keys_of(command, argv).front())) + " " + leader->host + ":" + std::to_string(leader->port));
}

Reply cluster_command(ArgvView argv, const ClusterView& view) {
    const auto is = [&](ByteView word) { return is_word(argv[1], word); };
    if (is("keyslot")) return Reply::integer(key_slot(argv[2]));
    if (is("info")) return info(view);
    if (is("nodes")) return nodes(view);
    if (is("slots")) return slots(view);
    if (is("shards")) return shards(view);
    CHECK(is("myid"), argv[1]);
    for (const Node& node : view.nodes)
        if (node.self) return Reply::bulk(cluster_node_id(view, node));
    return Reply::error("CLUSTERDOWN this node is no member of the group");
}

std::variant<SlotQuestion, Reply> slot_question(ArgvView argv) {
    SlotQuestion out;
    out.count_only = argv.size() == 3;
    const auto slot = resp::parse_int64(argv[2]);
    if (!slot) return Reply::error("ERR value is not an integer or out of range");
    int64_t keys = INT64_MAX;
    if (!out.count_only) {
        const auto wanted = resp::parse_int64(argv[3]);
        if (!wanted) return Reply::error("ERR value is not an integer or out of range");
        keys = *wanted;
    }
    if (*slot < 0 || *slot >= kSlots || keys < 0) return Reply::error(out.count_only ? "ERR Invalid slot" : "ERR Invalid slot or number of keys");
    out.slot = static_cast<uint16_t>(*slot);
    out.keys_max = static_cast<uint64_t>(keys);
    return out;
}

Reply cluster_disabled() { return Reply::error("ERR This instance has cluster support disabled"); }

}  // namespace orrery::kv
