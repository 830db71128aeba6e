#include "node/wire/master_list.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::wire {

namespace {

constexpr uint64_t kMicros = 1000;

void put_varint(Bytes& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

/// The fields of one message, in order; once one was refused all others are.
class Fields {
 public:
    explicit Fields(ByteView bytes) : reader_(bytes) {}

    uint64_t number() {
        uint64_t value = 0;
        for (int shift = 0;; shift += 7) {
            uint8_t byte = 0;
            if (failed_ || !reader_.take_le(byte)) return fail();
            // The tenth byte has one bit; a last byte of nothing is not the shortest form.
            if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) return fail();
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
    }
    template <typename Id>
    Id id() {
        return Id(number());
    }
    Duration micros() {
        const uint64_t value = number();
        if (value > static_cast<uint64_t>(INT64_MAX) / (2 * kMicros)) fail();
        return failed_ ? Duration() : Duration::micros(static_cast<int64_t>(value));
    }
    Bytes bytes(uint64_t count) {
        ByteView out;
        if (failed_ || !reader_.take_bytes(count, out)) fail();
        return failed_ ? Bytes() : Bytes(out);
    }
    Bytes rest() { return failed_ ? Bytes() : bytes(reader_.rest().size()); }
    bool whole() const { return !failed_ && reader_.empty(); }

 private:
    uint64_t fail() {
        failed_ = true;
        return 0;
    }
    ByteReader reader_;
    bool failed_ = false;
};

uint64_t whole_micros(Duration time) { return static_cast<uint64_t>(std::max<int64_t>(0, time.ns)) / kMicros; }
uint64_t micros_up(Duration time) { return whole_micros(Duration::nanos(time.ns + static_cast<int64_t>(kMicros) - 1)); }

}  // namespace

std::string_view list_kind_name(ListKind kind) {
    switch (kind) {
        case ListKind::Unchanged: return "unchanged";
        case ListKind::Delta: return "delta";
        case ListKind::Full: return "full";
    }
    return "?";
}

Bytes encode_master_list_request(const MasterListRequest& request) {
    CHECK(request.name.size() <= MasterListRequest::kNameBytesMax, request.name.size());
    Bytes out;
    put_varint(out, request.name.size());
    out.append(request.name);
    put_varint(out, request.volume.value);
    put_varint(out, request.since.value);
    put_varint(out, request.at_least.value);
    put_varint(out, whole_micros(request.max_age));
    put_varint(out, whole_micros(request.wait));
    return out;
}

Result<MasterListRequest> decode_master_list_request(ByteView bytes) {
    Fields fields(bytes);
    MasterListRequest request;
    const uint64_t name_bytes = fields.number();
    if (name_bytes > MasterListRequest::kNameBytesMax) return Error(Code::Corrupt, "list request: the name is too long");
    request.name = fields.bytes(name_bytes);
    request.volume = fields.id<VolumeId>();
    request.since = fields.id<LogIndex>();
    request.at_least = fields.id<LogIndex>();
    request.max_age = fields.micros();
    request.wait = fields.micros();
    if (!fields.whole()) return Error(Code::Corrupt, "list request: cut short, too long, or a number out of range");
    if (request.name.empty() == !request.volume) return Error(Code::Corrupt, "list request: a volume's name or its id, one of them");
    return request;
}

Bytes encode_master_list_answer(const MasterListAnswer& answer) {
    CHECK(answer.applied >= answer.version, answer.applied, answer.version);
    Bytes out;
    out.push_back(static_cast<char>(answer.kind));
    put_varint(out, answer.volume.value);
    put_varint(out, answer.version.value);
    put_varint(out, answer.applied - answer.version);
    put_varint(out, answer.term.value);
    put_varint(out, answer.server.value);
    put_varint(out, micros_up(answer.age));
    put_varint(out, whole_micros(answer.held));
    if (answer.kind == ListKind::Unchanged) return out;
    out.reserve(out.size() + answer.volume_record.size() + answer.records.size() + 32);
    put_varint(out, answer.volume_record.size());
    out.append(answer.volume_record);
    put_varint(out, answer.partitions);
    put_varint(out, answer.stream_bytes);
    out.append(answer.records);
    return out;
}

Result<MasterListAnswer> decode_master_list_answer(ByteView bytes) {
    Fields fields(bytes);
    MasterListAnswer answer;
    const Bytes kind = fields.bytes(1);
    if (kind.empty() || kind[0] < static_cast<char>(ListKind::Unchanged) || kind[0] > static_cast<char>(ListKind::Full))
        return Error(Code::Corrupt, "list answer: unknown kind");
    answer.kind = static_cast<ListKind>(kind[0]);
    answer.volume = fields.id<VolumeId>();
    answer.version = fields.id<LogIndex>();
    const uint64_t more = fields.number();
    if (more > UINT64_MAX - answer.version.value) return Error(Code::Corrupt, "list answer: an index out of range");
    answer.applied = answer.version + more;
    answer.term = fields.id<Term>();
    answer.server = fields.id<NodeId>();
    answer.age = fields.micros();
    answer.held = fields.micros();
    if (answer.kind != ListKind::Unchanged) {
        answer.volume_record = fields.bytes(fields.number());
        answer.partitions = fields.number();
        answer.stream_bytes = fields.number();
        answer.records = fields.rest();
    }
    if (!fields.whole()) return Error(Code::Corrupt, "list answer: cut short, too long, or a number out of range");
    return answer;
}

Result<void> for_each_list_record(ByteView records, FunctionRef<Result<void>(ByteView record)> take) {
    for (ByteReader reader(records); !reader.empty();) {
        ByteView record;
        if (!reader.take_string(record)) return Error(Code::Corrupt, "list: a record is cut short");
        TRY(take(record));
    }
    return {};
}

}  // namespace orrery::wire
