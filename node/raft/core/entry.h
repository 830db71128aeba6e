// What the log holds: one entry, one place in the log, the durable vote.
//
// The core never looks into a body or an attachment; it counts their bytes and hands the pointers on, so that one entry
// is one allocation however many followers it travels to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"

namespace orrery::raft {

/// Terms and indexes at or above this are refused as malformed, so that no sum of them can wrap.
inline constexpr uint64_t kCounterLimit = uint64_t{1} << 62;

/// One life of a replica of this group. The replica id is never used twice.
struct Member {
    NodeId node;
    ReplicaId replica;
    auto operator<=>(const Member&) const = default;
    explicit operator bool() const { return static_cast<bool>(node); }
};

std::ostream& operator<<(std::ostream& out, const Member& member);

enum class EntryKind : uint8_t {  // stored; never renumber
    Noop = 1,    // first entry of a leader's term
    Data = 2,    // the state machine's
    Config = 3,  // body is an encoded Configuration
};
std::string_view entry_kind_name(EntryKind kind);

struct LogPosition {
    LogIndex index;
    Term term;
    auto operator<=>(const LogPosition&) const = default;
};

/// A null body is an empty one. `attachment` may be null although has_attachment is set: the bytes are then not in
/// memory and whoever needs them (the driver, before it sends the entry) fetches them.
struct Entry {
    Term term;
    LogIndex index;
    EntryKind kind = EntryKind::Data;
    std::shared_ptr<const Bytes> body;
    std::shared_ptr<const Bytes> attachment;
    bool has_attachment = false;
    /// The disk lost the body: only place and kind are known until a member gives it back.
    bool hole = false;
    /// Of an attachment in memory: see LoadedAttachment. 0: these are the bytes that were proposed.
    LogIndex superseded_by = {};

    LogPosition position() const { return {index, term}; }
    ByteView body_view() const { return body ? ByteView(*body) : ByteView(); }
    /// What the flow control and the uncommitted bound count: payload and a fixed overhead.
    uint64_t size_bytes() const {
        return 48 + (body ? body->size() : 0) + (attachment ? attachment->size() : 0);
    }
};

/// What must be durable before anything that speaks of it leaves. The vote names a replica, not only a node: two lives
/// of one node are two candidates.
struct HardState {
    Term term;
    Member vote;  // zero: none in this term
    bool operator==(const HardState&) const = default;
};

}  // namespace orrery::raft
