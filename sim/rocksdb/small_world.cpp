#include "sim/rocksdb/small_world.h"

#include "runtime/base/check.h"

namespace orrery::sim {

SmallWorld::SmallWorld(MemoryDisk& disk, uint64_t seed)
    : disk_(disk),
      order_(seed, "small_world.order", 0),
      scheduler_(hooks_, stacks_),
      env_{scheduler_, *this, *this, disk_, Random(seed), *this, *this} {}

SmallWorld::~SmallWorld() = default;

void SmallWorld::run(FiberBody body) {
    scheduler_.spawn("main", std::move(body));
    while (scheduler_.live() != 0) {
        if (step(/*with_fibers=*/true)) continue;
        Instant next = scheduler_.next_timer();
        CHECK(next != Instant::never(), "every fiber waits for something that cannot come");
        now_ = next;
        scheduler_.fire_timers(now_);
    }
}

void SmallWorld::settle() {
    while (step(/*with_fibers=*/false)) {}
}

bool SmallWorld::step(bool with_fibers) {
    const bool fiber = with_fibers && scheduler_.has_ready();
    const uint64_t choices = (fiber ? 4 : 0) + (posts_.empty() ? 0 : 2) + (jobs_.empty() ? 0 : 1);
    if (choices == 0) return false;
    now_ = now_ + Duration::micros(10);
    scheduler_.fire_timers(now_);
    uint64_t pick = order_.below(choices);
    if (fiber) {
        if (pick < 4) {
            scheduler_.run_one();
            return true;
        }
        pick -= 4;
    }
    if (!posts_.empty() && pick < 2) {
        UniqueFunction<void()> work = std::move(posts_.front());
        posts_.pop_front();
        work();
        return true;
    }
    size_t index = order_.below(jobs_.size());
    UniqueFunction<void(Blocking&)> work = std::move(jobs_[index]);
    jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(index));
    MemoryDisk::Section section(disk_);
    work(section);
    return true;
}

Result<std::unique_ptr<Listener>> SmallWorld::listen(const Address&) {
    return Error(Code::Unsupported, "this world has no network");
}

Result<std::unique_ptr<Conn>> SmallWorld::connect(Fiber&, const Address&, Instant) {
    return Error(Code::Unsupported, "this world has no network");
}

void SmallWorld::event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) {
    if (!wants(severity)) return;
    warnings_.push_back(TraceEvent{now_, severity, name, {fields.begin(), fields.size()}}.format());
}

Result<void> SmallWorld::checkpoint(Fiber& fiber, std::string_view, std::initializer_list<TraceField>) {
    return fiber.yield();
}

Result<void> SmallWorld::run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) {
    TRY(fiber.yield());
    MemoryDisk::Section section(disk_);
    work(section);
    return {};
}

void SmallWorld::background(Priority, UniqueFunction<void(Blocking&)> work) { jobs_.push_back(std::move(work)); }

void SmallWorld::post(UniqueFunction<void()> work) { posts_.push_back(std::move(work)); }

}  // namespace orrery::sim
