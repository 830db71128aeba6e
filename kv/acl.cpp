#include "kv/acl.h"

#include <algorithm>

#include "kv/glob.h"
#include "kv/password_hash.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

constexpr std::string_view kCategories[] = {
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
};

constexpr std::string_view kSyntax = "Syntax error";
constexpr std::string_view kUnknown = "Unknown command or category name in ACL";

Error refused(std::string_view why) { return {Code::Invalid, std::string(why)}; }

bool has_space(ByteView text) {
    return std::ranges::any_of(text, [](char c) { return c == '\0' || c == ' ' || (c >= '\t' && c <= '\r'); });
}

size_t bit_of(const CommandInfo& command) { return static_cast<size_t>(command.id); }
size_t bit_of(const SubcommandInfo& subcommand) {
    return AclUser::kPermissions / 2 + static_cast<size_t>(&subcommand - subcommand_table().data());
}

/// The bits of a command with all its subcommands.
template <typename Visit>
void for_each_bit(const CommandInfo& command, Visit visit) {
    visit(bit_of(command));
    for (const SubcommandInfo& subcommand : subcommand_table())
        if (subcommand.container == command.id) visit(bit_of(subcommand));
}

Bytes joined(std::span<const Bytes> words, std::string_view before_each) {
    Bytes out;
    for (const Bytes& word : words) {
        if (!out.empty()) out += ' ';
        out += before_each;
        out += word;
    }
    return out;
}

}  // namespace

std::span<const std::string_view> acl_categories() { return kCategories; }

// ---- one user -----------------------------------------------------------------------------------------------------

AclUser::AclUser() {
    static_assert(kCommandCount <= kPermissions / 2);
    CHECK(subcommand_table().size() <= kPermissions / 2);
}

AclUser::Permissions AclUser::everything() {
    Permissions out;
    for (const CommandInfo& command : command_table()) for_each_bit(command, [&](size_t bit) { out.set(bit); });
    return out;
}

Result<void> AclUser::apply(ByteView rule) {
    const auto is = [&](ByteView word) { return is_word(rule, word); };
    const ByteView rest = rule.empty() ? rule : rule.substr(1);
    if (is("on") || is("off")) {
        on_ = is("on");
    } else if (is("nopass") || is("resetpass")) {
        nopass_ = is("nopass");
        passwords_.clear();
    } else if (is("allkeys") || rule == "~*") {
        all_keys_ = true;
        key_patterns_.clear();
    } else if (is("resetkeys")) {
        all_keys_ = false;
        key_patterns_.clear();
    } else if (is("allchannels") || rule == "&*") {
        all_channels_ = true;
        channel_patterns_.clear();
    } else if (is("resetchannels")) {
        all_channels_ = false;
        channel_patterns_.clear();
    } else if (is("allcommands") || is("+@all")) {
        begins_with_all_ = true;
        allowed_ = everything();
        command_rules_.clear();
    } else if (is("nocommands") || is("-@all")) {
        begins_with_all_ = false;
        allowed_.reset();
        command_rules_.clear();
    } else if (is("reset")) {
        *this = AclUser();
    } else if (rule.starts_with('>') || rule.starts_with('#')) {
        if (rule[0] == '#' && !is_password_hash(rest))
            return refused("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");
        Bytes hash = rule[0] == '#' ? Bytes(rest) : password_hash(rest);
        if (std::ranges::find(passwords_, hash) == passwords_.end()) passwords_.push_back(std::move(hash));
        nopass_ = false;
    } else if (rule.starts_with('<') || rule.starts_with('!')) {
        if (rule[0] == '!' && !is_password_hash(rest))
            return refused("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");
        const auto at = std::ranges::find(passwords_, rule[0] == '!' ? Bytes(rest) : password_hash(rest));
        if (at == passwords_.end()) return refused("The password you are trying to remove from the user does not exist");
        passwords_.erase(at);
    } else if (rule.starts_with('~') || rule.starts_with('&')) {
        const bool key = rule[0] == '~';
        if (key ? all_keys_ : all_channels_)
            return refused(key ? "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try "
                                 "'resetkeys' to start with an empty list of patterns"
                               : "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try "
                                 "'resetchannels' to start with an empty list of channels");
        if (has_space(rest)) return refused(kSyntax);
        std::vector<Bytes>& patterns = key ? key_patterns_ : channel_patterns_;
        if (std::ranges::find(patterns, Bytes(rest)) == patterns.end()) patterns.emplace_back(rest);
    } else if (rule.starts_with('+') || rule.starts_with('-')) {
        return apply_command_rule(rule);
    } else {
        return refused(kSyntax);
    }
    return {};
}

