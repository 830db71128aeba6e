#include "tools/orrery/record.h"


#include "runtime/base/crc32c.h"

namespace orrery::cli {

namespace {

constexpr uint32_t kMagic = 0x4652524f;  // "ORRF"
constexpr size_t kHeaderBytes = 4 + 1 + 4 + 4;

// One list of fields for both directions, so that they can not drift apart.
class Writer {
 public:
    template <typename Int>
    bool number(const Int& value) { return put_le<Int>(out, value), true; }
    bool text(const std::string& value) { return put_string(out, value), true; }
    template <typename Container, typename Each>
    bool list(const Container& items, Each each) {
        put_le<uint32_t>(out, static_cast<uint32_t>(items.size()));
        for (const auto& item : items) each(item);
        return true;
    }
    Bytes out;
};

class Reader {
 public:
    explicit Reader(ByteView bytes) : in(bytes) {}
    template <typename Int>
    bool number(Int& value) { return in.take_le(value); }
    bool text(std::string& value) {
        ByteView view;
        if (!in.take_string(view)) return false;
        value.assign(view);
        return true;
    }
    template <typename Item, typename Each>
    bool list(std::vector<Item>& items, Each each) {
        uint32_t count = 0;
        if (!in.take_le(count) || count > in.rest().size()) return false;  // every item takes a byte at least
        for (uint32_t i = 0; i < count; ++i) {
            Item item{};
            if (!each(item)) return false;
            items.push_back(std::move(item));
        }
        return true;
    }
    template <typename Each>
    bool list(std::map<std::string, uint64_t>& items, Each) {
        uint32_t count = 0;
        if (!in.take_le(count) || count > in.rest().size()) return false;
        for (uint32_t i = 0; i < count; ++i) {
            std::string name;
            uint64_t value = 0;
            if (!text(name) || !number(value)) return false;
            items[std::move(name)] = value;
        }
        return true;
    }
    ByteReader in;
};

struct Flags {
    uint8_t outcome = 0;
    uint8_t stopped_early = 0;
    uint8_t expected = 0;
};

template <typename Codec, typename Record>
bool visit(Codec& codec, Record& record, Flags& flags) {
    const auto each_text = [&](auto& text) { return codec.text(text); };
    const auto each_number = [&](auto& number) { return codec.number(number); };
    const auto each_finding = [&](auto& finding) {
        return codec.text(finding.property) && codec.text(finding.text) && codec.text(finding.signature) &&
               codec.number(finding.at.ns);
    };
    const auto each_count = [&](auto& entry) {
        if constexpr (std::is_same_v<Codec, Writer>) return codec.text(entry.first) && codec.number(entry.second);
        return true;
    };
    return codec.text(record.scenario) && codec.number(record.seed) && codec.number(flags.outcome) &&
           codec.list(record.findings, each_finding) && codec.text(record.reason) && codec.number(record.hash) &&
           codec.number(record.steps) && codec.list(record.checkpoints, each_number) && codec.number(record.watched_value) &&
           codec.number(record.simulated.ns) && codec.number(record.trace_events) && codec.number(record.operations) &&
           codec.number(record.operations_ok) && codec.number(record.operations_unknown) &&
           codec.number(record.planned_events) && codec.number(flags.expected) && codec.list(record.faults_fired, each_count) &&
           codec.list(record.probes, each_count) && codec.list(record.not_fired, each_text) &&
           codec.list(record.notes, each_text) &&
           codec.list(record.recent, each_text) && codec.list(record.excerpt, each_text) && codec.number(flags.stopped_early);
}

}  // namespace

const std::string& RunRecord::signature() const {
    static const std::string kNone;
    return findings.empty() ? kNone : findings.front().signature;
}

Bytes encode_frame(FrameKind kind, ByteView payload) {
    CHECK(payload.size() <= kMaxFrameBytes, payload.size());
    Bytes out;
    put_le<uint32_t>(out, kMagic);
    put_le<uint8_t>(out, static_cast<uint8_t>(kind));
    put_le<uint32_t>(out, static_cast<uint32_t>(payload.size()));
    put_le<uint32_t>(out, crc32c(payload));
    return out.append(payload);
}

Bytes encode_record(const RunRecord& record) {
    Writer writer;
    Flags flags{static_cast<uint8_t>(record.outcome), record.stopped_early, record.expected};
    visit(writer, record, flags);
    return std::move(writer.out);
}

Result<RunRecord> decode_record(ByteView payload) {
    Reader reader(payload);
    RunRecord record;
    Flags flags;
    if (!visit(reader, record, flags) || !reader.in.empty() ||
        flags.outcome > static_cast<uint8_t>(check::Outcome::Inconclusive) || flags.stopped_early > 1 || flags.expected > 1)
        return Error(Code::Corrupt, "the record of a run does not decode");
    record.outcome = static_cast<check::Outcome>(flags.outcome);
    record.stopped_early = flags.stopped_early == 1;
    record.expected = flags.expected == 1;
    return record;
}

Result<Reply> decode_reply(ByteView bytes) {
    Reply reply;
    while (!bytes.empty()) {
        if (bytes.size() < kHeaderBytes) return reply.cut = true, reply;
        const char* header = bytes.data();
        const uint8_t kind = get_le<uint8_t>(header + 4);
        const uint32_t length = get_le<uint32_t>(header + 5);
        if (get_le<uint32_t>(header) != kMagic || length > kMaxFrameBytes)
            return Error(Code::Corrupt, "a frame from the simulating process has no valid header");
        if (bytes.size() - kHeaderBytes < length) return reply.cut = true, reply;
        const ByteView payload = bytes.substr(kHeaderBytes, length);
        if (crc32c(payload) != get_le<uint32_t>(header + 9))
            return Error(Code::Corrupt, "a frame from the simulating process fails its checksum");
        switch (static_cast<FrameKind>(kind)) {
            case FrameKind::Plan:
                reply.plan.assign(payload);
                break;
            case FrameKind::Record: {
                TRY(reply.record, decode_record(payload));
                break;
            }
            case FrameKind::Refused:
                reply.refused.assign(payload);
                break;
            default:
                return Error(Code::Corrupt, "a frame from the simulating process is of an unknown kind");
        }
        bytes.remove_prefix(kHeaderBytes + length);
    }
    return reply;
}

}  // namespace orrery::cli
