// Directives, one function each, and the bookkeeping of what clients are told.
#include "tools/raft_script/interpreter.h"

#include <algorithm>

#include "tools/raft_script/describe.h"

namespace orrery::raft::script {
namespace {

constexpr size_t kMostSteps = 10'000;  // of one settle

std::vector<size_t> selected(const std::deque<Parcel>& queue, const Selection& selection) {
    std::vector<size_t> places;
    for (size_t place = 0; place < queue.size(); ++place) {
        const Message& message = queue[place].message;
        if (selection.from && message.from.node.value != selection.from) continue;
        if (selection.to && message.to.node.value != selection.to) continue;
        if (!selection.types.empty() && !selection.types.contains(type_of(queue[place]))) continue;
        places.push_back(place);
    }
    if (selection.part == Selection::Part::All || places.size() <= selection.count) return places;
    if (selection.part == Selection::Part::First) places.resize(selection.count);
    else places.erase(places.begin(), places.end() - static_cast<ptrdiff_t>(selection.count));
    return places;
}

/// What the words make of the present configuration; several words: a joint one on the way there.
Result<Configuration> changed(const Configuration& present, const std::vector<MemberChange>& words) {
    Configuration::Parts next = present.parts();
    next.outgoing = words.size() > 1 ? present.voters() : std::vector<Member>();
    for (const MemberChange& word : words) {
        Member target = member(word.id);
        if (word.add || !word.learner) std::erase(next.voters, target);
        if (word.add || word.learner) std::erase(next.learners, target);
        if (word.add) (word.learner ? next.learners : next.voters).push_back(target);
    }
    return Configuration::make(std::move(next));
}

}  // namespace

std::string Interpreter::run(const Directive& directive) {
    if (ending_ != Ending::Fine) return {};
    if (directive.verb == Verb::Expect || directive.verb == Verb::Refuse) return check_pattern(directive);
    try {
        previous_ = execute(directive);
    } catch (const CheckFailed& failed) {
        cluster_->broke(failed);
    }
    if (ending_ != Ending::Fine || violation().empty()) return previous_;
    ending_ = Ending::Failed;
    return previous_ + "VIOLATION " + violation() + "\n";
}

std::string Interpreter::check_pattern(const Directive& directive) {
    bool expected = directive.verb == Verb::Expect;
    if (std::regex_search(previous_, directive.pattern) == expected) return {};
    ending_ = Ending::Failed;
    return (expected ? "EXPECTED " : "REFUSED ") + directive.word + " (line " +
           std::to_string(directive.line) + ")\n";
}

std::string Interpreter::execute(const Directive& directive) {
    const uint64_t node = directive.node;
    auto for_each_shown = [&](auto line) {
        std::string text;
        for (const auto& [id, replica] : cluster_->replicas())
            if (node == 0 || id == node) text += line(replica) + "\n";
        return text;
    };
    switch (directive.verb) {
        case Verb::Nodes: found_group(directive.group); return {};
        case Verb::Preset: preset(directive); return {};
        case Verb::Timeout:
            if (cluster_->up(node)) cluster_->timeout(node);
            return {};
        case Verb::Tick: tick(directive); return {};
        case Verb::Propose: propose(directive); return {};
        case Verb::Read: read(directive); return {};
        case Verb::Transfer: transfer(directive); return {};
        case Verb::Change: change(directive); return {};
        case Verb::Deliver:
        case Verb::Drop:
        case Verb::Dup: move(directive); return {};
        case Verb::Cut: cut(directive.selection); return {};
        case Verb::Heal: heal(directive.selection); return {};
        case Verb::Settle: {
            std::set<uint64_t> among(directive.ids.begin(), directive.ids.end());
            return cluster_->settle(kMostSteps, among) ? "" : "UNSETTLED\n";
        }
        case Verb::HoldDisk: cluster_->hold(node); return {};
        case Verb::ReleaseDisk: release(directive); return {};
        case Verb::Crash: crash(directive); return {};
        case Verb::Restart: cluster_->restart(node); return {};
        case Verb::Compact:
            if (cluster_->up(node)) cluster_->compact(node, LogIndex(directive.count));
            return {};
        case Verb::Snapshot:
            if (cluster_->up(node)) cluster_->take_snapshot(node);
            return {};
        case Verb::Messages: {
            std::string text;
            for (size_t place : selected(cluster_->queue(), directive.selection))
                text += describe(cluster_->queue()[place]) + "\n";
            return text;
        }
        case Verb::State: return for_each_shown(describe_state);
        case Verb::Log: return for_each_shown(describe_log);
        case Verb::Answers: {
            std::string text;
            for (const std::string& answer : answers_) text += answer + "\n";
            return text;
        }
        case Verb::Expect:
        case Verb::Refuse: break;
    }
    return {};
}

// --- The group, its links, disks and processes.

void Interpreter::found_group(const GroupOptions& group) {
    std::vector<uint64_t> voting;
    for (uint64_t id = 1; id <= group.voters; ++id) voting.push_back(id);
    Options options = default_options();
    options.heartbeat = period_ * static_cast<int64_t>(group.heartbeat);
    options.election_timeout_min = period_ * static_cast<int64_t>(group.election);
    options.election_timeout_max = options.election_timeout_min * 2;
    options.pre_vote = group.pre_vote;
    options.check_quorum = group.check_quorum;
    options.eager_commit = group.eager_commit;
    options.max_append_entries = group.append_entries;
    options.max_inflight_messages = group.inflight;
    Configuration::Parts founding = voters(voting, {}, group.learners).parts();
    if (group.lease) founding.lease.promise = options.election_timeout_min;
    cluster_ = std::make_unique<Cluster>(group.ids(), Configuration::make(std::move(founding)).value(), options);
    cluster_->leave_joint_by_itself();
    cluster_->set_observer([this](uint64_t node) { look_for_answers(node); });
}

void Interpreter::preset(const Directive& directive) {
    const Replica& replica = cluster_->at(directive.node);
    if (!replica.core || replica.core->term() || replica.core->log().last().index || replica.life > 1 ||
        replica.core->role() != Role::Follower) {
        error_ = "preset of node " + std::to_string(directive.node) + " comes after its first event";
        ending_ = Ending::ScriptError;
        return;
    }
    const PresetState& state = directive.preset;
    Member vote = state.vote ? member(state.vote.value) : Member{};
    cluster_->preset(directive.node, {state.term, vote}, state.log, state.commit);
}

void Interpreter::select_each(const Selection& selection, FunctionRef<void(uint64_t, uint64_t)> act) {
    for (const auto& [from, one] : cluster_->replicas())
        for (const auto& [to, other] : cluster_->replicas()) {
            if (from == to) continue;
            auto fits = [&](uint64_t a, uint64_t b) {
                return (selection.from == 0 || selection.from == a) && (selection.to == 0 || selection.to == b);
            };
            if (fits(from, to) || (selection.both_ways && fits(to, from))) act(from, to);
        }
}

// Whoever sends over a link learns that it broke, as from a session that ends.
void Interpreter::cut(const Selection& selection) {
    select_each(selection, [&](uint64_t from, uint64_t to) {
        bool fresh = cluster_->at(from).cut.insert(NodeId(to)).second;
        if (!fresh || !cluster_->up(from)) return;
        (*cluster_)[from].unreachable(NodeId(to));
        cluster_->pump(from);
    });
}

void Interpreter::heal(const Selection& selection) {
    select_each(selection, [&](uint64_t from, uint64_t to) { cluster_->at(from).cut.erase(NodeId(to)); });
}

void Interpreter::move(const Directive& directive) {
    std::deque<Parcel>& queue = cluster_->queue();
    size_t moved = 0;  // what a step adds to the queue comes behind all of these
    for (size_t place : selected(queue, directive.selection)) {
        if (!violation().empty()) return;
        size_t now_at = place - moved;
        if (directive.verb == Verb::Dup) {
            queue.push_back(queue[now_at]);
            continue;
        }
        const Message& message = queue[now_at].message;
        bool passes = !cluster_->at(message.from.node.value).cut.contains(message.to.node);
        if (directive.verb == Verb::Deliver && passes && !cluster_->up(message.to.node.value)) continue;
        if (directive.verb == Verb::Deliver) cluster_->deliver(now_at);
        else cluster_->drop(now_at);
        ++moved;
    }
}

void Interpreter::tick(const Directive& directive) {
    for (uint64_t i = 0; i < directive.count && cluster_->up(directive.node) && violation().empty(); ++i)
        cluster_->tick(directive.node, period_);
}

void Interpreter::release(const Directive& directive) {
    if (directive.count == 0) return cluster_->release(directive.node);
    for (uint64_t i = 0; i < directive.count && !cluster_->at(directive.node).unsynced.empty(); ++i) {
        if (!cluster_->up(directive.node)) return;
        cluster_->sync_one(directive.node);
        cluster_->pump(directive.node);
    }
}

void Interpreter::crash(const Directive& directive) {
    if (directive.power) cluster_->crash(directive.node);
    else cluster_->crash_process(directive.node);
    for (const Asked& asked : asked_)
        if (asked.node == directive.node)
            answers_.push_back(asked.name + (asked.what == Asked::What::Read ? " refused" : " unknown"));
    std::erase_if(asked_, [&](const Asked& asked) { return asked.node == directive.node; });
}

// --- Clients and operators.

bool Interpreter::down(const Directive& directive, const std::string& name) {
    if (cluster_->up(directive.node)) return false;
    answers_.push_back(name + " refused" + (directive.verb == Verb::Read ? "" : " down"));
    return true;
}

void Interpreter::refused(const std::string& name, const Error& error) {
    std::string why = error.code == Code::NotLeader
                          ? "not-leader hint=" + (error.context.empty() ? "0" : error.context)
                      : error.code == Code::NotReady   ? "not-ready"
                      : error.code == Code::Overloaded ? "overloaded"
                                                       : "invalid";
    answers_.push_back(name + " refused " + why);
}

void Interpreter::propose(const Directive& directive) {
    std::string name = "propose " + directive.word;
    if (down(directive, name)) return;
    Core& core = (*cluster_)[directive.node];
    auto index = core.propose(cluster_->now(directive.node), std::make_shared<const Bytes>(directive.word));
    if (!index.ok()) return refused(name, index.error());
    asked_.push_back({Asked::What::Proposal, directive.node, name, *index, core.term()});
    cluster_->pump(directive.node);
}

void Interpreter::read(const Directive& directive) {
    std::string name = "read " + directive.word;
    if (down(directive, name)) return;
    asked_.push_back({Asked::What::Read, directive.node, name, LogIndex(), Term(), ++tokens_});
    if (cluster_->read(directive.node, tokens_).ok()) return;
    std::erase_if(asked_, [&](const Asked& asked) { return asked.token == tokens_; });
    answers_.push_back(name + " refused");
}

void Interpreter::transfer(const Directive& directive) {
    if (down(directive, "transfer")) return;
    Core& core = (*cluster_)[directive.node];
    auto begun = core.transfer(cluster_->now(directive.node), NodeId(directive.count));
    if (!begun.ok()) return refused("transfer", begun.error());
    asked_.push_back({Asked::What::Transfer, directive.node, "transfer", LogIndex(), core.term(), 0,
                      NodeId(directive.count)});
    cluster_->pump(directive.node);
}

void Interpreter::change(const Directive& directive) {
    if (down(directive, "change")) return;
    Core& core = (*cluster_)[directive.node];
    const Configuration& present = core.log().configuration();
    if (core.role() == Role::Leader && present.joint())
        return refused("change", Error(Code::NotReady, "the change before is not finished"));
    auto next = changed(present, directive.changes);
    if (core.role() == Role::Leader && !next.ok()) return refused("change", next.error());
    auto index = core.propose_configuration(cluster_->now(directive.node), next.ok() ? *next : present);
    if (!index.ok()) return refused("change", index.error());
    asked_.push_back({Asked::What::Change, directive.node, "change", *index, core.term()});
    cluster_->pump(directive.node);
}

void Interpreter::look_for_answers(uint64_t node) {
    for (size_t i = 0; i < asked_.size();) {
        std::optional<std::string> answer;
        if (asked_[i].node == node) answer = answer_to(asked_[i]);
        if (!answer) {
            ++i;
            continue;
        }
        answers_.push_back(asked_[i].name + " " + *answer);
        asked_.erase(asked_.begin() + static_cast<ptrdiff_t>(i));
    }
}

std::optional<std::string> Interpreter::answer_to(Asked& asked) {
    const Replica& replica = cluster_->at(asked.node);
    const Core& core = *replica.core;
    switch (asked.what) {
        case Asked::What::Proposal:
        case Asked::What::Change:
            if (core.applied_index() < asked.index) return std::nullopt;
            // Another entry took its place, or its outcome came in with a snapshot.
            if (core.log().term_at(asked.index) != asked.term && core.log().floor().index < asked.index)
                return "unknown";
            if (asked.what == Asked::What::Proposal) {
                if (core.log().term_at(asked.index) != asked.term) return "unknown";
                return "ok index=" + std::to_string(asked.index.value);
            }
            if (core.log().configuration().joint() || core.log().configuration_index() > core.applied_index())
                return std::nullopt;
            return "ok";
        case Asked::What::Read:
            for (const ReadFailed& failed : replica.reads_failed)
                if (failed.token == asked.token) return "refused";
            for (const ReadReady& ready : replica.reads_ready)
                if (ready.token == asked.token && core.applied_index() >= ready.index)
                    return "ok index=" + std::to_string(ready.index.value);
            return std::nullopt;
        case Asked::What::Transfer:
            if (core.term() == asked.term && core.role() == Role::Leader) {
                if (core.status(cluster_->now(asked.node)).transferring_to) return std::nullopt;
                return "refused timed-out";
            }
            if (core.term() == asked.term || !core.leader()) return std::nullopt;
            return core.leader().node == asked.target ? "ok" : "refused other-leader";
    }
    return std::nullopt;
}

ScriptRun run_script(std::string_view name, std::string_view text) {
    ScriptRun run;
    auto wrong = [&](size_t line, const std::string& what) {
        run.errors += std::string(name) + ":" + std::to_string(line) + ": error: " + what + "\n";
        run.ending = Ending::ScriptError;
    };
    Script script = parse_script(text);
    for (const ScriptError& error : script.errors) wrong(error.line, error.text);
    if (run.ending != Ending::Fine) return run;
    Interpreter interpreter;
    for (const Directive& directive : script.directives) {
        run.output += "> " + directive.text + "\n";
        run.output += interpreter.run(directive);
        run.ending = interpreter.ending();
        if (run.ending == Ending::ScriptError) wrong(directive.line, interpreter.error());
        if (run.ending != Ending::Fine) break;
    }
    run.violation = interpreter.violation();
    return run;
}

}  // namespace orrery::raft::script
