// One disk on its own timeline, with short words for bodies and files.
#pragma once

#include <memory>
#include <string>

#include "sim/disk/sim_disk.h"

#include <doctest/doctest.h>

namespace orrery::sim {

struct DiskFixture {
    explicit DiskFixture(uint64_t seed = 1, DiskOptions options = fixed_options(),
                         uint64_t entity = 7)
        : timeline(seed), disk(timeline, entity, std::move(options)) {}

    static DiskOptions fixed_options() {
        DiskOptions options;
        options.latency =
            DiskLatency::fixed(Duration::micros(10), Duration::micros(10), Duration::millis(5));
        return options;
    }

    /// Runs `work(Blocking&)` as a body that begins now; answers its end.
    template <typename Work>
    Instant body(Work&& work) {
        SimBlocking& blocking = disk.begin(timeline.now());
        work(static_cast<Blocking&>(blocking));
        return disk.end(blocking);
    }
    /// The same, and lets time pass until it is complete.
    template <typename Work>
    void done(Work&& work) {
        timeline.advance_to(body(std::forward<Work>(work)));
    }
    void write_file(const std::string& path, ByteView bytes, bool sync = true) {
        done([&](Blocking& blocking) {
            auto file = disk.open(blocking, path, OpenMode::CreateTruncate).value();
            file->pwrite(blocking, 0, bytes).value();
            if (!sync) return;
            file->sync(blocking).value();
            const size_t slash = path.rfind('/');
            disk.sync_dir(blocking, slash == std::string::npos ? "" : path.substr(0, slash))
                .value();
        });
    }
    Result<Bytes> read_file(const std::string& path) {
        Result<Bytes> out = Code::NotFound;
        done([&](Blocking& blocking) {
            auto file = disk.open(blocking, path, OpenMode::Read);
            if (!file.ok()) {
                out = file.error();
                return;
            }
            Bytes bytes((*file)->size(blocking).value(), '\0');
            auto count = (*file)->pread(blocking, 0, bytes);
            out = count.ok() ? Result<Bytes>(std::move(bytes)) : Result<Bytes>(count.error());
        });
        return out;
    }
    CrashReport crash_at(Instant at, CrashKind kind = CrashKind::Power) {
        timeline.advance_to(at);
        const CrashReport report = disk.crash(kind);
        disk.thaw();
        return report;
    }
    Instant after(Duration duration) const { return timeline.now() + duration; }

    Timeline timeline;
    SimDisk disk;
};

}  // namespace orrery::sim
