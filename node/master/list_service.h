// ListService: what clients and data nodes ask of a master all the time: the list of a volume's partitions, whole, what changed since,
// or that nothing did. Every master answers from its own applied state under Freshness, so that the leader has nothing to do with it.
//
// An answer is of one applied index: everything it holds is taken between two yields, out of a ListCache that moves on with
// the state, and does not change any more. A question that finds nothing new may be held back until there is something.
#pragma once

#include <cstdint>

#include "node/master/list_cache.h"
#include "node/master/master_machine.h"
#include "node/raft/group.h"
#include "node/rpc/service.h"
#include "node/wire/master_list.h"

namespace orrery::master {

class MasterService;

struct ListServiceOptions {
    ListCache::Options cache;
    /// Questions that are held back at once; beyond it they are answered at once.
    size_t held_max = 20'000;
    /// How long a question may be held back, whatever it allows.
    Duration wait_max = Duration::seconds(30);
    /// Lists that are streamed out at once: who is slow keeps alive what it has not taken yet. Others wait.
    uint64_t streams_max = 64;
    /// Lists and deltas up to this size travel in one frame with the answer.
    uint64_t inline_bytes_max = 32u << 10;
};

class ListService {
 public:
    ListService(Env& env, raft::Group& group, MasterService& master, ListServiceOptions options);
    ListService(const ListService&) = delete;
    ListService& operator=(const ListService&) = delete;

    /// Yields. Answers with Invalid, NotFound, Overloaded, NotReady, NotLeader (nobody vouches for what this master has, or not for as
    /// much as was asked for: with the leader, as far as it is known), Io, Corrupt.
    void handle(Fiber& fiber, rpc::Request& request, rpc::Responder& responder);

    struct Counters {
        uint64_t unchanged = 0;  // answers
        uint64_t delta = 0;
        uint64_t full = 0;
        uint64_t bytes = 0;      // of answers, frames' headers aside
        uint64_t held = 0;       // that were held back, all in all
        uint64_t not_held = 0;   // that could not be, for want of room
    };
    const Counters& counters() const { return counters_; }
    /// Held back now.
    size_t held() const { return held_; }

 private:
    struct Asked;
    struct Content;
    Result<void> answer(Fiber& fiber, Asked& asked, rpc::Responder& responder);
    Result<ListCache::Held> find(Fiber& fiber, const wire::MasterListRequest& request);
    Result<bool> hold(Fiber& fiber, Asked& asked, ListCache::Entry& entry);
    Result<bool> prepare(Fiber& fiber, Asked& asked, ListCache::Entry& entry, Content& content);
    Result<void> read_changes(Fiber& fiber, Asked& asked, ListCache::Entry& entry);
    Result<void> fill(Fiber& fiber, ListCache::Entry& entry, Instant deadline);
    Result<void> send(Fiber& fiber, const Asked& asked, const ListCache::Held& entry, Content& content, rpc::Responder& responder);
    Result<void> stream(Fiber& fiber, const Asked& asked, const ListCache::Held& entry, const Content& content, rpc::Responder& responder);

    Env& env_;
    raft::Group& group_;
    MasterService& master_;
    MasterMachine& machine_;
    ListCache& cache_;
    ListServiceOptions options_;
    Counters counters_;
    size_t held_ = 0;
    Semaphore streams_;
};

}  // namespace orrery::master
