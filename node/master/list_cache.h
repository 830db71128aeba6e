// ListCache: what a master keeps in memory of the volumes that were asked for lately, always as of its applied state.
//
// The entries that are applied move it on (apply()), an installed snapshot empties it (drop_all()); both are atomic, so whoever
// looks between two yields sees one applied index. What it hands out never changes: an answer under way holds its own. Everything
// else in here can be read from the Store again.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/master/partition_list.h"
#include "node/wire/master.h"
#include "runtime/fiber/sync.h"

namespace orrery::master {

class ListCache {
 public:
    struct Options {
        /// Of lists, changes and volumes' records. Beyond it who was asked for longest ago is dropped; the list that was
        /// asked for last is kept whatever its size.
        uint64_t bytes_max = 256u << 20;
        /// Partitions of one page: what one changed partition costs to encode.
        size_t page_partitions = 256;
    };
    struct Counters {
        uint64_t encodings = 0;  // pages made because a partition of theirs changed, and deltas
        uint64_t fills = 0;      // lists read from the Store
        uint64_t dropped = 0;    // lists and volumes that made room
    };

    /// One volume. Lives as long as somebody holds it; once `gone` it says nothing any more, and whoever held it looks again.
    struct Entry {
        wire::VolumeRecord volume;
        Bytes record;  // of the volume, as stored
        bool gone = false;
        Notify moved;  // another version, or gone
        Mutex reading;  // one fiber at a time reads for it from the Store

     private:
        friend class ListCache;
        std::shared_ptr<const PartitionList> list;
        bool filling = false;
        std::map<PartitionId, ListedPartition> changed;  // since `list` was made, or while it is read
        uint64_t changed_bytes = 0;
        std::vector<std::shared_ptr<const PartitionList::Delta>> deltas;  // up to this version
        uint64_t bytes = 0;  // counted for it
        uint64_t used = 0;
    };
    using Held = std::shared_ptr<Entry>;

    ListCache() = default;
    ListCache(const ListCache&) = delete;
    ListCache& operator=(const ListCache&) = delete;

    /// Requires: nothing is held yet.
    void configure(Options options) { options_ = options; }
    const Options& options() const { return options_; }
    const Counters& counters() const { return counters_; }
    uint64_t bytes() const { return bytes_; }

    /// Null: not known here; read it from the Store.
    Held find(const std::string& name);
    Held find(VolumeId volume);
    /// True: there was such a volume and is none any more. Remembered for some.
    bool ended(VolumeId volume) const { return ended_.contains(volume); }
    void remember_ended(VolumeId volume);

    /// Reading a volume's record from the Store, which may yield: what is applied meanwhile counts, not what was read.
    class Reading {
     public:
        Reading(ListCache& cache, std::string name) : cache_(cache), name_(std::move(name)) { at_ = cache_.readings_.emplace(name_, this); }
        ~Reading() { cache_.readings_.erase(at_); }
        Reading(const Reading&) = delete;
        Reading& operator=(const Reading&) = delete;
        /// `read`: as of when this was constructed, or later. Null: there is no such volume. Errors: Corrupt; Stale (it was read of a state
        /// that has been replaced: begin anew).
        Result<Held> finish(std::optional<Bytes> read);

     private:
        friend class ListCache;
        ListCache& cache_;
        std::string name_;
        std::multimap<std::string, Reading*>::iterator at_;
        std::optional<std::optional<Bytes>> applied_;  // meanwhile
        bool replaced_ = false;                        // the state, meanwhile
    };

    /// The whole list of this version; null: read it from the Store, between begin_fill() and end_fill().
    std::shared_ptr<const PartitionList> list(Entry& entry);
    /// Changes of its partitions are kept from now on. Requires: the caller holds entry.reading, list() is null.
    void begin_fill(Entry& entry);
    /// `read`: as of begin_fill() or later; null: it could not be read.
    void end_fill(Entry& entry, std::shared_ptr<const PartitionList> read);

    struct Changes {
        bool known = false;  // false: read them from the Store, and remember()
        std::shared_ptr<const PartitionList::Delta> delta;  // null: the whole list is the better answer
    };
    Changes changes(Entry& entry, LogIndex since);
    /// Read from the Store when the list's version was `version`; null as above. False: it is another one by now.
    bool remember(Entry& entry, LogIndex version, LogIndex since, std::shared_ptr<const PartitionList::Delta> delta);

    /// What a batch of entries did to the Store's records, as they are from now on. Atomic.
    void apply(const std::map<Bytes, std::optional<Bytes>>& changed);
    /// Another state is the state from now on. Atomic.
    void drop_all();

 private:
    Held touch(const Held& entry);
    void count(Entry& entry);
    void end(const Held& entry);
    void make_room(const Entry& keep);

    Options options_;
    Counters counters_;
    std::map<VolumeId, Held> entries_;
    std::map<std::string, VolumeId> names_;
    std::map<uint64_t, VolumeId> by_use_;
    uint64_t uses_ = 0;
    uint64_t bytes_ = 0;
    std::set<VolumeId> ended_;
    std::multimap<std::string, Reading*> readings_;
};

}  // namespace orrery::master
