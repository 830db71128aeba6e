// The Store as the daemons have it: RocksDB untouched, jobs and disk calls on threads of their own beside the loop. Meant
// to be run under the thread sanitizer too. The posix disk has its own conformance tests; this one is in memory.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/runtime/store/model.h"

#include <doctest/doctest.h>

namespace orrery::store::test {
namespace {

struct Locked {
    template <typename F>
    auto locked(F&& f) {
        std::lock_guard lock(mutex_);
        sim::MemoryDisk::Section section(disk_);
        return f(section);
    }
    sim::MemoryDisk disk_;
    std::mutex mutex_;
};

/// A MemoryDisk behind one lock.
class LockedDisk final : public Disk, public Locked {
 public:
    class LockedFile final : public File {
     public:
        LockedFile(Locked& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}
        Result<size_t> pread(Blocking&, uint64_t offset, std::span<char> into) override {
            return disk_.locked([&](Blocking& b) { return file_->pread(b, offset, into); });
        }
        Result<void> pwrite(Blocking&, uint64_t offset, ByteView bytes) override {
            return disk_.locked([&](Blocking& b) { return file_->pwrite(b, offset, bytes); });
        }
        Result<void> sync(Blocking&) override {
            return disk_.locked([&](Blocking& b) { return file_->sync(b); });
        }
        Result<void> truncate(Blocking&, uint64_t size) override {
            return disk_.locked([&](Blocking& b) { return file_->truncate(b, size); });
        }
        Result<uint64_t> size(Blocking&) override {
            return disk_.locked([&](Blocking& b) { return file_->size(b); });
        }

     private:
        Locked& disk_;
        std::unique_ptr<File> file_;
    };
    struct Section final : Blocking {};

    Result<std::unique_ptr<File>> open(Blocking&, std::string_view path, OpenMode mode) override {
        return locked([&](Blocking& b) -> Result<std::unique_ptr<File>> {
            TRY(auto file, disk_.open(b, path, mode));
            return std::unique_ptr<File>(new LockedFile(*this, std::move(file)));
        });
    }
    Result<void> rename(Blocking&, std::string_view from, std::string_view to) override {
        return locked([&](Blocking& b) { return disk_.rename(b, from, to); });
    }
    Result<void> remove(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.remove(b, p); });
    }
    Result<void> create_dir(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.create_dir(b, p); });
    }
    Result<void> remove_dir(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.remove_dir(b, p); });
    }
    Result<void> sync_dir(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.sync_dir(b, p); });
    }
    Result<std::vector<Entry>> list(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.list(b, p); });
    }
    Result<Entry> stat(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.stat(b, p); });
    }
    Result<Space> space(Blocking&) override {
        return locked([&](Blocking& b) { return disk_.space(b); });
    }
    Result<std::unique_ptr<DirLock>> lock(Blocking&, std::string_view p) override {
        return locked([&](Blocking& b) { return disk_.lock(b, p); });
    }
    Blocking& adopt_blocking() override {
        if (std::this_thread::get_id() == loop_thread_) std::abort();  // disk work on the loop thread
        return section_;
    }

 private:
    std::thread::id loop_thread_ = std::this_thread::get_id();
    Section section_;
};

/// A loop on the calling thread, one thread for each priority, one for blocking().
class ThreadedWorld final : private SchedulerHooks, private Clock, private Net, private Tracer, private Executor {
 public:
    explicit ThreadedWorld(LockedDisk& disk)
        : scheduler_(*this, stacks_), env_{scheduler_, *this, *this, disk, Random(1), *this, *this} {
        for (size_t i = 0; i < 3; ++i) threads_.emplace_back([this, i] { serve(i); });
    }
    ~ThreadedWorld() override {
        {
            std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }
    Env& env() { return env_; }
    void run(FiberBody body) {
        scheduler_.spawn("main", std::move(body));
        while (scheduler_.live() != 0) {
            if (scheduler_.has_ready()) scheduler_.run_one();
            std::vector<UniqueFunction<void()>> posts;
            {
                std::unique_lock lock(mutex_);
                if (posts_.empty() && !scheduler_.has_ready()) posted_.wait_for(lock, std::chrono::milliseconds(1));
                posts.swap(posts_);
            }
            for (auto& work : posts) work();
            scheduler_.fire_timers(now());
        }
    }

 private:
    void serve(size_t index) {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return stop_ || !queues_[index].empty(); });
            if (queues_[index].empty()) return;
            UniqueFunction<void()> work = std::move(queues_[index].front());
            queues_[index].pop_front();
            lock.unlock();
            work();
            work = {};
            lock.lock();
        }
    }
    void push(size_t index, UniqueFunction<void()> work) {
        std::lock_guard lock(mutex_);
        queues_[index].push_back(std::move(work));
        wake_.notify_all();
    }
    Instant now() const override { return {std::chrono::steady_clock::now().time_since_epoch().count()}; }
    Instant reading() const override { return now(); }
    WallTime wall() const override { return {std::chrono::system_clock::now().time_since_epoch().count()}; }
    Result<std::unique_ptr<Listener>> listen(const Address&) override { return Error(Code::Unsupported, "no network"); }
    Result<std::unique_ptr<Conn>> connect(Fiber&, const Address&, Instant) override { return Error(Code::Unsupported, "no network"); }
    bool wants(Severity) const override { return false; }
    void event(Severity, std::string_view, std::initializer_list<TraceField>) override {}
    Result<void> checkpoint(Fiber& fiber, std::string_view, std::initializer_list<TraceField>) override { return fiber.yield(); }
    void probe(std::string_view) override {}
    Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) override {
        WaitQueue done;
        push(2, [&] {
            work(section_);
            post([&done] { done.wake_all(); });
        });
        fiber.wait_uncancellable(done);
        return {};
    }
    void background(Priority priority, UniqueFunction<void(Blocking&)> work) override {
        push(priority == Priority::High ? 0 : 1, [this, work = std::move(work)] { work(section_); });
    }
    void post(UniqueFunction<void()> work) override {
        std::lock_guard lock(mutex_);
        posts_.push_back(std::move(work));
        posted_.notify_all();
    }

    StackPool stacks_;
    Scheduler scheduler_;
    LockedDisk::Section section_;
    Env env_;
    std::mutex mutex_;
    std::condition_variable wake_, posted_;
    std::deque<UniqueFunction<void()>> queues_[3];
    std::vector<UniqueFunction<void()>> posts_;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

