#include "runtime/fiber/scheduler.h"

#include "runtime/base/check.h"
#include "runtime/fiber/switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace orrery {

namespace {
enum WakeReason : int { kWoken = 0, kTimedOut = 1, kCancelled = 2 };
constexpr size_t kNoTimer = SIZE_MAX;
}  // namespace

struct FiberState {
    Scheduler* scheduler = nullptr;
    uint32_t slot = 0;
    uint32_t generation = 0;
    bool live = false;
    bool cancelled = false;
    bool waiting = false;
    bool cancellable = true;
    bool finished = false;
    int wake_reason = kWoken;
    uint32_t pins = 0;
    uint64_t span = 0;
    std::string name;
    FiberBody body;
    Stack stack;
    context::Context self = nullptr;    // where to resume this fiber
    context::Context caller = nullptr;  // where run_one() goes on
    // While waiting.
    WaitQueue* queue = nullptr;
    FiberState* queue_next = nullptr;
    FiberState* queue_previous = nullptr;
    Instant wake_at = Instant::never();
    uint64_t wait_sequence = 0;
    size_t timer_index = kNoTimer;
    void* fake_stack = nullptr;
    void* tsan_fiber = nullptr;
};

namespace {
/// Cold and out of line: the building of a text would give every switch a larger stack frame and more registers to save.
[[noreturn, gnu::cold, gnu::noinline]] void misused(const char* what, const FiberState& fiber) {
    check_failed(__FILE__, __LINE__, "fiber '" + fiber.name + "': " + what);
}
[[noreturn, gnu::cold, gnu::noinline]] void misused(const char* what) { check_failed(__FILE__, __LINE__, what); }
}  // namespace

// ---- the ready ring ---------------------------------------------------------------------------------------------

[[gnu::cold, gnu::noinline]] void Scheduler::grow_ring() {
    std::vector<FiberState*> larger(ring_.size() * 2);
    for (size_t i = 0; i < ready_count_; ++i) larger[i] = ring_[(ring_head_ + i) & (ring_.size() - 1)];
    ring_ = std::move(larger);
    ring_head_ = 0;
}

[[gnu::always_inline]] inline void Scheduler::make_ready(FiberState& fiber) {
    if (ready_count_ == ring_.size()) [[unlikely]]
        grow_ring();
    ring_[(ring_head_ + ready_count_) & (ring_.size() - 1)] = &fiber;
    if (++ready_count_ == 1) hooks_.became_ready();
}

[[gnu::always_inline]] inline FiberState& Scheduler::take_oldest() {
    FiberState& oldest = *ring_[ring_head_];
    ring_head_ = (ring_head_ + 1) & (ring_.size() - 1);
    --ready_count_;
    return oldest;
}

// ---- switching --------------------------------------------------------------------------------------------------

struct FiberEntry {
    static void run(context::Transfer from) {
        auto* fiber = static_cast<FiberState*>(from.data);
        Scheduler& scheduler = *fiber->scheduler;
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(nullptr, &scheduler.main_stack_bottom_, &scheduler.main_stack_size_);
#endif
        fiber->caller = from.fctx;
        {
            Fiber handle(*fiber);
            fiber->body(handle);
            CHECK(fiber->pins == 0, fiber->name);
            fiber->body = FiberBody();  // captures die on the fiber's own stack, before it is reported ended
        }
        fiber->finished = true;
        scheduler.switch_out(*fiber);
        UNREACHABLE("an ended fiber was resumed");
    }
};

[[gnu::always_inline]] inline void Scheduler::switch_out(FiberState& fiber) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fiber.finished ? nullptr : &fiber.fake_stack, main_stack_bottom_, main_stack_size_);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(main_tsan_fiber_, 0);
#endif
    context::Transfer back = context::jump(fiber.caller, nullptr);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &main_stack_bottom_, &main_stack_size_);
#endif
    fiber.caller = back.fctx;
}

