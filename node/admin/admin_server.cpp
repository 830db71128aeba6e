#include "node/admin/admin_server.h"

#include <algorithm>

#include "node/admin/request_reader.h"

namespace orrery::admin {

namespace {

// Answers to pipelined requests are gathered up to about so many bytes before they are written.
constexpr size_t kWriteBatchBytes = 64 * 1024;

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kMetrics = "text/plain; version=0.0.4; charset=utf-8";

std::string_view reason_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 417:
            return "Expectation Failed";
        case 431:
            return "Request Header Fields Too Large";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
    }
    UNREACHABLE();
}

struct Target {
    std::string_view path;
    std::string_view query;
};

/// Takes the absolute form too, as a proxy sends it.
Target parse_target(std::string_view target) {
    for (std::string_view scheme : {"http://", "https://"})
        if (target.starts_with(scheme)) {
            const size_t slash = target.find('/', scheme.size());
            target = slash == std::string_view::npos ? "/" : target.substr(slash);
        }
    const size_t mark = target.find('?');
    if (mark == std::string_view::npos) return {target, {}};
    return {target.substr(0, mark), target.substr(mark + 1)};
}

/// `name`, `name=1` or `name=true` among the parameters.
bool asks_for(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const size_t end = std::min(query.find('&'), query.size());
        const std::string_view one = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (!one.starts_with(name)) continue;
        const std::string_view value = one.substr(name.size());
        if (value.empty() || value == "=" || value == "=1" || value == "=true") return true;
    }
    return false;
}

/// Reasons are for people and come from anywhere: they stay on their line.
void append_line(std::string& out, std::string_view text) {
    for (char c : text) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    out += '\n';
}

}  // namespace

struct AdminServer::Reply {
    int status = 200;
    std::string_view type = kPlain;
    std::string body{};

    void append_to(std::string& out, bool keep_alive, bool with_body) const {
        out += "HTTP/1.1 " + std::to_string(status) + " ";
        out += reason_of(status);
        out += "\r\nContent-Type: ";
        out += type;
        out += "\r\nContent-Length: " + std::to_string(body.size());
        out += "\r\nCache-Control: no-store";
        if (status == 405) out += "\r\nAllow: GET, HEAD";
        out += keep_alive ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
        if (with_body) out += body;
    }
};

AdminServer::AdminServer(Env& env, AdminOptions options) : env_(env), options_(std::move(options)) {
    CHECK(options_.limits.connections > 0);
    CHECK(options_.limits.header_bytes >= 64, options_.limits.header_bytes);
}

AdminServer::~AdminServer() = default;

void AdminServer::add_check(std::string name, AdminCheck check) {
    CHECK(listener_ == nullptr, "add_check after start", name);
    CHECK(!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") ==
                               std::string::npos,
          name);
    for (const Check& present : checks_) CHECK(present.name != name, name);
    checks_.push_back({std::move(name), std::move(check)});
}

void AdminServer::set_status(AdminStatus status) {
    status_ = std::move(status);
}

void AdminServer::set_metrics(std::function<std::string()> metrics) {
    metrics_ = std::move(metrics);
}

Result<void> AdminServer::start(const Address& at) {
    CHECK(listener_ == nullptr, "started twice");
    TRY(listener_, env_.net.listen(at));
    std::optional<Gate::Pass> pass = gate_.enter();
    CHECK(pass.has_value());
    env_.spawn("admin.accept",
               [this, held = std::move(*pass)](Fiber& fiber) { accept_loop(fiber); });
    env_.tracer.info("admin.listening",
                     {{"daemon", options_.name}, {"at", listener_->local().text()}});
    return {};
}

Address AdminServer::local() const {
    CHECK(listener_ != nullptr);
    return listener_->local();
}

bool AdminServer::make_room() {
    if (connections_.size() < options_.limits.connections) return true;
    // Probes come from a few places and often: whoever holds an idle connection longest needs it
    // least.
    auto victim = connections_.end();
    for (auto at = connections_.begin(); at != connections_.end(); ++at)
        if (at->second.idle &&
            (victim == connections_.end() || at->second.idle_since < victim->second.idle_since))
            victim = at;
    if (victim == connections_.end()) return false;
    env_.scheduler.cancel(victim->second.fiber);
    connections_.erase(victim);
    ++counters_.evicted;
    return true;
}

void AdminServer::accept_loop(Fiber& fiber) {
    while (!stopping_) {
        Result<std::unique_ptr<Conn>> accepted = listener_->accept(fiber);
        if (!accepted.ok()) {
            if (!stopping_ && !accepted.failed_with(Code::Cancelled))
                env_.tracer.error("admin.accept_failed",
                                  {{"daemon", options_.name}, {"why", accepted.error().text()}});
            return;
        }
        if (stopping_) return;
        if (!make_room()) {
            ++counters_.refused;
            env_.tracer.warning("admin.too_many_connections",
                                {{"daemon", options_.name}, {"from", (*accepted)->peer().text()}});
            continue;
        }
        std::optional<Gate::Pass> pass = gate_.enter();
        if (!pass.has_value()) return;
        ++counters_.accepted;
        const uint64_t id = next_connection_++;
        const FiberId serving = env_.spawn("admin.serve", [this, id, conn = std::move(*accepted),
                                                           held = std::move(*pass)](Fiber& one) {
            serve(one, id, *conn);
            connections_.erase(id);
        });
        connections_.emplace(id, Connection{serving, true, env_.now()});
    }
}