TEST_CASE("store: batches, reads, flushes and compactions on threads of their own (RocksDB untouched)") {
    for (bool close : {true, false, true}) {
        LockedDisk disk;
        uint64_t durable = 0, written = 0;
        for (int life = 0; life < 2; ++life) {
            ThreadedWorld world(disk);
            world.run([&](Fiber& fiber) {
                auto opened = Store::open(fiber, world.env(), tiny());
                REQUIRE(opened.ok());
                Store& store = **opened;
                store.set_on_durable([&](uint64_t, uint64_t value) { durable = value; });
                Result<Content> found = read_all(fiber, store, nullptr);
                REQUIRE(found.ok());
                CHECK(applied_in(*found) >= durable);
                CHECK(applied_in(*found) <= written);
                if (life == 1) {
                    if (close) CHECK(applied_in(*found) == written);
                    REQUIRE(store.close(fiber).ok());
                    return;
                }
                Model model;
                RandomStream random(7, "test", 0);
                for (int i = 0; i < 4000; ++i) {
                    Batch batch;
                    model.draw(random, batch);
                    REQUIRE(store.write_when_possible(fiber, batch).ok());
                    model.accept();
                    written = model.size();
                    if (random.chance(0.005)) REQUIRE(store.request_flush().ok());
                    if (random.chance(0.02)) REQUIRE(fiber.yield().ok());
                    if (random.chance(0.01)) REQUIRE(store.get(fiber, "k" + std::to_string(100 + random.below(200))).ok());
                    if (i % 500 == 0) {
                        auto at = store.snapshot();
                        Result<Content> seen = read_all(fiber, store, at.get());
                        REQUIRE(seen.ok());
                        CHECK(*seen == model.state_after(model.size()));
                        CHECK(store.stats().batches_written == model.size());
                    }
                }
                if (close) {
                    REQUIRE(store.close(fiber).ok());
                    CHECK(durable == written);
                }
            });
        }
        CHECK(durable > 0);
    }
}

TEST_CASE("store: a full disk is left by try_resume (jobs on threads)") {
    LockedDisk disk;
    std::atomic<bool> full{false};
    disk.disk_.set_hook([&](sim::MemoryDisk::Op op, std::string_view path, uint64_t) -> Result<void> {
        if (full && path.ends_with(".sst") && op == sim::MemoryDisk::Op::Write) return Error(Code::NoSpace, "full");
        return {};
    });
    ThreadedWorld world(disk);
    world.run([&](Fiber& fiber) {
        auto opened = Store::open(fiber, world.env(), tiny());
        REQUIRE(opened.ok());
        Store& store = **opened;
        uint64_t still_full = 0;
        for (int round = 0; round < 20; ++round) {
            Batch batch;
            batch.put("round", std::to_string(round));
            batch.mark(1, static_cast<uint64_t>(round + 1));
            REQUIRE(store.write(batch).ok());
            full = true;
            // The flush fails, or is refused because a compaction beside it has failed already; that one's error is soft, and
            // try_resume() clears it without a write.
            CHECK(store.flush(fiber).failed_with(Code::NoSpace));
            CHECK(store.health() == Health::NoSpace);
            Result<void> early = store.try_resume(fiber);
            CHECK((early.ok() || early.failed_with(Code::NoSpace)));
            still_full += !early.ok();
            full = false;
            Result<void> flushed = store.flush(fiber);
            for (int tries = 0; tries < 5 && !flushed.ok(); ++tries) {
                CHECK(flushed.failed_with(Code::NoSpace));
                Result<void> back = store.try_resume(fiber);
                CHECK((back.ok() || back.failed_with(Code::NoSpace)));
                flushed = store.flush(fiber);
            }
            CHECK(flushed.ok());
            CHECK(store.durable_mark(1) == static_cast<uint64_t>(round + 1));
            // A compaction that met the full disk may be told of only now.
            do {
                REQUIRE(fiber.sleep_until(world.env().now() + Duration::millis(2)).ok());
                REQUIRE(store.try_resume(fiber).ok());
            } while (store.stats().jobs_queued > 0);
        }
        CHECK(still_full > 0);
        CHECK(store.close(fiber).ok());
    });
}

}  // namespace
}  // namespace orrery::store::test
