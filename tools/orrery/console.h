// Where output goes. Results on standard output, everything else (progress, timings, errors) on standard error, so that a
// result is a function of the build, the scenario and the seed alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "runtime/base/time.h"
#include "tools/orrery/message.h"

namespace orrery::cli {

using Json = nlohmann::ordered_json;

enum class OutputForm : uint8_t { Text, Json, Jsonl };
enum class ColorChoice : uint8_t { Auto, Always, Never };
enum class ProgressForm : uint8_t { Auto, Tty, Plain, None };
enum class Verbosity : uint8_t { Quiet, Normal, Verbose };

struct Globals {
    OutputForm output = OutputForm::Text;
    ColorChoice color = ColorChoice::Auto;  // auto: a terminal, and NO_COLOR not set
    ProgressForm progress = ProgressForm::Auto;  // auto: tty on a terminal, else plain
    Verbosity verbosity = Verbosity::Normal;
};

enum class Paint : uint8_t { None, Good, Bad, Doubt, Strong, Faint };

class Console {
 public:
    explicit Console(const Globals& globals);

    bool text() const { return globals_.output == OutputForm::Text; }
    bool jsonl() const { return globals_.output == OutputForm::Jsonl; }
    bool verbose() const { return globals_.verbosity == Verbosity::Verbose; }

    /// A line of the result; text form only.
    void line(std::string_view text);
    /// The result; json and jsonl forms only.
    void json(const Json& value);
    /// One of many results as it comes; jsonl form only.
    void json_line(const Json& value);
    /// On standard error, unless quiet.
    void note(std::string_view text);
    void problem(const Message& message, std::string_view severity = "error");
    /// A state that replaces the one before (tty), or a line at most every 10 s (plain).
    void progress(std::string_view text);
    void end_progress();

    /// For standard output.
    std::string paint(Paint paint, std::string_view text) const;
    /// Flushes. False when standard output could not be written.
    bool finish();

 private:
    Globals globals_;
    bool color_ = false;
    bool error_color_ = false;
    bool progress_shown_ = false;
    Instant last_plain_;
};

std::string json_text(const Json& value, int indent = -1);

}  // namespace orrery::cli
