// The grammar of raft-script, its exit codes and printed forms. What cores do is in tests/node/raft/core.
#include "tools/raft_script/interpreter.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <sys/wait.h>

namespace orrery::raft::script {
namespace {

/// What a script of `nodes 3` and this line is blamed for; empty: nothing.
std::string blame(const std::string& line, const std::string& nodes = "nodes 3\n") {
    ScriptRun run = run_script("s", nodes + line);
    if (run.ending != Ending::ScriptError) return {};
    CHECK(run.output == "");
    return run.errors;
}

/// The program itself, fed by standard input.
int exit_code(const std::string& arguments, const std::string& script) {
    FILE* program = popen((std::string(RAFT_SCRIPT) + " " + arguments + " >/dev/null 2>&1").c_str(), "w");
    REQUIRE(program != nullptr);
    std::fwrite(script.data(), 1, script.size(), program);
    return WEXITSTATUS(pclose(program));
}

}  // namespace

TEST_CASE("raft-script: what is no directive is refused with its line, and nothing runs") {
    ScriptRun run = run_script("s", "nodes 3\n\n# fine\ntimeot 1\ntick 1 x\nstate 9\n");
    CHECK(run.ending == Ending::ScriptError);
    CHECK(run.output == "");
    CHECK(run.errors == "s:4: error: unknown directive 'timeot'\n"
                        "s:5: error: ticks is 'x', must be a number from 0 to 1000000 (tick N K)\n"
                        "s:6: error: there is no node 9 (state [N])\n");
}

TEST_CASE("raft-script: every argument is judged") {
    for (const char* line : {
             "nodes 3", "timeout", "timeout 4", "timeout 1 2", "tick 1", "propose 1", "read 1", "read 1 a b", "transfer 1 2",
             "transfer 1 to 9", "change 1", "change 1 v4", "change 1 +x1", "change 1 +v9", "deliver 1", "deliver 1->9",
             "deliver 1->2 first", "deliver 1->2 type nothing", "deliver 1->2 forth 1", "cut 1", "cut 1 1", "settle 1,9",
             "release-disk 1 first 0", "crash 1 hard", "compact 1", "compact 1 -1", "snapshot", "expect", "expect (",
             "refuse [", "state 1 2", "answers 1", "preset 1 log=1/2", "preset 1 log=2/1,1/2", "preset 1 log=1/1 commit=2",
             "preset 1 term=1 log=2/1", "preset 1 log=1/1:conf(x)", "preset 1 log=1/1:conf(v9)", "preset 1 log=1/1:",
             "preset 1 vote=2", "preset 1 foo=1"}) {
        CAPTURE(line);
        CHECK(blame(line).starts_with("s:2: error: "));
    }
    for (const char* nodes : {"nodes\n", "nodes 0\n", "nodes 99\n", "nodes 3 learners 3\n", "nodes 3 prevote maybe\n",
                              "nodes 3 election 2 heartbeat 2\n", "nodes 3 four\n", "timeout 1\n"}) {
        CAPTURE(nodes);
        CHECK(blame("", nodes).starts_with("s:1: error: "));
    }
    CHECK(blame("", "nodes 3 lease perhaps\n").find("on or off") != std::string::npos);
    CHECK(blame("", "nodes 3 lease off\n") == "");
}

TEST_CASE("raft-script: a preset after the node's first event is an error of the script") {
    ScriptRun run = run_script("s", "nodes 1\ntimeout 1\npreset 1 term=3\nstate\n");
    CHECK(run.ending == Ending::ScriptError);
    CHECK(run.output == "> nodes 1\n> timeout 1\n> preset 1 term=3\n");
    CHECK(run.errors == "s:3: error: preset of node 1 comes after its first event\n");
}

TEST_CASE("raft-script: prints states, logs, messages and answers in their form") {
    ScriptRun run = run_script("s", R"(nodes 2 spare 3   # a comment
preset 1 term=3 vote=2 log=1/1,2/2:conf(v1,v2),3/3:x commit=2
crash 2
state
log
timeout 1
messages
messages 2->*
propose 2 lost
read 2 lost
propose 1 a b
answers
)");
    CHECK(run.ending == Ending::Fine);
    CHECK(run.output == R"(> nodes 2 spare 3
> preset 1 term=3 vote=2 log=1/1,2/2:conf(v1,v2),3/3:x commit=2
> crash 2
> state
1 follower term=3 vote=2 leader=0 commit=2 applied=2 last=3/3 durable=3 config=v1,v2
2 down
3 follower term=0 vote=0 leader=0 commit=0 applied=0 last=0/0 durable=0 config=v1,v2
> log
1: 1/1:data 2/2:conf(v1,v2) 3/3:x
2: down
3:
> timeout 1
> messages
1->2 vote term=4 last=3/3
> messages 2->*
> propose 2 lost
> read 2 lost
> propose 1 a b
> answers
propose lost refused down
read lost refused
propose a b refused not-leader hint=0
)");
}

TEST_CASE("raft-script: a pattern looks at the last output that was printed, line by line") {
    auto ending = [](const std::string& pattern) {
        return run_script("s", "nodes 2\ntimeout 1\nstate\nrefuse leader term=1$\n" + pattern + "\n");
    };
    CHECK(ending("expect ^2 follower").ending == Ending::Fine);
    CHECK(ending("expect ^1 cand.*\\n2 fol").ending == Ending::Fine);
    ScriptRun missed = ending("expect ^follower\nstate");
    CHECK(missed.ending == Ending::Failed);
    CHECK(missed.output.ends_with("> expect ^follower\nEXPECTED ^follower (line 5)\n"));
    ScriptRun met = ending("refuse config=v1,v2$");
    CHECK(met.ending == Ending::Failed);
    CHECK(met.output.ends_with("REFUSED config=v1,v2$ (line 5)\n"));
}

TEST_CASE("raft-script: messages are selected by link, place and type, and a node that is down leaves them waiting") {
    ScriptRun run = run_script("s", R"(nodes 3
timeout 1
settle
propose 1 a
propose 1 b
propose 1 c
drop 1->3
deliver 1->2 last 1
messages 1->2
expect ^1->2 append .*prev=1/1 .*\n1->2 append .*prev=1/2 .*\n$
crash 2
deliver 1->2
settle
messages 1->2 type append
expect prev=1/1
restart 2
dup 1->2 first 1
messages 1->2
expect prev=1/1 .*\n.*prev=1/2 .*\n.*prev=1/1
drop *->* type append,append-reply
messages
refuse append
deliver 3->2
drop 3->2
)");
    CHECK_MESSAGE(run.ending == Ending::Fine, run.output);
}

TEST_CASE("raft-script: exit codes of the program") {
    CHECK(exit_code("-", "nodes 1\ntimeout 1\nstate\nexpect leader\n") == 0);
    CHECK(exit_code("-", "nodes 1\ntimeout 1\nstate\nrefuse leader\n") == 1);
    CHECK(exit_code("-", "nodes 1\nleap 1\n") == 2);
    CHECK(exit_code("/nowhere/at/all", "") == 2);
    CHECK(exit_code("", "") == 2);
    CHECK(exit_code("- --defect nonsense", "nodes 1\n") == 2);
    CHECK(exit_code("--help", "") == 0);
    // A read of a leader that was unseated without knowing.
    const std::string stale = "nodes 3\ntimeout 1\nsettle\ncut 1 *\ntimeout 2\nsettle\npropose 2 new\nsettle\nread 1 r\n";
    CHECK(exit_code("-", stale) == 0);
    CHECK(exit_code("- --defect read_without_quorum", stale) == 1);
}

}  // namespace orrery::raft::script
