// Runs directives on a cluster and says what they print. Also the clients and operators of that cluster: whoever asked
// something gets exactly one answer, in the order in which the answers come.
#pragma once

#include "tools/raft_script/cluster.h"
#include "tools/raft_script/directive.h"

namespace orrery::raft::script {

/// Exit codes of raft-script.
enum class Ending : uint8_t { Fine = 0, Failed = 1, ScriptError = 2 };

class Interpreter {
 public:
    /// What the directive prints, lines ended; without its echo. Once ending() is not Fine nothing runs any more.
    std::string run(const Directive& directive);
    Ending ending() const { return ending_; }
    /// Why the script itself is wrong.
    const std::string& error() const { return error_; }
    /// "name: text" of the broken invariant; empty: none.
    std::string violation() const { return cluster_ ? cluster_->violation() : std::string(); }
    /// Null before `nodes`.
    Cluster* cluster() { return cluster_.get(); }
    const std::vector<std::string>& answers() const { return answers_; }

 private:
    struct Asked {
        enum class What : uint8_t { Proposal, Read, Transfer, Change } what;
        uint64_t node;
        std::string name;  // "propose text", "read tag", "transfer", "change"
        LogIndex index;    // of the proposed entry, or of a read that is ready
        Term term;         // when it was asked
        uint64_t token = 0;
        NodeId target;
    };

    std::string execute(const Directive& directive);
    void found_group(const GroupOptions& group);
    void preset(const Directive& directive);
    void cut(const Selection& selection);
    void heal(const Selection& selection);
    void tick(const Directive& directive);
    void propose(const Directive& directive);
    void read(const Directive& directive);
    void transfer(const Directive& directive);
    void change(const Directive& directive);
    void crash(const Directive& directive);
    void release(const Directive& directive);
    void move(const Directive& directive);
    std::string check_pattern(const Directive& directive);
    void select_each(const Selection& selection, FunctionRef<void(uint64_t, uint64_t)> act);  // from, to

    bool down(const Directive& directive, const std::string& name);
    void refused(const std::string& name, const Error& error);
    void look_for_answers(uint64_t node);
    /// Nothing: not yet.
    std::optional<std::string> answer_to(Asked& asked);

    std::unique_ptr<Cluster> cluster_;
    Duration period_ = Duration::millis(100);  // of a tick; any will do, nothing prints it
    std::vector<Asked> asked_;
    std::vector<std::string> answers_;
    uint64_t tokens_ = 0;
    std::string previous_;  // what the directive before printed; a pattern looks at it and leaves it
    std::string error_;
    Ending ending_ = Ending::Fine;
};

struct ScriptRun {
    std::string output;  // standard output
    std::string errors;  // standard error
    Ending ending = Ending::Fine;
    std::string violation;
};
/// `name` is what errors call the script.
ScriptRun run_script(std::string_view name, std::string_view text);

}  // namespace orrery::raft::script
