// The configurations a linearizability search has been in: (answered operations done, state) ->
// unknown ones used.
//
// Holds fingerprints of 128 bits, not the sets: a false match would need some 2^60 configurations.
// For one fingerprint the used sets are kept as they are, and a configuration is not worth a visit
// when a kept set is a part of its own: whoever has used fewer of the unknown operations can still
// do all that the other can.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace orrery::check {

struct ConfigurationPrint {
    uint64_t a = 0, b = 0;
    bool operator==(const ConfigurationPrint&) const = default;
};

class SeenConfigurations {
 public:
    /// `used_words`: 64-bit words of a used set.
    explicit SeenConfigurations(size_t used_words) : used_words_(used_words), slots_(1024) {}

    /// False: one at least as good is known. Otherwise it is remembered.
    bool visit(const ConfigurationPrint& print, std::span<const uint64_t> used);
    uint64_t size() const { return count_; }

 private:
    static constexpr uint32_t kNone = UINT32_MAX;
    struct Slot {
        ConfigurationPrint print;
        uint32_t first = kNone;  // chain of used sets
        bool taken = false;
    };
    Slot& find(const ConfigurationPrint& print);
    void grow();
    bool is_subset(std::span<const uint64_t> small, std::span<const uint64_t> large) const;
    std::span<uint64_t> set_at(uint32_t index) {
        return {&sets_[index * used_words_], used_words_};
    }

    size_t used_words_;
    std::vector<Slot> slots_;  // open addressing, a power of two
    size_t slots_taken_ = 0;
    std::vector<uint64_t> sets_;
    std::vector<uint32_t> next_;  // of set i
    uint64_t count_ = 0;
};

}  // namespace orrery::check
