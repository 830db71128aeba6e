// The exit codes of every program of the project, and how an Error becomes one.
//
// Scripts, CI and job schedulers act on these numbers: 1 is a finding, 2 is not worth a retry, 3 and 4 are never green.
// 124 to 128 belong to the shell, timeout(1) and env(1) and are never used; CLI11's 100 to 127 become 2.
#pragma once

#include "runtime/base/result.h"

namespace orrery::cli {

enum class ExitCode : int {  // part of the interface; never renumber
    Fine = 0,
    Violated = 1,      // a property was violated, or the condition asked for is false
    Usage = 2,         // command line, configuration or scenario
    Inconclusive = 3,  // nothing checked, a checker gave up, a plan that no longer applies
    NotDeterministic = 4,
    Corrupt = 65,      // a recorded file is damaged
    Unreachable = 69,  // unreachable, or timed out
    OwnBug = 70,
    Io = 74,
    TryAgain = 75,
    Interrupted = 130,  // the second SIGINT or SIGTERM
};

constexpr int number_of(ExitCode code) { return static_cast<int>(code); }

/// For errors of files and formats that the command line named.
ExitCode exit_code_of(Code code);

/// The code of two results taken together. NotDeterministic beats all (nothing else can be believed then), then Violated,
/// then our own failures, then Inconclusive; Fine only when both are.
ExitCode worse(ExitCode a, ExitCode b);

}  // namespace orrery::cli
