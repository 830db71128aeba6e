// The header says what is judged; here each rule is one comparison of intervals.
#include "sim/check/expiry.h"

#include <algorithm>
#include <cstdio>

#include "runtime/base/check.h"

namespace orrery::check {
namespace {

std::string seconds(Instant at) {
    char text[40];
    std::snprintf(text, sizeof text, "%.3f s", static_cast<double>(at.ns) / 1e9);
    return text;
}

std::string millis(Duration time) { return std::to_string(time.as_millis()) + " ms"; }

/// Whether an answered operation saw the key; nullopt when it could not tell.
std::optional<bool> saw_it(const ExpiryOp& op, bool expires) {
    switch (op.kind) {
        case ExpiryKind::Get: return op.value.has_value();
        case ExpiryKind::TimeToLive: return op.number != -2;
        case ExpiryKind::Expire: return op.number == 1;
        case ExpiryKind::Persist:
            // 0 is also the answer for a key that does not expire.
            if (op.number == 0 && !expires) return std::nullopt;
            return op.number == 1;
        case ExpiryKind::Set: return std::nullopt;
    }
    UNREACHABLE(static_cast<int>(op.kind));
}

}  // namespace

std::string ExpiryOp::text() const {
    std::string out;
    switch (kind) {
        case ExpiryKind::Set: out = "set '" + key + "' px " + millis(ttl); break;
        case ExpiryKind::Expire: out = "pexpire '" + key + "' " + millis(ttl); break;
        case ExpiryKind::Persist: out = "persist '" + key + "'"; break;
        case ExpiryKind::Get: out = "get '" + key + "'"; break;
        case ExpiryKind::TimeToLive: out = "pttl '" + key + "'"; break;
    }
    out += " -> ";
    if (status != OpStatus::Ok) {
        out += op_status_name(status);
    } else if (kind == ExpiryKind::Set) {
        out += "ok";
    } else if (kind == ExpiryKind::Get) {
        out += quote_value(value);
    } else if (kind == ExpiryKind::TimeToLive && number == 0) {
        out += millis(ttl);
    } else {
        out += std::to_string(number);
    }
    return out + " [" + seconds(called.at) + ", " + seconds(answered.at) + "]";
}

std::optional<ExpiryChecker::OpId> ExpiryChecker::call(ExpiryOp op) {
    if (operations_.size() >= options_.max_operations) {
        full_ = true;
        return std::nullopt;
    }
    operations_.push_back(std::move(op));
    return operations_.size() - 1;
}

void ExpiryChecker::answer(OpId id, OpStatus status, Value value, int64_t number, Duration ttl, const Stamp& stamp) {
    ExpiryOp& op = operations_[id];
    CHECK(op.status == OpStatus::Open && status != OpStatus::Open, id);
    op.status = status;
    op.answered = stamp;
    if (op.kind == ExpiryKind::Get) op.value = std::move(value);
    if (op.kind == ExpiryKind::TimeToLive) op.ttl = ttl;
    op.number = number;
}

void ExpiryChecker::time_found(NodeId node, int64_t wall_ns) {
    auto stored = stored_.find({node, wall_ns});
    // A pair that nobody stored is none: then no move of a clock excuses what it leads to.
    if (stored != stored_.end()) found_[node] = stored->second;
}

std::optional<Duration> ExpiryChecker::bound(Instant from, Instant to) const {
    const int64_t passed = std::max<int64_t>(0, (to - from).ns);
    Duration out = options_.slack + Duration::nanos(static_cast<int64_t>(static_cast<double>(passed) * static_cast<double>(options_.rate_ppb) / 1e9));
    for (const Begun& begun : begun_) {
        if (begun.at < from || begun.at > to) continue;
        if (!begun.by_estimate) return std::nullopt;
        for (const Move& move : moves_) {
            auto stored = begun.stored.find(move.node);
            if (stored == begun.stored.end() || move.at < stored->second || move.at > begun.at) continue;
            out = out + Duration::nanos(move.by.ns < 0 ? -move.by.ns : move.by.ns);
        }
    }
    return out;
}

ExpiryChecker::State ExpiryChecker::behind(const State& before, const ExpiryOp& op) const {
    State after = before;
    if (op.status == OpStatus::Fail) return after;
    if (op.status == OpStatus::Ok && op.kind != ExpiryKind::Set && op.number == 0) return after;  // it found nothing to change
    after.since = &op;
    after.gone = nullptr;
    if (op.status != OpStatus::Ok || !before.known) after.known = op.status == OpStatus::Ok && op.kind == ExpiryKind::Set;
    if (op.kind == ExpiryKind::Set) after.value = op.value;
    after.expires = op.kind != ExpiryKind::Persist;
    after.begins = op.called.at;
    after.earliest = op.called.at + op.ttl;
    after.latest = op.answered.at + op.ttl;
    return after;
}

std::optional<ExpiryChecker::Misfit> ExpiryChecker::misfit(const State& state, const ExpiryOp& op) const {
    if (!state.known) return std::nullopt;
    const std::optional<bool> saw = saw_it(op, state.expires);
    if (!saw) return std::nullopt;
    const std::string history = op.text() + (state.since != nullptr ? ", behind " + state.since->text() : ", and it was never written");
    if (!state.value) {
        if (*saw) return Misfit{"expiry.wrong-value", history};
        return std::nullopt;
    }
    if (op.kind == ExpiryKind::Get && *saw && op.value != state.value) return Misfit{"expiry.wrong-value", history};
    if (!state.expires) {
        if (!*saw) return Misfit{"expiry.too-early", history + ": it does not expire"};
        if (op.kind == ExpiryKind::TimeToLive && op.number == 0) return Misfit{"expiry.wrong-time", history + ": it does not expire"};
        return std::nullopt;
    }
    const std::optional<Duration> bound = this->bound(state.begins, op.answered.at);
    if (*saw) {
        if (state.gone != nullptr && op.called.sequence > state.gone->answered.sequence)
            return Misfit{"expiry.came-back", history + ": it was gone before, as " + state.gone->text() + " saw"};
        if (bound && op.called.at > state.latest + *bound)
            return Misfit{"expiry.too-late", history + ": it had to be gone by " + seconds(state.latest) + ", and " + millis(*bound) + " are allowed"};
        if (op.kind == ExpiryKind::TimeToLive) {
            if (op.number == -1) return Misfit{"expiry.wrong-time", history + ": it expires"};
            if (bound && (op.answered.at + op.ttl < state.earliest - *bound || op.called.at + op.ttl > state.latest + *bound))
                return Misfit{"expiry.wrong-time", history + ": it expires between " + seconds(state.earliest) + " and " + seconds(state.latest) +
                                                       ", and " + millis(*bound) + " are allowed"};
        }
        return std::nullopt;
    }
    if (bound && op.answered.at < state.earliest - *bound)
        return Misfit{"expiry.too-early", history + ": it had to stay until " + seconds(state.earliest) + ", and " + millis(*bound) + " are allowed"};
    return std::nullopt;
}

void ExpiryChecker::judge_key(std::vector<const ExpiryOp*>& ops) {
    // States behind each operation of the writer; states[0] before all of them.
    std::vector<const ExpiryOp*> writes;
    for (const ExpiryOp* op : ops)
        if (op->writes()) writes.push_back(op);
    std::vector<State> states(1);
    for (const ExpiryOp* op : writes) states.push_back(behind(states.back(), *op));
    // In the order of the answers, so that who saw it gone is known before whoever asked later.
    std::sort(ops.begin(), ops.end(), [](const ExpiryOp* a, const ExpiryOp* b) { return a->answered.sequence < b->answered.sequence; });
    for (const ExpiryOp* op : ops) {
        if (op->status != OpStatus::Ok) continue;
        // What held when it was called, and what came to hold before its answer. The writer's own operation is judged by
        // what it found.
        size_t first = 0, last = 0;
        for (size_t i = 0; i < writes.size() && writes[i] != op; ++i) {
            const bool ended = writes[i]->status == OpStatus::Ok || writes[i]->status == OpStatus::Fail;
            if (ended && writes[i]->answered.sequence < op->called.sequence) first = last = i + 1;
            else if (writes[i]->called.sequence < op->answered.sequence) last = i + 1;
        }
        ++judged_;
        std::optional<Misfit> worst;
        bool fits = false;
        for (size_t i = first; i <= last && !fits; ++i) {
            std::optional<Misfit> one = misfit(states[i], *op);
            fits = !one.has_value();
            if (!fits && !worst) worst = std::move(one);
        }
        if (!fits) {
            violations_.add(worst->name, "key", op->answered, worst->text);
        } else if (first == last && saw_it(*op, states[first].expires) == false && states[first].gone == nullptr) {
            // Also for states behind it that are the same one: an operation that found nothing changed nothing.
            for (size_t i = first; i < states.size() && states[i].since == states[first].since; ++i) states[i].gone = op;
        }
    }
}

Verdict ExpiryChecker::judge() {
    std::map<Bytes, std::vector<const ExpiryOp*>> keys;
    for (const ExpiryOp& op : operations_) keys[op.key].push_back(&op);
    for (auto& [key, ops] : keys) judge_key(ops);
    if (!violations_.empty()) return {Outcome::Violated, violations_.list(), {}};
    if (full_) return {Outcome::Inconclusive, {}, "operations on keys that expire were beyond the bound"};
    if (judged_ == 0) return {Outcome::Inconclusive, {}, "no operation on a key that expires was judged"};
    return {Outcome::Pass, {}, {}};
}

}  // namespace orrery::check
