// Reading is strict: a key that nobody asks for is an error, since a misspelt fault is a test that
// never ran.
#include "sim/scenario/scenario_toml.h"

#include <toml++/toml.h>
#include <algorithm>
#include <set>

#include "node/raft/core/configuration.h"
#include "runtime/base/defect.h"
#include "sim/fault/toml_writer.h"
#include "sim/scenario/run.h"
#include "sim/scenario/scenario_fields.h"
#include "sim/scenario/script.h"

namespace orrery::sim {

std::string Problem::line() const {
    return where + ": " + (error ? "error" : "warning") + "[" + code + "]: " + text;
}

bool Loaded::ok() const {
    return std::none_of(problems.begin(), problems.end(),
                        [](const Problem& one) { return one.error; });
}

namespace {

/// Number of single-letter changes from one word to the other.
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] =
                std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
    const std::string* best = nullptr;
    size_t least = std::max<size_t>(2, word.size() / 3) + 1;
    for (const std::string& one : known) {
        const size_t far = distance(word, one);
        if (far < least) {
            least = far;
            best = &one;
        }
    }
    return best != nullptr ? "; did you mean '" + *best + "'?" : "";
}

class Reading {
 public:
    Reading(std::string_view file, std::vector<Problem>& problems)
        : file_(file), problems_(problems) {}
    void error(const toml::source_region& at, std::string_view code, std::string text) {
        const std::string where =
            at.begin ? ":" + std::to_string(at.begin.line) + ":" + std::to_string(at.begin.column)
                     : "";
        problems_.push_back({std::string(file_) + where, true, std::string(code), std::move(text)});
    }

 private:
    std::string_view file_;
    std::vector<Problem>& problems_;
};

/// One table: every key that is asked for is known; finish() reports the others.
class Table {
 public:
    Table(Reading& reading, const toml::table& table, std::string name)
        : reading_(reading), table_(table), name_(std::move(name)) {}

    const toml::node* find(std::string_view key) {
        known_.emplace_back(key);
        return table_.get(key);
    }
    bool has(std::string_view key) const { return table_.contains(key); }
    const toml::source_region& source() const { return table_.source(); }
    void wrong(const toml::node& node, std::string_view key, const std::string& wanted) {
        reading_.error(node.source(), "E0302",
                       "'" + name_ + std::string(key) + "' must be " + wanted);
    }

