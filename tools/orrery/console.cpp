#include "tools/orrery/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tools/orrery/children.h"

namespace orrery::cli {

namespace {

constexpr Duration kPlainProgressEvery = Duration::seconds(10);

bool colored(ColorChoice choice, int fd) {
    if (choice != ColorChoice::Auto) return choice == ColorChoice::Always;
    const char* no_color = std::getenv("NO_COLOR");
    return isatty(fd) == 1 && (no_color == nullptr || *no_color == '\0');
}

}  // namespace

std::string json_text(const Json& value, int indent) { return value.dump(indent, ' ', false, Json::error_handler_t::replace); }

Console::Console(const Globals& globals) : globals_(globals) {
    color_ = colored(globals.color, STDOUT_FILENO);
    error_color_ = colored(globals.color, STDERR_FILENO);
    if (globals_.progress == ProgressForm::Auto) globals_.progress = isatty(STDERR_FILENO) == 1 ? ProgressForm::Tty : ProgressForm::Plain;
    if (globals_.verbosity == Verbosity::Quiet) globals_.progress = ProgressForm::None;
    last_plain_ = machine_now();
}

void Console::line(std::string_view text) {
    if (globals_.output != OutputForm::Text) return;
    end_progress();
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fputc('\n', stdout);
}

void Console::json(const Json& value) {
    if (globals_.output == OutputForm::Text) return;
    end_progress();
    const std::string text = json_text(value, globals_.output == OutputForm::Json ? 2 : -1) + "\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void Console::json_line(const Json& value) {
    if (globals_.output != OutputForm::Jsonl) return;
    json(value);
    std::fflush(stdout);
}

void Console::note(std::string_view text) {
    if (globals_.verbosity == Verbosity::Quiet) return;
    end_progress();
    std::fflush(stdout);
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

void Console::problem(const Message& message, std::string_view severity) {
    end_progress();
    std::fflush(stdout);
    const std::string text = message.text(severity);
    std::fprintf(stderr, error_color_ ? (severity == "error" ? "\033[31m%s\033[0m\n" : "\033[33m%s\033[0m\n") : "%s\n", text.c_str());
}

void Console::progress(std::string_view text) {
    if (globals_.progress == ProgressForm::Tty) {
        std::fprintf(stderr, "\r\033[K%.*s", static_cast<int>(text.size()), text.data());
        std::fflush(stderr);
        progress_shown_ = true;
    } else if (globals_.progress == ProgressForm::Plain) {
        const Instant now = machine_now();
        if (now - last_plain_ < kPlainProgressEvery) return;
        last_plain_ = now;
        std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
    }
}

void Console::end_progress() {
    if (!progress_shown_) return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    progress_shown_ = false;
}

std::string Console::paint(Paint paint, std::string_view text) const {
    const char* code = nullptr;
    switch (paint) {
        case Paint::None: break;
        case Paint::Good: code = "32"; break;
        case Paint::Bad: code = "1;31"; break;
        case Paint::Doubt: code = "33"; break;
        case Paint::Strong: code = "1"; break;
        case Paint::Faint: code = "2"; break;
    }
    return color_ && code != nullptr ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

bool Console::finish() {
    end_progress();
    return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

}  // namespace orrery::cli
