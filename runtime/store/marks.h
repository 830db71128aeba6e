// Marks: which values of a rising number become durable when a flush has covered a given sequence number.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/store/store.h"

namespace orrery::store {

/// Pairs (sequence, value), both rising. Bounded: when it grows too long every second pair is left out, which only makes
/// its value durable together with the next one; the newest pair always stays, so a flush of everything is exact.
class RisingTrack {
 public:
    static constexpr size_t kPairs = 1024;

    void add(uint64_t sequence, uint64_t value) {
        if (!pairs_.empty()) ORRERY_CHECK(sequence >= pairs_.back().first && value >= pairs_.back().second, sequence, value);
        if (pairs_.size() >= kPairs) {
            std::deque<std::pair<uint64_t, uint64_t>> kept;
            for (size_t i = 1; i < pairs_.size(); i += 2) kept.push_back(pairs_[i]);
            pairs_ = std::move(kept);
        }
        pairs_.emplace_back(sequence, value);
    }
    /// The highest value at or below `sequence`; forgets what it covers.
    std::optional<uint64_t> cover(uint64_t sequence) {
        std::optional<uint64_t> value;
        while (!pairs_.empty() && pairs_.front().first <= sequence) {
            value = pairs_.front().second;
            pairs_.pop_front();
        }
        return value;
    }

 private:
    std::deque<std::pair<uint64_t, uint64_t>> pairs_;
};

class Store::Marks {
 public:
    void add(uint64_t sequence, uint64_t subject, uint64_t value) { pending_[subject].add(sequence, value); }
    /// (subject, value) of every mark that rose.
    std::vector<std::pair<uint64_t, uint64_t>> cover(uint64_t sequence) {
        std::vector<std::pair<uint64_t, uint64_t>> rose;
        for (auto& [subject, track] : pending_) {
            std::optional<uint64_t> value = track.cover(sequence);
            if (!value) continue;
            durable_[subject] = *value;
            rose.emplace_back(subject, *value);
        }
        return rose;
    }
    std::optional<uint64_t> durable(uint64_t subject) const {
        auto at = durable_.find(subject);
        return at == durable_.end() ? std::nullopt : std::optional(at->second);
    }
    void forget(uint64_t subject) {
        pending_.erase(subject);
        durable_.erase(subject);
    }
    void add_bytes(uint64_t sequence, uint64_t written_bytes) { bytes_.add(sequence, written_bytes); }
    std::optional<uint64_t> cover_bytes(uint64_t sequence) { return bytes_.cover(sequence); }

 private:
    // One entry a subject that was ever marked; forget_marks() bounds them to the groups of the node.
    std::map<uint64_t, RisingTrack> pending_;
    std::map<uint64_t, uint64_t> durable_;
    RisingTrack bytes_;
};

}  // namespace orrery::store
