#include "tools/orrery/recorder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "sim/core/world.h"
#include "tools/orrery/children.h"
#include "tools/orrery/quantity.h"

namespace orrery::cli {

using Json = nlohmann::ordered_json;

namespace {
// Text of nodes may be any bytes; what is no UTF-8 is replaced.
std::string one_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }
}  // namespace

std::string file_name_of(std::string_view name) {
    std::string out;
    for (char c : name.substr(0, 100)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        out += plain ? c : '_';
    }
    if (out.empty() || out.front() == '.') out.insert(0, "_");
    return out;
}

Recorder::Recorder(RecorderOptions options) : options_(std::move(options)) {
    if (options_.dir.empty()) return;
    mkdir((options_.dir + "/logs").c_str(), 0777);  // an error shows at the first file below it
    trace_ = open_file("trace.jsonl");
    faults_ = open_file("faults.jsonl");
}

Recorder::~Recorder() {
    if (trace_ >= 0) close(trace_);
    if (faults_ >= 0) close(faults_);
    for (const auto& [host, fd] : logs_)
        if (fd >= 0) close(fd);
}

int Recorder::open_file(const std::string& name) {
    const std::string path = options_.dir + "/" + name;
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 && problem_.empty()) problem_ = fmt::format("cannot write '{}': {}", path, std::strerror(errno));
    return fd;
}

void Recorder::write_line(int fd, std::string line) {
    if (fd < 0 || bytes_ > options_.max_bytes) return;
    bytes_ += line.size();
    if (bytes_ > options_.max_bytes) line = one_line(Json{{"cut", fmt::format("the files are longer than {} bytes; the rest is left out", options_.max_bytes)}});
    if (!write_all(fd, line) && problem_.empty())
        problem_ = fmt::format("cannot write below '{}': {}", options_.dir, std::strerror(errno));
}

void Recorder::on_event(uint64_t sequence, Instant at, std::string_view host, const TraceEvent& event) {
    ++events_;
    if (trace_ >= 0) {
        Json fields = Json::object();
        for (const TraceField& field : event.fields) {
            if (field.is_text()) fields[std::string(field.name)] = field.text;
            else if (field.kind == TraceField::Kind::Unsigned) fields[std::string(field.name)] = static_cast<uint64_t>(field.number);
            else fields[std::string(field.name)] = field.number;
        }
        const std::string line = one_line(Json{{"event", sequence},
                                               {"at_ns", at.ns},
                                               {"node", host},
                                               {"severity", severity_name(event.severity)},
                                               {"name", event.name},
                                               {"fields", std::move(fields)}});
        write_line(trace_, line);
        if (event.severity != Severity::Debug) {
            auto log = logs_.find(host);
            if (log == logs_.end()) log = logs_.emplace(host, open_file("logs/" + file_name_of(host) + ".jsonl")).first;
            write_line(log->second, line);
        }
    }
    if (options_.excerpt_lines > 0) keep(sequence, at, host, event.format());
    if (sequence == options_.until_event && options_.reached) options_.reached();
}

void Recorder::on_fault(uint64_t sequence, Instant at, std::string_view text) {
    write_line(faults_, one_line(Json{{"event", sequence}, {"at_ns", at.ns}, {"what", text}}));
    if (options_.excerpt_lines > 0) keep(sequence, at, "fault", std::string(text));
}

void Recorder::keep(uint64_t sequence, Instant at, std::string_view host, const std::string& text) {
    sim::World* world = sim::World::current();
    const uint64_t step = world == nullptr ? 0 : world->timeline().hash().steps();
    if (step > options_.until_step) return;
    const bool marked = options_.mark_step > 0 && step >= options_.mark_step;
    if (excerpt_.size() == options_.excerpt_lines) excerpt_.pop_front();
    excerpt_.push_back(fmt::format("{} {:>7} {:>14}  {:<8} {}", marked ? '>' : ' ', sequence, show_exact(at), host, text));
}

}  // namespace orrery::cli
