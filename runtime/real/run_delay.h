// RunDelay: for how long the calling thread was ready to run and stood in the kernel's queue for a processor.
#pragma once

#include "runtime/base/time.h"
#include "runtime/real/descriptor.h"

namespace orrery::real {

class RunDelay {
 public:
    /// Of the calling thread, from now on; all calls from it.
    RunDelay();
    /// What came to it since the last call. Asks the kernel (proc(5), /proc/thread-self/schedstat) every 10 ms at most, and answers zero
    /// otherwise; always zero where the kernel does not say.
    Duration more(Instant now);

 private:
    /// Nanoseconds so far, or what was known.
    int64_t read() const;

    Descriptor file_;
    Instant next_;
    int64_t known_ns_ = 0;
};

}  // namespace orrery::real
