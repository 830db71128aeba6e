#include "runtime/real/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/check.h"
#include "runtime/real/run_delay.h"

namespace orrery::real {

namespace {

constexpr int kEventsPerWait = 256;

thread_local const Loop* running_loop = nullptr;

}  // namespace

bool Loop::this_thread_runs_a_loop() { return running_loop != nullptr; }

Loop::Loop() : Loop(Options()) {}

Loop::Loop(Options options)
    : options_(options),
      scheduler_(*this, stacks_),
      yields_(options.extra_yield_seed, "loop.extra_yield", 0) {
    CHECK(options_.slices_per_turn > 0);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_ >= 0, errno);
    wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(wake_ >= 0, errno);
    timer_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    CHECK(timer_ >= 0, errno);
    // Edge-triggered, so that neither has to be read: each write and each expiry is an edge of its own.
    CHECK(watch(wake_, plain_).ok(), errno);
    CHECK(watch(timer_, plain_).ok(), errno);
}

Loop::~Loop() {
    CHECK(running_loop != this, "a Loop died inside its own run()");
    for (int descriptor : {timer_, wake_, epoll_}) ::close(descriptor);
}

bool Loop::extra_yield() { return options_.extra_yield_p > 0 && yields_.chance(options_.extra_yield_p); }

// ---- descriptors ------------------------------------------------------------------------------------------------

Result<void> Loop::watch(int descriptor, EventSource& source) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &source;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
    CHECK(errno == ENOSPC || errno == ENOMEM, errno, descriptor);
    return Error(Code::Overloaded, std::string("no room for another epoll watch: ") + std::strerror(errno));
}

void Loop::unwatch(int descriptor) {
    CHECK(epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr) == 0, errno, descriptor);
}

// ---- hand-over from other threads ---------------------------------------------------------------------------------

void Loop::post(UniqueFunction<void()> work) { hand_over({.work = std::move(work), .completion = nullptr}); }

void Loop::complete(Completion& completion) { hand_over({.work = {}, .completion = &completion}); }

void Loop::hand_over(Handover item) {
    bool first = false;
    {
        std::lock_guard lock(mutex_);
        if (posts_dropped_ && item.completion == nullptr) return;
        first = handed_over_.empty();
        handed_over_.push_back(std::move(item));
    }
    // The loop looks at the queue before it waits, so its own thread needs no wake-up; and who finds the queue not
    // empty knows that somebody has woken the loop for it.
    if (!first || running_loop == this) return;
    const uint64_t one = 1;
    ssize_t written;
    do written = ::write(wake_, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    CHECK(written == sizeof(one) || errno == EAGAIN, errno);
}

void Loop::drop_posts() {
    std::vector<Handover> dropped;  // destroyed outside the lock: captures may post
    std::lock_guard lock(mutex_);
    posts_dropped_ = true;
    std::vector<Handover> kept;
    for (Handover& item : handed_over_) (item.completion != nullptr ? kept : dropped).push_back(std::move(item));
    handed_over_ = std::move(kept);
}

void Loop::run_handed_over() {
    {
        std::lock_guard lock(mutex_);
        running_.swap(handed_over_);
    }
    for (Handover& item : running_) {
        if (item.completion != nullptr) {
            item.completion->done = true;
            item.completion->waiter.wake_all();
            continue;
        }
        UniqueFunction<void()> work = std::move(item.work);
        work();
    }
    running_.clear();
}

// ---- turns --------------------------------------------------------------------------------------------------------

void Loop::run(FunctionRef<bool()> done) { (void)run_until(Instant::never(), done); }

bool Loop::run_until(Instant until, FunctionRef<bool()> done) {
    CHECK(running_loop == nullptr, "this thread runs a loop already");
    running_loop = this;
    clock_.attach_to_thread();
    RunDelay run_delay;
    bool finished = false;
    for (;;) {
        work();
        finished = done();
        if (finished || clock_.now() >= until) break;
        wait(until);
        clock_.begin_turn();
        scheduler_.add_crowded_out(run_delay.more(clock_.now()));
    }
    clock_.detach_from_thread();
    running_loop = nullptr;
    return finished;
}

void Loop::work() {
    ++turns_;
    run_handed_over();
    scheduler_.fire_timers(clock_.now());
    (void)scheduler_.run_ready(options_.slices_per_turn);
}

void Loop::wait(Instant until) {
    bool idle = !scheduler_.has_ready();
    if (idle) {
        std::lock_guard lock(mutex_);
        idle = handed_over_.empty();
    }
    if (idle) arm_timer(std::min(until, scheduler_.next_timer()));
    epoll_event events[kEventsPerWait];
    const int count = epoll_wait(epoll_, events, kEventsPerWait, idle ? -1 : 0);
    CHECK(count >= 0 || errno == EINTR, errno);
    for (int i = 0; i < count; ++i) static_cast<EventSource*>(events[i].data.ptr)->on_events(events[i].events);
}

void Loop::arm_timer(Instant at) {
    // A timer that fires too early costs one empty turn; so it is only ever moved forward, or set again once it is past.
    if (at == Instant::never()) return;
    const bool armed_is_past = armed_ <= clock_.now();
    if (at >= armed_ && !armed_is_past) return;
    armed_ = at;
    itimerspec when{};
    const int64_t ns = std::max<int64_t>(at.ns, 1);  // zero would disarm
    when.it_value.tv_sec = ns / 1'000'000'000;
    when.it_value.tv_nsec = ns % 1'000'000'000;
    CHECK(timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr) == 0, errno, at);
}

}  // namespace orrery::real
