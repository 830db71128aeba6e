#include "kv/client_commands.h"

#include <algorithm>
#include <optional>

#include "kv/common_replies.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

// Client names and versions end up in one-line lists.
bool is_plain(ByteView text) {
    return std::ranges::all_of(text, [](char c) { return c >= '!' && c <= '~'; });
}

Bytes flags_of(const ClientState& client) {
    Bytes out;
    if (client.blocked) out += 'b';
    if (client.tracking) out += 't';
    if (client.queued >= 0) out += 'x';
    if (client.closing) out += 'c';
    if (client.readonly) out += 'r';
    if (client.no_evict) out += 'e';
    return out.empty() ? "N" : out;
}

// Keys are not tracked. Over RESP2, without redirection, that makes no difference: there is no message that could be sent.
Reply tracking(ArgvView options, ClientState& client) {
    const bool on = is_word(options[0], "on");
    if (!on && !is_word(options[0], "off")) return syntax_error();
    if (on && (options.size() > 1 || client.version != resp::Version::Resp2))
        return Reply::error("ERR keys are not tracked: CLIENT TRACKING is taken over RESP2 and without options only, where it has no effect");
    client.tracking = on;
    return Reply::ok();
}

/// The kinds that Redis tells apart. Ours are all normal: other members do not come in as clients, and nobody publishes.
enum class ClientType : uint8_t { Normal, Other };

std::optional<ClientType> client_type(ByteView name) {
    if (is_word(name, "normal")) return ClientType::Normal;
    for (ByteView other : {"master", "replica", "slave", "pubsub"})
        if (is_word(name, other)) return ClientType::Other;
    return std::nullopt;
}

Reply unknown_type(ByteView name) { return Reply::error("ERR Unknown client type '" + Bytes(name) + "'"); }

Reply list(ArgvView options, LocalNode& node) {
    std::vector<uint64_t> ids;
    bool by_id = false;
    bool none = false;
    if (options.size() == 2 && is_word(options[0], "type")) {
        const auto type = client_type(options[1]);
        if (!type) return unknown_type(options[1]);
        none = *type == ClientType::Other;
    } else if (options.size() > 1 && is_word(options[0], "id")) {
        by_id = true;
        for (ByteView word : options.subspan(1)) {
            const auto id = resp::parse_int64(word);
            if (!id) return Reply::error("ERR Invalid client ID");
            ids.push_back(static_cast<uint64_t>(*id));
        }
    } else if (!options.empty()) {
        return syntax_error();
    }
    Bytes lines;
    if (!none) {
        node.for_each_client([&](const ClientState& client) {
            if (!by_id || std::ranges::find(ids, client.id) != ids.end()) lines += client_line(client, node.now());
        });
    }
    return Reply::verbatim(std::move(lines));
}

struct KillFilter {
    std::optional<uint64_t> id;
    std::optional<ByteView> address, local_address, user;
    bool nobody = false;  // a type that no client here has
    bool spare_caller = true;

    bool matches(const ClientState& client) const {
        return !nobody && (!id || client.id == *id) && (!address || client.address == *address) &&
               (!local_address || client.local_address == *local_address) && (!user || (client.authenticated && client.user == *user));
    }
};

/// nullopt: `refusal` says why not.
std::optional<KillFilter> kill_filter(ArgvView options, const Acl& acl, Reply& refusal) {
    KillFilter filter;
    if (options.size() == 1) {  // the old form
        filter.address = options[0];
        filter.spare_caller = false;
        return filter;
    }
    for (size_t i = 0; i < options.size(); i += 2) {
        refusal = syntax_error();
        if (i + 1 == options.size()) return std::nullopt;
        const ByteView value = options[i + 1];
        if (is_word(options[i], "id")) {
            const auto id = resp::parse_int64(value);
            refusal = Reply::error("ERR client-id should be greater than 0");
            if (!id || *id < 1) return std::nullopt;
            filter.id = static_cast<uint64_t>(*id);
        } else if (is_word(options[i], "type")) {
            const auto type = client_type(value);
            refusal = unknown_type(value);
            if (!type) return std::nullopt;
            filter.nobody |= *type == ClientType::Other;
        } else if (is_word(options[i], "addr")) {
            filter.address = value;
        } else if (is_word(options[i], "laddr")) {
            filter.local_address = value;
        } else if (is_word(options[i], "user")) {
            refusal = Reply::error("ERR No such user '" + Bytes(value) + "'");
            if (acl.find(value) == nullptr) return std::nullopt;
            filter.user = value;
        } else if (is_word(options[i], "skipme")) {
            if (!is_word(value, "yes") && !is_word(value, "no")) return std::nullopt;
            filter.spare_caller = is_word(value, "yes");
        } else {
            return std::nullopt;
        }
    }
    return filter;
}

