// What a partition owes: every acknowledged write, byte for byte, and nothing that nobody wrote.
//
// A write whose outcome is unknown may have taken effect or not. Writes of one place are never under way twice, so an unknown one
// lies before whatever was acknowledged later.
#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "node/data/extent_format.h"
#include "runtime/base/random.h"

namespace orrery::test {

enum class Outcome : uint8_t { Pending, Done, Refused, Unknown };

/// Bytes that nobody else writes: of one operation.
inline Bytes bytes_of(uint64_t operation, size_t length) {
    Bytes out(length, '\0');
    uint64_t state = operation * 0x9e3779b97f4a7c15ull + 1;
    for (char& byte : out) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        byte = static_cast<char>(state >> 56);
    }
    return out;
}

struct LedgerExtent {
    struct Segment {
        uint64_t offset = 0;
        Bytes bytes;  // as acknowledged
        struct Maybe {
            uint64_t at;
            Bytes bytes;
            Bytes alive;  // per byte: nothing acknowledged since lies over it
        };
        std::vector<Maybe> maybes;                        // overwrites of unknown outcome
        std::vector<std::pair<uint64_t, Bytes>> ever;     // all overwrites that were tried, for reads of any time
        bool busy = false;                                // an overwrite or a punch is under way
        enum class Freed : uint8_t { No, Maybe, Yes } freed = Freed::No;
        Bytes first;

        uint64_t end() const { return offset + bytes.size(); }
        void overwrite(uint64_t at, const Bytes& with, Outcome outcome) {
            if (outcome == Outcome::Refused) return;
            if (outcome == Outcome::Unknown) {
                maybes.push_back({at, with, Bytes(with.size(), 'x')});
                return;
            }
            bytes.replace(at, with.size(), with);
            for (Maybe& maybe : maybes)
                for (size_t i = 0; i < maybe.bytes.size(); ++i)
                    if (maybe.at + i >= at && maybe.at + i < at + with.size()) maybe.alive[i] = '\0';
        }
        bool may_be(size_t i, char byte) const {
            if (bytes[i] == byte) return true;
            for (const Maybe& maybe : maybes)
                if (i >= maybe.at && i < maybe.at + maybe.bytes.size() && maybe.alive[i - maybe.at] != '\0' && maybe.bytes[i - maybe.at] == byte) return true;
            return false;
        }
        bool ever_was(size_t i, char byte) const {
            if (first[i] == byte) return true;
            for (const auto& [at, with] : ever)
                if (i >= at && i < at + with.size() && with[i - at] == byte) return true;
            return false;
        }
        /// The images that lie wholly within: [begin, end), empty if none.
        std::pair<uint64_t, uint64_t> whole() const {
            return {data::whole_images(offset), end() / wire::kImageBytes * wire::kImageBytes};
        }
    };
    std::list<Segment> segments;               // acknowledged appends
    std::vector<std::pair<Bytes, bool>> maybe; // appends of unknown outcome; true: append_small
    Outcome created = Outcome::Pending;
    Outcome removed = Outcome::Refused;        // of the last attempt
    bool busy = false;                         // created or removed just now
    size_t under_way = 0;

    void appended(uint64_t offset, const Bytes& bytes) { segments.push_back({.offset = offset, .bytes = bytes, .maybes = {}, .ever = {}, .first = bytes}); }
    Segment* at(uint64_t offset) {
        for (Segment& segment : segments)
            if (segment.offset == offset) return &segment;
        return nullptr;
    }

    /// What is wrong with `content`, the extent's bytes in the end; empty: nothing. `readable(i)`: whether byte i is not freed.
    template <typename Readable>
    std::string judge(const Bytes& content, Readable readable) {
        uint64_t end = 0;
        size_t found = 0;
        std::vector<bool> used(maybe.size());
        while (end < content.size()) {
            uint64_t from = 0, to = 0;
            for (size_t i = 0; at(end) == nullptr && i < 2 * maybe.size() && to == 0; ++i) {  // small ones first: they leave no gap
                const size_t m = i % maybe.size();
                if (maybe[m].second != (i < maybe.size())) continue;
                from = maybe[m].second ? end : data::whole_images(end);
                if (used[m] || from > content.size() || content.compare(from, maybe[m].first.size(), maybe[m].first) != 0) continue;
                used[m] = true;
                to = from + maybe[m].first.size();
            }
            Segment* segment = at(end);
            if (segment == nullptr) segment = at(data::whole_images(end));
            if (to != 0) {
                // One whose answer was lost.
            } else if (segment != nullptr) {
                from = segment->offset;
                to = segment->end();
                if (to > content.size()) return "cut short in the append at " + std::to_string(from);
                for (uint64_t i = from; i < to; ++i)
                    if (readable(i) && !segment->may_be(i - from, content[i])) return "byte " + std::to_string(i) + " of the append at " + std::to_string(from) + " is wrong";
                ++found;
            } else {
                return "nobody wrote what is at " + std::to_string(end) + " of " + std::to_string(content.size());
            }
            for (uint64_t i = end; i < from; ++i)
                if (readable(i) && content[i] != '\0') return "byte " + std::to_string(i) + " is no gap";
            end = to;
        }
        if (found != segments.size()) return std::to_string(segments.size() - found) + " acknowledged appends are missing";
        return "";
    }
};

}  // namespace orrery::test
