// execute() as a program: a line is `nanoseconds hex hex ...` (time, then the words of a request), the answer is one line of
// hex, the RESP2 reply. Driven by against_redis.py beside a stock redis-server.
#include <iostream>
#include <sstream>
#include <string>

#include "kv/local_commands.h"
#include "tests/kv/memory_keyspace.h"

namespace {

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

}  // namespace

int main() {
    using namespace orrery;
    test::MemoryKeyspace keyspace;
    kv::ClientState client;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        kv::LogTime now;
        words >> now.ns;
        kv::Argv argv;
        for (std::string word; words >> word;) argv.push_back(word == "-" ? "" : from_hex(word));
        const auto request = kv::check_request(resp::views_of(argv));
        kv::Reply reply = request.refusal;
        if (request.command != nullptr) {
            switch (request.command->route) {
                case kv::Route::Write: reply = keyspace.write(argv, now); break;
                case kv::Route::Read: reply = keyspace.read_with_ticks(argv, now); break;
                case kv::Route::Local: reply = kv::execute_local(resp::views_of(argv), client, {}); break;
                case kv::Route::Wait: reply = kv::Reply::error("ERR no cluster here"); break;
            }
        }
        std::cout << to_hex(resp::encoded(reply, resp::Version::Resp2)) << std::endl;
    }
}
