// Record: a key and its value as one state has them, or that this state has none. It is made once and shared by all that hold
// it: the change of a log entry, the overlay of its batch, the cache of the state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kv/stored_format.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"

namespace orrery::kv {

/// A key and its key_hash(), which every look asks for.
struct HashedKey {
    ByteView text;
    uint64_t hash;
    HashedKey(ByteView key) : text(key), hash(key_hash(key)) {}
    HashedKey(ByteView key, uint64_t known_hash) : text(key), hash(known_hash) {}
};

class Record;

/// Holds a Record, or nothing. Counts without atomics: the records of a node stay on its loop thread.
class RecordRef {
 public:
    RecordRef() = default;
    RecordRef(std::nullptr_t) {}
    RecordRef(const RecordRef& other) : record_(other.record_) { hold(); }
    RecordRef(RecordRef&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
    RecordRef& operator=(RecordRef other) noexcept {
        std::swap(record_, other.record_);
        return *this;
    }
    ~RecordRef() { drop(); }

    explicit operator bool() const { return record_ != nullptr; }
    const Record* operator->() const { return record_; }
    const Record& operator*() const { return *record_; }

 private:
    friend class Record;
    explicit RecordRef(const Record* record) : record_(record) { hold(); }
    inline void hold() const;
    inline void drop() const;
    const Record* record_ = nullptr;
};

/// Its bytes lie behind it, so that a look at a record meets one piece of memory.
class Record {
 public:
    static RecordRef make(const HashedKey& key, const ValueView& value);
    /// The state has no record of the key.
    static RecordRef absent(const HashedKey& key);

    bool exists() const { return exists_; }
    ByteView key() const { return {bytes(), key_bytes_}; }
    uint64_t hash() const { return hash_; }
    HashedKey hashed_key() const { return {key(), hash_}; }
    ByteView data() const { return {bytes() + key_bytes_, data_bytes_}; }
    /// The entry that last changed value or expiry: what WATCH compares.
    LogIndex modified() const { return modified_; }
    int64_t expire_at_ms() const { return expire_at_ms_; }
    bool expired(LogTime time) const { return value().expired(time); }
    ValueView value() const { return {type_, modified_, expire_at_ms_, data()}; }
    /// Of key and data.
    size_t size_bytes() const { return size_t{key_bytes_} + data_bytes_; }

 private:
    friend class RecordRef;
    Record(const HashedKey& key, bool exists, const ValueView& value);
    static RecordRef make_one(const HashedKey& key, bool exists, const ValueView& value);
    const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
    void destroy() const;

    mutable uint32_t holders_ = 0;
    bool exists_;
    ValueType type_;
    uint32_t key_bytes_;
    uint32_t data_bytes_;
    uint64_t hash_;
    LogIndex modified_;
    int64_t expire_at_ms_;
};

void RecordRef::hold() const {
    if (record_ != nullptr) ++record_->holders_;
}
void RecordRef::drop() const {
    if (record_ != nullptr && --record_->holders_ == 0) record_->destroy();
}

}  // namespace orrery::kv
