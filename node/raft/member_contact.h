// What a configuration carries of each member beside its ids: where it is reached.
#pragma once

#include <string>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/env/env.h"

namespace orrery::raft {

struct MemberContact {
    std::string peer_address;     // HOST:PORT
    std::string service_address;  // HOST:PORT
    bool operator==(const MemberContact&) const = default;
};
/// u8 format = 1, peer address and service address, each u32 length and bytes.
Bytes encode_contact(const MemberContact& contact);
/// Errors: Corrupt.
Result<MemberContact> decode_contact(ByteView bytes);

}  // namespace orrery::raft
