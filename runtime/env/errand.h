// Errand: a process that does one piece of work on its main fiber and ends. For operators' commands and for tests, in
// both worlds; what drains or serves is a Process of its own.
#pragma once

#include "runtime/env/process.h"

namespace orrery {

class Errand final : public Process {
 public:
    using Work = std::function<Result<void>(Fiber&, Env&)>;
    Errand(Env& env, Work work) : env_(env), work_(std::move(work)) {}
    Result<void> run(Fiber& fiber) override { return work_(fiber, env_); }
    /// Nothing to drain: the work ends by itself, or is cancelled.
    void request_stop() override {}

 private:
    Env& env_;
    Work work_;
};

}  // namespace orrery
