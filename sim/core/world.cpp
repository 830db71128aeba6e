#include "sim/core/world.h"

#include <algorithm>
#include <map>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {
// One process, one world: see World::current().
World* the_world = nullptr;
constexpr size_t kRecent = 64;
}  // namespace

/// Harness actions, as events.
class World::Actions : public EventTarget {
 public:
    uint64_t add(std::function<void()> action) {
        actions_.emplace(next_, std::move(action));
        return next_++;
    }
    void fire(uint64_t number) override {
        auto found = actions_.find(number);
        auto action = std::move(found->second);
        actions_.erase(found);
        action();
    }

 private:
    std::map<uint64_t, std::function<void()>> actions_;
    uint64_t next_ = 1;
};

World* World::current() { return the_world; }

World::World(WorldOptions options, const Pins* pins)
    : options_(options),
      timeline_(options.seed, pins),
      net_(timeline_, options.net),
      pick_host_(timeline_.stream("sched.host")),
      priorities_(options_.policy == SchedulePolicy::Pct
                      ? std::optional<Priorities>(std::in_place, timeline_.stream("sched.pct"), options_.seed,
                                                  options_.pct_depth, options_.pct_window_slices)
                      : std::nullopt),
      actions_(std::make_unique<Actions>()) {
    CHECK(the_world == nullptr, "one process runs one world at a time");
    the_world = this;
    recent_.resize(kRecent);
}

World::~World() {
    hosts_.clear();
    the_world = nullptr;
}

Host& World::add_host(std::string name, HostOptions options) {
    CHECK(find_host(name) == nullptr, name);
    hosts_.push_back(std::make_unique<Host>(*this, static_cast<uint32_t>(hosts_.size()), std::move(name), options));
    return *hosts_.back();
}

Host* World::find_host(std::string_view name) {
    for (auto& host : hosts_)
        if (host->name() == name) return host.get();
    return nullptr;
}

void World::at(Instant when, std::function<void()> action) {
    timeline_.schedule(std::max(when, now()), *actions_, actions_->add(std::move(action)));
}

void World::add_runnable(Host& host) {
    if (host.in_runnable_) return;
    host.in_runnable_ = true;
    runnable_.push_back(&host);
}

void World::fail_for_steps() {
    if (steps_at_instant_ <= options_.max_steps_per_instant)
        return fail("world.too-many-steps", "the run took more than " + std::to_string(options_.max_steps) + " steps");
    std::string names;
    for (Host* host : runnable_) {
        names += " " + host->name();
        for (size_t i = 0; host->scheduler_ && i < std::min<size_t>(host->scheduler_->ready(), 4); ++i)
            names += (i == 0 ? " (" : ", ") + std::string(host->scheduler_->ready_name(i));
        if (host->scheduler_ && host->scheduler_->has_ready()) names += ")";
    }
    fail("world.no-progress", "time stands still at " + std::to_string(now().ns) + " ns: fibers of" + names + " never wait");
}

bool World::step(Instant until) {
    if (timeline_.now() != instant_) {
        instant_ = timeline_.now();
        steps_at_instant_ = 0;
    }
    if (++steps_at_instant_ > options_.max_steps_per_instant || timeline_.hash().steps() > options_.max_steps) [[unlikely]] {
        fail_for_steps();
        return false;
    }
    if (!soon_.empty()) [[unlikely]] {
        std::vector<std::function<void()>> actions = std::move(soon_);
        soon_.clear();
        for (auto& action : actions)
            if (!failure_) action();
        return true;
    }
    if (!runnable_.empty()) {
        const size_t index = pick_host();
        Host& host = *runnable_[index];
        if (host.state_ != Host::State::Up || !host.scheduler_ || !host.scheduler_->has_ready()) {
            host.in_runnable_ = false;
            runnable_.erase(runnable_.begin() + static_cast<ptrdiff_t>(index));
            return true;
        }
        host.run_slice();
        return true;
    }
    if (timeline_.next_at() > until) return false;
    timeline_.fire_next();
    timeline_.note(Step::Event, 0, timeline_.events_fired());
    return true;
}

size_t World::pick_host() {
    if (options_.policy == SchedulePolicy::Random && runnable_.size() > 1) return pick_host_.below(runnable_.size());
    if (!priorities_) return 0;
    auto find = [&] {
        size_t best = 0;
        uint64_t highest = 0;
        for (size_t i = 0; i < runnable_.size(); ++i) {
            const std::optional<uint64_t> priority = runnable_[i]->highest_priority();
            if (!priority) return i;  // nothing to run any more: step() takes it off the list
            if (*priority <= highest) continue;
            highest = *priority;
            best = i;
        }
        return best;
    };
    const size_t best = find();
    return runnable_[best]->highest_priority() && runnable_[best]->lower_highest() ? find() : best;
}

World::Stop World::run_until(Instant until) {
    while (!failure_ && step(until)) {
    }
    if (failure_) return Stop::Failed;
    if (timeline_.empty()) return Stop::Idle;
    timeline_.advance_to(until);
    return Stop::Time;
}

World::Stop World::run_until(Instant until, const std::function<bool()>& done) {
    while (!failure_ && !done() && step(until)) {
    }
    if (failure_) return Stop::Failed;
    if (timeline_.empty() && runnable_.empty()) return Stop::Idle;
    return Stop::Time;
}

// ---- events -----------------------------------------------------------------------------------------------------

void World::add_observer(TraceObserver& observer, bool debug) {
    observers_.push_back(&observer);
    if (debug) debug_observers_.push_back(&observer);
    wants_debug_ = wants_debug_ || debug;
}

void World::remember(Host& host, const TraceEvent& event) {
    recent_[recent_next_++ % kRecent] =
        std::to_string(now().ns / 1000) + " us " + host.name() + " " + std::string(severity_name(event.severity)) + " " + event.format();
}

void World::publish(Host& host, const TraceEvent& event) {
    uint64_t payload = hash_bytes(event.name);
    for (const TraceField& field : event.fields)
        payload = combine64(payload, field.is_text() ? hash_bytes(field.text) : static_cast<uint64_t>(field.number));
    timeline_.note(Step::Trace, host.index(), payload);
    if (event.severity != Severity::Debug) remember(host, event);
    for (TraceObserver* observer : event.severity == Severity::Debug ? debug_observers_ : observers_) observer->on_event(host, event);
}

Duration World::publish_checkpoint(Host& host, const TraceEvent& event) {
    timeline_.note(Step::Trace, host.index(), hash_bytes(event.name));
    Duration hold{};
    for (TraceObserver* observer : observers_) hold = std::max(hold, observer->on_checkpoint(host, event));
    return hold;
}

void World::publish_probe(Host& host, std::string_view name) {
    for (TraceObserver* observer : observers_) observer->on_probe(host, name);
}

void World::fail(std::string name, std::string text) {
    if (failure_) return;
    failure_ = Failure{std::move(name), std::move(text), now(), timeline_.hash().steps()};
}

std::vector<std::string> World::recent_events() const {
    std::vector<std::string> lines;
    for (size_t i = 0; i < kRecent; ++i) {
        const std::string& line = recent_[(recent_next_ + i) % kRecent];
        if (!line.empty()) lines.push_back(line);
    }
    return lines;
}

}  // namespace orrery::sim
