// Changes of state of one member as its leader sees it. `next > match` holds throughout.
#include "node/raft/core/progress.h"

#include <algorithm>

namespace orrery::raft {

std::string_view progress_state_name(ProgressState state) {
    switch (state) {
        case ProgressState::Probe: return "probe";
        case ProgressState::Replicate: return "replicate";
        case ProgressState::Snapshot: return "snapshot";
    }
    return "?";
}

void Progress::become_probe(LogIndex next_index) {
    state = ProgressState::Probe;
    next = std::max(next_index, match.next());
    probe_out = false;
    snapshot = LogIndex();
    window.clear();
    window_bytes = 0;
}

void Progress::become_replicate() {
    LogIndex from = next;
    become_probe(from);
    state = ProgressState::Replicate;
}

void Progress::become_snapshot() {
    become_probe(next);
    state = ProgressState::Snapshot;
}

void Progress::sent(LogIndex last, uint64_t bytes, uint64_t the_round) {
    if (state == ProgressState::Probe) {
        probe_out = true;  // `next` stays: the answer is compared with what was asked
        return;
    }
    next = last.next();
    window.push_back({last, bytes, the_round});
    window_bytes += bytes;
}

void Progress::freed(LogIndex received) {
    while (!window.empty() && window.front().last <= received) {
        window_bytes -= window.front().bytes;
        window.pop_front();
    }
}

bool Progress::lost_before(uint64_t the_round, LogIndex received) const {
    return std::any_of(window.begin(), window.end(), [&](const Sent& item) {
        return item.last > received && item.round < the_round;
    });
}

}  // namespace orrery::raft
