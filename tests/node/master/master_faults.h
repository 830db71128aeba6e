// What happens to three masters in a simulated world for a while: links are cut one way or both, masters are stopped, lose power and
// hand leadership over; then all is well again.
#pragma once

#include "tests/node/master/master_world.h"

namespace orrery::test {

class MasterFaults {
 public:
    MasterFaults(MasterWorld& world, uint64_t seed, Duration time)
        : world_(world), draw_(seed, "test.faults", 0), next_(world.world.now() + Duration::millis(300)), end_(world.world.now() + time) {}

    /// After every event of the world. False: it is over.
    bool look() {
        const Instant now = world_.world.now();
        for (size_t k = 0; k < due_.size();) {
            if (due_[k].at > now) {
                ++k;
                continue;
            }
            due_[k].undo();
            due_.erase(due_.begin() + static_cast<ptrdiff_t>(k));
        }
        if (now >= end_) {
            for (Due& one : due_) one.undo();
            due_.clear();
            return false;
        }
        if (now >= next_) {
            next_ = now + Duration::millis(draw_.between(100, 1200));
            fault();
        }
        return true;
    }
    int count() const { return count_; }

 private:
    struct Due {
        Instant at;
        std::function<void()> undo;
    };
    void later(int64_t low, int64_t high, std::function<void()> undo) {
        due_.push_back({world_.world.now() + Duration::millis(draw_.between(low, high)), std::move(undo)});
    }
    void fault() {
        const size_t i = draw_.below(3), j = (i + 1 + draw_.below(2)) % 3;
        Host& one = *world_.masters[i];
        Host& other = *world_.masters[j];
        ++count_;
        switch (draw_.below(4)) {
            case 0: {  // one way or both
                const bool both = draw_.chance(0.5);
                for (auto [from, to] : {std::pair(&one, &other), std::pair(&other, &one)}) {
                    if (from == &other && !both) continue;
                    world_.world.net().cut(from->endpoint(), to->endpoint());
                    later(100, 2500, [this, from = from->endpoint(), to = to->endpoint()] { world_.world.net().heal(from, to); });
                }
                break;
            }
            case 1:
                if (one.state() != Host::State::Up) break;
                one.pause();
                later(50, 1500, [&one] {
                    if (one.state() == Host::State::Paused) one.resume();
                });
                break;
            case 2:
                if (one.state() != Host::State::Up || !due_.empty()) break;
                one.crash(Host::Death::Power);
                later(50, 1500, [this, i] { world_.start(i); });
                break;
            case 3:
                if (const auto leader = world_.leader(); leader && world_.masters[*leader]->state() == Host::State::Up)
                    (void)world_.node(*leader)->group()->transfer(NodeId(1 + (*leader + 1 + draw_.below(2)) % 3));
                break;
        }
    }

    MasterWorld& world_;
    RandomStream draw_;
    Instant next_, end_;
    std::vector<Due> due_;
    int count_ = 0;
};

}  // namespace orrery::test
