#include "tools/orreryctl/kv_time.h"

#include <cstdio>

#include "tools/orreryctl/calendar.h"

namespace orrery::ctl {

Result<void> show_times(Fiber& fiber, Env& env, const std::vector<Address>& peers, Duration patience) {
    Result<void> outcome;
    std::printf("%-24s %-6s %-32s %14s  %-9s %s\n", "address", "node", "state time", "ahead of wall", "source", "leads");
    for (const Address& peer : peers) {
        Result<kv::TimeReport> report = kv::ask_time(fiber, env, peer, env.now() + patience);
        if (report.failed_with(Code::Cancelled)) return report.error();
        if (!report.ok()) {
            std::fprintf(stderr, "%s: warning[W0305]: no answer: %s\n", peer.text().c_str(), report.error().text().c_str());
            outcome = report.error().within("node at " + peer.text());
            continue;
        }
        const auto& view = report->view;
        const bool known = view.origin != kv::TimeOrigin::None;
        std::printf("%-24s %-6llu %-32s %11lld ms  %-9.*s %s\n", peer.text().c_str(), static_cast<unsigned long long>(report->node.value),
                    known ? rfc3339(view.time.ns).c_str() : "-", known ? static_cast<long long>(view.ahead().as_millis()) : 0LL,
                    static_cast<int>(kv::time_origin_name(view.origin).size()), kv::time_origin_name(view.origin).data(),
                    report->leader == report->node ? "leader" : "");
    }
    return outcome;
}

Result<void> set_time(Fiber& fiber, Env& env, const std::vector<Address>& peers, kv::LogTime to, Duration patience) {
    Result<kv::LogTime> from = Error(Code::Unreachable, "no node was asked");
    for (const Address& peer : peers) {
        from = kv::set_time(fiber, env, peer, to, env.now() + patience);
        if (from.ok()) break;
        // A refusal holds everywhere, and what may have taken effect is not sent again behind the operator's back.
        if (from.code() == Code::Cancelled || from.code() == Code::Invalid || from.code() == Code::Unknown) break;
        if (from.code() == Code::Timeout) return Error(Code::Unknown, "node at " + peer.text() + " did not answer in time: the change may or may not have "
                                                                      "taken effect; look with `orreryctl kv time`. Setting the same time again is harmless");
        std::fprintf(stderr, "%s: warning[W0305]: not through this node: %s\n", peer.text().c_str(), from.error().text().c_str());
    }
    if (!from.ok()) return from.error();
    std::printf("state-machine time moved from %s to %s; keys expire earlier by %.3f s\n", rfc3339(from->ns).c_str(), rfc3339(to.ns).c_str(),
                static_cast<double>(to.ns - from->ns) / 1e9);
    return {};
}

}  // namespace orrery::ctl
