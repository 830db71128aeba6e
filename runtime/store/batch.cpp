#include "runtime/store/batch.h"

#include "runtime/base/check.h"

namespace orrery::store {

namespace {
rocksdb::Slice slice(ByteView bytes) { return {bytes.data(), bytes.size()}; }

// These fail only for column families and limits that are not used here.
void must(const rocksdb::Status& status) { CHECK(status.ok(), status.ToString()); }
}  // namespace

Batch::Batch() : rep_(std::make_unique<Rep>()) {}
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

void Batch::put(ByteView key, ByteView value) { must(rep_->batch.Put(slice(key), slice(value))); }

void Batch::erase(ByteView key) { must(rep_->batch.Delete(slice(key))); }

void Batch::erase_range(ByteView from, ByteView to) {
    if (from >= to) return;  // an empty tombstone would take a sequence number that no flush ever reports
    must(rep_->batch.DeleteRange(slice(from), slice(to)));
}

void Batch::mark(uint64_t subject, uint64_t value) { rep_->marks.emplace_back(subject, value); }

uint64_t Batch::size_bytes() const { return rep_->batch.GetDataSize(); }

bool Batch::empty() const { return rep_->batch.Count() == 0; }

void Batch::clear() {
    rep_->batch.Clear();
    rep_->marks.clear();
}

}  // namespace orrery::store
