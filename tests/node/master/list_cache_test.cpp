// The list of a volume in a master's memory and in a client's, against a model: whatever is changed, lost, late or started anew, a client
// holds the list exactly as it was at some version, and never one older than before.
#include "node/master/list_cache.h"

#include <rapidcheck.h>

#include "node/client/volume_list.h"
#include "node/master/placement.h"
#include "runtime/base/random.h"
#include "tests/node/master/records_in_memory.h"
#include <doctest/doctest.h>

namespace orrery::master {
namespace {

using client::VolumeList;
using wire::ListKind;
using Changed = std::map<Bytes, std::optional<Bytes>>;

const std::string kVolume = "v";

/// A master's records, what it keeps in memory of them, and the list as it was at every version.
class Model {
 public:
    ListCache cache;
    RecordsInMemory records;
    std::map<LogIndex, std::vector<wire::PartitionRecord>> history;

    explicit Model(ListCache::Options options) {
        cache.configure(options);
        for (uint64_t node = 1; node <= 4; ++node) change(register_command(node, "z1", 2));
    }

    void change(wire::MasterCommand command) {
        if (command.partitions > 0) command.placements = place(nodes(), 3, command.partitions).value();
        index_ = index_.next();
        const MasterState::Applied applied = state_.apply(command, index_, records).value();
        records.change(applied.changes);
        Changed changed;
        for (const MasterState::Change& one : applied.changes) changed.insert_or_assign(one.key, one.value);
        moved(changed);
    }
    void create_or_grow(uint32_t partitions) {
        wire::MasterCommand command;
        command.kind = volume() ? wire::MasterCommandKind::ExtendVolume : wire::MasterCommandKind::CreateVolume;
        command.name = kVolume;
        command.replicas = 3;
        command.partitions = partitions;
        change(command);
    }
    /// As a change of members does: the record, its place in the index of changes, and the volume's version.
    void rehost(uint64_t pick) {
        std::optional<wire::VolumeRecord> of = volume();
        if (!of) return;
        const std::vector<wire::PartitionRecord> all = history.at(of->modified);
        wire::PartitionRecord partition = all[pick % all.size()];
        index_ = index_.next();
        Changed changed;
        if (partition.modified > of->created) changed[volume_change_key(of->volume, partition.modified, partition.partition)] = std::nullopt;
        partition.epoch = partition.epoch.next();
        partition.modified = of->modified = index_;
        changed[volume_change_key(of->volume, index_, partition.partition)] = Bytes();
        changed[partition_key(partition.partition)] = wire::encode_partition_record(partition);
        changed[volume_key(kVolume)] = wire::encode_volume_record(*of);
        std::vector<MasterState::Change> list;
        for (const auto& [key, value] : changed) list.push_back({key, value});
        records.change(list);
        moved(changed);
    }

    StateView::Pairs all(const KeyRange& range) { return records.scan(range, SIZE_MAX).value(); }
    std::optional<wire::VolumeRecord> volume() const { return records.find(volume_key(kVolume), &wire::decode_volume_record); }
    LogIndex index() const { return index_; }

    ListCache::Held entry() {
        if (ListCache::Held known = cache.find(kVolume)) return known;
        ListCache::Reading reading(cache, kVolume);
        return reading.finish(records.get(volume_key(kVolume)).value()).value();
    }
    std::shared_ptr<const PartitionList> read_list(const wire::VolumeRecord& of) {
        PartitionList::Builder builder(cache.options().page_partitions);
        std::map<PartitionId, LogIndex> modified;
        for (const auto& [key, nothing] : all(volume_changes_after(of.volume, of.created))) {
            const VolumeChange change = volume_change_of_key(key).value();
            modified[change.partition] = change.modified;
        }
        for (const auto& [key, nothing] : all(partitions_of(of.volume, PartitionId()))) {
            const PartitionId id = partition_of_key(key).value();
            builder.add(id, modified.contains(id) ? modified[id] : of.created, *records.get(partition_key(id)).value());
        }
        return builder.finish();
    }
    std::shared_ptr<const PartitionList::Delta> read_changes(const wire::VolumeRecord& of, LogIndex since) {
        auto delta = std::make_shared<PartitionList::Delta>();
        delta->since = since;
        std::set<PartitionId> ids;
        for (const auto& [key, nothing] : all(volume_changes_after(of.volume, since))) ids.insert(volume_change_of_key(key).value().partition);
        for (PartitionId id : ids) wire::put_list_record(delta->records, *records.get(partition_key(id)).value());
        delta->partitions = ids.size();
        return delta;
    }

