#include "tools/orrery/job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

#include "sim/core/world.h"
#include "sim/scenario/run.h"
#include "sim/scenario/scenario_toml.h"
#include "tools/orrery/quantity.h"
#include "tools/orrery/recorder.h"

namespace orrery::cli {

namespace {

constexpr int kRequestFd = 3, kReplyFd = 4;
constexpr size_t kMaxRequestBytes = 16u << 20;

RunRecord record_of(const sim::Scenario& plan, const sim::RunResult& result) {
    RunRecord record{.scenario = plan.name, .seed = plan.seed, .outcome = result.verdict.outcome, .reason = result.verdict.reason};
    for (const check::Violation& violation : result.verdict.violations)
        record.findings.push_back({violation.name, violation.text, violation.signature(), violation.at});
    record.hash = result.hash;
    record.steps = result.steps;
    record.checkpoints = result.checkpoints;
    record.watched_value = result.watched_hash;
    record.simulated = result.sim_time;
    record.operations = result.operations;
    record.operations_ok = result.operations_ok;
    record.operations_unknown = result.operations_unknown;
    record.planned_events = plan.plan.events.size();
    record.expected = sim::judge(plan.expect, result.verdict) == sim::Judgement::AsExpected;
    for (const sim::FiredFault& fault : result.faults) ++record.faults_fired[fault.fault];
    record.probes = result.probes;
    for (size_t position : result.never_fired) {
        const sim::PlannedFault& event = plan.plan.events.at(position);
        record.not_fired.push_back(fmt::format("event {} ({}{}{})", position + 1, sim::fault_name(event.fault),
                                               event.id.empty() ? "" : ", id ", event.id));
    }
    record.notes = result.notes;
    record.recent = result.recent;
    return record;
}

// What is known at an event in the middle of a run: the process ends there.
RunRecord record_at_stop(const sim::Scenario& plan) {
    sim::World* world = sim::World::current();
    CHECK(world != nullptr);
    const sim::TraceHash& hash = world->timeline().hash();
    RunRecord record{.scenario = plan.name, .seed = plan.seed, .reason = "stopped at the event that was asked for"};
    record.hash = hash.value();
    record.steps = hash.steps();
    record.checkpoints = hash.checkpoints();
    record.simulated = world->now() - Instant{};
    record.planned_events = plan.plan.events.size();
    record.stopped_early = true;
    return record;
}

bool write_history(const std::string& dir, const check::History& history) {
    const std::string path = dir + "/history.jsonl";
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    const bool written = write_all(fd, history.to_jsonl());
    return close(fd) == 0 && written;
}

// The child's whole life.
int simulate(const Job& job, int reply_fd) {
    const sim::Scenario plan = sim::expand(job.scenario, job.seed);
    if (!write_all(reply_fd, encode_frame(FrameKind::Plan, sim::scenario_to_toml(plan)))) return number_of(ExitCode::Io);

    std::unique_ptr<Recorder> recorder;
    if (!job.capture_dir.empty() || job.excerpt_lines > 0 || job.until_event > 0) {
        const auto stop_here = [&] {
            RunRecord record = record_at_stop(plan);
            record.trace_events = recorder->events();
            record.excerpt = recorder->excerpt();
            write_all(reply_fd, encode_frame(FrameKind::Record, encode_record(record)));
            _exit(0);  // the fiber that emitted the event can not be left in any other way
        };
        recorder = std::make_unique<Recorder>(RecorderOptions{.dir = job.capture_dir,
                                                              .excerpt_lines = job.excerpt_lines,
                                                              .until_event = job.until_event,
                                                              .reached = stop_here,
                                                              .mark_step = job.watch_step,
                                                              .until_step = job.until_step});
    }
    const sim::RunResult result = sim::run_plan(plan, {.sink = recorder.get(),
                                                       .watch_step = job.watch_step,
                                                       .until = job.until,
                                                       .until_step = job.until_step,
                                                       .stop_at_violation = job.stop_at_violation});
    RunRecord record = record_of(plan, result);
    record.stopped_early = result.stopped || (job.stop_at_violation && record.outcome == check::Outcome::Violated);
    if (recorder != nullptr) {
        record.trace_events = recorder->events();
        record.excerpt = recorder->excerpt();
        if (!recorder->problem().empty()) record.notes.push_back(recorder->problem());
    }
    if (!job.capture_dir.empty() && !write_history(job.capture_dir, result.history))
        record.notes.push_back(fmt::format("cannot write '{}/history.jsonl'", job.capture_dir));
    return write_all(reply_fd, encode_frame(FrameKind::Record, encode_record(record))) ? 0 : number_of(ExitCode::Io);
}

Bytes encode_request(const Job& job) {
    Bytes out;
    put_string(out, sim::scenario_to_toml(job.scenario));
    put_string(out, job.capture_dir);
    for (uint64_t number : {job.seed, job.watch_step, static_cast<uint64_t>(job.until.ns), job.until_step, job.until_event,
                            static_cast<uint64_t>(job.stop_at_violation), static_cast<uint64_t>(job.excerpt_lines)})
        put_le<uint64_t>(out, number);
    return out;
}

Result<Job> decode_request(ByteView bytes) {
    ByteReader in(bytes);
    ByteView text, dir;
    std::array<uint64_t, 7> numbers{};
    bool whole = in.take_string(text) && in.take_string(dir);
    for (uint64_t& number : numbers) whole = whole && in.take_le(number);
    if (!whole || !in.empty()) return Error(Code::Corrupt, "the request does not decode");
    sim::Loaded loaded = sim::load_scenario(text, "(request)");
    if (!loaded.ok()) return Error(Code::Invalid, "the scenario does not read back: " + loaded.problems.front().line());
    return Job{.scenario = std::move(loaded.scenario),
               .seed = numbers[0],
               .watch_step = numbers[1],
               .until = Instant{static_cast<int64_t>(numbers[2])},
               .until_step = numbers[3],
               .until_event = numbers[4],
               .stop_at_violation = numbers[5] != 0,
               .excerpt_lines = static_cast<uint32_t>(numbers[6]),
               .capture_dir = std::string(dir)};
}

// In the child: becomes this program again, in surroundings that must not matter.
int start_anew(const Bytes& request, int reply_fd) {
    const int memory = memfd_create("orrery-request", 0);
    if (memory < 0 || !write_all(memory, request) || lseek(memory, 0, SEEK_SET) != 0) return number_of(ExitCode::Io);
    const int high = fcntl(reply_fd, F_DUPFD, 10);  // out of the way of 3 and 4
    if (high < 0 || dup2(memory, kRequestFd) < 0 || dup2(high, kReplyFd) < 0) return number_of(ExitCode::Io);
    if (memory != kRequestFd && memory != kReplyFd) close(memory);
    close(high);
    // Where it is refused (containers), the run keeps its random addresses, which differ from the parent's all the same.
    const int persona = personality(0xffffffff);
    if (persona >= 0) personality(static_cast<unsigned long>(persona) | ADDR_NO_RANDOMIZE);
    if (chdir("/") != 0) return number_of(ExitCode::Io);
    std::string perturb = "MALLOC_PERTURB_=165", tunables = "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=4096";
    char* environment[] = {perturb.data(), tunables.data(), nullptr};
    std::string name = "orrery", argument = kRequestArgument;
    char* arguments[] = {name.data(), argument.data(), nullptr};
    execve("/proc/self/exe", arguments, environment);
    dprintf(STDERR_FILENO, "cannot start this program anew: %s\n", std::strerror(errno));
    return number_of(ExitCode::OwnBug);
}

Finding crash_finding(const ChildEnd& end, Duration limit) {
    const std::string site = crash_site(end.stderr_tail);
    check::Violation violation{.site = site};
    if (end.timed_out) {
        violation.name = "process.wall-limit";
        violation.text = fmt::format("the run was killed after {} of wall time, its limit", show(limit));
        violation.site.clear();  // where it was then is chance
    } else if (site.find("Sanitizer:") != std::string::npos || site.find("runtime error:") != std::string::npos) {
        violation.name = "process.sanitizer";
        violation.text = site;
    } else if (end.signal == SIGABRT) {
        violation.name = "process.aborted";
        violation.text = "the simulating process aborted" + (site.empty() ? "" : ": " + site);
    } else if (end.signal == SIGKILL) {
        violation.name = "process.killed";
        violation.text = "the simulating process was killed from outside (out of memory?)";
        violation.site.clear();
    } else if (end.signal != 0) {
        violation.name = "process.crashed";
        violation.text = fmt::format("the simulating process was ended by signal {} ({}){}", end.signal, strsignal(end.signal),
                                     site.empty() ? "" : ", after: " + site);
        violation.site = fmt::format("SIG{}", sigabbrev_np(end.signal));
    } else {
        violation.name = "process.exited";
        violation.text = fmt::format("the simulating process left with status {} before its run was over{}", end.exit_status,
                                     site.empty() ? "" : ": " + site);
    }
    return {violation.name, violation.text, violation.signature(), {}};
}

}  // namespace

ExitCode RunOutcome::exit_code() const {
    if (!own_bug.empty()) return ExitCode::OwnBug;
    if (record.expected) return ExitCode::Fine;
    return record.outcome == check::Outcome::Inconclusive ? ExitCode::Inconclusive : ExitCode::Violated;
}

Result<void> start_job(Children& children, uint64_t token, const Job& job) {
    const ChildLimits limits{.wall = job.wall};
    if (job.surroundings == Surroundings::Plain)
        return children.start(token, limits, [&job](int reply_fd) { return simulate(job, reply_fd); });
    return children.start(token, limits, [&job](int reply_fd) { return start_anew(encode_request(job), reply_fd); });
}

RunOutcome settle(const Job& job, ChildEnd end) {
    RunOutcome outcome{.stderr_tail = std::move(end.stderr_tail), .wall = end.wall};
    end.stderr_tail = outcome.stderr_tail;
    Result<Reply> reply = decode_reply(end.reply);
    if (end.reply_too_long) outcome.own_bug = "the reply of the simulating process is longer than 64 MiB";
    else if (!reply.ok()) outcome.own_bug = reply.error().context;
    else if (!reply->refused.empty()) outcome.own_bug = reply->refused;
    if (reply.ok()) outcome.plan = std::move(reply->plan);
    // A record counts only when the process ended well too: a sanitizer reports leaks behind the last line.
    const bool ended_well = end.signal == 0 && end.exit_status == 0;
    if (reply.ok() && reply->record.has_value() && !reply->cut && ended_well) {
        outcome.record = std::move(*reply->record);
        outcome.came_to_end = true;
        return outcome;
    }
    if (outcome.own_bug.empty() && ended_well)
        outcome.own_bug = "the simulating process ended well, but its record is missing or cut";
    RunRecord& record = outcome.record;
    record.scenario = job.scenario.name;
    record.seed = job.seed;
    record.outcome = check::Outcome::Violated;
    record.findings = {crash_finding(end, job.wall)};
    const check::Verdict verdict{check::Outcome::Violated, {{.name = record.findings[0].property, .text = record.findings[0].text}}, {}};
    record.expected = sim::judge(job.scenario.expect, verdict) == sim::Judgement::AsExpected;
    return outcome;
}

Result<RunOutcome> run_job(const Job& job, StopSignals* stop) {
    Children children(stop);
    TRY(start_job(children, 0, job));
    while (children.running() > 0) {
        std::vector<ChildEnd> ended = children.wait(Instant::never());
        if (!ended.empty()) return settle(job, std::move(ended.front()));
        if (stop != nullptr && stop->count() > 0) return Error(Code::Cancelled, "stopped by a signal");
    }
    UNREACHABLE();
}

int serve_request() {
    Bytes request;
    char buffer[65536];
    ssize_t got = 0;
    while (request.size() <= kMaxRequestBytes && (got = read(kRequestFd, buffer, sizeof buffer)) > 0)
        request.append(buffer, static_cast<size_t>(got));
    close(kRequestFd);
    const Result<Job> job = got < 0 ? Result<Job>(Error(Code::Io, "the request can not be read")) : decode_request(request);
    if (!job.ok()) {
        write_all(kReplyFd, encode_frame(FrameKind::Refused, job.error().context));
        return number_of(exit_code_of(job.code()));
    }
    return simulate(*job, kReplyFd);
}

std::string crash_site(std::string_view stderr_tail) {
    std::string_view best, last;
    for (std::string_view rest = stderr_tail; !rest.empty();) {
        const size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (best.empty() && (line.find("Sanitizer:") != std::string_view::npos || line.find("runtime error:") != std::string_view::npos))
            best = line;
        if (line.find_first_not_of(" \t") != std::string_view::npos) last = line;
    }
    if (best.empty()) best = last;
    if (best.starts_with("==")) best.remove_prefix(std::min(best.find(' ') + 1, best.size()));  // "==pid=="
    std::string site;
    for (size_t i = 0; i < best.size() && site.size() < 400; ++i) {
        if (best.substr(i).starts_with("0x")) {
            site += "0x";
            for (i += 2; i < best.size() && std::isxdigit(static_cast<unsigned char>(best[i]));) ++i;
            --i;
        } else {
            site += best[i];
        }
    }
    return site;
}

}  // namespace orrery::cli
