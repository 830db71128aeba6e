// Overlay: changes on top of a keyspace that does not have them yet. An apply batch keeps one over the Store, a transaction one
// over whatever it runs on.
#pragma once

#include <map>
#include <optional>

#include "kv/execute.h"

namespace orrery::kv {

class Overlay {
 public:
    using Records = std::map<Bytes, std::optional<ValueRecord>, std::less<>>;

    /// Null: the keyspace below decides, unless flushed().
    const std::optional<ValueRecord>* find(ByteView key) const {
        const auto at = records_.find(key);
        return at == records_.end() ? nullptr : &at->second;
    }
    /// Nothing of the keyspace below is there any more.
    bool flushed() const { return flushed_; }
    void flush() {
        records_.clear();
        flushed_ = true;
    }
    void set(Bytes key, std::optional<ValueRecord> record) { records_[std::move(key)] = std::move(record); }
    void clear() {
        records_.clear();
        flushed_ = false;
    }
    const Records& records() const { return records_; }
    Records take_records() { return std::move(records_); }

    Result<std::optional<ValueRecord>> get(ByteView key, KeyspaceView& below) const;
    Result<KeyspaceView::Stretch> stretch(uint64_t position, size_t records_max, KeyspaceView& below) const;

 private:
    Records records_;
    bool flushed_ = false;
};

}  // namespace orrery::kv
