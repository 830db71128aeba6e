// A Store whose files are not to be trusted any more: the mark that survives a restart, and putting it out of the way.
//
// The mark is a file inside the Store's directory, so that one rename takes both away. Whoever opens a Store looks for the
// mark first: a block that a checksum refused stays unnoticed by an open. What was set aside is kept for the operator; the
// next one that is set aside takes its place.
#pragma once

#include <optional>
#include <string>

#include "runtime/store/store.h"

namespace orrery::store {

/// Why an earlier life marked that Store; nullopt: it did not. Yields. Errors: Io, Cancelled.
Result<std::optional<std::string>> damage_mark(Fiber& fiber, Env& env, const Options& options);
/// Marks it, durably. The Store may be open. Yields. Errors: NoSpace, Io, Cancelled.
Result<void> mark_damaged(Fiber& fiber, Env& env, const Options& options, const std::string& reason);
/// Renames the directory to "<path>.aside", durably, and removes what was there before; answers that name. Nothing there is
/// fine. Requires: the Store is not open. Yields. Errors: Io, NoSpace, Cancelled.
Result<std::string> set_aside(Fiber& fiber, Env& env, const Options& options);

}  // namespace orrery::store
