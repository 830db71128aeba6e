// The certain claims about one key. `a` certainly precedes `b` when a was answered before b was
// called.
#include "sim/check/durability.h"

#include <algorithm>
#include <charconv>

namespace orrery::check {

struct DurabilityLedger::Finding {
    KeyFate fate = KeyFate::Undecided;
    std::string violation;  // its name, when Violated
    std::string text;
};

namespace {

constexpr auto kNeverRead = "no final read";

size_t count_of(const Bytes& text, const Bytes& token) {
    size_t count = 0;
    for (size_t at = text.find(token); at != Bytes::npos; at = text.find(token, at + token.size()))
        ++count;
    return count;
}

bool replaces(OpKind kind) {
    return kind == OpKind::Set || kind == OpKind::Cas || kind == OpKind::Del;
}

}  // namespace

std::string_view key_fate_name(KeyFate fate) {
    switch (fate) {
        case KeyFate::Intact:
            return "intact";
        case KeyFate::Overwritten:
            return "overwritten";
        case KeyFate::Violated:
            return "violated";
        case KeyFate::Undecided:
            return "undecided";
    }
    return "?";
}

void DurabilityLedger::write(const Operation& operation) {
    if (operation.kind == OpKind::Get || is_wait(operation.kind)) return;
    bool ok = operation.status == OpStatus::Ok;
    if (operation.kind == OpKind::Txn) {
        for (const TxnPart& part : operation.parts) {
            Operation one = operation;
            one.parts.clear();
            one.kind = part.kind;
            one.key = part.key;
            one.value = part.value;
            one.number = part.number;
            write(one);
        }
        return;
    }
    if (operation.kind == OpKind::Cas && ok && operation.output.number == 0) return;
    if (writes_ >= options_.max_writes) {
        ++refused_;
        return;
    }
    ++writes_;
    keys_[operation.key].writes.push_back(
        {.kind = operation.kind,
         .status = operation.status,
         .value = operation.kind == OpKind::Del ? Value() : operation.value,
         .number = operation.number,
         .client = operation.client,
         .start = operation.start_sequence,
         .end = ok ? operation.end_sequence : UINT64_MAX});
}

void DurabilityLedger::add(std::span<const Operation> operations) {
    for (const Operation& operation : operations) write(operation);
}

void DurabilityLedger::final_read(const Bytes& key, Value value, const Stamp& stamp) {
    Key& entry = keys_[key];
    entry.read = true;
    entry.final = std::move(value);
    entry.read_at = stamp;
}

std::string DurabilityLedger::describe(const Write& write) {
    std::string out = std::string(op_kind_name(write.kind));
    if (write.kind == OpKind::Incr)
        out += " by " + std::to_string(write.number);
    else if (write.kind != OpKind::Del)
        out += " " + quote_value(write.value);
    return out + " of client " + std::to_string(write.client) + " (" +
           std::string(op_status_name(write.status)) + ", sequence " + std::to_string(write.start) +
           " to " + (write.end == UINT64_MAX ? "open" : std::to_string(write.end)) + ")";
}

// Sets, deletes and cas: the final value must come from a write that nothing acknowledged certainly
// followed.
DurabilityLedger::Finding DurabilityLedger::judge_replacing(const Bytes& name,
                                                            const Key& key) const {
    const Write* latest =
        nullptr;  // the acknowledged write that was called last: it follows all that could be lost
    for (const Write& write : key.writes)
        if (write.status == OpStatus::Ok && (!latest || write.start > latest->start))
            latest = &write;
    std::string found =
        "key " + quote_value(name) + " is " + quote_value(key.final) + " at the end";
    if (!latest && !key.final)
        return {KeyFate::Intact, {}, found + "; no write of it was acknowledged"};

    const Write* lost = nullptr;
    const Write* failed = nullptr;
    const Write* explains = nullptr;
    for (const Write& write : key.writes) {
        if (write.value != key.final) continue;
        if (write.status == OpStatus::Fail)
            failed = &write;
        else if (latest && write.end < latest->start)
            lost = &write;
        else if (!explains || write.status == OpStatus::Ok)
            explains = &write;
    }
    if (explains == latest && latest)
        return {KeyFate::Intact, {}, found + ", from the last acknowledged write"};
    if (explains) return {KeyFate::Overwritten, {}, found + ", from " + describe(*explains)};
    if (lost)
        return {KeyFate::Violated, "durability.lost-write",
                found + ", from " + describe(*lost) + ", though " + describe(*latest) +
                    " was acknowledged after it"};
    if (failed)
        return {KeyFate::Violated, "durability.failed-write-visible",
                found + ", from " + describe(*failed) +
                    ", which was answered as certainly without effect"};
    if (!key.final)
        return {KeyFate::Violated, "durability.lost-write",
                found + ", though " + describe(*latest) + " was acknowledged"};
    return {KeyFate::Violated, "durability.unwritten-value",
            found + ", which nobody wrote" +
                (latest ? "; the last acknowledged write is " + describe(*latest) : std::string())};
}

// Appends only: tokens are unique and no token is part of another (the workload ends each with a
// separator).
DurabilityLedger::Finding DurabilityLedger::judge_appends(const Bytes& name, const Key& key) const {
    Bytes text = key.final.value_or("");
    size_t explained = 0;
    for (const Write& write : key.writes) {
        if (!write.value || write.value->empty()) continue;
        size_t count = count_of(text, *write.value);
        explained += count * write.value->size();
        std::string found = "key " + quote_value(name) + " has " + std::to_string(count) +
                            " times the token of " + describe(write) +
                            " at the end: " + quote_value(key.final);
        if (count > 1) return {KeyFate::Violated, "durability.duplicated-write", found};
        if (count == 0 && write.status == OpStatus::Ok)
            return {KeyFate::Violated, "durability.lost-write", found};
        if (count == 1 && write.status == OpStatus::Fail)
            return {KeyFate::Violated, "durability.failed-write-visible", found};
    }
    if (explained != text.size())
        return {KeyFate::Violated, "durability.unwritten-value",
                "key " + quote_value(name) + " holds " + std::to_string(text.size()) +
                    " bytes at the end, of which " + std::to_string(explained) +
                    " were appended: " + quote_value(key.final)};
    return {
        KeyFate::Intact, {}, "key " + quote_value(name) + " holds each acknowledged token once"};
}

DurabilityLedger::Finding DurabilityLedger::judge_increments(const Bytes& name,
                                                             const Key& key) const {
    int64_t low = 0, high = 0, value = 0;
    bool acknowledged = false, overflow = false;
    for (const Write& write : key.writes) {
        if (write.status == OpStatus::Fail) continue;
        bool ok = write.status == OpStatus::Ok;
        acknowledged |= ok;
        if (ok || write.number < 0) overflow |= __builtin_add_overflow(low, write.number, &low);
        if (ok || write.number > 0) overflow |= __builtin_add_overflow(high, write.number, &high);
    }
    if (overflow)
        return {KeyFate::Undecided,
                {},
                "key " + quote_value(name) + ": the sums leave the range of 64 bits"};
    std::string found = "key " + quote_value(name) + " is " + quote_value(key.final) +
                        " at the end; the acknowledged and possible increments sum to " +
                        std::to_string(low) + " to " + std::to_string(high);
    if (!key.final) {
        if (acknowledged) return {KeyFate::Violated, "durability.lost-write", found};
        return {KeyFate::Intact, {}, found};
    }
    auto [end, error] =
        std::from_chars(key.final->data(), key.final->data() + key.final->size(), value);
    if (error != std::errc() || end != key.final->data() + key.final->size())
        return {KeyFate::Violated, "durability.unwritten-value", found};
    if (value < low || value > high) return {KeyFate::Violated, "durability.wrong-sum", found};
    return {KeyFate::Intact, {}, found};
}

DurabilityLedger::Finding DurabilityLedger::judge_key(const Bytes& name, const Key& key) const {
    std::string label = "key " + quote_value(name) + ": ";
    if (!key.read) return {KeyFate::Undecided, {}, label + kNeverRead};
    auto every = [&](auto&& holds) {
        return std::all_of(key.writes.begin(), key.writes.end(), holds);
    };
    if (every([](const Write& write) { return replaces(write.kind); }))
        return judge_replacing(name, key);
    if (every([](const Write& write) { return write.kind == OpKind::Append; }))
        return judge_appends(name, key);
    if (every([](const Write& write) { return write.kind == OpKind::Incr; }))
        return judge_increments(name, key);
    // A mix. What stays certain: a key with an acknowledged write and no delete that may have come
    // last is present.
    bool acknowledged = std::any_of(key.writes.begin(), key.writes.end(), [](const Write& write) {
        return write.status == OpStatus::Ok && write.kind != OpKind::Del;
    });
    bool may_delete = !every([](const Write& write) {
        bool deletes = write.kind == OpKind::Del || (write.kind == OpKind::Cas && !write.value);
        return !deletes || write.status == OpStatus::Fail;
    });
    if (acknowledged && !may_delete && !key.final)
        return {
            KeyFate::Violated, "durability.lost-write",
            label + "absent at the end, though writes were acknowledged and nothing deletes it"};
    return {KeyFate::Undecided, {}, label + "writes of kinds that are judged apart are mixed"};
}

std::vector<KeyJudgement> DurabilityLedger::judge_keys() const {
    std::vector<KeyJudgement> out;
    for (const auto& [name, key] : keys_) {
        Finding finding = judge_key(name, key);
        out.push_back({name, finding.fate, finding.text});
    }
    return out;
}

Verdict DurabilityLedger::judge() const {
    Violations violations(options_.max_violations);
    size_t unread = 0;
    for (const auto& [name, key] : keys_) {
        Finding finding = judge_key(name, key);
        if (finding.fate == KeyFate::Violated)
            violations.add(finding.violation, "final read", key.read_at, finding.text);
        if (!key.read) ++unread;
    }
    if (!violations.empty())
        return {.outcome = Outcome::Violated, .violations = violations.list(), .reason = {}};
    std::string reason;
    if (refused_)
        reason = std::to_string(refused_) + " writes were beyond the ledger's bound";
    else if (writes_ == 0)
        reason = "no write was in the ledger";
    else if (unread)
        reason = std::to_string(unread) + " of " + std::to_string(keys_.size()) +
                 " written keys had no final read";
    return {.outcome = reason.empty() ? Outcome::Pass : Outcome::Inconclusive,
            .violations = {},
            .reason = reason};
}

}  // namespace orrery::check
