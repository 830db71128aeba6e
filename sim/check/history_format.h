// Readers of three history formats, and what `orrery check` does with a file. Formats: the folder's
// README.
//
// Strict: a line that is not understood is an error with its number, since a dropped operation
// changes the verdict.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "sim/check/history.h"
#include "sim/check/linearizability.h"

namespace orrery::check {

enum class HistoryFormat : uint8_t {
    Jepsen,  // INFO  jepsen.util - <process> :<type> :<f> <value>
    Kv,      // {:process 3, :type :invoke, :f :append, :key "0", :value "x"}
    Jsonl,   // {"client":1,"op":"get",...}
};
std::string_view history_format_name(HistoryFormat format);
/// The model that the format's files are written for: Register, Append, Kv.
Model default_model(HistoryFormat format);

/// By the first line that is not blank and no comment; a file without such a line counts as Jsonl.
/// Errors: Invalid when it is of none of the formats.
Result<HistoryFormat> detect_history_format(ByteView text);
/// Errors: Invalid, "line 12: unknown field 'x'".
Result<std::vector<Operation>> parse_history(ByteView text, HistoryFormat format);

/// "register", "kv", "append", "counter", "list", "txn"; nullopt for any other word.
std::optional<Model> find_model(std::string_view name);

struct HistoryCheck {
    HistoryFormat format;
    Model model;
    LinearizabilityReport report;  // of counter, list and txn: the verdict and the counts
    std::string text;  // to print: the verdict line first, then the explanation

    /// 0 linearizable (txn: strictly serializable), 1 not, 3 inconclusive. An empty file is linearizable, and the text says that
    /// it is empty.
    int exit_code() const { return report.verdict.exit_code(); }
};

/// The whole of `orrery check HISTORY [--model M]`, from the file's text.
/// Errors: Invalid (exit code 2): format not recognised, line not understood, operation outside the
/// model.
Result<HistoryCheck> check_history_text(ByteView text, std::optional<Model> model = {},
                                        const LinearizabilityOptions& options = {});

}  // namespace orrery::check
