// The store here is written apart from the checker's on purpose: each is the other's check.
#include "generated_history.h"

#include <algorithm>
#include <map>
#include <optional>

#include "runtime/base/random.h"

namespace orrery::check {
namespace {

struct Step {
    Value state;
    Output output;
};

// What an operation does to one key, by the book.
std::optional<Step> step_of(const Value& state, const Operation& operation) {
    switch (operation.kind) {
        case OpKind::Get:
            return Step{state, Output::of_value(state)};
        case OpKind::Set:
            return Step{operation.value, Output::none()};
        case OpKind::Append: {
            Bytes text = state.value_or("") + *operation.value;
            return Step{text, Output::of_number(static_cast<int64_t>(text.size()))};
        }
        case OpKind::Cas:
            if (state == operation.expected) return Step{operation.value, Output::of_number(1)};
            return Step{state, Output::of_number(0)};
        case OpKind::Del:
            return Step{std::nullopt, Output::of_number(state ? 1 : 0)};
        case OpKind::Incr: {
            Bytes text = state.value_or("0");
            if (text.empty() || text.size() > 15) return std::nullopt;
            if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
                return std::nullopt;
            if (text.size() > 1 && text[0] == '0') return std::nullopt;
            int64_t sum = std::stoll(text) + operation.number;
            return Step{std::to_string(sum), Output::of_number(sum)};
        }
        case OpKind::Wait:
        case OpKind::WaitAll:
        case OpKind::Txn:
            break;
    }
    return std::nullopt;
}

bool place_rest(const std::vector<Operation>& operations, std::vector<bool>& placed,
                const Value& state) {
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
        if (placed[i] || operation.status == OpStatus::Fail || operation.start_sequence > deadline)
            continue;
        std::optional<Step> step = step_of(state, operation);
        bool answered = operation.status == OpStatus::Ok;
        if (answered && !step) continue;
        if (answered && operation.kind != OpKind::Set) {
            bool unchecked = operation.kind != OpKind::Get && !operation.output.number;
            if (!unchecked && !(step->output == operation.output)) continue;
        }
        placed[i] = true;
        bool found = place_rest(operations, placed, step ? step->state : state);
        placed[i] = false;
        if (found) return true;
    }
    return false;
}

Operation draw_operation(RandomStream& random, uint64_t client,
                         const GeneratedHistoryOptions& options, uint64_t unique) {
    Bytes key = "k" + std::to_string(random.below(options.keys));
    auto value = [&]() -> Bytes {
        return std::to_string(
            options.only_sets && !options.repeat_values ? unique : random.below(options.values));
    };
    auto maybe = [&]() -> Value { return random.chance(0.2) ? Value() : Value(value()); };
    if (options.only_sets)
        return random.chance(0.5) ? Operation::get(client, key)
                                  : Operation::set(client, key, value());
    switch (random.below(7)) {
        case 0:
            return Operation::set(client, key, value());
        case 1:
            return Operation::append(client, key, value());
        case 2: {
            Value expected = maybe();
            return Operation::cas(client, key, expected, maybe());
        }
        case 3:
            return Operation::del(client, key);
        case 4:
            return Operation::incr(client, key, static_cast<int64_t>(random.below(3)));
        default:
            return Operation::get(client, key);
    }
}

}  // namespace

std::vector<Operation> generate_history(uint64_t seed, const GeneratedHistoryOptions& options) {
    RandomStream random(seed, "test.history", 0);
    History history;
    std::map<Bytes, Value> store;
    enum class Phase { Idle, Called, Applied };
    struct Client {
        Phase phase = Phase::Idle;
        uint64_t name = 0;
        History::OpId id = 0;
        std::optional<Step> step;
    };
    std::vector<Client> clients(options.clients);
    for (size_t i = 0; i < clients.size(); ++i) clients[i].name = i;
    uint64_t next_name = options.clients;
    size_t called = 0;
    for (int64_t now = 0;; ++now) {
        Client& client = clients[random.below(clients.size())];
        if (client.phase == Phase::Idle) {
            bool done = called == options.operations;
            bool all_idle = std::all_of(clients.begin(), clients.end(),
                                        [](const Client& c) { return c.phase == Phase::Idle; });
            if (done && all_idle) return history.operations();
            if (done) continue;
            client.id = history
                            .invoke(draw_operation(random, client.name, options, ++called),
                                    Instant{now / 3})
                            .value();
            client.phase = Phase::Called;
            continue;
        }
        const Operation& operation = history.operations()[client.id];
        if (client.phase == Phase::Called) {
            client.step = step_of(store[operation.key], operation);
            bool fails = !client.step || random.chance(options.p_fail);
            if (fails) {
                history.complete(client.id, OpStatus::Fail, Output::none(), Instant{now / 3});
                client.phase = Phase::Idle;
                continue;
            }
            if (random.chance(options.p_unknown)) {
                if (random.chance(0.5)) store[operation.key] = client.step->state;
                if (random.chance(0.5))
                    history.complete(client.id, OpStatus::Unknown, Output::none(),
                                     Instant{now / 3});
                client.name = next_name++;
                client.phase = Phase::Idle;
                continue;
            }
            store[operation.key] = client.step->state;
            client.phase = Phase::Applied;
            continue;
        }
        history.complete(client.id, OpStatus::Ok,
                         operation.kind == OpKind::Set ? Output::none() : client.step->output,
                         Instant{now / 3});
        client.phase = Phase::Idle;
    }
}

bool brute_force_linearizable(const std::vector<Operation>& operations) {
    std::map<Bytes, std::vector<Operation>> by_key;
    for (const Operation& operation : operations) by_key[operation.key].push_back(operation);
    return std::all_of(by_key.begin(), by_key.end(), [](const auto& item) {
        std::vector<bool> placed(item.second.size());
        return place_rest(item.second, placed, std::nullopt);
    });
}

}  // namespace orrery::check
