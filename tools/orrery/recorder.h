// Writes a run's events to its directory while it runs, so that a crash loses none of them.
//
// Files: trace.jsonl (every event), faults.jsonl (what struck whom), logs/<node>.jsonl (what the node's own log would
// show: no Debug events). Each line is one write(2): the lines before an abort are the ones that matter. Bounded: past the
// bound a last line says so.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "sim/scenario/run.h"

namespace orrery::cli {

struct RecorderOptions {
    std::string dir;             // empty: no files
    size_t excerpt_lines = 0;    // the last so many events are kept as text
    uint64_t until_event = 0;    // calls `reached` at this event
    std::function<void()> reached;
    uint64_t mark_step = 0;      // excerpt lines of events from this step on begin with '>'
    uint64_t until_step = UINT64_MAX;  // what is emitted behind it (the world's end) is left out of the excerpt
    uint64_t max_bytes = 512ull << 20;  // of all files together
};

class Recorder final : public sim::TraceSink {
 public:
    explicit Recorder(RecorderOptions options);
    ~Recorder() override;
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void on_event(uint64_t sequence, Instant at, std::string_view host, const TraceEvent& event) override;
    void on_fault(uint64_t sequence, Instant at, std::string_view text) override;

    uint64_t events() const { return events_; }
    std::vector<std::string> excerpt() const { return {excerpt_.begin(), excerpt_.end()}; }
    /// Empty when every file could be written.
    const std::string& problem() const { return problem_; }

 private:
    int open_file(const std::string& name);
    void write_line(int fd, std::string line);
    void keep(uint64_t sequence, Instant at, std::string_view host, const std::string& text);

    RecorderOptions options_;
    int trace_ = -1;
    int faults_ = -1;
    std::map<std::string, int, std::less<>> logs_;
    std::deque<std::string> excerpt_;
    uint64_t events_ = 0;
    uint64_t bytes_ = 0;
    std::string problem_;
};

/// A file name made of `name`: letters, digits, '-', '_', '.', the rest becomes '_'; never empty, never hidden.
std::string file_name_of(std::string_view name);

}  // namespace orrery::cli
