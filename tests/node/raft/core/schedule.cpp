// The choice of steps behind schedule.h.
#include "schedule.h"

#include <algorithm>

namespace orrery::raft::script {
namespace {

class Schedule {
 public:
    explicit Schedule(Shape shape) {
        static constexpr uint64_t kVoters[] = {3, 5, 2, 4, 3, 1};
        uint64_t voting = kVoters[shape.voters % std::size(kVoters)];
        auto bit = [&](int n) { return shape.flavour >> n & 1; };
        auto on_off = [&](int n) { return bit(n) ? "on" : "off"; };
        changes_ = bit(5);
        std::string line = "nodes " + std::to_string(voting);
        if (changes_) line += " learners " + std::to_string(voting + 1) + " spare " + std::to_string(voting + 2);
        line += std::string(" prevote ") + on_off(0) + " checkquorum " + on_off(1) + " eager " + on_off(2);
        line += std::string(" append ") + (bit(3) ? "1" : "3") + " inflight " + (bit(4) ? "2" : "8");
        say(line);
        nodes_ = cluster().replicas().size();
        slow_disks_ = bit(6);
        for (uint64_t id = 1; slow_disks_ && id <= nodes_; ++id) say("hold-disk " + name(id));
    }

    bool fine() const { return interpreter_.ending() == Ending::Fine; }
    void act(Action action);
    void recover();
    ScheduleRun end() {
        std::string failure = interpreter_.violation();
        if (failure.empty()) failure = failure_;
        if (failure.empty() && !fine()) failure = interpreter_.error() + " after: " + script_;
        return {failure, script_};
    }

 private:
    /// What the line printed.
    std::string say(const std::string& line) {
        if (!fine()) return {};
        script_ += line + "\n";
        auto directive = parser_.line(++lines_, line);
        if (directive) return interpreter_.run(*directive);
        failure_ = "not a directive: " + line + ": " + parser_.errors().back().text;
        return {};
    }
    Cluster& cluster() { return *interpreter_.cluster(); }
    static std::string name(uint64_t id) { return std::to_string(id); }

    /// "1->2 first 1" or "last 1" for the parcel at that place of the queue, if it is one of the two. Empty: no parcel.
    std::string parcel(size_t place) {
        const auto& queue = cluster().queue();
        if (queue.empty()) return {};
        const Message& chosen = queue[place % queue.size()].message;
        bool first = std::none_of(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(place % queue.size()),
                                  [&](const Parcel& p) { return p.message.from == chosen.from && p.message.to == chosen.to; });
        return name(chosen.from.node.value) + "->" + name(chosen.to.node.value) + (first ? " first 1" : " last 1");
    }
    void on_parcel(const std::string& verb, size_t place) {
        if (std::string which = parcel(place); !which.empty()) say(verb + " " + which);
    }
    void deliver_next() {
        const auto& queue = cluster().queue();
        auto next = std::find_if(queue.begin(), queue.end(),
                                 [&](const Parcel& p) { return cluster().up(p.message.to.node.value); });
        if (next != queue.end()) on_parcel("deliver", static_cast<size_t>(next - queue.begin()));
    }
    /// At a node, and at the leader if there is one: most nodes refuse.
    void ask(const std::string& verb, uint64_t id) {
        std::string serial = " e" + std::to_string(++serial_);
        if (cluster().up(id)) say(verb + " " + name(id) + serial);
        if (uint64_t leads = cluster().leader(); leads != 0 && leads != id)
            say(verb + " " + name(leads) + serial + "x");
    }
    void crash(uint64_t id, uint16_t how) {
        if (!cluster().up(id)) return;
        if (how % 3 == 0) return void(say("crash " + name(id)));
        if (how % 3 == 1 && !cluster().at(id).unsynced.empty())
            say("release-disk " + name(id) + " first " + std::to_string(1 + how / 3 % 2));
        say("crash " + name(id) + " power");
    }
    void change_members(uint16_t a, uint16_t b) {
        uint64_t leads = cluster().leader();
        if (leads == 0) return;
        static constexpr const char* kWords[] = {" +v", " -v", " +l", " -l", " +v"};
        std::string line = "change " + name(leads);
        for (int word = 0; word < 1 + b % 3; ++word) {
            line += kWords[(a + word * (1 + b / 3)) % 5] + name(1 + (a / 5u + static_cast<unsigned>(word)) % nodes_);
        }
        say(line);
    }

