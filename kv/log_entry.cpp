#include "kv/log_entry.h"

#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

Error malformed_entry(std::string_view what) { return {Code::Corrupt, "kv log entry: " + std::string(what)}; }

bool may_have_slot(EntryKind kind) { return kind == EntryKind::Command || kind == EntryKind::Transaction; }

}  // namespace

Bytes encode_entry(EntryKind kind, Stamp stamp, ClientSlot slot, resp::ArgvView argv) {
    CHECK(stamp.time.ns >= 0 && stamp.epoch.value > 0, stamp.time.ns, stamp.epoch);
    CHECK((kind == EntryKind::Tick) == argv.empty(), static_cast<int>(kind), argv.size());
    CHECK(kind != EntryKind::Transaction || argv.size() == 1, argv.size());
    CHECK(may_have_slot(kind) || !slot.present());
    CHECK(slot.present() || slot.sequence == 0);
    Bytes out;
    size_t bytes = 40;
    for (ByteView word : argv) bytes += 4 + word.size();
    out.reserve(bytes);
    put_le<uint8_t>(out, kEntryFormat);
    put_le<uint8_t>(out, static_cast<uint8_t>(kind));
    put_le<uint16_t>(out, 0);
    put_le<int64_t>(out, stamp.time.ns);
    put_le<uint64_t>(out, stamp.epoch.value);
    put_le<uint64_t>(out, slot.client);
    put_le<uint64_t>(out, slot.sequence);
    put_le<uint32_t>(out, static_cast<uint32_t>(argv.size()));
    for (ByteView word : argv) put_string(out, word);
    return out;
}

Bytes encode_tick(Stamp stamp) { return encode_entry(EntryKind::Tick, stamp, {}, {}); }

Bytes encode_set_time(LogTime from, Stamp to) {
    CHECK(from.ns >= 0 && from < to.time, from.ns, to.time.ns);
    Bytes word;
    put_le<int64_t>(word, from.ns);
    const ByteView argv[] = {word};
    return encode_entry(EntryKind::SetTime, to, {}, argv);
}

LogTime set_time_from(const LogEntry& entry) {
    CHECK(entry.kind == EntryKind::SetTime && entry.argv.size() == 1 && entry.argv.front().size() == 8);
    return {get_le<int64_t>(entry.argv.front().data())};
}

Result<LogEntry> decode_entry(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0, kind = 0;
    uint16_t reserved = 0;
    uint32_t words = 0;
    LogEntry entry;
    if (!reader.take_le(format)) return malformed_entry("empty");
    if (format != kEntryFormat) return malformed_entry("format " + std::to_string(format));
    if (!reader.take_le(kind) || !reader.take_le(reserved) || !reader.take_le(entry.stamp.time.ns) ||
        !reader.take_le(entry.stamp.epoch.value) || !reader.take_le(entry.slot.client) || !reader.take_le(entry.slot.sequence) || !reader.take_le(words))
        return malformed_entry("cut short");
    if (kind < 1 || kind > 5) return malformed_entry("kind " + std::to_string(kind));
    if (reserved != 0) return malformed_entry("reserved bits");
    entry.kind = static_cast<EntryKind>(kind);
    if (entry.stamp.time.ns < 0) return malformed_entry("stamp before 1970");
    if (entry.stamp.epoch.value == 0) return malformed_entry("stamp of no epoch");
    if ((entry.kind == EntryKind::Tick) != (words == 0)) return malformed_entry("words");
    if (entry.kind == EntryKind::Transaction && words != 1) return malformed_entry("words of a transaction");
    if (entry.slot.present() ? !may_have_slot(entry.kind) : entry.slot.sequence != 0) return malformed_entry("client slot");
    if (words > reader.rest().size() / 4) return malformed_entry("more words than bytes");
    entry.argv.reserve(words);
    for (uint32_t i = 0; i < words; ++i) {
        ByteView word;
        if (!reader.take_string(word)) return malformed_entry("cut short");
        entry.argv.push_back(word);
    }
    if (!reader.empty()) return malformed_entry("trailing bytes");
    if (entry.kind == EntryKind::SetTime) {
        if (entry.argv.size() != 1 || entry.argv.front().size() != 8) return malformed_entry("words of a change of time");
        const LogTime from = set_time_from(entry);
        if (from.ns < 0 || from >= entry.stamp.time) return malformed_entry("time would go back");
    }
    return entry;
}

}  // namespace orrery::kv
