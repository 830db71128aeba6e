// The parser behind directive.h. The first thing wrong with a line is its error; reading goes on with the next line.
#include "tools/raft_script/directive.h"

#include <algorithm>
#include <charconv>

#include "node/raft/core/configuration.h"
#include "tools/raft_script/cluster.h"

namespace orrery::raft::script {
namespace {

constexpr uint64_t kMostTicks = 1'000'000;
constexpr uint64_t kMostNodes = 32;

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
    size_t first = text.find_first_not_of(kBlanks);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Up to a # at the beginning or behind a blank.
std::string_view without_comment(std::string_view text) {
    for (size_t at = text.find('#'); at != text.npos; at = text.find('#', at + 1))
        if (at == 0 || kBlanks.find(text[at - 1]) != kBlanks.npos) return text.substr(0, at);
    return text;
}

/// At each `separator` outside parentheses; empty pieces are kept.
std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> pieces;
    size_t begin = 0;
    int depth = 0;
    for (size_t at = 0; at <= text.size(); ++at) {
        if (at < text.size() && text[at] == '(') ++depth;
        if (at < text.size() && text[at] == ')') --depth;
        if (at < text.size() && (text[at] != separator || depth > 0)) continue;
        pieces.push_back(text.substr(begin, at - begin));
        begin = at + 1;
    }
    return pieces;
}

std::optional<uint64_t> number_of(std::string_view text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() || value >= kCounterLimit)
        return std::nullopt;
    return value;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

struct VerbInfo {
    std::string_view name;
    Verb verb;
    std::string_view usage;
};
constexpr VerbInfo kVerbs[] = {
    {"nodes", Verb::Nodes, "nodes 3 [learners 4,5] [spare 6,7] [prevote on/off] [checkquorum on/off] [lease on/off] "
                           "[election 10] [heartbeat 1] [eager on/off] [append 1024] [inflight 64]"},
    {"preset", Verb::Preset, "preset N [term=T] [vote=V] [log=T1/I1,T1/I2:conf(v1,v2),...] [commit=C]"},
    {"timeout", Verb::Timeout, "timeout N"},
    {"tick", Verb::Tick, "tick N K"},
    {"propose", Verb::Propose, "propose N text"},
    {"read", Verb::Read, "read N tag"},
    {"transfer", Verb::Transfer, "transfer N to M"},
    {"change", Verb::Change, "change N +v4 -v1 +l5 -l6"},
    {"deliver", Verb::Deliver, "deliver A->B [first K / last K] [type T]"},
    {"drop", Verb::Drop, "drop A->B [first K / last K] [type T]"},
    {"dup", Verb::Dup, "dup A->B [first K / last K] [type T]"},
    {"cut", Verb::Cut, "cut A B, cut A->B"},
    {"heal", Verb::Heal, "heal A B, heal A->B"},
    {"settle", Verb::Settle, "settle [1,2]"},
    {"hold-disk", Verb::HoldDisk, "hold-disk N"},
    {"release-disk", Verb::ReleaseDisk, "release-disk N [first K]"},
    {"crash", Verb::Crash, "crash N [power]"},
    {"restart", Verb::Restart, "restart N"},
    {"compact", Verb::Compact, "compact N I"},
    {"snapshot", Verb::Snapshot, "snapshot N"},
    {"messages", Verb::Messages, "messages [A->B [first K / last K] [type T]]"},
    {"state", Verb::State, "state [N]"},
    {"log", Verb::Log, "log [N]"},
    {"answers", Verb::Answers, "answers"},
    {"expect", Verb::Expect, "expect REGEX"},
    {"refuse", Verb::Refuse, "refuse REGEX"},
};

/// The words of one line, and what is wrong with it.
class Words {
 public:
    Words(std::string_view text, const std::set<uint64_t>& nodes) : nodes_(nodes) {
        text.remove_prefix(std::min(text.find_first_of(kBlanks), text.size()));
        rest_ = trimmed(text);
    }