    struct Answer {
        LogIndex since;
        wire::MasterListAnswer answer;
        Bytes records;
    };
    /// As a master answers; `fills`: it reads the list into memory where it lacks it, else it reads what changed.
    std::optional<Answer> answer(LogIndex since, bool fills) {
        const ListCache::Held of = entry();
        if (!of) return std::nullopt;
        RC_ASSERT(of->volume == *volume());
        Answer out{since, {}, {}};
        out.answer.volume = of->volume.volume;
        out.answer.version = of->volume.modified;
        out.answer.applied = index_;
        if (since == of->volume.modified) return out;
        if (fills && !cache.list(*of)) {
            cache.begin_fill(*of);
            cache.end_fill(*of, read_list(of->volume));
        }
        ListCache::Changes changes = cache.changes(*of, since);
        if (!changes.known) changes.delta = read_changes(of->volume, since);
        out.answer.volume_record = of->record;
        out.answer.kind = changes.delta ? ListKind::Delta : ListKind::Full;
        if (changes.delta) {
            out.records = changes.delta->records;
            out.answer.partitions = changes.delta->partitions;
            return out;
        }
        std::shared_ptr<const PartitionList> list = cache.list(*of);
        if (!list) list = read_list(of->volume);
        for (const auto& page : list->pages()) out.records += page->records;
        out.answer.partitions = list->partitions();
        return out;
    }

 private:
    std::vector<wire::NodeRecord> nodes() {
        std::vector<wire::NodeRecord> out;
        for (const auto& [key, value] : all(nodes_after(NodeId()))) out.push_back(wire::decode_node_record(value).value());
        return out;
    }
    void moved(const Changed& changed) {
        cache.apply(changed);
        if (const auto of = volume(); of && of->modified == index_) {
            std::vector<wire::PartitionRecord>& now = history[index_];
            for (const auto& [key, nothing] : all(partitions_of(of->volume, PartitionId())))
                now.push_back(records.find(partition_key(partition_of_key(key).value()), &wire::decode_partition_record).value());
        }
    }