    void operator()(std::string_view key, std::string& field) {
        if (const toml::node* node = find(key)) {
            if (auto value = node->value_exact<std::string>()) {
                field = *value;
            } else {
                wrong(*node, key, "a string");
            }
        }
    }
    void operator()(std::string_view key, bool& field) {
        if (const toml::node* node = find(key)) {
            if (auto value = node->value_exact<bool>()) {
                field = *value;
            } else {
                wrong(*node, key, "true or false");
            }
        }
    }
    void operator()(std::string_view key, int64_t& field) {
        if (const toml::node* node = find(key)) {
            if (auto value = node->value_exact<int64_t>()) {
                field = *value;
            } else {
                wrong(*node, key, "an integer");
            }
        }
    }
    void operator()(std::string_view key, uint64_t& field) {
        const toml::node* node = find(key);
        if (node == nullptr) return;
        // Seeds use all 64 bits; TOML's integers have 63, so that a seed may also be a string of
        // digits.
        if (auto value = node->value_exact<int64_t>(); value && *value >= 0) {
            field = static_cast<uint64_t>(*value);
        } else if (auto text = node->value_exact<std::string>();
                   text && !text->empty() && text->size() <= 20 &&
                   text->find_first_not_of("0123456789") == std::string::npos) {
            field = 0;
            for (char c : *text) field = field * 10 + static_cast<uint64_t>(c - '0');
        } else if (auto size = text ? parse_size(*text) : std::nullopt) {
            field = *size;
        } else {
            wrong(*node, key, "a non-negative integer, or a size such as \"256KiB\"");
        }
    }
    void operator()(std::string_view key, double& field) {
        if (const toml::node* node = find(key)) {
            if (auto value = node->value<double>()) {
                field = *value;
            } else {
                wrong(*node, key, "a number");
            }
        }
    }
    void operator()(std::string_view key, Duration& field) {
        if (const toml::node* node = find(key)) {
            auto text = node->value_exact<std::string>();
            auto value = text ? parse_duration(*text) : std::nullopt;
            if (value) {
                field = *value;
            } else {
                wrong(*node, key, "a time with its unit, such as \"1.5s\" or \"300us\"");
            }
        }
    }
    void operator()(std::string_view key, std::vector<std::string>& field) {
        const toml::node* node = find(key);
        if (node == nullptr) return;
        const toml::array* array = node->as_array();
        if (array == nullptr) return wrong(*node, key, "a list of strings");
        field.clear();
        for (const toml::node& item : *array) {
            if (auto value = item.value_exact<std::string>()) {
                field.push_back(*value);
            } else {
                wrong(item, key, "a list of strings");
            }
        }
    }
    template <typename E>
    requires std::is_enum_v<E>
    void operator()(std::string_view key, E& field) {
        const toml::node* node = find(key);
        if (node == nullptr) return;
        const auto text = node->value_exact<std::string>();
        std::string all;
        for (size_t i = 0; i < kEnumWords<E>.size(); ++i) {
            if (text && kEnumWords<E>[i] == *text) {
                field = static_cast<E>(i);
                return;
            }
            all += (i == 0 ? "" : ", ") + std::string(kEnumWords<E>[i]);
        }
        wrong(*node, key, "one of: " + all);
    }
    /// The table behind a key; calls `body(Table&)` and finishes it.
    template <typename F>
    void table(std::string_view key, F&& body) {
        const toml::node* node = find(key);
        if (node == nullptr) return;
        const toml::table* inner = node->as_table();
        if (inner == nullptr) return wrong(*node, key, "a table");
        Table next(reading_, *inner, name_ + std::string(key) + ".");
        body(next);
        next.finish();
    }
    template <typename F>
    void tables(std::string_view key, F&& body) {
        const toml::node* node = find(key);
        if (node == nullptr) return;
        const toml::array* array = node->as_array();
        if (array == nullptr || !array->is_array_of_tables())
            return wrong(*node, key, "a list of tables");
        for (const toml::node& item : *array) {
            Table next(reading_, *item.as_table(), std::string(key) + ".");
            body(next);
            next.finish();
        }
    }
    void finish() {
        for (const auto& [key, node] : table_) {
            const std::string_view word = key.str();
            if (std::find(known_.begin(), known_.end(), word) != known_.end()) continue;
            reading_.error(
                key.source(), "E0301",
                "unknown key '" + name_ + std::string(word) + "'" + suggestion(word, known_));
        }
    }
    Reading& reading() { return reading_; }

 private:
    static std::optional<uint64_t> parse_size(std::string_view text) {
        const size_t unit_at = text.find_first_not_of("0123456789");
        if (unit_at == 0 || unit_at == std::string_view::npos || unit_at > 9) return std::nullopt;
        uint64_t value = 0;
        for (char c : text.substr(0, unit_at)) value = value * 10 + static_cast<uint64_t>(c - '0');
        const std::string_view unit = text.substr(unit_at);
        if (unit == "B") return value;
        if (unit == "KiB") return value << 10;
        if (unit == "MiB") return value << 20;
        if (unit == "GiB") return value << 30;
        return std::nullopt;
    }

    Reading& reading_;
    const toml::table& table_;
    std::string name_;
    std::vector<std::string> known_;
};

/// The shares that a kind of workload begins with.
WorkloadMix mix_of_workload(const std::string& kind) {
    WorkloadMix mix;
    if (kind == "metadata") return {.get = 0.3, .set = 0.1, .append = 0, .incr = 0, .del = 0.2, .cas = 0.4, .wait = 0, .waitall = 0};
    if (kind == "kv-register") mix.append = mix.incr = 0;
    if (kind != "kv-counters" && kind != "kv-appends" && kind != "kv-transactions") return mix;
    mix.set = mix.del = mix.cas = 0;
    mix.get = 0.4;
    mix.append = kind == "kv-counters" ? 0 : kind == "kv-appends" ? 0.5 : 0.3;
    mix.incr = kind == "kv-appends" ? 0 : kind == "kv-counters" ? 0.5 : 0.2;
    mix.txn = kind == "kv-transactions" ? 0.5 : 0;
    return mix;
}

