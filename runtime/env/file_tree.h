// Whole directories: removal with all that is below.
#pragma once

#include <string>

#include "runtime/env/disk.h"

namespace orrery {

/// Removes a directory and everything below it, deepest first; not there is fine. A crash leaves a part of it. Nothing is
/// synced. Errors: Io.
Result<void> remove_tree(Blocking& blocking, Disk& disk, const std::string& path);

}  // namespace orrery
