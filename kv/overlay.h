// Overlay: changes on top of a keyspace that does not have them yet. An apply batch keeps one over the Store, a transaction one
// over whatever it runs on.
#pragma once

#include <absl/container/btree_map.h>

#include <compare>

#include "kv/execute.h"

namespace orrery::kv {

class Overlay {
 public:
    /// The order of the Store.
    struct Place {
        uint64_t hash;
        ByteView key;  // of the record there
        auto operator<=>(const Place&) const = default;
    };
    using Records = absl::btree_map<Place, RecordRef>;

    /// Nothing: the keyspace below decides, unless flushed(). A record that does not exist() was removed.
    RecordRef find(const HashedKey& key) const {
        const auto at = records_.find(Place{key.hash, key.text});
        return at == records_.end() ? RecordRef() : at->second;
    }
    /// Nothing of the keyspace below is there any more.
    bool flushed() const { return flushed_; }
    void flush() {
        records_.clear();
        flushed_ = true;
    }
    void set(RecordRef record);
    void clear() {
        records_.clear();
        flushed_ = false;
    }
    const Records& records() const { return records_; }

    Result<RecordRef> get(const HashedKey& key, KeyspaceView& below) const;
    Result<KeyspaceView::Stretch> stretch(uint64_t position, size_t records_max, KeyspaceView& below) const;

 private:
    Records records_;
    bool flushed_ = false;
};

}  // namespace orrery::kv
