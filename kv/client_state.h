// ClientState: what a node knows of one connection, apart from its bytes.
#pragma once

#include <cstdint>

#include "kv/command_table.h"
#include "runtime/base/time.h"

namespace orrery::kv {

/// CLIENT UNBLOCK: as if the time were up, or with an error.
enum class Unblock : uint8_t { No, AsTimeout, AsError };

struct ClientState {
    uint64_t id = 0;  // of the connection, never reused while the process lives
    Bytes name;
    Bytes driver_name;
    Bytes driver_version;
    Bytes address;        // ip:port of the peer
    Bytes local_address;  // ip:port of ours
    Bytes user = "default";  // who it acts as, once authenticated
    bool authenticated = true;
    resp::Version version = resp::Version::Resp2;
    bool blocked = false;    // in WAIT, WAITALL, WAITAOF
    bool tracking = false;   // CLIENT TRACKING ON over RESP2: Redis has no way to tell such a client anything either
    bool readonly = false;   // READONLY: its reads may be stale
    bool no_evict = false;   // CLIENT NO-EVICT: shown only, since no client is evicted for memory
    bool closing = false;    // close after the reply
    /// CLIENT REPLY: so many replies from here on are not sent; kNoReplies: none until CLIENT REPLY ON.
    static constexpr uint32_t kNoReplies = UINT32_MAX;
    uint32_t replies_withheld = 0;
    Instant connected_at;
    Instant active_at;  // when something was last read from it
    const CommandInfo* command = nullptr;  // the last one
    const SubcommandInfo* subcommand = nullptr;
    // As of the last look: Clients::for_each() takes one.
    int64_t queued = -1;  // commands since MULTI; -1: no transaction
    uint64_t watched = 0;  // keys
    uint64_t input_bytes = 0, output_bytes = 0;  // held for it
    uint64_t memory_bytes = 0;                   // of its buffers
};

}  // namespace orrery::kv