    Interpreter interpreter_;
    Parser parser_;
    std::string script_, failure_;
    size_t lines_ = 0, nodes_ = 0;
    uint64_t serial_ = 0;
    bool changes_ = false, slow_disks_ = false;
};

void Schedule::act(Action action) {
    uint64_t id = 1 + action.a % nodes_;
    uint16_t kind = action.kind % 100;
    if (kind < 40) {
        for (int i = 0; i < 1 + action.b % 6; ++i) deliver_next();
    } else if (kind < 49) {
        on_parcel("deliver", action.b);
    } else if (kind < 52) {
        on_parcel("drop", action.b);
    } else if (kind < 55) {
        on_parcel("dup", action.b);
    } else if (kind < 64) {
        ask("propose", id);
    } else if (kind < 69) {
        ask("read", id);
    } else if (kind < 73) {
        for (const auto& [each, replica] : cluster().replicas())
            if (replica.core) say("tick " + name(each) + " " + std::to_string(1 + action.b % 8));
    } else if (kind < 74) {
        say("tick " + name(id) + " " + std::to_string(1 + action.b % 21));
    } else if (kind < 77) {
        if (cluster().up(id)) say("timeout " + name(id));
        if (uint64_t rival = 1 + action.b % nodes_; action.b % 2 && cluster().up(rival)) say("timeout " + name(rival));
    } else if (kind < 81) {
        bool held = cluster().at(id).hold;
        if (slow_disks_) on_parcel("deliver", 0);
        else if (held || action.b % 2) say((held ? "release-disk " : "hold-disk ") + name(id));
    } else if (kind < 85) {
        if (cluster().up(id) && !cluster().at(id).unsynced.empty()) say("release-disk " + name(id) + " first 1");
        if (slow_disks_ && action.b % 2)
            for (const auto& [each, replica] : cluster().replicas())
                if (replica.core && !replica.unsynced.empty()) say("release-disk " + name(each) + " first 2");
    } else if (kind < 87) {
        crash(id, action.b);
    } else if (kind < 91) {
        for (const auto& [each, replica] : cluster().replicas())
            if (!replica.core) return void(say("restart " + name(each)));
    } else if (kind < 92) {
        say(action.b % 3 ? "cut " + name(id) + " *" : "cut " + name(id) + "->*");
    } else if (kind < 94) {
        say("heal *->*");
    } else if (kind < 96) {
        if (changes_) change_members(action.a, action.b);
    } else if (kind < 98) {
        if (!cluster().up(id)) return;
        if (action.b % 4 == 0) return void(say("snapshot " + name(id)));
        uint64_t applied = cluster()[id].applied_index().value;
        say("compact " + name(id) + " " + std::to_string(action.b % 2 ? applied : applied - std::min(applied, uint64_t{2})));
    } else if (kind < 99) {
        uint64_t leads = cluster().leader() ? cluster().leader() : id;
        if (cluster().up(id)) say("transfer " + name(leads) + " to " + name(1 + action.b % nodes_));
    } else if (action.b % 2) {
        say("settle");
    }
    while (fine() && cluster().queue().size() > 60) on_parcel("drop", 0);
}

void Schedule::recover() {
    say("heal *->*");
    for (uint64_t id = 1; id <= nodes_; ++id) {
        if (!cluster().up(id)) say("restart " + name(id));
        say("release-disk " + name(id));
    }
    say("settle");
    auto caught_up = [&](uint64_t leads) {
        const LogView& log = cluster()[leads].log();
        for (const Member& each : log.configuration().members()) {
            Core& core = cluster()[each.node.value];
            if (core.log().last() != log.last() || core.applied_index() != log.last().index) return false;
        }
        return !log.configuration().joint();
    };
    bool answered = false;
    for (int round = 0; round < 60 && fine() && failure_.empty(); ++round) {
        for (uint64_t id = 1; id <= nodes_ && fine(); ++id) {
            say("tick " + name(id) + " 1");
            if (say("settle") == "UNSETTLED\n") failure_ = "unsettled";
            uint64_t leads = cluster().leader();
            if (leads == 0 || !fine()) continue;
            if (answered && caught_up(leads)) return;
            if (answered || round < 20) continue;  // first what waits for time, an abandoned hand-over for instance
            std::string text = "last" + std::to_string(++serial_);
            say("propose " + name(leads) + " " + text);
            say("settle");
            const std::vector<std::string>& answers = interpreter_.answers();
            answered = std::any_of(answers.begin(), answers.end(), [&](const std::string& answer) {
                return answer.starts_with("propose " + text + " ok");
            });
            if (answered && fine() && cluster().leader() == leads && caught_up(leads)) return;
        }
    }
    if (!fine()) return;
    failure_ = answered ? "liveness: not everybody has caught up" : "liveness: no proposal was answered after everything healed";
    say("answers");
    say(answered ? "state" : "expect ^propose last[0-9]+ ok");
}

std::string violation_name(const ScriptRun& run) { return run.violation.substr(0, run.violation.find(':')); }

}  // namespace

std::ostream& operator<<(std::ostream& out, const Action& action) {
    return out << "{" << action.kind << "," << action.a << "," << action.b << "}";
}

ScheduleRun run_schedule(Shape shape, const std::vector<Action>& actions, Finish finish) {
    Schedule schedule(shape);
    for (const Action& action : actions) {
        if (!schedule.fine()) break;
        schedule.act(action);
    }
    if (finish == Finish::Recover && schedule.fine()) schedule.recover();
    return schedule.end();
}

std::string minimised(const std::string& script) {
    std::vector<std::string> lines;
    for (size_t begin = 0; begin < script.size();) {
        size_t end = std::min(script.find('\n', begin), script.size());
        lines.push_back(script.substr(begin, end - begin));
        begin = end + 1;
    }
    auto joined = [](const std::vector<std::string>& from) {
        std::string text;
        for (const std::string& line : from) text += line + "\n";
        return text;
    };
    const std::string wanted = violation_name(run_script("script", script));
    auto still = [&](const std::vector<std::string>& tried) {
        ScriptRun run = run_script("script", joined(tried));
        return run.ending == Ending::Failed && violation_name(run) == wanted;
    };
    bool shorter = true;
    while (shorter) {
        shorter = false;
        for (size_t chunk = std::max<size_t>(1, lines.size() / 2); chunk > 0; chunk /= 2)
            for (size_t at = 1; at < lines.size();) {
                std::vector<std::string> tried(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(at));
                if (at + chunk < lines.size())
                    tried.insert(tried.end(), lines.begin() + static_cast<ptrdiff_t>(at + chunk), lines.end());
                if (still(tried)) {
                    lines = std::move(tried);
                    shorter = true;
                } else {
                    at += chunk;
                }
            }
    }
    return joined(lines);
}

}  // namespace orrery::raft::script
