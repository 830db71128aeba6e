// Answers that several commands share. Each is Redis' text, which clients compare.
#pragma once

#include <string_view>

#include "kv/resp/reply.h"

namespace orrery::kv {

inline resp::Reply syntax_error() { return resp::Reply::error("ERR syntax error"); }
inline resp::Reply not_an_integer() { return resp::Reply::error("ERR value is not an integer or out of range"); }
inline resp::Reply bulk_of(std::string_view text) { return resp::Reply::bulk(Bytes(text)); }

}  // namespace orrery::kv