Result<void> AclUser::apply_command_rule(ByteView rule) {
    const bool allow = rule[0] == '+';
    const ByteView what = rule.substr(1);
    auto change = [&](size_t bit) { allowed_.set(bit, allow); };
    if (what.starts_with('@')) {
        const Bytes category = lowered(what.substr(1));
        if (std::ranges::find(kCategories, category) == std::end(kCategories)) return refused(kUnknown);
        for (const CommandInfo& command : command_table())
            if (in_category(command.categories, category)) change(bit_of(command));
        for (const SubcommandInfo& subcommand : subcommand_table())
            if (in_category(subcommand.categories, category)) change(bit_of(subcommand));
    } else if (const size_t bar = what.find('|'); bar != ByteView::npos) {
        const CommandInfo* command = find_command(what.substr(0, bar));
        if (command == nullptr) return refused(kUnknown);
        const SubcommandInfo* subcommand = find_subcommand(command->id, what.substr(bar + 1));
        if (subcommand == nullptr) return refused(kUnknown);
        change(bit_of(*subcommand));
    } else {
        const CommandInfo* command = find_command(what);
        if (command == nullptr) return refused(kUnknown);
        for_each_bit(*command, change);
    }
    remember(lowered(rule));
    return {};
}

// A later rule about the same thing takes the place of an earlier one, and one about a command that of those about its parts.
void AclUser::remember(ByteView rule) {
    const ByteView what = rule.substr(1);
    std::erase_if(command_rules_, [&](ByteView known) {
        known.remove_prefix(1);
        return known == what || (known.size() > what.size() && known.starts_with(what) && known[what.size()] == '|');
    });
    command_rules_.emplace_back(rule);
}

bool AclUser::accepts(ByteView hash) const {
    bool found = false;
    for (const Bytes& known : passwords_) found |= same_password_hash(known, hash);
    return found;
}

bool AclUser::may_run(const CommandInfo& command, const SubcommandInfo* subcommand) const {
    return allowed_.test(subcommand == nullptr ? bit_of(command) : bit_of(*subcommand));
}

bool AclUser::may_touch(ByteView key) const {
    return all_keys_ || std::ranges::any_of(key_patterns_, [&](const Bytes& pattern) { return glob_match(pattern, key, LetterCase::Exact); });
}

std::vector<Bytes> AclUser::flags() const {
    std::vector<Bytes> out{on_ ? "on" : "off"};
    if (nopass_) out.emplace_back("nopass");
    return out;
}

Bytes AclUser::commands_text() const {
    Bytes out = begins_with_all_ ? "+@all" : "-@all";
    for (const Bytes& rule : command_rules_) out.append(" ").append(rule);
    return out;
}

Bytes AclUser::keys_text() const { return all_keys_ ? "~*" : joined(key_patterns_, "~"); }
Bytes AclUser::channels_text() const { return all_channels_ ? "&*" : joined(channel_patterns_, "&"); }

Bytes AclUser::text() const {
    Bytes out = joined(flags(), "");
    if (!passwords_.empty()) out.append(" ").append(joined(passwords_, "#"));
    if (const Bytes keys = keys_text(); !keys.empty()) out.append(" ").append(keys);
    if (!all_channels_) out.append(" resetchannels");
    if (const Bytes channels = channels_text(); !channels.empty()) out.append(" ").append(channels);
    return out.append(" ").append(commands_text());
}

// ---- all of them ----------------------------------------------------------------------------------------------------

Acl::Acl() {
    AclUser& user = users_["default"];
    for (const char* rule : {"on", "nopass", "allkeys", "allchannels", "allcommands"}) CHECK(user.apply(rule).ok(), rule);
}

Result<Acl> Acl::parse(std::string_view lines) {
    Acl out;
    std::map<Bytes, AclUser> named;
    for (size_t number = 1; !lines.empty(); ++number) {
        const size_t end = std::min(lines.find('\n'), lines.size());
        std::string_view line = lines.substr(0, end);
        lines.remove_prefix(std::min(end + 1, lines.size()));
        std::vector<ByteView> words;
        while (!line.empty()) {
            const size_t blank = std::min(line.find_first_of(" \t\r"), line.size());
            if (blank > 0) words.push_back(line.substr(0, blank));
            line.remove_prefix(std::min(blank + 1, line.size()));
        }
        if (words.empty() || words[0].starts_with('#')) continue;
        const std::string where = "line " + std::to_string(number) + ": ";
        if (words.size() < 2 || words[0] != "user") return refused(where + "a user is `user NAME RULE...`");
        if (named.contains(Bytes(words[1]))) return refused(where + "user '" + Bytes(words[1]) + "' is there twice");
        AclUser& user = named[Bytes(words[1])];
        for (ByteView rule : ArgvView(words).subspan(2))
            if (Result<void> done = user.apply(rule); !done.ok()) return refused(where + "rule '" + Bytes(rule) + "': " + done.error().context);
    }
    for (auto& [name, user] : named) out.users_.insert_or_assign(name, std::move(user));
    return out;
}

