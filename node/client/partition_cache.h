// PartitionCache: a client's or data node's copy of the lists of some volumes.
//
// One fiber a volume asks for what is newer, at any master, and is answered when there is something. A list is replaced by one of
// a strictly higher version only; a term below one already seen means an answer not worth looking at. Every question carries the highest version
// of a master's state that this cache was ever answered from, so that what it shows of a volume never goes back, whichever master answers next.
// How old a list is at most is counted by the own clock, from the moment its question was sent; no other clock is compared.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/client/master_client.h"
#include "node/client/volume_list.h"
#include "runtime/fiber/sync.h"

namespace orrery::client {

class PartitionCache {
 public:
    struct Options {
        /// Volumes at once; beyond it the one asked for longest ago is forgotten. At least 1.
        size_t volumes_max = 64;
        /// Of one list as it travels; larger ones are refused.
        uint64_t list_bytes_max = 64u << 20;
        /// How long a master may hold back a question of the background.
        Duration hold = Duration::seconds(10);
        /// How old its answers may be.
        Duration background_age = Duration::seconds(5);
        /// Between two questions of the background for one volume, at least: changes in quick succession come together.
        Duration refresh_min = Duration::millis(10);
        /// A volume that nobody asked for so long is forgotten.
        Duration idle = Duration::seconds(300);
        MasterClient::Options client{};
    };
    struct View {
        std::shared_ptr<const VolumeList> list;  // not null
        Duration age;     // of it at most, now
        LogIndex applied; // by the master that answered: a token for get() of others
        Term term;        // of the leader that vouched
    };
    struct Counters {
        uint64_t asked = 0;      // questions to masters
        uint64_t unchanged = 0;  // answers
        uint64_t deltas = 0;
        uint64_t fulls = 0;
        uint64_t refused = 0;    // answers that were not taken: older, of a lower term, or not fitting
        uint64_t corrupt = 0;    // of those, that contradicted themselves
        uint64_t records_bytes = 0;
    };

    /// As MasterClient. Starts nothing before the first get().
    PartitionCache(Env& env, uint64_t number, std::vector<Address> masters, Options options);
    /// Requires: close() has returned, or get() was never called.
    ~PartitionCache();
    PartitionCache(const PartitionCache&) = delete;
    PartitionCache& operator=(const PartitionCache&) = delete;

    /// The list of a volume, `max_age` old at most (0: with all that was committed when this was called), of a master's state that had applied `at_least`,
    /// and of no earlier one than any view of that volume before (for all volumes together: at_least = seen()). Yields, if what is here is not enough. By many fibers at the same time.
    /// Errors: NotFound (no such volume), Invalid (no name, or the list is too large), NotReady, Timeout (nobody could say by the deadline), Cancelled
    /// (also: closed).
    Result<View> get(Fiber& fiber, const std::string& volume, Duration max_age, LogIndex at_least, Instant deadline);
    /// Ends everything. Yields. Errors: Cancelled.
    Result<void> close(Fiber& fiber);

    /// The highest version of a master's state that was answered from.
    LogIndex seen() const { return seen_; }
    size_t volumes() const { return volumes_.size(); }
    const Counters& counters() const { return counters_; }

 private:
    struct Volume;
    using Held = std::shared_ptr<Volume>;
    Held volume_of(const std::string& name);
    void forget(const Held& volume);
    void make_room();
    bool satisfied(const Volume& volume, Instant oldest, LogIndex at_least) const;
    View view_of(const Volume& volume) const;
    void follow(Fiber& fiber, const Held& volume);
    Result<wire::ListKind> fetch(Fiber& fiber, Volume& volume, Duration max_age, LogIndex at_least, Duration wait, Instant deadline);
    Result<void> take(Volume& volume, const wire::MasterListRequest& request, const MasterClient::ListReply& reply);

    Env& env_;
    Options options_;
    MasterClient client_;
    RandomStream draws_;
    std::map<std::string, Held> volumes_;
    LogIndex seen_;
    Term seen_term_;
    bool closing_ = false;
    Gate gate_;
    Counters counters_;
};

}  // namespace orrery::client
