// Each rule is one comparison of a reply with the truth; the header names them.
#include "sim/check/wait_checker.h"

#include <algorithm>
#include <set>

namespace orrery::check {
namespace {

using Nodes = std::set<NodeId>;

Nodes set_of(const std::vector<NodeId>& nodes) {
    return {nodes.begin(), nodes.end()};
}

std::string text_of(const Nodes& nodes) {
    std::string out = "{";
    for (NodeId node : nodes) out += (out.size() > 1 ? ", " : "") + std::to_string(node.value);
    return out + "}";
}

// Members of R other than the leader that hold the target.
int64_t truly_acked(const WaitTruth& truth) {
    Nodes holders = set_of(truth.holders), required = set_of(truth.required);
    return std::count_if(required.begin(), required.end(), [&](NodeId node) {
        return node != truth.leader && holders.contains(node);
    });
}

bool all_hold(const WaitTruth& truth) {
    Nodes holders = set_of(truth.holders);
    return std::all_of(truth.required.begin(), truth.required.end(),
                       [&](NodeId node) { return holders.contains(node); });
}

std::string number(int64_t value) {
    return std::to_string(value);
}

}  // namespace

WaitChecker::WaiterId WaitChecker::called(const WaitCall& call) {
    if (open_.size() >= options_.max_open) {
        ++refused_;
        return 0;
    }
    open_[next_] = {.call = call};
    return next_++;
}

void WaitChecker::observe(WaiterId waiter, const WaitTruth& truth) {
    auto it = open_.find(waiter);
    if (it != open_.end() && all_hold(truth)) it->second.all_held = true;
}

void WaitChecker::answered(WaiterId waiter, const WaitReply& reply, const WaitTruth& truth) {
    if (waiter == 0) return;
    auto it = open_.find(waiter);
    if (it == open_.end()) {
        violations_.add(
            "wait.replied-twice", "reply", reply.answered,
            "waiter " + std::to_string(waiter) + " got a second answer, or one after its end");
        return;
    }
    observe(waiter, truth);
    Open open = it->second;
    open_.erase(it);
    if (reply.ending != WaitReply::Ending::Answered) return;
    ++replies_;
    if (reply.target > open.call.target)
        violations_.add("wait.foreign-target", "reply", reply.answered,
                        "the server waited for index " + std::to_string(reply.target.value) +
                            ", but the connection's own writes and reads end at " +
                            std::to_string(open.call.target.value));
    if (open.call.kind == WaitCall::Kind::Wait)
        check_wait(open, reply, truth);
    else
        check_wait_all(open, reply, truth);
}

void WaitChecker::check_wait(const Open& waiter, const WaitReply& reply, const WaitTruth& truth) {
    int64_t true_count = truly_acked(truth);
    auto others = static_cast<int64_t>(set_of(truth.required).size()) - 1;
    if (reply.acked > true_count) {
        // More than the configuration has is counted wrongly whatever the disks hold.
        bool too_many = reply.acked > others;
        violations_.add(too_many ? "wait.wrong-members" : "wait.overcount", "wait", reply.answered,
                        "WAIT answered " + number(reply.acked) + " for index " +
                            std::to_string(waiter.call.target.value) + ", but " +
                            number(true_count) + " of the " + number(others) + " other members " +
                            text_of(set_of(truth.required)) + " hold it (holders " +
                            text_of(set_of(truth.holders)) + ")");
    }
    // n above the configured number means all.
    bool satisfied = reply.acked >= std::min(waiter.call.members, others);
    check_time(waiter, reply, satisfied || waiter.call.members <= 0);
}

void WaitChecker::check_wait_all(const Open& waiter, const WaitReply& reply,
                                 const WaitTruth& truth) {
    Nodes required = set_of(truth.required), missing = set_of(reply.missing),
          holders = set_of(truth.holders);
    bool success = reply.acked == reply.required && reply.missing.empty();
    std::string answer = "WAITALL answered " + number(reply.acked) + " of " +
                         number(reply.required) + ", missing " + text_of(missing) + ", for index " +
                         std::to_string(waiter.call.target.value) + ": ";
    auto add = [&](std::string_view name, const std::string& why) {
        violations_.add(name, "waitall", reply.answered, answer + why);
    };
    if (reply.required != static_cast<int64_t>(required.size()))
        add("wait.wrong-members", "the required members are " + text_of(required));
    for (NodeId node : missing)
        if (!required.contains(node))
            add("wait.wrong-members", "node " + std::to_string(node.value) + " is no member");
    if (reply.acked + static_cast<int64_t>(reply.missing.size()) != reply.required ||
        missing.size() != reply.missing.size())
        add("wait.missing-inexact", "acked and missing do not add up to required");
    if (!success) {
        for (NodeId node : required)
            if (!missing.contains(node) && !holders.contains(node))
                add("wait.missing-inexact",
                    "node " + std::to_string(node.value) + " does not hold it, yet is not named");
    } else if (!waiter.all_held) {
        add("wait.all-not-held",
            "the members are " + text_of(required) + ", those that hold it " + text_of(holders));
    }
    if (success && required.size() > 1 && !truth.quorum_since_call)
        add("wait.vacuous",
            "no majority of " + text_of(required) + " answered the leader since the call");
    check_time(waiter, reply, success);
}

void WaitChecker::check_time(const Open& waiter, const WaitReply& reply, bool satisfied) {
    const WaitCall& call = waiter.call;
    Duration took = reply.answered.at - call.called.at;
    std::string_view site = call.kind == WaitCall::Kind::Wait ? "wait" : "waitall";
    std::string after =
        "answered " + number(reply.acked) + " after " + number(took.ns / 1'000) + " us; ";
    bool limited = call.timeout.ns > 0;
    if (!call.may_block) {
        if (took > options_.turn)
            violations_.add("wait.late", site, reply.answered,
                            after + "inside MULTI it must not block");
        return;
    }
    if (limited && took > call.timeout + options_.turn)
        violations_.add("wait.late", site, reply.answered,
                        after + "the timeout was " + number(call.timeout.as_millis()) + " ms");
    if (satisfied) return;
    if (!limited)
        violations_.add("wait.ended-by-time", site, reply.answered,
                        after + "it asked for more and set no limit in time");
    else if (took < call.timeout)
        violations_.add("wait.early", site, reply.answered,
                        after + "it asked for more, and the timeout of " +
                            number(call.timeout.as_millis()) + " ms had not passed");
}

void WaitChecker::leader_answered(const LeaderAnswer& answer, const LeaderTruth& truth) {
    ++leader_answers_;
    const bool all = answer.kind == LeaderAnswer::Kind::WaitAll;
    std::string members, holders;
    uint64_t others = 0, true_count = 0;
    bool leader_holds = false;
    std::map<NodeId, int64_t> of_node, lacking;  // replicas of the node in R; those that do not hold it
    for (const RequiredMember& member : truth.required) {
        const std::string name = std::to_string(member.node.value) + ":" + std::to_string(member.replica.value);
        members += (members.empty() ? "" : ", ") + name;
        if (member.holds) holders += (holders.empty() ? "" : ", ") + name;
        ++of_node[member.node];
        lacking[member.node] += !member.holds;
        if (member.node == truth.leader) {
            leader_holds |= member.holds;
        } else {
            ++others;
            true_count += member.holds;
        }
    }
    std::string missing;
    for (NodeId node : answer.missing) missing += (missing.empty() ? "" : ", ") + std::to_string(node.value);
    const std::string said =
        "leader " + std::to_string(truth.leader.value) + " answered " +
        (all ? std::to_string(answer.acked) + " of " + std::to_string(answer.required) + ", missing {" + missing + "}"
             : std::to_string(answer.count) + " of " + std::to_string(answer.members) + " asked for") +
        (answer.timed_out ? " when the time was up" : "") + ", for index " + std::to_string(answer.target.value) +
        "; members {" + members + "}, of whom hold it {" + holders + "}";
    auto add = [&](std::string_view name, const std::string& why) {
        violations_.add(name, all ? "leader's waitall" : "leader's wait", answer.at, said + ": " + why);
    };
    if (!all) {
        if (answer.count > others) add("wait.wrong-members", "more than there are other members");
        else if (answer.count > true_count) add("wait.overcount", "too many");
        if (answer.local_synced && !leader_holds) add("wait.overcount", "the leader itself has not synced it");
        const bool satisfied = answer.count >= std::min(answer.members, others) && (!answer.local || answer.local_synced);
        if (!satisfied && !answer.timed_out) add("wait.early", "fewer than were asked for, and there was time");
        if (satisfied && answer.timed_out && truth.own_term_committed) add("wait.hung", "that was enough all the time");
        return;
    }
    if (answer.required != truth.required.size()) add("wait.wrong-members", "not as many are required");
    if (answer.acked + answer.missing.size() != answer.required) add("wait.missing-inexact", "the numbers do not add up");
    std::map<NodeId, int64_t> named;
    for (NodeId node : answer.missing)
        if (++named[node] > (of_node.contains(node) ? of_node[node] : 0)) add("wait.wrong-members", "node " + std::to_string(node.value) + " is not required");
    const bool success = answer.acked == answer.required;
    for (const auto& [node, without] : lacking)
        if (without > named[node])
            add(success ? "wait.all-not-held" : "wait.missing-inexact", "node " + std::to_string(node.value) + " does not hold it, yet is not named");
    if (success && truth.required.size() > 1 && !truth.heard_since_call) add("wait.vacuous", "nobody confirmed its leadership since it was asked");
    if (!success && !answer.timed_out) add("wait.early", "not all, and there was time");
}

void WaitChecker::twice(const Stamp& stamp, uint64_t wait) {
    violations_.add("wait.replied-twice", "leader", stamp, "the leader's wait " + std::to_string(wait) + " ended a second time, or had not begun");
}

void WaitChecker::overtaken(const Stamp& stamp, const std::string& text) {
    violations_.add("wait.overtaken", "reply", stamp, text);
}

void WaitChecker::took(const Stamp& stamp, Duration timeout, Duration took, Duration grace) {
    // By a slow clock the time lasts longer.
    const Duration slow = Duration::micros(timeout.ns / 1000 * options_.slow_ppm / (1'000'000 - options_.slow_ppm) + 1);
    if (timeout.ns <= 0 || took <= timeout + slow + grace) return;
    violations_.add("wait.late", "server", stamp,
                    "the server answered after " + number(took.ns / 1'000) + " us; the timeout was " + number(timeout.as_millis()) +
                        " ms, and " + number(grace.as_millis()) + " ms more are granted");
}

void WaitChecker::idle_round(const Stamp& stamp, Duration took, Duration bound) {
    if (took <= bound) return;
    violations_.add("wait.stalled", "idle", stamp,
                    "in an idle group with all members up and in touch a wait took " + number(took.ns / 1'000) + " us; it needs a round trip and a sync, not " +
                        number(bound.ns / 1'000) + " us");
}

void WaitChecker::left_over(const Stamp& stamp, NodeId node, uint64_t waiters) {
    if (waiters == 0) return;
    violations_.add("wait.leaked", "table", stamp,
                    "node " + std::to_string(node.value) + " has " + std::to_string(waiters) + " in its table of waiters, and no client waits");
}

void WaitChecker::finish(const Stamp& stamp) {
    for (const auto& [waiter, open] : open_)
        violations_.add("wait.leaked", "end", stamp,
                        "waiter " + std::to_string(waiter) + ", called at " +
                            std::to_string(open.call.called.at.ns) +
                            " ns, has no end though all connections closed");
    open_.clear();
}

Verdict WaitChecker::verdict() const {
    if (!violations_.empty())
        return {.outcome = Outcome::Violated, .violations = violations_.list(), .reason = {}};
    std::string reason;
    if (refused_)
        reason = std::to_string(refused_) + " waiters were beyond the bound";
    else if (replies_ == 0)
        reason = "no reply of a wait was checked";
    return {.outcome = reason.empty() ? Outcome::Pass : Outcome::Inconclusive,
            .violations = {},
            .reason = reason};
}

}  // namespace orrery::check