Result<void> Acl::set(ByteView name, ArgvView rules) {
    if (has_space(name)) return refused("Usernames can't contain spaces or null characters");
    const AclUser* known = find(name);
    AclUser changed = known != nullptr ? *known : AclUser();
    for (ByteView rule : rules)
        if (Result<void> done = changed.apply(rule); !done.ok())
            return refused("Error in ACL SETUSER modifier '" + Bytes(rule) + "': " + done.error().context);
    users_.insert_or_assign(Bytes(name), std::move(changed));
    return {};
}

const AclUser* Acl::find(ByteView name) const {
    const auto at = users_.find(Bytes(name));
    return at == users_.end() ? nullptr : &at->second;
}

const AclUser* Acl::authenticate(ByteView name, ByteView password) const {
    const Bytes hash = password_hash(password);
    const AclUser* user = find(name);
    // Somebody who is not there is compared with all the same.
    const AclUser& compared = user != nullptr ? *user : default_user();
    const bool right = compared.accepts(hash) || compared.without_password();
    return user != nullptr && right && user->on() ? user : nullptr;
}

// ---- ACL ... --------------------------------------------------------------------------------------------------------

namespace {

Reply categories(ArgvView argv) {
    std::vector<Reply> out;
    if (argv.size() == 2) {
        for (std::string_view category : kCategories) out.push_back(Reply::bulk(Bytes(category)));
        return Reply::array(std::move(out));
    }
    const Bytes category = lowered(argv[2]);
    if (std::ranges::find(kCategories, category) == std::end(kCategories))
        return Reply::error("ERR Unknown category '" + Bytes(argv[2]) + "'");
    for (const CommandInfo& command : command_table()) {
        if (in_category(command.categories, category)) out.push_back(Reply::bulk(Bytes(command.name)));
        for (const SubcommandInfo& subcommand : subcommand_table())
            if (subcommand.container == command.id && in_category(subcommand.categories, category))
                out.push_back(Reply::bulk(full_name(command, &subcommand)));
    }
    return Reply::array(std::move(out));
}

Reply describe_user(const AclUser& user) {
    std::vector<Reply> flags, passwords;
    for (Bytes& flag : user.flags()) flags.push_back(Reply::bulk(std::move(flag)));
    for (const Bytes& hash : user.passwords()) passwords.push_back(Reply::bulk(hash));
    return Reply::map({Reply::bulk("flags"), Reply::set(std::move(flags)), Reply::bulk("passwords"), Reply::array(std::move(passwords)),
                       Reply::bulk("commands"), Reply::bulk(user.commands_text()), Reply::bulk("keys"), Reply::bulk(user.keys_text()),
                       Reply::bulk("channels"), Reply::bulk(user.channels_text()), Reply::bulk("selectors"), Reply::array({})});
}

}  // namespace

Reply acl_command(ArgvView argv, ByteView own_name, Acl& acl) {
    const auto is = [&](ByteView word) { return is_word(argv[1], word); };
    if (is("whoami")) return Reply::bulk(Bytes(own_name));
    if (is("cat")) return argv.size() > 3 ? Reply::error("ERR wrong number of arguments for 'acl|cat' command") : categories(argv);
    if (is("users") || is("list")) {
        std::vector<Reply> out;
        for (const auto& [name, user] : acl.users()) out.push_back(Reply::bulk(is("users") ? name : "user " + name + " " + user.text()));
        return Reply::array(std::move(out));
    }
    if (is("getuser")) {
        const AclUser* user = acl.find(argv[2]);
        return user == nullptr ? Reply::null() : describe_user(*user);
    }
    if (is("deluser")) {
        for (ByteView name : argv.subspan(2))
            if (name == "default") return Reply::error("ERR The 'default' user cannot be removed");
        int64_t removed = 0;
        for (ByteView name : argv.subspan(2)) removed += acl.remove(name);
        return Reply::integer(removed);
    }
    CHECK(is("setuser"), argv[1]);
    Result<void> done = acl.set(argv[2], argv.subspan(3));
    return done.ok() ? Reply::ok() : Reply::error("ERR " + done.error().context);
}

std::optional<Reply> acl_refusal(const AclUser& user, const CommandInfo& command, const SubcommandInfo* subcommand, ArgvView argv) {
    if (command.flags & kFlagNoAuth) return std::nullopt;
    if (!user.may_run(command, subcommand))
        return Reply::error("NOPERM this user has no permissions to run the '" + full_name(command, subcommand) + "' command");
    for (ByteView key : keys_of(command, argv))
        if (!user.may_touch(key)) return Reply::error("NOPERM this user has no permissions to access one of the keys used as arguments");
    return std::nullopt;
}

}  // namespace orrery::kv
