#include "runtime/base/random.h"

#include <xxhash.h>

#include <cmath>

#include "runtime/base/check.h"

namespace orrery {

uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t RandomStream::pinned(uint64_t drawn) {
    const auto pin = pins_->find({stream_, entity_, counter_++});
    return pin == pins_->end() ? drawn : pin->second;
}

uint64_t RandomStream::below(uint64_t bound) {
    CHECK(bound > 0);
    // The multiply-shift map: its bias is below 2^-64 * bound, and it takes exactly one draw.
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
}

int64_t RandomStream::between(int64_t low, int64_t high) {
    CHECK(low <= high, low, high);
    const uint64_t width = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
    if (width == 0) return static_cast<int64_t>(next());
    return static_cast<int64_t>(static_cast<uint64_t>(low) + below(width));
}

double RandomStream::log_uniform(double low, double high) {
    CHECK(low > 0 && low <= high, low, high);
    return low * std::exp(unit() * std::log(high / low));
}

double RandomStream::exponential(double mean) { return -mean * std::log1p(-unit()); }

}  // namespace orrery
