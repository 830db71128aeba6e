// The store here is written apart from the checkers on purpose: each is the other's check.
#include "generated_transactions.h"

#include <algorithm>
#include <map>
#include <optional>

#include "runtime/base/random.h"

namespace orrery::check {

namespace {

using Store = std::map<Bytes, Value>;

Output::Answer step(Store& store, const TxnPart& part) {
    Value& value = store[part.key];
    switch (part.kind) {
        case OpKind::Append:
            value = value.value_or("") + *part.value;
            return {.number = static_cast<int64_t>(value->size())};
        case OpKind::Incr: {
            const int64_t sum = std::stoll(value.value_or("0")) + part.number;
            value = std::to_string(sum);
            return {.number = sum};
        }
        default:
            return {.value = value};
    }
}

std::vector<TxnPart> parts_of(const Operation& operation) {
    if (operation.kind == OpKind::Txn) return operation.parts;
    return {{.kind = operation.kind, .key = operation.key, .value = operation.value, .number = operation.number}};
}

std::vector<Output::Answer> answers_of(const Operation& operation) {
    if (operation.kind == OpKind::Txn) return operation.output.answers;
    return {{.value = operation.output.value, .number = operation.output.number}};
}

Output output_of(const Operation& operation, std::vector<Output::Answer> answers) {
    Output out;
    if (operation.kind == OpKind::Txn) {
        out.answers = std::move(answers);
    } else {
        out.value = answers[0].value;
        out.number = answers[0].number;
    }
    return out;
}

bool place_transactions(const std::vector<Operation>& operations, std::vector<bool>& placed, const Store& store) {
    uint64_t deadline = UINT64_MAX;
    bool all = true;
    for (size_t i = 0; i < operations.size(); ++i) {
        if (placed[i] || operations[i].status != OpStatus::Ok) continue;
        all = false;
        deadline = std::min(deadline, operations[i].end_sequence);
    }
    if (all) return true;
    for (size_t i = 0; i < operations.size(); ++i) {
        const Operation& operation = operations[i];
        if (placed[i] || operation.status == OpStatus::Fail || operation.start_sequence > deadline) continue;
        Store next = store;
        std::vector<Output::Answer> answers;
        for (const TxnPart& part : parts_of(operation)) answers.push_back(step(next, part));
        if (operation.status == OpStatus::Ok && answers != answers_of(operation)) continue;
        placed[i] = true;
        const bool found = place_transactions(operations, placed, next);
        placed[i] = false;
        if (found) return true;
    }
    return false;
}

TxnPart draw_part(RandomStream& random, const GeneratedTransactionsOptions& options, uint64_t set, uint64_t& unique) {
    const size_t at = random.below(options.lists + options.counters);
    const bool list = at < options.lists;
    TxnPart part;
    part.key = (list ? "a" : "n") + std::to_string(set) + "." + std::to_string(at);
    if (random.chance(0.4)) return part;
    part.kind = list ? OpKind::Append : OpKind::Incr;
    if (list) part.value = "t" + std::to_string(++unique) + ";";
    part.number = (options.down ? -1 : 1) * random.between(1, 3);
    return part;
}

Operation draw(RandomStream& random, uint64_t client, const GeneratedTransactionsOptions& options, uint64_t set, uint64_t& unique) {
    if (random.chance(options.p_txn)) {
        std::vector<TxnPart> parts;
        for (uint64_t left = 1 + random.below(3); left > 0; --left) parts.push_back(draw_part(random, options, set, unique));
        return Operation::txn(client, std::move(parts));
    }
    const TxnPart part = draw_part(random, options, set, unique);
    if (part.kind == OpKind::Append) return Operation::append(client, part.key, *part.value);
    if (part.kind == OpKind::Incr) return Operation::incr(client, part.key, part.number);
    return Operation::get(client, part.key);
}

}  // namespace

std::vector<Operation> generate_transactions(uint64_t seed, const GeneratedTransactionsOptions& options) {
    RandomStream random(seed, "test.transactions", 0);
    History history;
    Store store;
    enum class Phase { Idle, Called, Applied };
    struct Client {
        Phase phase = Phase::Idle;
        uint64_t name = 0;
        History::OpId id = 0;
        Output output;
    };
    std::vector<Client> clients(options.clients);
    for (size_t i = 0; i < clients.size(); ++i) clients[i].name = i;
    uint64_t next_name = options.clients, unique = 0;
    size_t called = 0, busy = 0;
    for (int64_t now = 0;; ++now) {
        Client& client = clients[random.below(clients.size())];
        if (client.phase == Phase::Idle) {
            if (called == options.operations && busy == 0) return history.operations();
            if (called == options.operations) continue;
            const uint64_t set = options.operations_per_key_set == 0 ? 0 : called / options.operations_per_key_set;
            ++called;
            client.id = history.invoke(draw(random, client.name, options, set, unique), Instant{now / 3}).value();
            client.phase = Phase::Called;
            ++busy;
            continue;
        }
        const Operation& operation = history.operations()[client.id];
        if (client.phase == Phase::Called) {
            const bool fails = random.chance(options.p_fail), unknown = random.chance(options.p_unknown);
            if (!fails && (!unknown || random.chance(0.5))) {
                std::vector<Output::Answer> answers;
                for (const TxnPart& part : parts_of(operation)) answers.push_back(step(store, part));
                client.output = output_of(operation, std::move(answers));
            }
            client.phase = Phase::Applied;
            if (!fails && !unknown) continue;
            if (fails || random.chance(0.5)) history.complete(client.id, fails ? OpStatus::Fail : OpStatus::Unknown, {}, Instant{now / 3});
            client.name = next_name++;
            client.phase = Phase::Idle;
            --busy;
            continue;
        }
        history.complete(client.id, OpStatus::Ok, std::move(client.output), Instant{now / 3});
        client.phase = Phase::Idle;
        --busy;
    }
}

void spoil(std::vector<Operation>& operations, uint64_t seed) {
    RandomStream random(seed, "test.spoil", 0);
    Operation& victim = operations[random.below(operations.size())];
    if (victim.status != OpStatus::Ok) return;
    const uint64_t how = random.below(8);
    if (how == 0) {  // refused, though it took effect
        victim.status = OpStatus::Fail;
        victim.output = {};
        return;
    }
    if (how == 1) {  // answered before everything that was answered while it was under way
        uint64_t first = victim.end_sequence;
        for (const Operation& other : operations)
            if (other.end_sequence > victim.start_sequence) first = std::min(first, other.end_sequence);
        for (Operation& other : operations) {  // sequences stay unique
            if (other.start_sequence >= first) ++other.start_sequence;
            if (other.end_sequence != UINT64_MAX && other.end_sequence >= first) ++other.end_sequence;
        }
        victim.end_sequence = first;
        return;
    }
    // Another version of what it saw.
    std::vector<Output::Answer> answers = answers_of(victim);
    const std::vector<TxnPart> parts = parts_of(victim);
    const size_t at = random.below(parts.size());
    if (parts[at].kind != OpKind::Get) {
        answers[at].number = *answers[at].number + random.between(-3, 3);
    } else if (parts[at].key[0] == 'n') {
        const int64_t number = std::stoll(answers[at].value.value_or("0")) + random.between(-2, 2);
        answers[at].value = number == 0 ? Value() : Value(std::to_string(number));
    } else {
        Bytes text = answers[at].value.value_or("");
        if (random.chance(0.5) && !text.empty()) {
            const size_t cut = text.size() < 2 ? std::string::npos : text.rfind(';', text.size() - 2);
            text.resize(cut == std::string::npos ? 0 : cut + 1);
        } else {
            for (const Operation& other : operations)
                for (const TxnPart& part : parts_of(other))
                    if (part.kind == OpKind::Append && part.key == parts[at].key && random.chance(0.3)) text += *part.value;
        }
        answers[at].value = text.empty() ? Value() : Value(text);
    }
    victim.output = output_of(victim, std::move(answers));
}

bool brute_force_serializable(const std::vector<Operation>& operations) {
    std::vector<bool> placed(operations.size());
    return place_transactions(operations, placed, {});
}

}  // namespace orrery::check
