// execute() as a program: a line is `nanoseconds hex hex ...` (time, then the words of a request), the answer is one line of
// hex, the reply in the connection's version of the protocol. One connection, transactions included, as ClientSession has it. Driven
// by against_redis.py beside a stock redis-server.
#include <iostream>
#include <sstream>
#include <string>

#include "kv/client_transaction.h"
#include "tests/kv/fake_node.h"
#include "tests/kv/memory_keyspace.h"

namespace {

using namespace orrery;

std::string from_hex(const std::string& hex) {
    std::string out;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return out;
}

std::string to_hex(const std::string& bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    for (char c : bytes) {
        out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
        out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
    }
    return out;
}

constexpr uint64_t kTransactionBytes = 8 << 20;

struct Connection {
    test::MemoryKeyspace keyspace;
    test::FakeNode node;
    kv::ClientState client;
    kv::ClientTransaction transaction;

    kv::Reply answer(const kv::Argv& argv, kv::LogTime now) {
        const std::vector<ByteView> words = resp::views_of(argv);
        const auto request = kv::check_request(words);
        if (request.command == nullptr) return transaction.refused(words, request.refusal);
        if (auto refused = kv::acl_refusal(*node.the_acl.find(client.user), *request.command, request.subcommand, words))
            return transaction.refused(words, std::move(*refused));
        if (transaction.open() && !kv::acts_inside_multi(request.command->id)) return transaction.queue(words, kTransactionBytes);
        if (request.command->id == kv::CommandId::Watch) {
            if (transaction.open()) return kv::Reply::error("ERR WATCH inside MULTI is not allowed");
            return transaction.watch(resp::ArgvView(words).subspan(1), keyspace.read_with_ticks(argv, now), kTransactionBytes).value();
        }
        return answer_one(*request.command, argv, now);
    }

    kv::Reply answer_one(const kv::CommandInfo& command, const kv::Argv& argv, kv::LogTime now) {
        switch (command.route) {
            case kv::Route::Write: return keyspace.write(argv, now);
            case kv::Route::Read: return keyspace.read_with_ticks(argv, now);
            case kv::Route::Local: return kv::execute_local(resp::views_of(argv), client, node);
            case kv::Route::Wait: return kv::Reply::error("ERR no cluster here");
            case kv::Route::Session: break;
        }
        switch (command.id) {
            case kv::CommandId::Multi: return transaction.begin();
            case kv::CommandId::Exec: return exec(now);
            case kv::CommandId::Unwatch: transaction.unwatch(); return kv::Reply::ok();
            case kv::CommandId::Discard: {
                if (!transaction.open()) return kv::Reply::error("ERR DISCARD without MULTI");
                transaction.discard();
                return kv::Reply::ok();
            }
            case kv::CommandId::Reset:
                transaction.discard();
                kv::reset_client(client, node.the_acl);
                return kv::Reply::simple("RESET");
            default: return kv::Reply::error("ERR a session command that the oracle lacks");
        }
    }

    kv::Reply exec(kv::LogTime now) {
        if (!transaction.open()) return kv::Reply::error("ERR EXEC without MULTI");
        const kv::ClientTransaction ended = std::move(transaction);
        transaction = kv::ClientTransaction();
        if (ended.broken()) return kv::Reply::error("EXECABORT Transaction discarded because of previous errors.");
        kv::Reply group = keyspace.transact(ended.for_group(), now);
        if (group.kind != kv::Reply::Kind::Array) return group;
        std::vector<kv::Reply> replies;
        auto next = group.items.begin();
        for (const kv::Argv& argv : ended.queued()) {
            const kv::CommandInfo& command = *kv::find_command(argv.front());
            replies.push_back(kv::belongs_to_group(command) ? std::move(*next++) : answer_one(command, argv, now));
        }
        return kv::Reply::array(std::move(replies));
    }
};

}  // namespace

int main() {
    Connection connection;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        kv::LogTime now;
        words >> now.ns;
        kv::Argv argv;
        for (std::string word; words >> word;) argv.push_back(word == "-" ? "" : from_hex(word));
        const kv::Reply reply = connection.answer(argv, now);
        std::cout << to_hex(resp::encoded(reply, connection.client.version)) << std::endl;
    }
}
