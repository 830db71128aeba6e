#include "sim/core/host.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "sim/core/world.h"

namespace orrery::sim {

Host::Host(World& world, uint32_t index, std::string name, HostOptions options)
    : world_(world),
      index_(index),
      name_(std::move(name)),
      options_(options),
      clock_(world.timeline_, options.clock_offset),
      disk_(world.timeline_, index, options.disk),
      endpoint_(world.net_.add_endpoint(name_)),
      pick_fiber_(world.timeline_.stream("sched.fiber", index)),
      yields_(world.timeline_.stream("sched.yield", index)),
      background_delay_(world.timeline_.stream("sched.background", index)) {}

Host::~Host() {
    if (state_ == State::Down) return;
    if (world_.failure()) {
        // The fibers of a failed run may hold anything: they are left, not run.
        scheduler_->abandon_all();
        (void)process_.release();
        (void)env_.release();
        (void)net_.release();
        return;
    }
    if (state_ == State::Paused) state_ = State::Up;
    crash(Death::Kill);
}

// ---- life -------------------------------------------------------------------------------------------------------

void Host::start(const Program& program) {
    CHECK(state_ == State::Down, name_);
    ++life_;
    state_ = State::Up;
    main_returned_ = false;
    exit_.reset();
    armed_world_ = Instant::never();
    world_.net_.power_on_endpoint(endpoint_);
    disk_.thaw();
    world_.timeline_.note(Step::Host, index_, life_);
    net_ = world_.net_.open_endpoint(endpoint_);
    scheduler_.reset(new Scheduler(*this, world_.stacks_));  // the hooks are a private base
    // Each life draws anew, as a restarted machine does.
    const uint64_t seed = combine64(combine64(world_.options_.seed, hash_name(name_)), life_);
    env_.reset(new Env{*scheduler_, clock_, *net_, disk_, Random(seed), *this, *this});
    process_ = program(*env_);
    scheduler_->spawn("main", [this](Fiber& fiber) { main_ended(process_->run(fiber)); });
}

void Host::main_ended(Result<void> result) {
    exit_ = std::move(result);
    main_returned_ = true;  // run_slice() ends the life, outside this fiber
}

void Host::request_stop() {
    if (process_) process_->request_stop();
}

void Host::crash(Death death) {
    CHECK(state_ != State::Down, name_);
    CHECK(!scheduler_->in_fiber(), name_, "a host cannot be crashed from inside its own fiber");
    world_.timeline_.note(Step::Host, index_, 1000 + static_cast<int>(death));
    // First nothing that still runs has any effect...
    disk_.crash(death == Death::Power ? CrashKind::Power : CrashKind::Kill);
    if (death == Death::Power) {
        world_.net_.power_off_endpoint(endpoint_);
    } else {
        world_.net_.kill_endpoint(endpoint_);
    }
    end_life();
}

void Host::end_life() {
    ending_ = true;
    // ... then every fiber runs to its end with Cancelled.
    jobs_.clear();
    posted_.clear();
    for (auto& [number, pending] : blocking_) {
        pending->crashed = true;
        pending->done = true;
        pending->queue.wake_all();
    }
    blocking_.clear();
    scheduler_->cancel_all();
    uint64_t slices = 0;
    while (scheduler_->live() > 0 && !world_.failure_) {
        if (!scheduler_->has_ready()) {
            std::string names;
            for (const std::string& fiber : scheduler_->live_names()) names += " " + fiber;
            world_.fail("host.fiber-did-not-end", "host " + name_ + " stopped, and these fibers wait on:" + names);
            break;
        }
        scheduler_->run_one();
        // A fiber spawned by one that ends is cancelled too.
        scheduler_->cancel_all();
        if (++slices > 1'000'000) {
            world_.fail("host.fiber-ignores-cancel", "host " + name_ + " stopped, and a fiber runs on: " + scheduler_->live_names().front());
            break;
        }
    }
    ending_ = false;
    if (world_.failure_) return;  // ~Host leaves everything as it is
    jobs_.clear();
    // A store that closes asks the frozen disk for this and that, and gets nothing.
    SimBlocking& blocking = disk_.begin(world_.now());
    process_.reset();
    disk_.end(blocking);
    jobs_.clear();  // closing a store may queue and withdraw jobs
    posted_.clear();
    env_.reset();
    scheduler_.reset();
    net_.reset();
    state_ = State::Down;
}

void Host::pause() {
    CHECK(state_ == State::Up, name_);
    state_ = State::Paused;
    paused_since_ = world_.now();
    world_.timeline_.note(Step::Host, index_, 2000);
}

void Host::resume() {
    CHECK(state_ == State::Paused, name_);
    state_ = State::Up;
    paused_before_ = paused_before_ + (world_.now() - paused_since_);
    world_.timeline_.note(Step::Host, index_, 2001);
    armed_world_ = Instant::never();
    scheduler_->fire_timers(clock_.now());
    arm_timer();
    if (scheduler_->has_ready()) world_.add_runnable(*this);
}

Duration Host::paused_time() const {
    return state_ == State::Paused ? paused_before_ + (world_.now() - paused_since_) : paused_before_;
}

void Host::run_slice() {
    world_.timeline_.note(Step::Slice, index_, scheduler_->live());
    scheduler_->run_one();
    if (!main_returned_) return;
    // A process that ended by itself: its kernel lives, what it wrote stays in the page cache.
    main_returned_ = false;
    if (exit_->ok() || exit_->failed_with(Code::Cancelled)) {
        event(Severity::Info, "process.exited", {});
    } else {
        const std::string text = exit_->error().text();
        event(Severity::Error, "process.failed", {{"error", text}});
    }
    disk_.crash(CrashKind::Kill);
    world_.net_.kill_endpoint(endpoint_);
    end_life();
}

// ---- scheduling -------------------------------------------------------------------------------------------------

void Host::became_ready() {
    if (state_ == State::Up && !ending_) world_.add_runnable(*this);
}

void Host::timer_moved(Instant) {
    if (!ending_) arm_timer();
}

void Host::arm_timer() {
    const Instant local = scheduler_->next_timer();
    if (local == Instant::never()) return;
    const Instant at = clock_.world_at(local);
    if (at >= armed_world_) return;  // an event is coming before; it arms again
    armed_world_ = at;
    world_.timeline_.schedule(at, *this, pack(What::Timer, ++armed_sequence_ & 0xffffffffff));
}

size_t Host::pick(size_t ready) {
    if (world_.options_.policy == SchedulePolicy::Random) return pick_fiber_.below(ready);
    return world_.priorities_ ? highest_ready() : 0;
}

size_t Host::highest_ready() const {
    size_t best = 0;
    uint64_t highest = 0;
    for (size_t i = 0; i < scheduler_->ready(); ++i) {
        const uint64_t priority = world_.priorities_->of(life_key(), scheduler_->ready_id(i).value);
        if (priority <= highest) continue;
        highest = priority;
        best = i;
    }
    return best;
}

std::optional<uint64_t> Host::highest_priority() const {
    if (state_ != State::Up || !scheduler_ || !scheduler_->has_ready()) return std::nullopt;
    return world_.priorities_->of(life_key(), scheduler_->ready_id(highest_ready()).value);
}

bool Host::lower_highest() { return world_.priorities_->lower(life_key(), scheduler_->ready_id(highest_ready()).value); }

bool Host::extra_yield() {
    return !ending_ && world_.options_.extra_yield_p > 0 && yields_.chance(world_.options_.extra_yield_p);
}

uint64_t Host::pack(What what, uint64_t number) const {
    return static_cast<uint64_t>(what) << 56 | (life_ & 0xffff) << 40 | number;
}

void Host::fire(uint64_t argument) {
    if (!scheduler_ || ((argument >> 40) & 0xffff) != (life_ & 0xffff)) return;
    const uint64_t number = argument & 0xffffffffff;
    switch (static_cast<What>(argument >> 56)) {
        case What::Timer:
            // Only the event armed last counts: one that a sooner one overtook must not arm a successor of its own.
            if (number != (armed_sequence_ & 0xffffffffff)) return;
            armed_world_ = Instant::never();
            if (state_ != State::Up) return;  // resume() fires them
            scheduler_->fire_timers(clock_.now());
            arm_timer();
            return;
        case What::Blocking: {
            auto found = blocking_.find(number);
            if (found == blocking_.end()) return;
            found->second->done = true;
            found->second->queue.wake_all();
            blocking_.erase(found);
            return;
        }
        case What::Background: {
            auto found = jobs_.find(number);
            if (found == jobs_.end()) return;
            if (state_ == State::Paused) {  // a stopped process runs no thread
                world_.timeline_.schedule(world_.now() + Duration::millis(10), *this, argument);
                return;
            }
            auto work = std::move(found->second);
            jobs_.erase(found);
            std::vector<UniqueFunction<void()>> deferred;
            SimBlocking& blocking = disk_.begin(world_.now());
            deferring_ = &deferred;
            work(blocking);
            deferring_ = nullptr;
            release_deferred(disk_.end(blocking), std::move(deferred));
            return;
        }
        case What::Posted: {
            auto found = posted_.find(number);
            if (found == posted_.end()) return;
            if (state_ == State::Paused) {
                world_.timeline_.schedule(world_.now() + Duration::millis(10), *this, argument);
                return;
            }
            auto work = std::move(found->second);
            posted_.erase(found);
            work();
            return;
        }
    }
}

// ---- disk work --------------------------------------------------------------------------------------------------

void Host::release_deferred(Instant at, std::vector<UniqueFunction<void()>> deferred) {
    for (auto& work : deferred) {
        const uint64_t number = next_number_++;
        posted_.emplace(number, std::move(work));
        world_.timeline_.schedule(at, *this, pack(What::Posted, number));
    }
}

Result<void> Host::run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) {
    TRY(fiber.maybe_yield());
    std::vector<UniqueFunction<void()>> deferred;
    SimBlocking& blocking = disk_.begin(world_.now());
    deferring_ = &deferred;
    work(blocking);
    deferring_ = nullptr;
    const Instant done = disk_.end(blocking);
    release_deferred(done, std::move(deferred));
    PendingBlocking pending;
    const uint64_t number = next_number_++;
    blocking_.emplace(number, &pending);
    world_.timeline_.schedule(done, *this, pack(What::Blocking, number));
    while (!pending.done) fiber.wait_uncancellable(pending.queue);
    if (pending.crashed) return Error(Code::Cancelled, "the host crashed");
    return {};
}

