#include "kv/local_commands.h"

#include <algorithm>

#include "kv/client_commands.h"
#include "kv/cluster_commands.h"
#include "kv/common_replies.h"
#include "kv/config_commands.h"
#include "kv/info.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

Reply wrong_password() { return Reply::error("WRONGPASS invalid username-password pair or user is disabled."); }

bool authenticate(ClientState& client, ByteView name, ByteView password, LocalNode& node) {
    if (node.acl().authenticate(name, password) == nullptr) {
        node.auth_failed();
        return false;
    }
    client.user = name;
    client.authenticated = true;
    return true;
}

Reply hello(ArgvView argv, ClientState& client, LocalNode& node) {
    if (argv.size() > 1) {
        const auto version = resp::parse_int64(argv[1]);
        if (!version) return Reply::error("ERR Protocol version is not an integer or out of range");
        if (*version != 2 && *version != 3) return Reply::error("NOPROTO unsupported protocol version");
    }
    if (argv.size() > 1 && argv[1] == "3" && client.tracking)
        return Reply::error("ERR keys are not tracked: turn CLIENT TRACKING off before HELLO 3");
    std::optional<ByteView> name;
    std::optional<std::pair<ByteView, ByteView>> login;
    for (size_t i = 2; i < argv.size(); ++i) {
        const size_t left = argv.size() - 1 - i;
        if (is_word(argv[i], "auth") && left >= 2) {
            login = {argv[i + 1], argv[i + 2]};
            i += 2;
        } else if (is_word(argv[i], "setname") && left >= 1) {
            name = argv[++i];
        } else {
            return Reply::error("ERR Syntax error in HELLO option '" + Bytes(argv[i].substr(0, argv[i].find('\0'))) + "'");
        }
    }
    if (login && !authenticate(client, login->first, login->second, node)) return wrong_password();
    if (!client.authenticated)
        return Reply::error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
                            "option can be used to authenticate the client and select the RESP protocol version at the same time");
    if (name) {
        Reply named = set_client_name(client, *name);
        if (named.is_error()) return named;
    }
    if (argv.size() > 1) client.version = *resp::parse_int64(argv[1]) == 3 ? resp::Version::Resp3 : resp::Version::Resp2;
    const ServerFacts facts = node.facts();
    const bool cluster = node.face() == ClientFace::Cluster;
    // With the standalone face any node takes any command, so each of them is a master to its clients; INFO and ROLE tell who leads.
    const bool master = !cluster || facts.leader;
    return Reply::map({bulk_of("server"), bulk_of("redis"), bulk_of("version"), bulk_of(facts.redis_version),
                       bulk_of("proto"), Reply::integer(static_cast<int64_t>(client.version)), bulk_of("id"),
                       Reply::integer(static_cast<int64_t>(client.id)), bulk_of("mode"), bulk_of(cluster ? "cluster" : "standalone"),
                       bulk_of("role"), bulk_of(master ? "master" : "replica"), bulk_of("modules"), Reply::array({})});
}

Reply auth(ArgvView argv, ClientState& client, LocalNode& node) {
    if (argv.size() > 3) return Reply::error("ERR syntax error");
    if (argv.size() == 2 && node.acl().default_user().without_password())
        return Reply::error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?");
    const ByteView name = argv.size() == 2 ? ByteView("default") : argv[1];
    return authenticate(client, name, argv.back(), node) ? Reply::ok() : wrong_password();
}

Reply change_users(ArgvView argv, ClientState& client, LocalNode& node) {
    Acl changed = node.acl();
    Reply reply = acl_command(argv, client.user, changed);
    const bool changes = is_word(argv[1], "setuser") || is_word(argv[1], "deluser");
    if (changes && !reply.is_error()) node.change_acl(std::move(changed));
    return reply;
}

Reply role(const ServerFacts& facts) {
    const auto offset = static_cast<int64_t>(facts.applied_index.value);
    if (!facts.leader)
        return Reply::array({bulk_of("slave"), bulk_of(facts.leader_host), Reply::integer(facts.leader_port),
                             bulk_of(facts.leader_node ? "connected" : "connect"), Reply::integer(offset)});
    std::vector<Reply> replicas;
    for (const ServerFacts::Replica& replica : facts.replicas)
        if (replica.connected)
            replicas.push_back(Reply::array({bulk_of(replica.host), bulk_of(std::to_string(replica.port)),
                                             bulk_of(std::to_string(std::min(replica.durable, replica.applied).value))}));
    return Reply::array({bulk_of("master"), Reply::integer(offset), Reply::array(std::move(replicas))});
}

// There are no functions, so there is nothing to flush; harnesses ask for it before they begin.
Reply function_flush(ArgvView argv) {
    if (argv.size() > 3 || (argv.size() == 3 && !is_word(argv[2], "sync") && !is_word(argv[2], "async")))
        return Reply::error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    return Reply::ok();
}

Reply select(ByteView database) {
    const auto number = resp::parse_int64(database);
    if (!number) return Reply::error("ERR value is not an integer or out of range");
    return *number == 0 ? Reply::ok() : Reply::error("ERR DB index is out of range");
}

Reply time_of(WallTime wall) {
    const int64_t micros = wall.ns / 1000;
    return Reply::array({Reply::bulk(resp::int64_text(micros / 1'000'000)), Reply::bulk(resp::int64_text(micros % 1'000'000))});
}

}  // namespace

Reply execute_local(ArgvView argv, ClientState& client, LocalNode& node) {
    const CommandInfo* command = find_command(argv[0]);
    CHECK(command != nullptr && command->route == Route::Local);
    switch (command->id) {
        case CommandId::Acl: return change_users(argv, client, node);
        case CommandId::Asking: return node.face() == ClientFace::Cluster ? Reply::ok() : cluster_disabled();
        case CommandId::Auth: return auth(argv, client, node);
        case CommandId::Client: return client_command(argv, client, node);
        case CommandId::Cluster: return node.face() == ClientFace::Cluster ? cluster_command(argv, node.cluster()) : cluster_disabled();
        case CommandId::Command: return command_command(argv);
        case CommandId::Config: return config_command(argv, node);
        case CommandId::Echo: return Reply::bulk(Bytes(argv[1]));
        case CommandId::Function: return function_flush(argv);
        case CommandId::Hello: return hello(argv, client, node);
        case CommandId::Info: return info_command(argv.subspan(1), node.facts());
        case CommandId::Ping:
            if (argv.size() > 2) return Reply::error("ERR wrong number of arguments for 'ping' command");
            return argv.size() == 2 ? Reply::bulk(Bytes(argv[1])) : Reply::simple("PONG");
        case CommandId::Quit: client.closing = true; return Reply::ok();
        case CommandId::Readonly:
        case CommandId::Readwrite: client.readonly = command->id == CommandId::Readonly; return Reply::ok();
        case CommandId::Role: return role(node.facts());
        case CommandId::Select: return select(argv[1]);
        case CommandId::Time: return time_of(node.wall());
        default: UNREACHABLE(command->name);
    }
}

void reset_client(ClientState& client, const Acl& acl) {
    client.name.clear();
    client.tracking = client.readonly = client.no_evict = false;
    client.replies_withheld = 0;
    client.version = resp::Version::Resp2;
    client.user = "default";
    client.authenticated = acl.open_to_all();
}

}  // namespace orrery::kv