[[gnu::always_inline]] inline void Scheduler::run_slice() {
    const size_t index = ready_count_ == 1 ? 0 : hooks_.pick(ready_count_);
    FiberState& fiber = index == 0 ? take_oldest() : take_ready(index);
    running_ = &fiber;
#if defined(__SANITIZE_THREAD__)
    main_tsan_fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber.tsan_fiber, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&main_fake_stack_, fiber.stack.base, fiber.stack.size_bytes);
#endif
    context::Transfer back = context::jump(fiber.self, &fiber);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(main_fake_stack_, nullptr, nullptr);
#endif
    fiber.self = back.fctx;
    running_ = nullptr;
    if (fiber.finished) [[unlikely]]
        retire(fiber);
}

void Scheduler::run_one() {
    if (running_ != nullptr) [[unlikely]]
        misused("run_one inside a fiber");
    if (ready_count_ == 0) [[unlikely]]
        misused("run_one without a ready fiber");
    run_slice();
}

uint32_t Scheduler::run_ready(uint32_t slices_max) {
    if (running_ != nullptr) [[unlikely]]
        misused("run_ready inside a fiber");
    uint32_t slices = 0;
    // No call returns between two switches here: a return behind a switch is one that the processor predicts wrongly.
    for (; slices < slices_max && ready_count_ != 0; ++slices) run_slice();
    return slices;
}

void Scheduler::retire(FiberState& fiber) {
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber.tsan_fiber);
#endif
    stacks_.give_back(fiber.stack);
    fiber.live = false;
    ++fiber.generation;
    free_slots_.push_back(fiber.slot);
    --live_count_;
}

void Scheduler::abandon_running() {
    CHECK(running_ != nullptr);
    FiberState& fiber = *running_;
    fiber.waiting = true;  // never made ready again: nothing has its queue or timer
    fiber.cancellable = false;
    switch_out(fiber);
    UNREACHABLE("an abandoned fiber was resumed");
}

// ---- life -------------------------------------------------------------------------------------------------------

Scheduler::Scheduler(SchedulerHooks& hooks, StackPool& stacks) : hooks_(hooks), stacks_(stacks), ring_(64) {}

Scheduler::~Scheduler() { CHECK(live_count_ == 0 || abandoned_, live_count_, live_names().front()); }

