#include "kv/record.h"

#include <cstring>
#include <limits>
#include <new>

#include "runtime/base/check.h"

namespace orrery::kv {

Record::Record(const HashedKey& key, bool exists, const ValueView& value)
    : exists_(exists),
      type_(value.type),
      key_bytes_(static_cast<uint32_t>(key.text.size())),
      data_bytes_(static_cast<uint32_t>(value.data.size())),
      hash_(key.hash),
      modified_(value.modified),
      expire_at_ms_(value.expire_at_ms) {}

RecordRef Record::make_one(const HashedKey& key, bool exists, const ValueView& value) {
    constexpr size_t kLimit = std::numeric_limits<uint32_t>::max();
    CHECK(key.text.size() <= kLimit && value.data.size() <= kLimit, key.text.size(), value.data.size());
    void* memory = ::operator new(sizeof(Record) + key.text.size() + value.data.size());
    Record* record = new (memory) Record(key, exists, value);
    char* bytes = static_cast<char*>(memory) + sizeof(Record);
    if (!key.text.empty()) std::memcpy(bytes, key.text.data(), key.text.size());
    if (!value.data.empty()) std::memcpy(bytes + key.text.size(), value.data.data(), value.data.size());
    return RecordRef(record);
}

RecordRef Record::make(const HashedKey& key, const ValueView& value) { return make_one(key, true, value); }
RecordRef Record::absent(const HashedKey& key) { return make_one(key, false, {}); }

void Record::destroy() const {
    this->~Record();
    ::operator delete(const_cast<Record*>(this));
}

}  // namespace orrery::kv
