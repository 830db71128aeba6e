// Generators that tests of kv share.
#pragma once

#include <rapidcheck.h>

#include "runtime/base/bytes.h"

namespace orrery::test {

/// Bytes of any length and content.
inline rc::Gen<Bytes> any_bytes() { return rc::gen::container<Bytes>(rc::gen::arbitrary<char>()); }

}  // namespace orrery::test
