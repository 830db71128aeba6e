// One line of a raft-script, as a value, and the parser of whole scripts. Pure: no cluster, no output. The grammar is in
// README.md; everything that can be judged without running the script is judged here.
#pragma once

#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "node/raft/core/entry.h"

namespace orrery::raft::script {

enum class Verb : uint8_t {
    Nodes, Preset, Timeout, Tick, Propose, Read, Transfer, Change, Deliver, Drop, Dup, Cut, Heal, Settle,
    HoldDisk, ReleaseDisk, Crash, Restart, Compact, Snapshot, Messages, State, Log, Answers, Expect, Refuse,
};

/// `nodes`: times in ticks.
struct GroupOptions {
    uint64_t voters = 0;
    std::vector<uint64_t> learners, spare;
    bool pre_vote = false, check_quorum = false, eager_commit = true, lease = false;
    uint64_t election = 10, heartbeat = 1;
    uint64_t append_entries = 1024, inflight = 64;
    std::vector<uint64_t> ids() const;
};

/// `preset`: entries 1 and on.
struct PresetState {
    Term term;
    NodeId vote;
    std::vector<Entry> log;
    LogIndex commit;
};

/// `A->B [first K / last K] [type ...]`; node 0 is any.
struct Selection {
    uint64_t from = 0, to = 0;
    bool both_ways = false;  // `cut A B`
    enum class Part : uint8_t { All, First, Last } part = Part::All;
    uint64_t count = 0;
    std::set<std::string, std::less<>> types;  // empty: any
};

/// One word of `change`.
struct MemberChange {
    bool add = true, learner = false;
    uint64_t id = 0;
};

struct Directive {
    size_t line = 0;
    std::string text;      // as echoed: without comment and surrounding blanks
    Verb verb;
    uint64_t node = 0;     // 0: all
    uint64_t count = 0;    // ticks, index, syncs (0: all), receiver of a transfer
    bool power = false;    // crash
    std::string word;      // what is proposed, a read's tag, the text of a pattern
    std::regex pattern;    // expect, refuse
    std::vector<uint64_t> ids;  // settle
    Selection selection;
    std::vector<MemberChange> changes;
    GroupOptions group;
    PresetState preset;
};

struct ScriptError {
    size_t line;
    std::string text;
};

/// Keeps what later lines are checked against: the nodes that exist.
class Parser {
 public:
    /// Nothing: a blank or comment line, or an error, which is then in errors().
    std::optional<Directive> line(size_t number, std::string_view text);
    const std::vector<ScriptError>& errors() const { return errors_; }

 private:
    std::vector<ScriptError> errors_;
    std::set<uint64_t> nodes_;
};

struct Script {
    std::vector<Directive> directives;
    std::vector<ScriptError> errors;  // of every line that has one; not empty: nothing may run
};
Script parse_script(std::string_view text);

/// "append", "append-reply", ... all that `type` may name.
const std::set<std::string, std::less<>>& message_types();

}  // namespace orrery::raft::script
