// The command line of `orrery`: what is understood, what --help says, and which function does it.
#pragma once

namespace orrery::cli {

/// The whole program. Answers the exit code.
int run_program(int argc, char** argv);

}  // namespace orrery::cli
