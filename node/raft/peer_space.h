// PeerSpaces: which other nodes said of late that their disk is short of space.
//
// Only bad news is kept, and not for long: who falls silent, or whose link breaks, counts as having room again, since
// whether it is in touch at all is the core's to judge.
#pragma once

#include <map>

#include "node/wire/raft_message.h"
#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery::raft {

class PeerSpaces {
 public:
    explicit PeerSpaces(Duration valid) : valid_(valid) {}

    /// True when that is a change. Requires: `node` is one of ours (what is kept is bounded by them).
    bool said(NodeId node, wire::SpaceLevel level, Instant now) {
        const wire::SpaceLevel before = level_of(node, now);
        if (level == wire::SpaceLevel::Room) {
            short_.erase(node);
        } else {
            short_[node] = {level, now};
        }
        return before != level;
    }
    void forget(NodeId node) { short_.erase(node); }
    wire::SpaceLevel level_of(NodeId node, Instant now) const {
        auto found = short_.find(node);
        return found == short_.end() || now - found->second.at > valid_ ? wire::SpaceLevel::Room : found->second.level;
    }
    /// Cheap: somebody may be short.
    bool any() const { return !short_.empty(); }

 private:
    struct Said {
        wire::SpaceLevel level;
        Instant at;
    };
    Duration valid_;
    std::map<NodeId, Said> short_;
};

}  // namespace orrery::raft
