// 64-bit mixing for addresses of random draws and for the trace hash. Not for untrusted keys of hash tables.
#pragma once

#include <cstdint>
#include <string_view>

namespace orrery {

/// A full-avalanche finaliser (splitmix64).
constexpr uint64_t mix64(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

constexpr uint64_t combine64(uint64_t a, uint64_t b) { return mix64(a ^ (b * 0xff51afd7ed558ccdull + 0x2545f4914f6cdd1dull)); }

/// FNV-1a, finished with mix64; constexpr, for names known at compile time.
constexpr uint64_t hash_name(std::string_view name) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    return mix64(h);
}

/// XXH3-64 of any bytes, stable across builds and machines (it is stored in keys and digests).
uint64_t hash_bytes(std::string_view bytes, uint64_t seed = 0);

}  // namespace orrery
