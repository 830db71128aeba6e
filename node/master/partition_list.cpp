#include "node/master/partition_list.h"

#include <algorithm>

#include "node/wire/master_list.h"
#include "runtime/base/check.h"

namespace orrery::master {

namespace {

void append(ListPage& page, PartitionId partition, LogIndex modified, ByteView listed) {
    CHECK(page.items.empty() || page.items.back().partition < partition, page.items.back().partition, partition);
    page.records.append(listed);
    CHECK(page.records.size() < UINT32_MAX, page.records.size());
    page.items.push_back({partition, modified, static_cast<uint32_t>(page.records.size())});
    page.modified = std::max(page.modified, modified);
}

/// The i-th record of a page with its length.
ByteView listed(const ListPage& page, size_t i) {
    const size_t begin = i == 0 ? 0 : page.items[i - 1].end;
    return ByteView(page.records).substr(begin, page.items[i].end - begin);
}

Bytes as_listed(ByteView record) {
    Bytes out;
    wire::put_list_record(out, record);
    return out;
}

}  // namespace

// ---- building

void PartitionList::Builder::add(PartitionId partition, LogIndex modified, ByteView record) {
    append(open_, partition, modified, as_listed(record));
    if (open_.items.size() >= page_partitions_) end_page();
}

void PartitionList::Builder::end_page() {
    if (open_.items.empty()) return;
    pages_.push_back(std::make_shared<const ListPage>(std::move(open_)));
    open_ = {};
}

std::shared_ptr<const PartitionList> PartitionList::Builder::finish() {
    end_page();
    return std::shared_ptr<const PartitionList>(new PartitionList(std::move(pages_)));
}

PartitionList::PartitionList(std::vector<std::shared_ptr<const ListPage>> pages) : pages_(std::move(pages)) {
    for (const auto& page : pages_) {
        partitions_ += page->items.size();
        bytes_ += page->records.size();
    }
}

// ---- changes

/// Page by page, each with the changes up to its last partition; the last page takes whatever comes behind it.
std::shared_ptr<const PartitionList> PartitionList::with(const std::map<PartitionId, ListedPartition>& changed, size_t page_partitions, uint64_t& pages_made) const {
    std::vector<std::shared_ptr<const ListPage>> pages;
    pages.reserve(pages_.size() + 1);
    auto next = changed.begin();
    for (size_t i = 0; i < pages_.size(); ++i) {
        const ListPage& old = *pages_[i];
        const bool last = i + 1 == pages_.size();
        if (next == changed.end() || (!last && next->first > old.items.back().partition)) {
            pages.push_back(pages_[i]);
            continue;
        }
        // A page grows to twice its size before it becomes two.
        Builder merged(page_partitions * 2);
        size_t taken = 0;
        auto take_old = [&] {
            append(merged.open_, old.items[taken].partition, old.items[taken].modified, listed(old, taken));
            if (merged.open_.items.size() >= merged.page_partitions_) merged.end_page();
            ++taken;
        };
        for (; next != changed.end() && (last || next->first <= old.items.back().partition); ++next) {
            while (taken < old.items.size() && old.items[taken].partition < next->first) take_old();
            if (taken < old.items.size() && old.items[taken].partition == next->first) ++taken;
            merged.add(next->first, next->second.modified, next->second.record);
        }
        while (taken < old.items.size()) take_old();
        merged.end_page();
        pages_made += merged.pages_.size();
        std::ranges::move(merged.pages_, std::back_inserter(pages));
    }
    if (pages_.empty() && !changed.empty()) {
        Builder first(page_partitions);
        for (const auto& [partition, now] : changed) first.add(partition, now.modified, now.record);
        first.end_page();
        pages_made += first.pages_.size();
        pages = std::move(first.pages_);
    }
    return std::shared_ptr<const PartitionList>(new PartitionList(std::move(pages)));
}

std::shared_ptr<const PartitionList::Delta> PartitionList::changed_since(LogIndex since, uint64_t bytes_max) const {
    auto delta = std::make_shared<Delta>();
    delta->since = since;
    for (const auto& page : pages_) {
        if (page->modified <= since) continue;
        for (size_t i = 0; i < page->items.size(); ++i) {
            if (page->items[i].modified <= since) continue;
            delta->records.append(listed(*page, i));
            ++delta->partitions;
            if (delta->records.size() > bytes_max) return nullptr;
        }
    }
    return delta;
}

}  // namespace orrery::master
