#include "runtime/real/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

namespace orrery::real {

namespace {
constexpr Duration kPeriod = Duration::millis(10);
}

RunDelay::RunDelay() : file_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) { known_ns_ = read(); }

int64_t RunDelay::read() const {
    char text[96];
    if (!file_.valid()) return known_ns_;
    const ssize_t got = pread(file_.get(), text, sizeof(text), 0);  // "on a processor, in its queue, slices": two times in ns, a number
    if (got <= 0) return known_ns_;
    const char* const end = text + got;
    const char* second = static_cast<const char*>(memchr(text, ' ', static_cast<size_t>(got)));
    int64_t ns = 0;
    if (second == nullptr || std::from_chars(second + 1, end, ns).ec != std::errc()) return known_ns_;
    return ns;
}

Duration RunDelay::more(Instant now) {
    if (now < next_) return {};
    next_ = now + kPeriod;
    const int64_t before = known_ns_;
    known_ns_ = read();
    return Duration::nanos(known_ns_ - before);
}

}  // namespace orrery::real