void read_event(Table& table, std::vector<PlannedFault>& events) {
    PlannedFault event;
    table("id", event.id);
    int triggers = 0;
    if (table.has("at")) {
        ++triggers;
        TriggerAt at;
        table("at", at.at);
        event.trigger = at;
    }
    if (table.has("when")) {
        ++triggers;
        TriggerWhen when;
        table("when", when.point);
        table("node", when.node);
        table("nth", when.nth);
        table("where", when.where);
        event.trigger = when;
    }
    if (table.has("after")) {
        ++triggers;
        TriggerAfter after;
        table("after", after.event);
        table("delay", after.delay);
        event.trigger = after;
    }
    if (triggers != 1)
        table.reading().error(table.source(), "E0303",
                              "an event has exactly one trigger: at, when or after");
    std::string action;
    table("do", action);
    std::optional<Fault> fault = fault_by_name(action);
    if (!fault) {
        std::vector<std::string> names;
        for (const FaultInfo& one : fault_catalogue()) names.emplace_back(one.name);
        table.reading().error(
            table.source(), "E0304",
            action.empty() ? "an event needs an action: do = \"...\""
                           : "there is no fault '" + action + "'" + suggestion(action, names));
        return;
    }
    std::visit([&](auto& one) { visit_fields(one, table); }, *fault);
    event.fault = std::move(*fault);
    events.push_back(std::move(event));
}

void read_schedule(Table& table, Schedule& schedule) {
    table("policy", schedule.policy);
    table("extra_yield_p", schedule.extra_yield_p);
    table("pct_depth", schedule.pct_depth);
    if (schedule.pct_depth < 1 || schedule.pct_depth > 100)
        table.reading().error(table.source(), "E0307", "pct_depth is 1 to 100");
    std::vector<std::string> pins;
    table("pin", pins);
    for (const std::string& pin : pins) {
        // "stream/entity/counter=value", all numbers, the stream in hexadecimal or by its name.
        const size_t first = pin.find('/'), second = pin.find('/', first + 1),
                     equals = pin.find('=', second + 1);
        if (first == std::string::npos || second == std::string::npos ||
            equals == std::string::npos) {
            table.reading().error(table.source(), "E0305",
                                  "a pin is \"stream/entity/counter=value\", not '" + pin + "'");
            continue;
        }
        auto number = [](std::string_view text, int base) {
            uint64_t value = 0;
            for (char c : text)
                value = value * static_cast<uint64_t>(base) +
                        static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
            return value;
        };
        const std::string_view text = pin, stream = text.substr(0, first);
        DrawAddress address;
        address.stream = stream.starts_with("#") ? number(stream.substr(1), 16) : hash_name(stream);
        address.entity = number(text.substr(first + 1, second - first - 1), 10);
        address.counter = number(text.substr(second + 1, equals - second - 1), 10);
        schedule.pins[address] = number(text.substr(equals + 1), 10);
    }
}

void read_phase(Table& table, Phases& phases) {
    std::string kind;
    table("kind", kind);
    if (kind == "chaos") {
        table("for", phases.chaos);
    } else if (kind == "heal") {
        table("within", phases.heal_within);
    } else if (kind == "verify") {
        table("on", phases.verify);
    } else {
        table.reading().error(
            table.source(), "E0306",
            "a phase is chaos (for), heal (within) or verify (on), not '" + kind + "'");
    }
}

void read_all(Table& top, Scenario& scenario) {
    top("schema", scenario.schema);
    top("name", scenario.name);
    top("seed", scenario.seed);
    top("tags", scenario.tags);
    top("defects", scenario.defects);
    top.table("origin", [&](Table& t) { visit_table(scenario.origin, t); });
    top.table("cluster", [&](Table& t) {
        t("masters", scenario.cluster.masters);
        if (scenario.cluster.of_masters()) scenario.cluster.kv = 0, scenario.workload.kind = "metadata";
        t("kv", scenario.cluster.kv);
        t("spare", scenario.cluster.spare);
        t("data", scenario.cluster.data);
        t.table("knobs", [&](Table& knobs) { visit_table(scenario.cluster.knobs, knobs); });
    });
    top.table("workload", [&](Table& t) {
        visit_table(scenario.workload, t);
        scenario.workload.mix = mix_of_workload(scenario.workload.kind);
        t.table("mix", [&](Table& mix) { visit_table(scenario.workload.mix, mix); });
    });
    top.table("limits", [&](Table& t) { visit_table(scenario.limits, t); });
    top.table("swarm", [&](Table& t) { visit_table(scenario.swarm.emplace(), t); });
    top.table("budget", [&](Table& t) { visit_table(scenario.budget, t); });
    top.tables("event", [&](Table& t) { read_event(t, scenario.plan.events); });
    top.tables("phase", [&](Table& t) { read_phase(t, scenario.phases); });
    top.table("schedule", [&](Table& t) { read_schedule(t, scenario.plan.schedule); });
    top.table("check", [&](Table& t) { visit_table(scenario.check, t); });
    top.table("expect", [&](Table& t) { visit_table(scenario.expect, t); });
    top.finish();
}

