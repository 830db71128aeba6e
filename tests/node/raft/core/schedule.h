// Random schedules of a group of cores, told as raft-scripts: every step is a line that the interpreter of raft-script
// runs, chosen by what the cluster is like at that moment. So whatever goes wrong is a script that shows it again.
#pragma once

#include <string>
#include <vector>

#include "tools/raft_script/interpreter.h"

namespace orrery::raft::script {

/// One draw; what it does depends on the state it meets.
struct Action {
    uint16_t kind = 0, a = 0, b = 0;
};
std::ostream& operator<<(std::ostream& out, const Action& action);

/// What kind of group. Any number is one.
struct Shape {
    uint16_t voters = 0;   // which of the sizes 1 to 5
    uint16_t flavour = 0;  // bits: pre-vote, check-quorum, eager commit, append size, window, change of members, slow disks
};

struct ScheduleRun {
    std::string failure;  // empty: every invariant held, and (if asked for) the group recovered in the end
    std::string script;   // all that was done
};

enum class Finish : uint8_t { AsItIs, Recover };
/// Recover: links healed, nodes restarted, disks released; then a leader must come, a proposal be answered and everybody
/// in the configuration end with the leader's log.
ScheduleRun run_schedule(Shape shape, const std::vector<Action>& actions, Finish finish);

/// The script without the lines that its violation does not need. Requires: it ends in a violation.
std::string minimised(const std::string& script);

}  // namespace orrery::raft::script
