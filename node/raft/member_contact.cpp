#include "node/raft/member_contact.h"

namespace orrery::raft {

namespace {
constexpr uint8_t kContactFormat = 1;
}

Bytes encode_contact(const MemberContact& contact) {
    Bytes out(1, static_cast<char>(kContactFormat));
    put_string(out, contact.peer_address);
    put_string(out, contact.service_address);
    return out;
}

Result<MemberContact> decode_contact(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t format = 0;
    ByteView peer, service;
    if (!reader.take_le(format) || format != kContactFormat || !reader.take_string(peer) || !reader.take_string(service) || !reader.empty())
        return Error(Code::Corrupt, "contact of a member: unknown format or length");
    return MemberContact{std::string(peer), std::string(service)};
}

}  // namespace orrery::raft
