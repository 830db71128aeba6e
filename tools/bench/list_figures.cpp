// A master's list of a volume of 100,000 partitions: what it costs to make the whole answer anew when one of them changed.
#include <map>
#include <memory>

#include "node/master/partition_list.h"
#include "node/wire/master_list.h"
#include "tools/bench/figures.h"

namespace orrery::bench {

namespace {

constexpr uint64_t kPartitions = 100'000;
constexpr size_t kPage = 256;

wire::PartitionRecord partition(uint64_t id, uint64_t modified) {
    wire::PartitionRecord record{PartitionId(id), VolumeId(7), Epoch(3), {}, LogIndex(100), LogIndex(modified)};
    for (uint64_t member = 0; member < 3; ++member) record.members.push_back({NodeId(1 + (id + member) % 40), DiskId(1), ReplicaId(3 * id + member)});
    return record;
}

std::shared_ptr<const master::PartitionList> whole_list() {
    master::PartitionList::Builder builder(kPage);
    for (uint64_t id = 1; id <= kPartitions; ++id) builder.add(PartitionId(id), LogIndex(100), wire::encode_partition_record(partition(id, 100)));
    return builder.finish();
}

/// The list's bytes in one piece, as an answer carries them.
Bytes in_one(const master::PartitionList& list) {
    Bytes out;
    out.reserve(list.bytes());
    for (const auto& page : list.pages()) out.append(page->records);
    return out;
}

/// ns for: one partition changed (its record encoded, its page made anew), then all of the list's bytes.
double changed_ns(const std::shared_ptr<const master::PartitionList>& whole) {
    std::shared_ptr<const master::PartitionList> list = whole;
    uint64_t modified = 100, pages = 0;
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            const uint64_t id = 1 + ++modified * 7919 % kPartitions;
            list = list->with({{PartitionId(id), {LogIndex(modified), wire::encode_partition_record(partition(id, modified))}}}, kPage, pages);
            keep(in_one(*list));
        }
    });
}

double copied_ns(const Bytes& bytes) {
    return ns_per_iteration([&](uint64_t iterations) {
        for (uint64_t i = 0; i < iterations; ++i) {
            Bytes copy(bytes);
            keep(copy);
        }
    });
}

}  // namespace

void add_list_figures(std::vector<Figure>& figures) {
    figures.push_back({"lists.whole_after_one_change_100k", "us", Better::Lower, 0, [] {
                           static_assert(kPartitions == 100'000);
                           return changed_ns(whole_list()) / 1000;
                       }});
    figures.push_back({"lists.whole_after_one_change_vs_memcpy", "x", Better::Higher, 0.1, [] {
                           const std::shared_ptr<const master::PartitionList> list = whole_list();
                           return copied_ns(in_one(*list)) / changed_ns(list);
                       }});
}

}  // namespace orrery::bench