FiberId Scheduler::spawn(std::string_view name, FiberBody body) {
    uint32_t slot;
    if (free_slots_.empty()) {
        slot = static_cast<uint32_t>(slots_.size());
        slots_.push_back(std::make_unique<FiberState>());
        slots_.back()->scheduler = this;
        slots_.back()->slot = slot;
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    FiberState& fiber = *slots_[slot];
    fiber.live = true;
    fiber.cancelled = fiber.waiting = fiber.finished = false;
    fiber.cancellable = true;
    fiber.pins = 0;
    fiber.span = running_ != nullptr ? running_->span : 0;
    fiber.name.assign(name);
    fiber.body = std::move(body);
    fiber.stack = stacks_.take();
    fiber.self = context::make(fiber.stack.top(), fiber.stack.size_bytes, &FiberEntry::run);
    fiber.fake_stack = nullptr;
#if defined(__SANITIZE_THREAD__)
    fiber.tsan_fiber = __tsan_create_fiber(0);
#endif
    ++live_count_;
    make_ready(fiber);
    return FiberId{static_cast<uint64_t>(fiber.generation) << 32 | (slot + 1)};
}

FiberState& Scheduler::take_ready(size_t index) {
    if (index >= ready_count_) [[unlikely]]
        misused("the policy picked a fiber that is not there");
    const size_t mask = ring_.size() - 1;
    FiberState* picked = ring_[(ring_head_ + index) & mask];
    // The older ones move up by one, so that the order of arrival of the others stays.
    for (size_t i = index; i > 0; --i) ring_[(ring_head_ + i) & mask] = ring_[(ring_head_ + i - 1) & mask];
    ring_head_ = (ring_head_ + 1) & mask;
    --ready_count_;
    return *picked;
}

FiberId Scheduler::ready_id(size_t index) const {
    if (index >= ready_count_) [[unlikely]]
        misused("there is no such ready fiber");
    const FiberState& fiber = *ring_[(ring_head_ + index) & (ring_.size() - 1)];
    return {static_cast<uint64_t>(fiber.generation) << 32 | (fiber.slot + 1)};
}

std::string_view Scheduler::ready_name(size_t index) const {
    if (index >= ready_count_) [[unlikely]]
        misused("there is no such ready fiber");
    return ring_[(ring_head_ + index) & (ring_.size() - 1)]->name;
}

void Scheduler::cancel(FiberId id) {
    const uint64_t slot = (id.value & 0xffffffff) - 1;
    if (id.value == 0 || slot >= slots_.size()) return;
    FiberState& fiber = *slots_[slot];
    if (!fiber.live || fiber.generation != id.value >> 32) return;
    fiber.cancelled = true;
    if (fiber.waiting && fiber.cancellable) wake(fiber, kCancelled);
}

void Scheduler::cancel_all() {
    for (size_t i = 0; i < slots_.size(); ++i) {
        FiberState& fiber = *slots_[i];
        if (fiber.live) cancel(FiberId{static_cast<uint64_t>(fiber.generation) << 32 | (fiber.slot + 1)});
    }
}

void Scheduler::abandon_all() {
    abandoned_ = true;
    for (auto& fiber : slots_) {
        if (!fiber->live) continue;
        fiber->queue = nullptr;
        (void)fiber.release();  // leaked on purpose: see the header
    }
    slots_.clear();
    timers_.clear();
    ready_count_ = 0;
}

std::vector<std::string> Scheduler::live_names() const {
    std::vector<std::string> names;
    for (const auto& fiber : slots_)
        if (fiber->live) names.push_back(fiber->name);
    return names;
}

std::string_view Scheduler::running_name() const { return running_ != nullptr ? std::string_view(running_->name) : ""; }

// ---- waiting ----------------------------------------------------------------------------------------------------

Result<void> Scheduler::suspend(FiberState& fiber, WaitQueue* queue, Instant deadline, bool cancellable) {
    if (running_ != &fiber) [[unlikely]]
        misused("a Fiber& was used outside its own body", fiber);
    if (fiber.pins != 0) [[unlikely]]
        misused("yield while a Guarded is pinned", fiber);
    if (fiber.cancelled && cancellable) return Code::Cancelled;
    fiber.waiting = true;
    fiber.cancellable = cancellable;
    fiber.wait_sequence = ++wait_sequence_;
    if (queue != nullptr) {
        fiber.queue = queue;
        fiber.queue_next = nullptr;
        fiber.queue_previous = queue->tail_;
        (queue->tail_ != nullptr ? queue->tail_->queue_next : queue->head_) = &fiber;
        queue->tail_ = &fiber;
    }
    if (deadline != Instant::never()) {
        fiber.wake_at = deadline;
        timer_insert(fiber);
    }
    switch_out(fiber);
    if (fiber.wake_reason == kTimedOut) return Code::Timeout;
    if (fiber.wake_reason == kCancelled) return Code::Cancelled;
    return {};
}

void Scheduler::wake(FiberState& fiber, int reason) {
    if (!fiber.waiting) [[unlikely]]
        misused("woken, and it does not wait", fiber);
    fiber.waiting = false;
    fiber.wake_reason = reason;
    if (WaitQueue* queue = fiber.queue; queue != nullptr) {
        (fiber.queue_previous != nullptr ? fiber.queue_previous->queue_next : queue->head_) = fiber.queue_next;
        (fiber.queue_next != nullptr ? fiber.queue_next->queue_previous : queue->tail_) = fiber.queue_previous;
        fiber.queue = nullptr;
    }
    if (fiber.timer_index != kNoTimer) timer_remove(fiber);
    make_ready(fiber);
}

bool WaitQueue::wake_one() {
    if (head_ == nullptr) return false;
    head_->scheduler->wake(*head_, kWoken);
    return true;
}

void WaitQueue::wake_all() {
    while (wake_one()) {
    }
}

WaitQueue::~WaitQueue() { CHECK(head_ == nullptr, head_->name, "a WaitQueue died with waiters"); }

Result<void> Fiber::yield() {
    Scheduler& scheduler = *state_.scheduler;
    if (state_.cancelled) return Code::Cancelled;
    if (scheduler.running_ != &state_) [[unlikely]]
        misused("a Fiber& was used outside its own body", state_);
    if (state_.pins != 0) [[unlikely]]
        misused("yield while a Guarded is pinned", state_);
    scheduler.make_ready(state_);
    scheduler.switch_out(state_);
    if (state_.cancelled) return Code::Cancelled;
    return {};
}

Result<void> Fiber::maybe_yield() {
    if (state_.cancelled) return Code::Cancelled;
    if (state_.scheduler->hooks_.extra_yield()) [[unlikely]]
        return yield();
    return {};
}

Result<void> Fiber::wait(WaitQueue& queue, Instant deadline) {
    return state_.scheduler->suspend(state_, &queue, deadline, true);
}

Result<void> Fiber::sleep_until(Instant deadline) {
    Result<void> slept = state_.scheduler->suspend(state_, nullptr, deadline, true);
    if (slept.failed_with(Code::Timeout)) return {};
    return slept;
}

void Fiber::wait_uncancellable(WaitQueue& queue) {
    Result<void> woken = state_.scheduler->suspend(state_, &queue, Instant::never(), false);
    CHECK(woken.ok(), woken.error().text());
}

bool Fiber::cancelled() const { return state_.cancelled; }
Scheduler& Fiber::scheduler() const { return *state_.scheduler; }
std::string_view Fiber::name() const { return state_.name; }
FiberId Fiber::id() const { return FiberId{static_cast<uint64_t>(state_.generation) << 32 | (state_.slot + 1)}; }
uint64_t Fiber::span() const { return state_.span; }
void Fiber::set_span(uint64_t span) { state_.span = span; }
void Fiber::pin() { ++state_.pins; }
void Fiber::unpin() {
    CHECK(state_.pins > 0, state_.name);
    --state_.pins;
}

// ---- timers: a binary heap with back indexes, so that a met wait leaves nothing behind ------------------------

bool Scheduler::timer_before(const FiberState& a, const FiberState& b) const {
    return a.wake_at != b.wake_at ? a.wake_at < b.wake_at : a.wait_sequence < b.wait_sequence;
}

void Scheduler::timer_sift(size_t index) {
    FiberState* moving = timers_[index];
    while (index > 0 && timer_before(*moving, *timers_[(index - 1) / 2])) {
        timers_[index] = timers_[(index - 1) / 2];
        timers_[index]->timer_index = index;
        index = (index - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= timers_.size()) break;
        if (child + 1 < timers_.size() && timer_before(*timers_[child + 1], *timers_[child])) ++child;
        if (!timer_before(*timers_[child], *moving)) break;
        timers_[index] = timers_[child];
        timers_[index]->timer_index = index;
        index = child;
    }
    timers_[index] = moving;
    moving->timer_index = index;
}

void Scheduler::timer_insert(FiberState& fiber) {
    timers_.push_back(&fiber);
    fiber.timer_index = timers_.size() - 1;
    timer_sift(fiber.timer_index);
    if (timers_.front() == &fiber) hooks_.timer_moved(fiber.wake_at);
}

void Scheduler::timer_remove(FiberState& fiber) {
    const size_t index = fiber.timer_index;
    fiber.timer_index = kNoTimer;
    FiberState* last = timers_.back();
    timers_.pop_back();
    if (last == &fiber) return;
    timers_[index] = last;
    last->timer_index = index;
    timer_sift(index);
}

Instant Scheduler::next_timer() const { return timers_.empty() ? Instant::never() : timers_.front()->wake_at; }

void Scheduler::fire_timers(Instant now) {
    while (!timers_.empty() && timers_.front()->wake_at <= now) wake(*timers_.front(), kTimedOut);
}

}  // namespace orrery