bool is_node_name(const NodeName& name, const Scenario& scenario) {
    const MemberNames names = scenario.cluster.names();
    const std::string of_kind = "(" + names.kind + ")";
    if (name.empty() || name == "self" || name == "op" || name == "clients" || name == "any" || name == "all" || name == names.leader() ||
        name == "any" + of_kind || name == "all" + of_kind)
        return true;
    for (uint64_t i = 0; i < scenario.cluster.nodes(); ++i)
        if (name == names.member(i + 1) || name == names.follower(i)) return true;
    for (uint64_t i = 0; scenario.cluster.of_masters() && i < scenario.cluster.data; ++i)
        if (name == "d" + std::to_string(i + 1)) return true;
    for (uint64_t i = 0; i < scenario.workload.clients; ++i)
        if (name == "c" + std::to_string(i + 1)) return true;
    return false;
}

/// What every run relies on.
void check_values(const Scenario& scenario, Reading& reading) {
    auto bad = [&](bool wrong, std::string_view code, const std::string& text) {
        if (wrong) reading.error({}, code, text);
    };
    bad(scenario.schema != 1, "E0310",
        "schema " + std::to_string(scenario.schema) + " is not known; this program reads schema 1");
    bad(scenario.name.empty(), "E0311", "a scenario needs a name");
    bad(scenario.cluster.of_masters() && scenario.cluster.kv > 0, "E0312", "a cluster is of masters or of kv, not both");
    bad(scenario.cluster.founders() < 1 || scenario.cluster.founders() > 9, "E0312", "cluster.kv, or cluster.masters, must be 1 to 9");
    bad(scenario.cluster.data > 50, "E0312", "cluster.data must be 0 to 50");
    bad(scenario.cluster.spare > 9, "E0312", "cluster.spare must be 0 to 9");
    std::vector<std::string> kinds;
    for (const NamedText& one : list_workloads()) kinds.emplace_back(one.name);
    bad(std::find(kinds.begin(), kinds.end(), scenario.workload.kind) == kinds.end(), "E0313",
        "there is no workload '" + scenario.workload.kind + "'" + suggestion(scenario.workload.kind, kinds));
    bad(scenario.cluster.of_masters() != (scenario.workload.kind == "metadata"), "E0343", "the workload metadata is for masters, and masters are for it");
    bad(scenario.workload.clients < 1 || scenario.workload.clients > 64, "E0314",
        "workload.clients must be 1 to 64");
    bad(scenario.workload.readers > scenario.workload.clients, "E0342", "workload.readers are of workload.clients, not more");
    for (size_t i = 0; i < scenario.workload.script.size(); ++i) {
        const Result<ScriptStep> step = parse_step(scenario.workload.script[i], scenario.workload.clients);
        bad(!step.ok(), "E0340", "workload.script, line " + std::to_string(i + 1) + ": " + (step.ok() ? "" : step.error().context));
    }
    bad(scenario.workload.kind == "kv-script" && scenario.workload.script.empty(), "E0341", "the workload kv-script needs a workload.script");
    bad(scenario.workload.kind != "kv-script" && !scenario.workload.script.empty(), "E0341", "workload.script is for the workload kv-script");
    bad(scenario.workload.keys < 1, "E0315", "workload.keys must be at least 1");
    for (const std::string& name : scenario.defects)
        bad(!find_defect(name), "E0316", "there is no defect '" + name + "'");
    const ClusterKnobs& knobs = scenario.cluster.knobs;
    bad(knobs.election_timeout_min.ns <= 0 ||
            knobs.election_timeout_max < knobs.election_timeout_min,
        "E0317", "election timeouts must be positive, min not above max");
    bad(knobs.heartbeat.ns <= 0 || knobs.heartbeat * 2 > knobs.election_timeout_min, "E0318",
        "the heartbeat must be at most half of election_timeout_min");
    bad(knobs.log_batch_bytes < (16 << 10) || knobs.log_segment_bytes < 4 * knobs.log_batch_bytes ||
            knobs.log_segment_bytes % 4096 != 0,
        "E0319",
        "log_batch_bytes must be at least 16 KiB, log_segment_bytes a multiple of 4 KiB and at "
        "least four batches");
    bad(knobs.lease_drift_ppm >= raft::Lease::kMaxDriftPpm, "E0326", "lease_drift_ppm must be below 500000");
    const int64_t lease_ppm = static_cast<int64_t>(knobs.lease_drift_ppm);
    for (const PlannedFault& event : scenario.plan.events) {
        std::visit(
            [&](const auto& fault) {
                if constexpr (requires { fault.node; })
                    bad(!is_node_name(fault.node, scenario),
                        "E0320", "there is no node '" + fault.node + "'");
                if constexpr (requires { fault.peer; })
                    bad(!is_node_name(fault.peer, scenario),
                        "E0320", "there is no node '" + fault.peer + "'");
                if constexpr (requires { fault.nth; })
                    bad(fault.nth == 0, "E0321", "nth_operation counts from 1");
                if constexpr (requires { fault.ppm; })
                    bad(fault.ppm > 100'000 || fault.ppm < -100'000, "E0322",
                        "drift is at most 100000 ppm");
            },
            event.fault);
        // Twice: two clocks may drift apart, and a lease holds against that.
        if (const auto* drift = std::get_if<ClockDrift>(&event.fault); drift != nullptr && lease_ppm > 0)
            bad(std::abs(drift->ppm) * 2 > lease_ppm, "E0325", "a drift of more than half of lease_drift_ppm breaks leases by right");
        if (const auto* when = std::get_if<TriggerWhen>(&event.trigger)) {
            bad(!is_node_name(when->node, scenario), "E0320",
                "there is no node '" + when->node + "'");
            bad(when->nth == 0, "E0321", "nth counts from 1");
        } else {
            bad(std::holds_alternative<HoldCheckpoint>(event.fault), "E0323",
                "a hold needs a `when` trigger");
        }
    }
    if (scenario.swarm) {
        bad(scenario.swarm->drift_ppm < 0 || scenario.swarm->drift_ppm > 100'000, "E0322", "drift is at most 100000 ppm");
        bad(lease_ppm > 0 && scenario.swarm->drift_ppm * 2 > lease_ppm, "E0325", "a drift of more than half of lease_drift_ppm breaks leases by right");
        for (const auto* list : {&scenario.swarm->include, &scenario.swarm->exclude}) {
            for (const std::string& name : *list) {
                const auto classes = swarm_classes();
                const bool known =
                    std::any_of(classes.begin(), classes.end(),
                                [&](const SwarmClass& one) { return one.name == name; });
                std::vector<std::string> names;
                for (const SwarmClass& one : classes) names.emplace_back(one.name);
                bad(!known, "E0324",
                    "there is no class of faults '" + name + "'" + suggestion(name, names));
            }
        }
    }
}

}  // namespace

