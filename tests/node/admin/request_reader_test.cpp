#include "node/admin/request_reader.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/base/random.h"

using namespace orrery;
using admin::HttpFailure;
using admin::HttpRequest;
using admin::RequestReader;

namespace {

constexpr uint32_t kHeaderBytes = 1024;
constexpr uint64_t kBodyBytes = 4096;

struct Outcome {
    std::vector<std::string> requests;  // "METHOD target keep-alive"
    int failure = 0;
    bool between = false;

    bool operator==(const Outcome&) const = default;
};

/// Feeds `bytes` in pieces that `size_of_next` chooses.
template <typename SizeOfNext>
Outcome read_all(ByteView bytes, SizeOfNext size_of_next) {
    RequestReader reader(kHeaderBytes, kBodyBytes);
    Outcome outcome;
    for (;;) {
        auto next = reader.next();
        if (auto* request = std::get_if<HttpRequest>(&next)) {
            outcome.requests.push_back(request->method + " " + request->target +
                                       (request->keep_alive ? " keep" : " close"));
            continue;
        }
        if (auto* failure = std::get_if<HttpFailure>(&next)) {
            REQUIRE_FALSE(failure->why.empty());
            outcome.failure = failure->status;
            break;
        }
        if (bytes.empty()) break;
        const size_t count =
            std::min(bytes.size(), std::min<size_t>(size_of_next(), RequestReader::kFeedMax));
        reader.feed(bytes.substr(0, count));
        bytes.remove_prefix(count);
    }
    outcome.between = reader.between_requests();
    return outcome;
}

Outcome read_whole(ByteView bytes) {
    return read_all(bytes, [] { return RequestReader::kFeedMax; });
}

const std::string kGet = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

}  // namespace

TEST_CASE("admin: pipelined requests come out in order, bodies of both kinds are passed over") {
    const std::string stream =
        kGet + "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab\r\nc" + "\r\n" +
        "PUT /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nTrailer: t\r\n\r\n" +
        "HEAD /z?q=1 HTTP/1.0\r\n\r\n";
    const Outcome outcome = read_whole(stream);
    CHECK(outcome.requests == std::vector<std::string>{"GET /livez keep", "POST /x keep",
                                                       "PUT /y keep", "HEAD /z?q=1 close"});
    CHECK(outcome.failure == 0);
    CHECK(outcome.between);
}

TEST_CASE(
    "admin: what is answered does not depend on how the stream was split (every cut, single bytes, "
    "random pieces)") {
    const std::string streams[] = {
        kGet + "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde" + kGet,
        "PUT /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" +
            kGet,
        "\r\n\r\nGET /readyz?verbose HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        kGet + "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /" + std::string(2000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nLong: " + std::string(2000, 'x') + "\r\n\r\n",
    };
    RandomStream draws(3, "split", 0);
    for (const std::string& stream : streams) {
        const Outcome whole = read_whole(stream);
        CAPTURE(stream);
        for (size_t cut = 1; cut < stream.size(); ++cut) {
            size_t calls = 0;
            REQUIRE(read_all(stream, [&] { return calls++ == 0 ? cut : stream.size(); }) == whole);
        }
        REQUIRE(read_all(stream, [] { return size_t{1}; }) == whole);
        for (int round = 0; round < 50; ++round)
            REQUIRE(read_all(stream, [&] { return size_t{1} + draws.below(40); }) == whole);
    }
}

TEST_CASE("admin: each kind of bad request has its status") {
    const auto status = [](const std::string& stream) { return read_whole(stream).failure; };
    CHECK(status("GET / HTTP/1.1\r\n\r\n") == 400);  // no Host
    CHECK(status("GET / HTTP/1.0\r\n\r\n") == 0);    // 1.0 needs none
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
    CHECK(status("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n") == 400);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n") ==
          400);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n") == 413);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n" +
                 std::string(4096, 'b')) == 0);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n" +
                 std::string(4097, 'b')) == 413);
    CHECK(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
                 "3\r\n\r\nabc") == 400);
    CHECK(
        status("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n") ==
        417);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1024, 'x') + "\r\n\r\n") == 431);
    CHECK(status("GET /" + std::string(1024, 'x')) == 431);
}

TEST_CASE("admin: what never ends is refused, not kept (a chunk's extension, a field name)") {
    CHECK(read_whole("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;" +
                     std::string(100'000, 'e'))
              .failure == 400);
    CHECK(read_whole("GET / HTTP/1.1\r\n" + std::string(100'000, 'n')).failure == 431);
}

TEST_CASE(
    "admin: garbage and mangled requests neither hang nor crash, and fail for good (random)") {
    RandomStream draws(11, "garbage", 0);
    const std::string base =
        kGet +
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
        kGet;
    uint64_t failed = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string stream = base;
        if (round % 4 == 0) {
            stream.clear();
            for (uint64_t left = 1 + draws.below(200); left > 0; --left)
                stream += static_cast<char>(draws.below(256));
        }
        for (uint64_t edits = 1 + draws.below(4); edits > 0 && !stream.empty(); --edits) {
            const size_t at = draws.below(stream.size());
            switch (draws.below(4)) {
                case 0:
                    stream[at] = static_cast<char>(draws.below(256));
                    break;
                case 1:
                    stream.erase(at, 1 + draws.below(5));
                    break;
                case 2:
                    stream.insert(at, std::string(1 + draws.below(3), "\r\n \0:;"[draws.below(6)]));
                    break;
                default:
                    stream += stream.substr(at);
                    break;
            }
        }
        const Outcome outcome = read_whole(stream);
        failed += outcome.failure != 0;
        if (outcome.failure != 0) {
            REQUIRE(outcome.failure >= 400);
            REQUIRE_FALSE(outcome.between);
        }
        const Outcome split = read_all(stream, [&] { return size_t{1} + draws.below(30); });
        CAPTURE(stream);
        CAPTURE(outcome.failure);
        CAPTURE(split.failure);
        REQUIRE(outcome.requests == split.requests);
        REQUIRE(outcome.between == split.between);
        // The parser may see later that an unfinished header is bad when it came in pieces; it
        // never sees it otherwise.
        if (outcome.failure != 0 && split.failure != 0) REQUIRE(outcome.failure == split.failure);
    }
    CHECK(failed > 5'000);
    CHECK(failed < 20'000);
}