Reply kill(ArgvView options, ClientState& caller, LocalNode& node) {
    Reply refusal;
    const std::optional<KillFilter> filter = kill_filter(options, node.acl(), refusal);
    if (!filter) return refusal;
    std::vector<uint64_t> killed;
    node.for_each_client([&](const ClientState& client) {
        if (client.id == caller.id ? !filter->spare_caller && filter->matches(client) : filter->matches(client)) killed.push_back(client.id);
    });
    for (uint64_t id : killed) {
        if (id == caller.id) {
            caller.closing = true;  // behind the reply
        } else {
            node.kill_client(id);
        }
    }
    if (options.size() > 1) return Reply::integer(static_cast<int64_t>(killed.size()));
    return killed.empty() ? Reply::error("ERR No such client") : Reply::ok();
}

Reply unblock(ArgvView argv, LocalNode& node) {
    Unblock how = Unblock::AsTimeout;
    if (argv.size() == 4) {
        if (is_word(argv[3], "error")) {
            how = Unblock::AsError;
        } else if (!is_word(argv[3], "timeout")) {
            return Reply::error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        }
    }
    const auto id = resp::parse_int64(argv[2]);
    if (!id) return Reply::error("ERR value is not an integer or out of range");
    return Reply::integer(node.unblock_client(static_cast<uint64_t>(*id), how));
}

// The reply to OFF and SKIP is withheld too, as Redis does it.
Reply reply_mode(ByteView mode, ClientState& client) {
    if (is_word(mode, "on")) {
        client.replies_withheld = 0;
    } else if (is_word(mode, "off")) {
        client.replies_withheld = ClientState::kNoReplies;
    } else if (is_word(mode, "skip")) {
        if (client.replies_withheld != ClientState::kNoReplies) client.replies_withheld = 2;
    } else {
        return syntax_error();
    }
    return Reply::ok();
}

Reply set_info(ArgvView argv, ClientState& client) {
    const bool name = is_word(argv[2], "lib-name");
    if (!name && !is_word(argv[2], "lib-ver")) return Reply::error("ERR Unrecognized option '" + Bytes(argv[2]) + "'");
    if (!is_plain(argv[3])) return Reply::error("ERR " + lowered(argv[2]) + " cannot contain spaces, newlines or special characters.");
    (name ? client.driver_name : client.driver_version) = argv[3];
    return Reply::ok();
}

}  // namespace

Reply set_client_name(ClientState& client, ByteView name) {
    if (!is_plain(name)) return Reply::error("ERR Client names cannot contain spaces, newlines or special characters.");
    client.name = name;
    return Reply::ok();
}

Bytes client_line(const ClientState& client, Instant now) {
    const auto number = [](uint64_t value) { return std::to_string(value); };
    const auto seconds = [&](Instant since) { return number(static_cast<uint64_t>(std::max<int64_t>(0, (now - since).ns) / 1'000'000'000)); };
    return "id=" + number(client.id) + " addr=" + client.address + " laddr=" + client.local_address + " name=" + client.name +
           " age=" + seconds(client.connected_at) + " idle=" + seconds(client.active_at) + " flags=" + flags_of(client) +
           " db=0 sub=0 psub=0 ssub=0 multi=" + std::to_string(client.queued) + " watch=" + number(client.watched) +
           " qbuf=" + number(client.input_bytes) + " omem=" + number(client.output_bytes) + " tot-mem=" + number(client.memory_bytes) +
           " cmd=" + (client.command == nullptr ? Bytes("NULL") : full_name(*client.command, client.subcommand)) + " user=" + client.user +
           " redir=-1 resp=" + number(static_cast<uint64_t>(client.version)) + " lib-name=" + client.driver_name + " lib-ver=" + client.driver_version + "\n";
}

Reply client_command(ArgvView argv, ClientState& client, LocalNode& node) {
    const auto is = [&](ByteView word) { return is_word(argv[1], word); };
    if (is("id")) return Reply::integer(static_cast<int64_t>(client.id));
    if (is("getname")) return client.name.empty() ? Reply::null() : Reply::bulk(client.name);
    if (is("setname")) return set_client_name(client, argv[2]);
    if (is("setinfo")) return set_info(argv, client);
    if (is("tracking")) return tracking(argv.subspan(2), client);
    if (is("list")) return list(argv.subspan(2), node);
    if (is("info")) return Reply::verbatim(client_line(client, node.now()));
    if (is("kill")) return kill(argv.subspan(2), client, node);
    if (is("unblock")) return unblock(argv, node);
    if (is("reply")) return reply_mode(argv[2], client);
    CHECK(is("no-evict"), argv[1]);
    if (!is_word(argv[2], "on") && !is_word(argv[2], "off")) return syntax_error();
    client.no_evict = is_word(argv[2], "on");
    return Reply::ok();
}

}  // namespace orrery::kv