    const std::string& error() const { return error_; }
    void fail(std::string text) {
        if (error_.empty()) error_ = std::move(text);
    }
    bool more() const { return error_.empty() && !rest_.empty(); }
    std::string_view rest() { return std::exchange(rest_, {}); }
    std::string_view peek() const { return rest_.substr(0, word_length()); }
    /// Empty, and an error, at the end of the line.
    std::string_view next(std::string_view what) {
        std::string_view word = peek();
        if (word.empty()) fail("missing " + std::string(what));
        rest_ = trimmed(rest_.substr(word.size()));
        return word;
    }
    bool take(std::string_view word) {
        if (peek() != word || !more()) return false;
        next(word);
        return true;
    }
    uint64_t number(std::string_view what, uint64_t low, uint64_t high) {
        std::string_view word = next(what);
        return number_in(word, what, low, high);
    }
    uint64_t number_in(std::string_view word, std::string_view what, uint64_t low, uint64_t high) {
        if (!error_.empty()) return low;
        auto value = number_of(word);
        if (value && *value >= low && *value <= high) return *value;
        fail(std::string(what) + " is " + quoted(word) + ", must be a number from " + std::to_string(low) +
             " to " + std::to_string(high));
        return low;
    }
    uint64_t node_of(std::string_view word) {
        if (!error_.empty()) return 0;
        auto id = number_of(word);
        if (!id) fail("node is " + quoted(word) + ", must be a number");
        else if (!nodes_.contains(*id)) fail("there is no node " + std::string(word));
        return id.value_or(0);
    }
    uint64_t node() { return node_of(next("node")); }
    uint64_t node_or_any(std::string_view word) { return word == "*" ? 0 : node_of(word); }
    bool on_off(std::string_view what) {
        std::string_view word = next(what);
        if (word != "on" && word != "off") fail(std::string(what) + " is " + quoted(word) + ", must be on or off");
        return word == "on";
    }
    std::vector<uint64_t> numbers(std::string_view what) {
        std::vector<uint64_t> list;
        for (std::string_view piece : split(next(what), ','))
            list.push_back(number_in(piece, what, 1, kMostNodes));
        return list;
    }

 private:
    size_t word_length() const {
        int depth = 0;
        size_t at = 0;
        for (; at < rest_.size(); ++at) {
            if (rest_[at] == '(') ++depth;
            if (rest_[at] == ')') --depth;
            if (depth <= 0 && kBlanks.find(rest_[at]) != kBlanks.npos) break;
        }
        return at;
    }

    std::string_view rest_;
    std::string error_;
    const std::set<uint64_t>& nodes_;
};

void read_nodes(Words& words, GroupOptions& group) {
    group.voters = words.number("number of nodes", 1, kMostNodes);
    while (words.more()) {
        std::string_view word = words.next("option");
        if (word == "learners") group.learners = words.numbers("learner");
        else if (word == "spare") group.spare = words.numbers("spare node");
        else if (word == "prevote") group.pre_vote = words.on_off(word);
        else if (word == "checkquorum") group.check_quorum = words.on_off(word);
        else if (word == "eager") group.eager_commit = words.on_off(word);
        else if (word == "election") group.election = words.number(word, 2, kMostTicks);
        else if (word == "heartbeat") group.heartbeat = words.number(word, 1, kMostTicks);
        else if (word == "append") group.append_entries = words.number(word, 1, kMostTicks);
        else if (word == "inflight") group.inflight = words.number(word, 1, kMostTicks);
        else if (word == "lease") group.lease = words.on_off(word);
        else words.fail("unknown option " + quoted(word));
    }
    if (group.election <= group.heartbeat) words.fail("election must be longer than heartbeat");
    std::vector<uint64_t> ids = group.ids();
    std::sort(ids.begin(), ids.end());
    if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) words.fail("a node is named twice");
}

/// "v1,v2/v1,v3 l4", as Configuration::text() writes it.
Configuration read_configuration(Words& words, std::string_view text) {
    std::vector<Member> voters, outgoing, learners;
    bool behind_slash = false;
    std::string spaced(text);
    std::replace(spaced.begin(), spaced.end(), ' ', ',');
    for (std::string_view half : split(spaced, '/')) {
        for (std::string_view piece : split(half, ',')) {
            if (piece.size() < 2 || (piece[0] != 'v' && piece[0] != 'l')) {
                words.fail("a configuration is written as v1,v2/v1,v3 l4, not " + quoted(text));
                return {};
            }
            uint64_t id = words.node_of(piece.substr(1));
            (piece[0] == 'l' ? learners : behind_slash ? outgoing : voters).push_back(member(id));
        }
        behind_slash = true;
    }
    auto made = Configuration::make(voters, outgoing, learners);
    if (!made.ok()) words.fail("configuration " + quoted(text) + ": " + made.error().context);
    return made.ok() ? *made : Configuration();
}

