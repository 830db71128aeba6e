// Acl: who may connect, and which commands and keys each user may touch. The rules are those of Redis' ACLs, without selectors,
// %R~ and %W~ patterns, and channels (which are taken and have nothing to guard: there is no publish and subscribe).
//
// Pure values: a change is made on a copy, which then replaces the whole. What a user may do is a bit for each command and for each
// subcommand; the rules in words are kept for ACL LIST.
#pragma once

#include <bitset>
#include <map>
#include <string>
#include <vector>

#include "kv/command_table.h"
#include "runtime/base/result.h"

namespace orrery::kv {

/// Every category that Redis 7.0 knows; some have none of our commands.
std::span<const std::string_view> acl_categories();

class AclUser {
 public:
    /// Off, without password, keys and commands.
    AclUser();

    /// One rule: on, off, nopass, resetpass, >password, <password, #hash, !hash, ~pattern, allkeys, resetkeys, +command, +command|sub, -...,
    /// +@category, -@category, allcommands, nocommands, &pattern, allchannels, resetchannels, reset.
    /// Errors: Invalid, the words of Redis. Effects on failure: none.
    Result<void> apply(ByteView rule);

    bool on() const { return on_; }
    bool without_password() const { return nopass_; }
    bool accepts(ByteView password_hash) const;
    bool may_run(const CommandInfo& command, const SubcommandInfo* subcommand) const;
    bool may_touch(ByteView key) const;
    /// Any command on any key: nothing has to be looked at.
    bool unrestricted() const { return all_keys_ && allowed_ == everything(); }

    // For ACL GETUSER and ACL LIST.
    std::vector<Bytes> flags() const;
    const std::vector<Bytes>& passwords() const { return passwords_; }
    Bytes commands_text() const;
    Bytes keys_text() const;
    Bytes channels_text() const;
    /// The rules that make such a user, without its name.
    Bytes text() const;

    /// 128 commands and as many subcommands.
    static constexpr size_t kPermissions = 256;

 private:
    using Permissions = std::bitset<kPermissions>;
    static Permissions everything();
    Result<void> apply_command_rule(ByteView rule);
    void remember(ByteView rule);

    bool on_ = false;
    bool nopass_ = false;
    bool all_keys_ = false;
    bool all_channels_ = false;
    bool begins_with_all_ = false;  // of the commands: what the rules below are relative to
    std::vector<Bytes> passwords_;  // hashes
    std::vector<Bytes> key_patterns_;
    std::vector<Bytes> channel_patterns_;
    std::vector<Bytes> command_rules_;  // each with its sign
    Permissions allowed_;
};

class Acl {
 public:
    /// One user, "default": on, without password, may do everything.
    Acl();
    /// Lines "user NAME RULE...", as Redis' ACL files have them; empty ones and comments (#) are skipped. The default user is as
    /// above unless a line names it; what it then gets begins from nothing. Errors: Invalid, with the number of the line.
    static Result<Acl> parse(std::string_view lines);

    /// Makes or changes a user: all rules or none. Errors: Invalid, the words of Redis.
    Result<void> set(ByteView name, ArgvView rules);
    /// False: there is no such user. Requires: not "default".
    bool remove(ByteView name) { return users_.erase(Bytes(name)) > 0; }
    const AclUser* find(ByteView name) const;
    const AclUser& default_user() const { return users_.find("default")->second; }
    const std::map<Bytes, AclUser>& users() const { return users_; }
    /// The user, if it is on and the password is its own. Takes the same time whether or not there is such a user.
    const AclUser* authenticate(ByteView name, ByteView password) const;
    /// May a new connection act as the default user at once?
    bool open_to_all() const { return default_user().on() && default_user().without_password(); }

 private:
    std::map<Bytes, AclUser> users_;
};

/// ACL CAT | DELUSER | GETUSER | LIST | SETUSER | USERS | WHOAMI. `acl` is changed by two of them. Requires: passed check_request().
Reply acl_command(ArgvView argv, ByteView own_name, Acl& acl);

/// NOPERM as Redis says it; nullopt: the user may. Commands for connections that are not authenticated yet are for everybody.
std::optional<Reply> acl_refusal(const AclUser& user, const CommandInfo& command, const SubcommandInfo* subcommand, ArgvView argv);

}  // namespace orrery::kv
