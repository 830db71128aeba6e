#include "runtime/store/rocks_call.h"

namespace orrery::store {

// Nothing to do where RocksDB has threads of its own; in a file of their own so that the linker can replace them.
void rocks_call_begins(RocksCall&) {}
void rocks_call_ends(RocksCall&) {}

}  // namespace orrery::store