void AdminServer::serve(Fiber& fiber, uint64_t id, Conn& conn) {
    const AdminLimits& limits = options_.limits;
    RequestReader reader(limits.header_bytes, limits.body_bytes);
    std::string out;
    std::vector<char> into(RequestReader::kFeedMax);
    // The only state of this fiber that others look at. Gone when the connection was evicted.
    const auto note_idle = [&](bool idle) {
        auto at = connections_.find(id);
        if (at == connections_.end() || at->second.idle == idle) return;
        at->second.idle = idle;
        at->second.idle_since = env_.now();
    };
    const auto flush = [&]() -> Result<void> {
        ByteView rest = out;
        while (!rest.empty()) {
            TRY(const size_t written, conn.write(fiber, rest, env_.now() + limits.write_timeout));
            rest.remove_prefix(written);
        }
        out.clear();
        return {};
    };
    const auto refuse = [&](int status, std::string_view why) {
        ++counters_.requests;
        ++counters_.malformed;
        Reply reply{status};
        append_line(reply.body, why);
        reply.append_to(out, false, true);
        // Not drained: the answer may be lost behind a reset when the peer is still sending, and
        // that is its own doing.
        if (flush().ok()) conn.shutdown_write();
    };

    Instant request_until = Instant::never();  // of the request that has begun
    for (;;) {
        bool keep_alive = true;
        for (bool more = true; more && keep_alive;) {
            std::variant<RequestReader::NeedMore, HttpRequest, HttpFailure> next = reader.next();
            if (auto* failure = std::get_if<HttpFailure>(&next))
                return refuse(failure->status, failure->why);
            if (auto* request = std::get_if<HttpRequest>(&next)) {
                ++counters_.requests;
                keep_alive = request->keep_alive && !stopping_;
                answer(request->method, request->target)
                    .append_to(out, keep_alive, request->method != "HEAD");
                request_until = Instant::never();
                if (out.size() >= kWriteBatchBytes && !flush().ok()) return;
            } else {
                more = false;
            }
        }
        if (!flush().ok()) return;
        if (!keep_alive) return conn.shutdown_write();
        const bool idle = reader.between_requests();
        if (idle && stopping_) return;
        note_idle(idle);
        if (!idle && request_until == Instant::never())
            request_until = env_.now() + limits.request_timeout;
        const Instant until = idle ? env_.now() + limits.idle_timeout : request_until;
        Result<size_t> got = conn.read(fiber, into, until);
        if (got.failed_with(Code::Timeout) && !idle)
            return refuse(408, "the request did not end in time");
        if (!got.ok() || *got == 0)
            return;  // a peer that left in the middle of a request is nobody to answer
        note_idle(false);
        reader.feed(ByteView(into.data(), *got));
    }
}

AdminServer::Reply AdminServer::answer(std::string_view method, std::string_view raw_target) const {
    const Target target = parse_target(raw_target);
    const bool known = target.path == "/livez" || target.path == "/readyz" ||
                       (target.path == "/status" && status_) || (target.path == "/metrics" && metrics_);
    if (!known) return {404, kPlain, "there is /livez, /readyz, /readyz?verbose, /status and /metrics\n"};
    if (method != "GET" && method != "HEAD") return {405, kPlain, "only GET and HEAD\n"};
    if (target.path == "/readyz") return readyz(asks_for(target.query, "verbose"));
    if (target.path == "/metrics") return {200, kMetrics, metrics_()};
    if (target.path == "/status") return {200, kJson, status_() + "\n"};
    return {200, kPlain,
            "live\n"};  // the loop turns and fibers run: this is the answer's own evidence
}

AdminServer::Reply AdminServer::readyz(bool verbose) const {
    Reply reply;
    std::string lines;
    for (const Check& check : checks_) {
        const Result<void> holds = check.ask();
        if (!holds.ok()) reply.status = 503;
        if (!verbose && holds.ok()) continue;
        append_line(lines,
                    holds.ok() ? check.name + ": ok" : check.name + ": " + holds.error().text());
    }
    reply.body = (reply.status == 200 ? "ready\n" : "not ready\n") + lines;
    return reply;
}

Result<void> AdminServer::stop(Fiber& fiber) {
    stopping_ = true;
    if (listener_ != nullptr) listener_->close();
    for (const auto& [id, connection] : connections_)
        if (connection.idle) env_.scheduler.cancel(connection.fiber);
    // Those within a request have the rest of request_timeout to send it and write_timeout to take
    // the answer; a daemon that stops grants the shorter of the two, once.
    const Duration grace = std::min(options_.limits.request_timeout, options_.limits.write_timeout);
    Result<void> closed = gate_.close(fiber, env_.now() + grace);
    if (!closed.failed_with(Code::Timeout)) return closed;
    for (const auto& [id, connection] : connections_) env_.scheduler.cancel(connection.fiber);
    return gate_.close(fiber);
}

}  // namespace orrery::admin