Loaded load_scenario(std::string_view text, std::string_view file) {
    Loaded loaded;
    Reading reading(file, loaded.problems);
    toml::parse_result parsed;
    try {
        parsed = toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        reading.error(error.source(), "E0300", "not TOML: " + std::string(error.description()));
        return loaded;
    }
    Table top(reading, parsed, "");
    read_all(top, loaded.scenario);
    check_values(loaded.scenario, reading);
    return loaded;
}

std::string scenario_to_toml(const Scenario& scenario) {
    std::string out;
    TomlWriter writer(out);
    auto table = [&](std::string_view name, const auto& value) {
        out += "\n[" + std::string(name) + "]\n";
        visit_table(value, writer);
    };
    writer("schema", scenario.schema);
    writer("name", scenario.name);
    // TOML integers are signed.
    if (scenario.seed > INT64_MAX) {
        writer("seed", std::to_string(scenario.seed));
    } else {
        writer("seed", scenario.seed);
    }
    if (!scenario.tags.empty()) writer("tags", scenario.tags);
    if (!scenario.defects.empty()) writer("defects", scenario.defects);
    if (scenario.origin != Origin{}) {
        Origin origin = scenario.origin;
        out += "\n[origin]\n";
        visit_table(origin, [&](std::string_view key, auto& value) {
            if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, uint64_t>) {
                if (value > INT64_MAX) return writer(key, std::to_string(value));
            }
            writer(key, value);
        });
    }
    out += "\n[cluster]\n";
    if (scenario.cluster.of_masters()) {
        writer("masters", scenario.cluster.masters);
        writer("data", scenario.cluster.data);
    } else {
        writer("kv", scenario.cluster.kv);
    }
    if (scenario.cluster.spare > 0) writer("spare", scenario.cluster.spare);
    table("cluster.knobs", scenario.cluster.knobs);
    table("workload", scenario.workload);
    table("workload.mix", scenario.workload.mix);
    table("limits", scenario.limits);
    if (scenario.swarm) table("swarm", *scenario.swarm);
    table("budget", scenario.budget);
    out += events_to_toml(scenario.plan.events);
    out += "\n[[phase]]\nkind = \"chaos\"\n";
    writer("for", scenario.phases.chaos);
    out += "\n[[phase]]\nkind = \"heal\"\n";
    writer("within", scenario.phases.heal_within);
    out += "\n[[phase]]\nkind = \"verify\"\n";
    writer("on", scenario.phases.verify);
    out += "\n[schedule]\n";
    writer("policy", scenario.plan.schedule.policy);
    writer("extra_yield_p", scenario.plan.schedule.extra_yield_p);
    writer("pct_depth", scenario.plan.schedule.pct_depth);
    std::vector<std::string> pins;
    for (const auto& [address, value] : scenario.plan.schedule.pins) {
        std::string hex;
        for (int shift = 60; shift >= 0; shift -= 4)
            hex += "0123456789abcdef"[(address.stream >> shift) & 15];
        pins.push_back("#" + hex + "/" + std::to_string(address.entity) + "/" +
                       std::to_string(address.counter) + "=" + std::to_string(value));
    }
    if (!pins.empty()) writer("pin", pins);
    table("check", scenario.check);
    table("expect", scenario.expect);
    return out;
}