Entry read_entry(Words& words, std::string_view text, const std::vector<Entry>& before) {
    Entry entry;
    std::string_view mark;
    if (size_t colon = text.find(':'); colon != text.npos) {
        mark = text.substr(colon + 1);
        if (mark.empty()) words.fail("entry " + quoted(text) + " has an empty mark");
        text = text.substr(0, colon);
    }
    size_t slash = std::min(text.find('/'), text.size());
    entry.term = Term(words.number_in(text.substr(0, slash), "term of an entry", 1, kCounterLimit - 1));
    entry.index = LogIndex(words.number_in(slash < text.size() ? text.substr(slash + 1) : "",
                                           "index of an entry", 1, kCounterLimit - 1));
    if (entry.index.value != before.size() + 1)
        words.fail("entry " + quoted(text) + ": indexes go up from 1 without a gap");
    if (!before.empty() && entry.term < before.back().term)
        words.fail("entry " + quoted(text) + ": terms never fall");
    if (mark.starts_with("conf(") && mark.ends_with(")")) {
        entry.kind = EntryKind::Config;
        Configuration configuration = read_configuration(words, mark.substr(5, mark.size() - 6));
        entry.body = std::make_shared<const Bytes>(configuration.encode());
    } else if (mark == "noop") {
        entry.kind = EntryKind::Noop;
    } else {
        entry.body = std::make_shared<const Bytes>(mark.empty() ? "data" : std::string(mark));
    }
    return entry;
}

void read_preset(Words& words, PresetState& preset) {
    bool term_given = false;
    while (words.more()) {
        std::string_view word = words.next("field");
        size_t equals = word.find('=');
        std::string_view name = word.substr(0, equals);
        std::string_view value = equals == word.npos ? "" : word.substr(equals + 1);
        if (name == "term") {
            preset.term = Term(words.number_in(value, name, 0, kCounterLimit - 1));
            term_given = true;
        } else if (name == "vote") {
            preset.vote = NodeId(value == "0" ? 0 : words.node_of(value));
        } else if (name == "commit") {
            preset.commit = LogIndex(words.number_in(value, name, 0, kCounterLimit - 1));
        } else if (name == "log") {
            if (!value.empty())
                for (std::string_view piece : split(value, ','))
                    if (words.error().empty()) preset.log.push_back(read_entry(words, piece, preset.log));
        } else {
            words.fail("unknown field " + quoted(word));
        }
    }
    Term last = preset.log.empty() ? Term() : preset.log.back().term;
    if (!term_given) preset.term = last;
    if (preset.term < last) words.fail("the log is newer than the term");
    if (preset.commit.value > preset.log.size()) words.fail("commit lies beyond the log");
    if (preset.vote && !preset.term) words.fail("there is no vote in term 0");
}

void read_part_and_types(Words& words, Selection& selection) {
    while (words.more()) {
        if (words.take("first")) {
            selection.part = Selection::Part::First;
            selection.count = words.number("first", 0, kCounterLimit - 1);
        } else if (words.take("last")) {
            selection.part = Selection::Part::Last;
            selection.count = words.number("last", 0, kCounterLimit - 1);
        } else if (words.take("type")) {
            for (std::string_view piece : split(words.next("type"), ',')) {
                if (!message_types().contains(piece)) words.fail("unknown type " + quoted(piece));
                selection.types.emplace(piece);
            }
        } else {
            words.fail("unknown word " + quoted(words.peek()));
        }
    }
}

void read_selection(Words& words, Selection& selection) {
    std::string_view link = words.next("A->B");
    size_t arrow = link.find("->");
    if (arrow == link.npos) return words.fail("a link is written as A->B, not " + quoted(link));
    selection.from = words.node_or_any(link.substr(0, arrow));
    selection.to = words.node_or_any(link.substr(arrow + 2));
    read_part_and_types(words, selection);
}

void read_link(Words& words, Selection& selection) {
    if (words.peek().find("->") != std::string_view::npos) {
        std::string_view link = words.next("A->B");
        size_t arrow = link.find("->");
        selection.from = words.node_or_any(link.substr(0, arrow));
        selection.to = words.node_or_any(link.substr(arrow + 2));
    } else {
        selection.both_ways = true;
        selection.from = words.node_or_any(words.next("node"));
        selection.to = words.node_or_any(words.next("node"));
    }
    if (selection.from && selection.from == selection.to) words.fail("a node has no link to itself");
}

void read_settle(Words& words, std::vector<uint64_t>& ids) {
    std::string text(words.rest());
    std::replace(text.begin(), text.end(), ' ', ',');
    if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
    if (text.empty()) return;
    for (std::string_view piece : split(text, ','))
        if (!piece.empty()) ids.push_back(words.node_of(piece));
}

void read_changes(Words& words, std::vector<MemberChange>& changes) {
    do {
        std::string_view word = words.next("a change such as +v4");
        if (word.size() < 3 || (word[0] != '+' && word[0] != '-') || (word[1] != 'v' && word[1] != 'l'))
            return words.fail("a change is written as +v4, -v4, +l4 or -l4, not " + quoted(word));
        changes.push_back({word[0] == '+', word[1] == 'l', words.node_of(word.substr(2))});
    } while (words.more());
}

