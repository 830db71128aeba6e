#include "node/raft/state_space.h"

namespace orrery::raft {

namespace {

constexpr uint8_t kFormat = 1;

Bytes prefix(GroupId group, uint64_t generation) {
    Bytes key;
    put_be64(key, group.value);
    put_be64(key, generation);
    return key;
}

struct Position {
    LogPosition position;
    Configuration configuration;
};

void put_position(Bytes& out, LogPosition position, const Configuration& configuration) {
    put_le<uint64_t>(out, position.index.value);
    put_le<uint64_t>(out, position.term.value);
    put_string(out, configuration.empty() ? Bytes() : configuration.encode());
}

Result<Position> take_position(ByteReader& reader, std::string_view what) {
    uint64_t index = 0, term = 0;
    ByteView configuration;
    if (!reader.take_le(index) || !reader.take_le(term) || !reader.take_string(configuration) || !reader.empty())
        return Error(Code::Corrupt, std::string(what) + " is cut short or too long");
    Position out{{LogIndex(index), Term(term)}, {}};
    if (!configuration.empty()) {
        TRY(out.configuration, Configuration::decode(configuration));
    }
    return out;
}

}  // namespace

Bytes space_begin(const StateSpace& space) { return prefix(space.group, space.generation.value); }
Bytes space_end(const StateSpace& space) { return prefix(space.group, space.generation.value + 1); }
Bytes pointer_key(GroupId group) { return prefix(group, 0) + "pointer"; }
Bytes applied_key(const StateSpace& space) { return space_begin(space) + Bytes(1, '\0') + "applied"; }

Bytes encode_pointer(const StatePointer& pointer) {
    Bytes out(1, static_cast<char>(kFormat));
    put_le<uint64_t>(out, pointer.generation.value);
    put_position(out, pointer.base.position(), pointer.base.configuration);
    return out;
}

Result<StatePointer> decode_pointer(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    uint64_t generation = 0;
    if (!reader.take_le(format) || format != kFormat || !reader.take_le(generation) || generation == 0)
        return Error(Code::Corrupt, "state pointer has an unknown format");
    TRY(auto base, take_position(reader, "state pointer"));
    return StatePointer{Generation(generation), Floor{base.position.index, base.position.term, std::move(base.configuration)}};
}

Bytes encode_applied(const AppliedRecord& record) {
    Bytes out(1, static_cast<char>(kFormat));
    put_position(out, record.applied, record.configuration);
    return out;
}

Result<AppliedRecord> decode_applied(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    if (!reader.take_le(format) || format != kFormat) return Error(Code::Corrupt, "applied record has an unknown format");
    TRY(auto position, take_position(reader, "applied record"));
    return AppliedRecord{position.position, std::move(position.configuration)};
}

}  // namespace orrery::raft