void Host::background(Priority priority, UniqueFunction<void(Blocking&)> work) {
    if (ending_) return;
    if (deferring_ != nullptr) {
        // Queued by a job: it becomes known when that job's interval is over.
        deferring_->push_back([this, priority, work = std::move(work)]() mutable { background(priority, std::move(work)); });
        return;
    }
    const uint64_t number = next_number_++;
    const Duration delay = background_delay_.between(Duration{}, options_.background_delay_max * (priority == Priority::Low ? 4 : 1));
    jobs_.emplace(number, std::move(work));
    world_.timeline_.schedule(world_.now() + delay, *this, pack(What::Background, number));
}

void Host::post(UniqueFunction<void()> work) {
    if (ending_) return;
    if (deferring_ != nullptr) {
        deferring_->push_back(std::move(work));
        return;
    }
    const uint64_t number = next_number_++;
    posted_.emplace(number, std::move(work));
    world_.timeline_.schedule(world_.now(), *this, pack(What::Posted, number));
}

// ---- events -----------------------------------------------------------------------------------------------------

bool Host::wants(Severity severity) const { return severity != Severity::Debug || world_.wants_debug_; }

void Host::event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) {
    if (!wants(severity)) return;
    const TraceEvent event{clock_.now(), severity, name, std::span(fields.begin(), fields.size())};
    world_.publish(*this, event);
    if (severity != Severity::Error || ending_) return;
    if (std::find(expected_errors_.begin(), expected_errors_.end(), name) != expected_errors_.end()) return;
    world_.fail("event.error", "host " + name_ + ": " + event.format());
}

Result<void> Host::checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) {
    event(Severity::Debug, name, fields);
    const TraceEvent event{clock_.now(), Severity::Debug, name, std::span(fields.begin(), fields.size())};
    const Duration hold = world_.publish_checkpoint(*this, event);
    if (hold > Duration{}) return fiber.sleep_until(clock_.now() + hold);
    return fiber.maybe_yield();
}

void Host::probe(std::string_view name) { world_.publish_probe(*this, name); }

}  // namespace orrery::sim
