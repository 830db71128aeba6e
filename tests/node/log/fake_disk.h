// An in-memory Disk that can lose power, and a one-node Env on it: enough world to crash the log at every operation.
//
// Writes are volatile until their file's sync; a crash keeps, drops or garbles each 512-byte sector of them. Creations
// and renames are volatile until their directory's sync; a crash keeps a prefix of them. A kill keeps all, still volatile.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/defect.h"
#include "runtime/base/random.h"
#include "runtime/env/env.h"

namespace orrery::log::test {

struct Inode {
    Bytes durable;
    Bytes seen;  // what reads answer
    std::vector<std::pair<uint64_t, Bytes>> unsynced;
    bool is_dir = false;
};

class FakeDisk final : public Disk {
 public:
    enum class Loss { Power, KillOnly };

    // Faults.
    int64_t crash_at = -1;  // the changing operation with this number, from 0, does not complete; nor does any later
    int64_t fail_sync_at = -1;
    int64_t fail_write_at = -1;
    uint64_t capacity_bytes = UINT64_MAX;
    std::vector<std::pair<std::string, uint64_t>> unreadable;  // path, 4 KiB block offset

    int64_t operations = 0;
    int64_t syncs = 0;
    int64_t writes = 0;
    int64_t reads = 0;
    bool frozen = false;

    /// The machine comes back: volatile state is settled by `draws`, counters and faults are reset.
    void restart(Loss loss, RandomStream& draws);
    void copy_from(const FakeDisk& other);
    Inode& inode(const std::string& path) { return *names_.at(path); }
    std::vector<std::string> paths() const;

    Result<std::unique_ptr<File>> open(Blocking&, std::string_view path, OpenMode mode) override;
    Result<void> rename(Blocking&, std::string_view from, std::string_view to) override;
    Result<void> remove(Blocking&, std::string_view path) override;
    Result<void> create_dir(Blocking&, std::string_view path) override;
    Result<void> remove_dir(Blocking&, std::string_view) override { return Code::Unsupported; }
    Result<void> sync_dir(Blocking&, std::string_view path) override;
    Result<std::vector<Entry>> list(Blocking&, std::string_view path) override;
    Result<Entry> stat(Blocking&, std::string_view path) override;
    Result<Space> space(Blocking&) override { return Space{capacity_bytes, capacity_bytes - used()}; }
    Result<std::unique_ptr<DirLock>> lock(Blocking&, std::string_view) override { return std::make_unique<DirLock>(); }
    Blocking& adopt_blocking() override { return permission; }

    struct Permission final : Blocking {
        Permission() = default;
    };
    Permission permission;


    /// Counts a changing operation; false when the machine is, or just went, down.
    bool begin_change();
    uint64_t used() const;

 private:
    struct NameChange {
        std::string parent;
        std::string removed;
        std::string added;
        std::shared_ptr<Inode> inode;
    };
    using Names = std::map<std::string, std::shared_ptr<Inode>>;
    static void apply(Names& names, const NameChange& change);
    void change(NameChange change);

    Names names_;
    Names durable_names_;
    std::vector<NameChange> unsynced_names_;
};

/// Errors it saw are kept by name.
class FakeTracer final : public Tracer {
 public:
    bool wants(Severity) const override { return true; }
    void event(Severity severity, std::string_view name, std::initializer_list<TraceField>) override {
        if (severity == Severity::Error) errors.emplace_back(name);
    }
    Result<void> checkpoint(Fiber& fiber, std::string_view, std::initializer_list<TraceField>) override {
        return fiber.maybe_yield();
    }
    void probe(std::string_view) override {}
    std::vector<std::string> errors;
};

/// One life of a node: scheduler, clock and executor. Destruction is the crash: its fibers end with Cancelled.
class FakeWorld : SchedulerHooks, Clock, Executor, Net {
 public:
    FakeWorld(FakeDisk& disk, uint64_t seed, Instant start);
    ~FakeWorld();

    /// Runs `body` as a fiber until it has ended, or the disk froze, or nothing can happen any more.
    /// True when it ended before a freeze.
    bool run(FiberBody body);
    void settle(Duration duration);  // lets everything else run for so long

    Instant now() const override { return now_; }
    Instant reading() const override { return now_; }
    FakeTracer tracer;
    Env env;
    int slow_slices = 0;  // blocking work gives others up to so many turns before and after it

 private:
    WallTime wall() const override { return {now_.ns}; }
    size_t pick(size_t ready) override { return draws_.below(ready); }
    bool extra_yield() override { return draws_.chance(0.1); }
    Result<void> run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) override;
    void background(Priority, UniqueFunction<void(Blocking&)>) override { UNREACHABLE(); }
    void post(UniqueFunction<void()>) override { UNREACHABLE(); }
    Result<std::unique_ptr<Listener>> listen(const Address&) override { return Code::Unsupported; }
    Result<std::unique_ptr<Conn>> connect(Fiber&, const Address&, Instant) override { return Code::Unsupported; }
    bool step(Instant until);

    FakeDisk& disk_;
    StackPool& stacks_;
    Scheduler scheduler_;
    RandomStream draws_;
    Instant now_;
};

/// Defects of this test program (defect.h).
void set_defects(const DefectSet& set);

}  // namespace orrery::log::test