void read_pattern(Words& words, Directive& directive) {
    directive.word = std::string(words.rest());
    if (directive.word.empty()) return words.fail("missing pattern");
    try {
        directive.pattern =
            std::regex(directive.word, std::regex::ECMAScript | std::regex::multiline);
    } catch (const std::regex_error& bad) {
        words.fail("pattern " + quoted(directive.word) + ": " + bad.what());
    }
}

void read_arguments(Words& words, Directive& directive) {
    switch (directive.verb) {
        case Verb::Nodes: return read_nodes(words, directive.group);
        case Verb::Deliver:
        case Verb::Drop:
        case Verb::Dup: return read_selection(words, directive.selection);
        case Verb::Messages:
            if (words.more()) read_selection(words, directive.selection);
            return;
        case Verb::Cut:
        case Verb::Heal: return read_link(words, directive.selection);
        case Verb::Settle: return read_settle(words, directive.ids);
        case Verb::State:
        case Verb::Log:
            if (words.more()) directive.node = words.node();
            return;
        case Verb::Answers: return;
        case Verb::Expect:
        case Verb::Refuse: return read_pattern(words, directive);
        default: break;
    }
    directive.node = words.node();
    switch (directive.verb) {
        case Verb::Preset: return read_preset(words, directive.preset);
        case Verb::Tick: directive.count = words.number("ticks", 0, kMostTicks); return;
        case Verb::Compact: directive.count = words.number("index", 0, kCounterLimit - 1); return;
        case Verb::Change: return read_changes(words, directive.changes);
        case Verb::Crash: directive.power = words.take("power"); return;
        case Verb::ReleaseDisk:
            if (words.take("first")) directive.count = words.number("first", 1, kCounterLimit - 1);
            return;
        case Verb::Transfer:
            if (!words.take("to")) words.fail("missing 'to'");
            directive.count = words.node();
            return;
        case Verb::Read: directive.word = std::string(words.next("tag")); return;
        case Verb::Propose:
            directive.word = std::string(words.rest());
            if (directive.word.empty()) words.fail("missing text");
            return;
        default: return;  // only a node
    }
}

}  // namespace

std::vector<uint64_t> GroupOptions::ids() const {
    std::vector<uint64_t> all;
    for (uint64_t id = 1; id <= voters; ++id) all.push_back(id);
    all.insert(all.end(), learners.begin(), learners.end());
    all.insert(all.end(), spare.begin(), spare.end());
    return all;
}

const std::set<std::string, std::less<>>& message_types() {
    static const std::set<std::string, std::less<>> types = [] {
        std::set<std::string, std::less<>> all = {"snapshot", "snapshot-reply", "timeoutnow-reply"};
        for (int kind = 0; kind <= static_cast<int>(MessageKind::TimeoutNow); ++kind)
            all.emplace(message_kind_name(static_cast<MessageKind>(kind)));
        return all;
    }();
    return types;
}

std::optional<Directive> Parser::line(size_t number, std::string_view text) {
    text = trimmed(without_comment(text));
    if (text.empty()) return std::nullopt;
    std::string_view name = text.substr(0, text.find_first_of(kBlanks));
    auto fail = [&](std::string what) {
        errors_.push_back({number, std::move(what)});
        return std::nullopt;
    };
    const VerbInfo* info = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                        [&](const VerbInfo& item) { return item.name == name; });
    if (info == std::end(kVerbs)) return fail("unknown directive " + quoted(name));
    if (info->verb == Verb::Nodes && !nodes_.empty()) return fail("nodes comes once");
    if (info->verb != Verb::Nodes && nodes_.empty()) return fail("nodes comes first");
    Directive directive;
    directive.line = number;
    directive.text = std::string(text);
    directive.verb = info->verb;
    Words words(text, nodes_);
    read_arguments(words, directive);
    if (words.more()) words.fail("unexpected " + quoted(words.peek()));
    if (info->verb == Verb::Nodes) {  // also of a faulty line, so that later lines are judged by what it says
        for (uint64_t id : directive.group.ids()) nodes_.insert(id);
        nodes_.insert(1);
    }
    if (!words.error().empty()) return fail(words.error() + " (" + std::string(info->usage) + ")");
    return directive;
}

Script parse_script(std::string_view text) {
    Parser parser;
    Script script;
    size_t number = 0;
    while (!text.empty()) {
        size_t end = std::min(text.find('\n'), text.size());
        if (auto directive = parser.line(++number, text.substr(0, end)))
            script.directives.push_back(std::move(*directive));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    script.errors = parser.errors();
    return script;
}

}  // namespace orrery::raft::script
