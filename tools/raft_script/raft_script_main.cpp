// raft-script FILE: one text driver over the pure Raft core. See README.md for the grammar.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "runtime/base/defect.h"
#include "tools/raft_script/interpreter.h"

int main(int argc, char** argv) {
    using namespace orrery;
    CLI::App app("Runs a raft-script: directives to a group of Raft cores, and what must come of them.", "raft-script");
    std::string file;
    std::vector<std::string> defects;
    app.add_option("FILE", file, "the script; - reads standard input")->required();
    app.add_option("--defect", defects, "plants a seeded defect of the core (orrery list defects names them); repeatable");
    app.footer("Exit codes: 0 all held, 1 an invariant is broken or a pattern did not fit, 2 the script or the command line is wrong");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    DefectSet on;
    for (const std::string& name : defects) {
        std::optional<Defect> defect = find_defect(name);
        if (!defect) {
            std::fprintf(stderr, "raft-script: error: there is no defect '%s'; orrery list defects names them\n", name.c_str());
            return 2;
        }
        on |= only(*defect);
    }
    raft::script::set_defects(on);
    std::ostringstream text;
    if (file == "-") {
        text << std::cin.rdbuf();
    } else {
        std::ifstream in(file, std::ios::binary);
        if (in) text << in.rdbuf();
        if (!in) {
            std::fprintf(stderr, "raft-script: error: %s can not be read\n", file.c_str());
            return 2;
        }
    }
    raft::script::ScriptRun run = raft::script::run_script(file, text.str());
    std::fwrite(run.output.data(), 1, run.output.size(), stdout);
    std::fwrite(run.errors.data(), 1, run.errors.size(), stderr);
    return static_cast<int>(run.ending);
}
