// A keyspace in a std::map, with the metadata kept as a state machine keeps it. For tests of execute().
#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "kv/created_keys.h"
#include "kv/execute.h"
#include "kv/stamping.h"
#include "runtime/base/check.h"

namespace orrery::test {

/// A time of the log, in milliseconds.
constexpr kv::LogTime at_ms(int64_t millis) { return kv::LogTime{millis * 1'000'000}; }

class MemoryKeyspace : public kv::KeyspaceView {
 public:
    Result<kv::RecordRef> get(const kv::HashedKey& key) override {
        if (failing) return Code::Io;
        const auto at = records.find(Bytes(key.text));
        return at == records.end() ? kv::RecordRef() : at->second;
    }

    Result<Stretch> stretch(uint64_t position, size_t records_max) override {
        if (failing) return Code::Io;
        std::vector<kv::RecordRef> ordered;
        for (const auto& [key, record] : records)
            if (kv::scan_position(kv::key_hash(key)) >= position) ordered.push_back(record);
        std::ranges::sort(ordered, {}, [](const kv::RecordRef& record) { return std::pair(record->hash(), record->key()); });
        Stretch out;
        for (const kv::RecordRef& record : ordered) {
            if (out.records.size() >= records_max && kv::scan_position(record->hash()) != kv::scan_position(out.records.back()->hash())) {
                out.next = kv::scan_position(record->hash());
                break;
            }
            out.records.push_back(record);
        }
        return out;
    }

    /// Leader and member in one: stamped, through the entry's bytes, executed, applied.
    kv::Reply write(const kv::Argv& argv, kv::LogTime now) {
        const std::vector<ByteView> words = resp::views_of(argv);
        const auto request = kv::check_request(words);
        if (request.command == nullptr) return request.refusal;
        const kv::Stamped stamped = kv::stamp_command(words, now);
        if (const kv::Reply* refusal = stamped.refusal()) return *refusal;
        const Bytes entry = kv::encode_entry(kv::EntryKind::Command, {now, Term(1)}, {}, stamped.words());
        return apply(entry);
    }

    kv::Reply apply(ByteView bytes) {
        const kv::LogEntry entry = kv::decode_entry(bytes).value();
        index = index.next();
        time = entry.stamp.time;
        const kv::ExecuteContext context{.time = time, .now = time, .index = index, .keys = keys};
        if (entry.kind == kv::EntryKind::Tick) return kv::Reply::ok();
        auto done = [&] {
            if (entry.kind == kv::EntryKind::Purge) return kv::execute_purge(entry.argv, context, *this);
            if (entry.kind == kv::EntryKind::Command) return kv::execute(entry.argv, context, *this);
            const kv::Transaction transaction = kv::decode_transaction(entry.argv[0]).value();
            kv::ExecuteContext own = context;
            own.draw = transaction.draw;
            return kv::execute_transaction(transaction, own, *this, [this](uint64_t hash) { return created.latest(hash); });
        }();
        const kv::Executed& executed = done.value();
        if (executed.flush) {
            records.clear();
            keys = volatile_keys = 0;
        }
        keys += static_cast<uint64_t>(executed.keys_delta);
        volatile_keys += static_cast<uint64_t>(executed.volatile_delta);
        for (const kv::RecordRef& mutation : executed.mutations) {
            const Bytes key(mutation->key());
            const Bytes stored = kv::encode_value(mutation->value());
            if (mutation->exists())
                records[key] = kv::Record::make(ByteView(key), kv::decode_value(stored).value());
            else
                ORRERY_CHECK(records.erase(key) == 1 || entry.kind == kv::EntryKind::Transaction, "a key removed that is not there");
        }
        for (uint64_t hash : executed.created) created.set(kv::CreatedKeys::bucket_of(hash), index);
        check_counters();
        return executed.reply;
    }

    /// EXEC of what a connection has queued.
    kv::Reply transact(const kv::Transaction& transaction, kv::LogTime now) {
        const Bytes record = kv::stamp_transaction(kv::decode_transaction(kv::encode_transaction(transaction)).value(), now, ++draw);
        const ByteView word = record;
        return apply(kv::encode_entry(kv::EntryKind::Transaction, {now, Term(1)}, {}, resp::ArgvView(&word, 1)));
    }

    kv::Executed read(const kv::Argv& argv, kv::LogTime now) {
        const auto request = kv::check_request(resp::views_of(argv));
        if (request.command == nullptr) return kv::Executed{.reply = request.refusal};
        return kv::execute(resp::views_of(argv), {.time = time, .now = now, .index = index, .keys = keys, .draw = ++draw}, *this).value();
    }

    /// As a leader reads: a tick first where one is needed.
    kv::Reply read_with_ticks(const kv::Argv& argv, kv::LogTime now) {
        kv::Executed first = read(argv, now);
        if (!first.tick_needed) return first.reply;
        apply(kv::encode_tick({now, Term(1)}));
        kv::Executed second = read(argv, now);
        ORRERY_CHECK(!second.tick_needed, "one tick was not enough");
        return second.reply;
    }

    void check_counters() const {
        uint64_t volatiles = 0;
        for (const auto& [key, record] : records) volatiles += record->expire_at_ms() != 0;
        ORRERY_CHECK(keys == records.size(), "the counter of keys is off");
        ORRERY_CHECK(volatile_keys == volatiles, "the counter of volatile keys is off");
    }

    std::map<Bytes, kv::RecordRef> records;
    uint64_t keys = 0, volatile_keys = 0;
    kv::CreatedKeys created;
    uint64_t draw = 0;
    kv::LogTime time;
    LogIndex index;
    bool failing = false;
};

}  // namespace orrery::test
