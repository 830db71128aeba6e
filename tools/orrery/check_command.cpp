// `orrery check`: the checkers of histories on their own.
#include <fmt/format.h>

#include "sim/check/history_format.h"
#include "tools/orrery/commands.h"
#include "tools/orrery/files.h"
#include "tools/orrery/show_run.h"

namespace orrery::cli {

ExitCode check_command(const CheckArguments& arguments, Console& console) {
    std::optional<check::Model> model;
    if (!arguments.model.empty()) {
        model = check::find_model(arguments.model);
        CHECK(model.has_value(), arguments.model);  // the command line lets only known words through
    }
    const Result<Bytes> text = read_file(arguments.history);
    if (!text.ok()) return report(console, refuse(text.error(), arguments.history, "E0402", "give the path of a history, or - for standard input"));
    const Result<check::HistoryCheck> checked = check::check_history_text(*text, model);
    if (!checked.ok())
        return report(console, refuse(checked.error(), arguments.history, "E0406", "see 'orrery check --help' for formats and models"));

    std::string shown = checked->text;
    while (shown.ends_with('\n')) shown.pop_back();
    console.line(shown);
    Json violations = Json::array();
    for (const check::Violation& violation : checked->report.verdict.violations) violations.push_back(violation.text);
    const int exit = checked->exit_code();
    console.json({{"schema", 1},
                  {"history", arguments.history},
                  {"format", check::history_format_name(checked->format)},
                  {"model", check::model_name(checked->model)},
                  {"verdict", exit == 1 ? "not" : exit == 3 ? "inconclusive" : checked->model == check::Model::Txn ? "serializable" : "linearizable"},
                  {"reason", checked->report.verdict.reason},
                  {"violations", std::move(violations)},
                  {"exit", exit}});
    return exit == 0 ? ExitCode::Fine : exit == 1 ? ExitCode::Violated : ExitCode::Inconclusive;
}

}  // namespace orrery::cli
