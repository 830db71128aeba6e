// Process: what a host runs, in both worlds. Built from an Env, run by one main fiber, destroyed after all fibers of the
// host have ended.
#pragma once

#include <functional>
#include <memory>

#include "runtime/env/env.h"

namespace orrery {

class Process {
 public:
    virtual ~Process() = default;
    /// The main fiber. Returns when the process is over: cleanly after request_stop(), with an error when it cannot go
    /// on (a daemon then exits with that error). Yields. Errors: any; Cancelled when the host crashes.
    virtual Result<void> run(Fiber& fiber) = 0;
    /// Asks run() to drain and return. Idempotent, never waits.
    virtual void request_stop() = 0;
};

/// Makes the process of one life of a host. The Env outlives it.
using Program = std::function<std::unique_ptr<Process>(Env&)>;

}  // namespace orrery
