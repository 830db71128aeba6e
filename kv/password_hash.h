// Passwords are kept as their SHA-256, in the form of Redis' ACLs: 64 hexadecimal digits in lower case.
#pragma once

#include "runtime/base/bytes.h"

namespace orrery::kv {

Bytes password_hash(ByteView password);
bool is_password_hash(ByteView text);
/// Takes the same time wherever they differ. Requires: both are password hashes.
bool same_password_hash(ByteView a, ByteView b);

}  // namespace orrery::kv
