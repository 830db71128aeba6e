#include "sim/disk/contents.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::sim {
namespace {

Bytes all(const Contents& contents) {
    Bytes out(contents.size(), '\0');
    contents.read(0, out);
    return out;
}

TEST_CASE(
    "contents: writes, cuts and their undoing agree with one plain string (random sequences)") {
    const bool holds = rc::check([] {
        Contents contents;
        Bytes plain;
        struct Step {
            uint64_t offset, length, before, after;
            RangeImage image;
            Bytes was;
        };
        std::vector<Step> steps;
        const int count = *rc::gen::inRange(1, 20);
        for (int i = 0; i < count; ++i) {
            Step step{.before = plain.size(), .was = plain};
            if (*rc::gen::inRange(0, 4) == 0) {
                step.after = static_cast<uint64_t>(*rc::gen::inRange(0, 20000));
                step.offset = std::min(step.before, step.after);
                step.length = step.before > step.after ? step.before - step.after : 0;
                step.image = contents.resize(step.after);
                plain.resize(step.after, '\0');
            } else {
                const auto scale = *rc::gen::element<uint64_t>(1, 512, 4096);
                step.offset = static_cast<uint64_t>(*rc::gen::inRange(0, 20)) * scale;
                const Bytes bytes(static_cast<size_t>(*rc::gen::inRange(1, 5)) * scale,
                                  *rc::gen::element('\0', 'a', 'b', 'c'));
                step.length = bytes.size();
                step.image = contents.replace(step.offset, bytes);
                if (plain.size() < step.offset + bytes.size())
                    plain.resize(step.offset + bytes.size(), '\0');
                plain.replace(step.offset, bytes.size(), bytes);
                step.after = plain.size();
            }
            // The image, piece by piece, is what the range held.
            Bytes held(step.length, 'x');
            read_image(step.image, step.offset, step.length, step.offset, held);
            Bytes was = step.was;
            was.resize(std::max<size_t>(was.size(), step.offset + step.length), '\0');
            RC_ASSERT(held == was.substr(step.offset, step.length));
            RC_ASSERT(all(contents) == plain);
            steps.push_back(std::move(step));
        }
        const Contents copy = contents;  // shares pages: what follows must not reach it
        for (size_t i = steps.size(); i-- > 0;) {
            contents.swap(steps[i].offset, steps[i].length, steps[i].image, steps[i].before);
            RC_ASSERT(all(contents) == steps[i].was);
        }
        for (Step& step : steps) contents.swap(step.offset, step.length, step.image, step.after);
        RC_ASSERT(all(contents) == plain);
        RC_ASSERT(all(copy) == plain);
    });
    CHECK(holds);
}

TEST_CASE("contents: zeros written in advance take space but share memory, holes take neither") {
    Contents contents;
    contents.write(0, Bytes(1 << 20, '\0'));
    CHECK(contents.allocated_bytes() == 1 << 20);
    contents.resize(4 << 20);
    CHECK(contents.allocated_bytes() == 1 << 20);
    CHECK(contents.holes_in(0, 4 << 20) == 3 * 256);
    contents.resize(4096);
    CHECK(contents.allocated_bytes() == 4096);
}

}  // namespace
}  // namespace orrery::sim