    MasterState state_;
    LogIndex index_;
};

/// The list as it was at its version, record by record.
void check_list(const Model& model, const VolumeList& list) {
    const auto was = model.history.find(list.version);
    RC_ASSERT(was != model.history.end());
    RC_ASSERT(was->second.size() == list.partitions.size());
    for (size_t i = 0; i < list.partitions.size(); ++i) RC_ASSERT(*list.partitions[i] == was->second[i]);
}

void run_model(const std::vector<uint8_t>& steps) {
    const ListCache::Options tiny{.bytes_max = 3000, .page_partitions = 3};  // less than a list
    Model model(steps.size() % 2 == 0 ? ListCache::Options{.page_partitions = 3} : tiny);
    model.create_or_grow(5);
    std::shared_ptr<const VolumeList> held[3];
    std::vector<std::pair<size_t, Model::Answer>> late;
    auto deliver = [&](size_t client, const Model::Answer& answer) {
        const LogIndex before = held[client] ? held[client]->version : LogIndex();
        Result<std::shared_ptr<const VolumeList>> next = client::list_behind(held[client], answer.since, answer.answer, answer.records);
        if (!next.ok()) {
            RC_ASSERT(next.failed_with(Code::Stale));
            return;
        }
        held[client] = *next;
        RC_ASSERT(held[client]->version >= before);
        check_list(model, *held[client]);
    };
    for (size_t at = 0; at + 1 < steps.size(); at += 2) {
        const uint8_t step = steps[at];
        const size_t client = steps[at + 1] % 3;
        switch (step % 10) {
            case 0: model.create_or_grow(1 + step / 10 % 4); break;
            case 1:
            case 2:
            case 3: model.rehost(steps[at + 1]); break;
            case 4:
                if (step > 200) {
                    model.change(delete_command(kVolume));
                } else if (step > 150) {
                    model.cache.drop_all();  // as an installed snapshot, or a start
                }
                break;
            case 5: held[client] = nullptr; break;  // the client starts anew
            default: {
                LogIndex since = held[client] ? held[client]->version : LogIndex();
                if (step % 10 == 9) since = LogIndex(steps[at + 1]);  // whoever asks with what it does not hold
                const std::optional<Model::Answer> answer = model.answer(since, step % 10 == 6);
                if (!answer) break;
                if (step < 40) break;  // lost
                if (step < 100) {
                    late.emplace_back(client, *answer);
                } else {
                    deliver(client, *answer);
                }
            }
        }
        if (!late.empty() && steps[at + 1] % 5 == 0) {
            const auto [to, answer] = late[steps[at + 1] % late.size()];
            late.erase(late.begin() + static_cast<ptrdiff_t>(steps[at + 1] % late.size()));
            deliver(to, answer);
        }
    }
    // Whatever came before: the next two questions bring the list as it is.
    for (auto& one : held) {
        for (const LogIndex since : {one ? one->version : LogIndex(), LogIndex()}) {
            const std::optional<Model::Answer> answer = model.answer(since, true);
            if (!answer) continue;
            Result<std::shared_ptr<const VolumeList>> next = client::list_behind(since ? one : nullptr, since, answer->answer, answer->records);
            RC_ASSERT(next.ok());
            one = *next;
            RC_ASSERT(one->version == model.volume()->modified);
            check_list(model, *one);
        }
    }
}

TEST_CASE("lists: a client holds the list as it was at some version, whatever is lost, late or started anew (against a model)") {
    const bool passed = rc::check([](const std::vector<uint8_t>& steps) { run_model(steps); });
    CHECK(passed);
    // Long runs, of which rapidcheck makes few.
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        RandomStream draw(seed, "test.lists", 0);
        std::vector<uint8_t> steps(200 + draw.below(600));
        for (uint8_t& step : steps) step = static_cast<uint8_t>(draw.below(256));
        run_model(steps);
    }
}

TEST_CASE("lists: a changed partition costs one page, and its delta is made once for all") {
    Model model({.page_partitions = 10});
    model.create_or_grow(100);
    const LogIndex first = model.volume()->modified;
    const Model::Answer whole = model.answer(LogIndex(), true).value();
    CHECK(whole.answer.kind == ListKind::Full);
    const ListCache::Held entry = model.entry();
    const std::shared_ptr<const PartitionList> before = model.cache.list(*entry);
    CHECK(before->pages().size() == 10);
    const uint64_t encodings = model.cache.counters().encodings;
    model.rehost(55);
    const std::shared_ptr<const PartitionList> after = model.cache.list(*entry);
    size_t shared = 0;
    for (size_t i = 0; i < 10; ++i) shared += before->pages()[i] == after->pages()[i];
    CHECK(shared == 9);
    for (int asker = 0; asker < 1000; ++asker) {
        const Model::Answer delta = model.answer(first, true).value();
        REQUIRE(delta.answer.kind == ListKind::Delta);
        REQUIRE(delta.answer.partitions == 1);
    }
    CHECK(model.cache.counters().encodings == encodings + 2);  // the page and the delta
    CHECK(before->bytes() == whole.records.size());            // who held the list before has it still
}

TEST_CASE("lists: what is applied while a list or a volume is read from the Store is part of it") {
    Model model({.page_partitions = 4});
    model.create_or_grow(20);
    ListCache::Held entry;
    {
        ListCache::Reading reading(model.cache, kVolume);
        const std::optional<Bytes> read = model.records.get(volume_key(kVolume)).value();
        model.rehost(3);
        entry = reading.finish(read).value();
    }
    CHECK(entry->volume == *model.volume());
    model.cache.begin_fill(*entry);
    const std::shared_ptr<const PartitionList> read = model.read_list(entry->volume);
    model.rehost(7);
    model.create_or_grow(3);
    model.rehost(7);
    model.cache.end_fill(*entry, read);
    const std::shared_ptr<const PartitionList> list = model.cache.list(*entry);
    REQUIRE(list);
    Bytes cached, stored;
    const std::shared_ptr<const PartitionList> now = model.read_list(*model.volume());
    for (const auto& page : list->pages()) cached += page->records;
    for (const auto& page : now->pages()) stored += page->records;
    CHECK(cached == stored);

    // Of a state that is replaced meanwhile nothing is kept.
    model.cache.drop_all();
    CHECK(entry->gone);
    ListCache::Reading reading(model.cache, kVolume);
    model.cache.drop_all();
    CHECK(reading.finish(model.records.get(volume_key(kVolume)).value()).failed_with(Code::Stale));
}

TEST_CASE("lists: memory is bounded, and a volume that was deleted is remembered as such") {
    Model model({.bytes_max = 20'000, .page_partitions = 4});
    for (int i = 0; i < 50; ++i) {
        wire::MasterCommand command;
        command.kind = wire::MasterCommandKind::CreateVolume;
        command.name = "w" + std::to_string(i);
        command.replicas = 3;
        command.partitions = 30;
        model.change(command);
        ListCache::Reading reading(model.cache, command.name);
        const ListCache::Held entry = reading.finish(model.records.get(volume_key(command.name)).value()).value();
        model.cache.begin_fill(*entry);
        model.cache.end_fill(*entry, model.read_list(entry->volume));
        REQUIRE(model.cache.list(*entry));
        REQUIRE(model.cache.bytes() < 20'000);
    }
    CHECK(model.cache.counters().dropped > 40);
    const ListCache::Held last = model.cache.find("w49");
    REQUIRE(last);
    model.change(delete_command("w49"));
    CHECK(last->gone);
    CHECK_FALSE(model.cache.find("w49"));
    CHECK(model.cache.ended(last->volume.volume));
}

TEST_CASE("lists: damaged answers are refused or make a list that is whole (20,000 damages)") {
    Model model({.page_partitions = 4});
    model.create_or_grow(6);
    const Model::Answer whole = model.answer(LogIndex(), true).value();
    const std::shared_ptr<const VolumeList> held = client::list_behind(nullptr, LogIndex(), whole.answer, whole.records).value();
    model.rehost(2);
    const Model::Answer delta = model.answer(held->version, true).value();
    REQUIRE(delta.answer.kind == ListKind::Delta);
    RandomStream draw(1, "test.damage", 0);
    size_t taken = 0;
    for (int i = 0; i < 20'000; ++i) {
        const Model::Answer& sent = i % 2 == 0 ? whole : delta;
        Bytes head = wire::encode_master_list_answer(sent.answer), records = sent.records;
        Bytes& bent = draw.chance(0.5) ? head : records;
        for (uint64_t flips = 1 + draw.below(3); flips > 0; --flips) bent[draw.below(bent.size())] = static_cast<char>(draw.below(256));
        if (draw.chance(0.2)) bent.resize(draw.below(bent.size()));
        const Result<wire::MasterListAnswer> answer = wire::decode_master_list_answer(head);
        if (!answer.ok()) continue;
        Result<std::shared_ptr<const VolumeList>> list = client::list_behind(i % 2 == 0 ? nullptr : held, sent.since, *answer, records);
        if (!list.ok()) {
            REQUIRE((list.failed_with(Code::Corrupt) || list.failed_with(Code::Stale)));
            continue;
        }
        ++taken;
        REQUIRE((*list)->partitions.size() == (*list)->volume.partitions);
    }
    CHECK(taken > 0);
}

}  // namespace
}  // namespace orrery::master