std::vector<Problem> lint_scenario(const Scenario& scenario, std::string_view file) {
    std::vector<Problem> problems;
    auto add = [&](bool error, std::string_view code, std::string text) {
        problems.push_back({std::string(file), error, std::string(code), std::move(text)});
    };
    std::set<std::string> ids;
    for (const PlannedFault& event : scenario.plan.events)
        if (!event.id.empty() && !ids.insert(event.id).second)
            add(true, "E0330", "two events have the id '" + event.id + "'");
    for (const PlannedFault& event : scenario.plan.events) {
        if (const auto* after = std::get_if<TriggerAfter>(&event.trigger)) {
            const bool known = ids.contains(after->event) ||
                               std::any_of(scenario.plan.events.begin(), scenario.plan.events.end(),
                                           [&](const PlannedFault& one) {
                                               return fault_name(one.fault) == after->event;
                                           });
            if (!known)
                add(true, "E0331",
                    "nothing sets off `after = \"" + after->event +
                        "\"`: no event has that id or action");
        }
        if (const auto* at = std::get_if<TriggerAt>(&event.trigger);
            at != nullptr && at->at > scenario.phases.chaos)
            add(false, "W0332",
                "an event at " + duration_text(at->at) + " lies behind the chaos phase of " +
                    duration_text(scenario.phases.chaos) + "; the phase is made longer");
    }
    for (const std::string& id : scenario.check.require_fired)
        if (!ids.contains(id))
            add(true, "E0333",
                "check.require_fired names '" + id + "', which no event has as its id");
    for (const std::string& text :
         beyond_budget(scenario.budget, scenario.plan.events, scenario.cluster.founders())) {
        const bool negative = scenario.expect.result == Expected::Violation;
        add(!negative, negative ? "W0334" : "E0334",
            text + "; lower the damage, or set budget.mode = \"unlimited\"");
    }
    const Checks& check = scenario.check;
    if (!check.raft && !check.linearizable && !check.order && !check.durability && !check.replicas && !check.wait &&
        !check.liveness && !(check.expiry && (scenario.workload.mix.expire > 0 || scenario.workload.kind == "kv-script")))
        add(true, "E0335", "nothing is checked");
    if (scenario.workload.mix.expire < 0 || scenario.workload.mix.expire > 1)
        add(true, "E0338", "workload.mix.expire is a share of all operations, from 0 to 1");
    if (scenario.workload.mix.txn < 0 || scenario.workload.mix.txn > 1)
        add(true, "E0339", "workload.mix.txn is a share of the operations that do not expire, from 0 to 1");
    if (scenario.workload.ops == 0 && scenario.workload.kind != "kv-script")
        add(true, "E0336", "workload.ops is 0: no operation, nothing to check");
    if (!scenario.defects.empty() && scenario.expect.result == Expected::Pass)
        add(false, "W0337", "a seeded defect is on and the run is expected to pass");
    return problems;
}

}  // namespace orrery::sim
