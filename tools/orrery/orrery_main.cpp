// The testbed's command-line program. Everything is in command_line.h and behind it.
#include "tools/orrery/command_line.h"

int main(int argc, char** argv) { return orrery::cli::run_program(argc, argv); }
