// PartitionList: the list of one volume as answers carry it, as of one applied index. Pure.
//
// It never changes, so an answer that takes its time holds what it began with, whatever is applied meanwhile. What follows it shares
// all pages but those of changed partitions.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "node/wire/master.h"

namespace orrery::master {

/// A partition's record as stored, and its last change.
struct ListedPartition {
    LogIndex modified;
    Bytes record;
};

struct ListPage {
    struct Item {
        PartitionId partition;
        LogIndex modified;
        uint32_t end = 0;  // of its record in `records`
    };
    std::vector<Item> items;  // by id
    Bytes records;            // each as put_list_record() writes it
    LogIndex modified;        // the latest
};

class PartitionList {
 public:
    /// Puts a list together from partitions that come by id.
    class Builder {
     public:
        /// `page_partitions`: how many share a page, at least 1.
        explicit Builder(size_t page_partitions) : page_partitions_(page_partitions) {}
        void add(PartitionId partition, LogIndex modified, ByteView record);
        std::shared_ptr<const PartitionList> finish();

     private:
        friend class PartitionList;
        void end_page();
        size_t page_partitions_;
        ListPage open_;
        std::vector<std::shared_ptr<const ListPage>> pages_;
    };

    const std::vector<std::shared_ptr<const ListPage>>& pages() const { return pages_; }
    uint64_t partitions() const { return partitions_; }
    /// Of the records with their lengths: what an answer carries.
    uint64_t bytes() const { return bytes_; }

    /// This list with changed partitions in place of theirs, and new ones. Adds to `pages_made`.
    std::shared_ptr<const PartitionList> with(const std::map<PartitionId, ListedPartition>& changed, size_t page_partitions, uint64_t& pages_made) const;

    struct Delta {
        LogIndex since;
        uint64_t partitions = 0;
        Bytes records;
    };
    /// What changed after `since`; null: that has more than `bytes_max`.
    std::shared_ptr<const Delta> changed_since(LogIndex since, uint64_t bytes_max) const;

 private:
    explicit PartitionList(std::vector<std::shared_ptr<const ListPage>> pages);
    std::vector<std::shared_ptr<const ListPage>> pages_;
    uint64_t partitions_ = 0;
    uint64_t bytes_ = 0;
};

}  // namespace orrery::master
