// The parser against a reference that sees the whole input at once, for any cut of it; and against hostile bytes.
#include "kv/resp/request_parser.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "kv/resp/number.h"
#include "tests/kv/any_bytes.h"

namespace orrery::resp {
namespace {

struct Parsed {
    std::vector<Argv> requests;
    Bytes error;  // empty: none
    bool operator==(const Parsed&) const = default;
};

void drain(RequestParser& parser, Parsed& out) {
    for (;;) {
        switch (parser.next()) {
            case RequestParser::Status::Request: out.requests.push_back(copy_of(parser.argv())); break;
            case RequestParser::Status::NeedMore: return;
            case RequestParser::Status::Error: out.error = parser.error_text(); return;
        }
    }
}

Parsed parse_in_cuts(ByteView bytes, const std::vector<size_t>& cuts, const ParserLimits& limits = {}) {
    RequestParser parser(limits);
    Parsed out;
    size_t at = 0, cut = 0;
    while (at < bytes.size()) {
        const size_t size = cuts.empty() ? bytes.size() : std::min(bytes.size() - at, cuts[cut++ % cuts.size()]);
        parser.append(bytes.substr(at, size));
        at += size;
        drain(parser, out);
    }
    return out;
}

Parsed parse(ByteView bytes, const ParserLimits& limits = {}) { return parse_in_cuts(bytes, {}, limits); }

// The plain way: the whole input in one string, nothing kept between requests, no limits but the protocol's.
Parsed reference(ByteView bytes) {
    Parsed out;
    size_t at = 0;
    const auto fail = [&](const std::string& text) { out.error = "ERR Protocol error: " + text; };
    const auto header = [&](ByteView& line) {
        const size_t end = bytes.find('\r', at);
        if (end == ByteView::npos || end + 1 >= bytes.size()) return false;
        line = bytes.substr(at, end - at);
        at = end + 2;
        return true;
    };
    while (at < bytes.size()) {
        ByteView line;
        if (bytes[at] != '*') {
            const size_t end = bytes.find('\n', at);
            if (end == ByteView::npos) return out;
            line = bytes.substr(at, end - at);
            at = end + 1;
            Argv words;  // the inputs of this reference have no quotes in inline requests
            Bytes word;
            for (char c : line) {
                if (c == ' ' || c == '\r') {
                    if (!word.empty()) words.push_back(word);
                    word.clear();
                } else {
                    word.push_back(c);
                }
            }
            if (!word.empty()) words.push_back(word);
            if (!words.empty()) out.requests.push_back(words);
            continue;
        }
        if (!header(line)) return out;
        const auto count = parse_int64(line.substr(1));
        if (!count || *count > 1024 * 1024) return fail("invalid multibulk length"), out;
        Argv words;
        for (int64_t i = 0; i < *count; ++i) {
            if (!header(line)) return out;
            if (line.empty() || line[0] != '$')
                return fail(std::string("expected '$', got '") + (line.empty() || line[0] == '\n' ? ' ' : line[0]) + "'"), out;  // an error is one line
            const auto size = parse_int64(line.substr(1));
            if (!size || *size < 0 || *size > (8 << 20)) return fail("invalid bulk length"), out;
            if (bytes.size() - at < static_cast<size_t>(*size) + 2) return out;
            words.emplace_back(bytes.substr(at, static_cast<size_t>(*size)));
            at += static_cast<size_t>(*size) + 2;
        }
        if (!words.empty()) out.requests.push_back(words);
    }
    return out;
}

using test::any_bytes;

// A pipeline of mostly good requests, some of them broken.
rc::Gen<Bytes> any_pipeline() {
    const auto bulk = rc::gen::map(rc::gen::container<std::vector<Bytes>>(any_bytes()), [](const std::vector<Bytes>& words) {
        Bytes out = "*" + std::to_string(words.size()) + "\r\n";
        for (const Bytes& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
        return out;
    });
    const auto words = rc::gen::container<Bytes>(rc::gen::elementOf(std::string("ab XY09 ")));
    const auto line = rc::gen::map(words, [](const Bytes& text) { return text + "\r\n"; });
    const auto broken = rc::gen::elementOf(std::vector<Bytes>{
        "*x\r\n", "*-1\r\n", "*0\r\n", "\r\n", "\n", "*1\r\nfoo\r\n", "*1\r\n\r\n", "*1\r\n$-1\r\n", "*1\r\n$9000000\r\n",
        "*2000000\r\n", "*2\r\n$1\r\na\r\n", "*1\r\n$01\r\n", "*1\rx$1\rxaxx"});
    const auto part = rc::gen::weightedOneOf<Bytes>({{8, bulk}, {4, line}, {1, broken}});
    return rc::gen::map(rc::gen::container<std::vector<Bytes>>(part), [](const std::vector<Bytes>& parts) {
        Bytes out;
        for (const Bytes& bytes : parts) out += bytes;
        return out;
    });
}

rc::Gen<std::vector<size_t>> any_cuts() {
    return rc::gen::nonEmpty(rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(1, 40)));
}

TEST_CASE("resp: requests do not depend on how the bytes were cut (any pipeline, any cuts)") {
    CHECK(rc::check([] {
        const Bytes bytes = *any_pipeline();
        const Parsed expected = reference(bytes);
        RC_TAG(expected.error.empty() ? "good" : "broken");
        RC_ASSERT(parse(bytes) == expected);
        RC_ASSERT(parse_in_cuts(bytes, {1}) == expected);
        RC_ASSERT(parse_in_cuts(bytes, *any_cuts()) == expected);
    }));
}

TEST_CASE("resp: garbage neither crashes nor grows, and cuts do not change its meaning (any bytes)") {
    CHECK(rc::check([] {
        const Bytes alphabet = "*$\r\n0123456789-\"'\\x ab";
        const Bytes bytes = *rc::gen::container<Bytes>(
            rc::gen::weightedOneOf<char>({{6, rc::gen::elementOf(alphabet)}, {1, rc::gen::arbitrary<char>()}}));
        ParserLimits limits;
        limits.bulk_bytes_max = 64;
        limits.arguments_max = 8;
        limits.line_bytes_max = 32;
        limits.request_bytes_max = 256;
        const Parsed whole = parse(bytes, limits);
        RC_ASSERT(parse_in_cuts(bytes, {1}, limits) == whole);
        RC_ASSERT(parse_in_cuts(bytes, *any_cuts(), limits) == whole);

        RequestParser parser(limits);
        Parsed ignored;
        for (char c : bytes) {
            parser.append(ByteView(&c, 1));
            drain(parser, ignored);
            // One request at its limit, with the headers of its arguments.
            RC_ASSERT(parser.buffered_bytes() <= 256 + 8 * (32 + 2) + 32 + 2);
        }
    }));
}

TEST_CASE("resp: protocol errors in the words of Redis") {
    const auto error_of = [](const Bytes& bytes) { return parse(bytes).error; };
    CHECK(error_of("*x\r\n") == "ERR Protocol error: invalid multibulk length");
    CHECK(error_of("*3000000000\r\n") == "ERR Protocol error: invalid multibulk length");
    CHECK(error_of("*+1\r\n") == "ERR Protocol error: invalid multibulk length");
    CHECK(error_of("*01\r\n") == "ERR Protocol error: invalid multibulk length");
    CHECK(error_of("*1\r\nx\r\n") == "ERR Protocol error: expected '$', got 'x'");
    CHECK(error_of("*1\r\n\r\n") == "ERR Protocol error: expected '$', got ' '");
    CHECK(error_of("*1\r\n\n\r\n") == "ERR Protocol error: expected '$', got ' '");
    CHECK(error_of("*1\r\n$x\r\n") == "ERR Protocol error: invalid bulk length");
    CHECK(error_of("*1\r\n$-1\r\n") == "ERR Protocol error: invalid bulk length");
    CHECK(error_of("*1\r\n$8388609\r\n") == "ERR Protocol error: invalid bulk length");
    CHECK(error_of("*1\r\n$8388608\r\n").empty());
    CHECK(error_of("\"abc\r\n") == "ERR Protocol error: unbalanced quotes in request");
    CHECK(error_of("'a'b\r\n") == "ERR Protocol error: unbalanced quotes in request");
    CHECK(error_of("*1" + Bytes(70'000, '0')) == "ERR Protocol error: too big mbulk count string");
    CHECK(error_of("*1\r\n$" + Bytes(70'000, '1')) == "ERR Protocol error: too big bulk count string");
    CHECK(error_of(Bytes(70'000, 'a')) == "ERR Protocol error: too big inline request");
    CHECK(error_of(Bytes(65'536, 'a') + "\n").empty());
    CHECK(error_of(Bytes(65'537, 'a') + "\n") == "ERR Protocol error: too big inline request");
}

TEST_CASE("resp: the words of requests stay where they are until more is read, behind an error too; those of an inline request do not") {
    RequestParser parser;
    parser.append("*2\r\n$3\r\nGET\r\n$20\r\nabcdefghijklmnopqrst\r\n*1\r\n$4\r\nPING\r\n*x\r\n");
    REQUIRE(parser.next() == RequestParser::Status::Request);
    CHECK(parser.argv_stays());
    const ByteView key = parser.argv()[1];
    REQUIRE(parser.next() == RequestParser::Status::Request);
    CHECK(parser.next() == RequestParser::Status::Error);
    CHECK(key == "abcdefghijklmnopqrst");
    RequestParser typed;
    typed.append("PING\r\n");
    REQUIRE(typed.next() == RequestParser::Status::Request);
    CHECK_FALSE(typed.argv_stays());
}

TEST_CASE("resp: an error is final (good bytes behind it are not looked at)") {
    RequestParser parser;
    parser.append("*x\r\n");
    CHECK(parser.next() == RequestParser::Status::Error);
    parser.append("*1\r\n$4\r\nPING\r\n");
    CHECK(parser.next() == RequestParser::Status::Error);
    CHECK(parser.buffered_bytes() == 0);
}

TEST_CASE("resp: inline requests are unquoted as Redis does") {
    const auto words = [](const Bytes& line) { return parse(line + "\r\n").requests.at(0); };
    CHECK(words("set a \"x\\x41\\n\\t\"") == Argv{"set", "a", "xA\n\t"});
    CHECK(words("set a 'x\\'y\\n'") == Argv{"set", "a", "x'y\\n"});
    CHECK(words("ECHO a\"b c\"") == Argv{"ECHO", "ab c"});
    CHECK(words("GE\"T\" x") == Argv{"GET", "x"});
    CHECK(words("  a\t b  ") == Argv{"a", "b"});
    CHECK(words("\"\"") == Argv{""});
    CHECK(words("\"\\xg1\\q\\\\\"") == Argv{"xg1q\\"});
    CHECK(words("a\rb") == Argv{"a", "b"});
    CHECK(parse("\r\n\r\n  \r\nPING\n").requests == std::vector<Argv>{{"PING"}});
    CHECK(parse("PING \"a\"'b'\r\n").error == "ERR Protocol error: unbalanced quotes in request");
    CHECK(parse("\"a\\").error.empty());
    CHECK(parse("\"a\\\n").error == "ERR Protocol error: unbalanced quotes in request");
}

TEST_CASE("resp: a request with too many bytes in all is refused before they are buffered") {
    ParserLimits limits;
    limits.request_bytes_max = 1000;
    CHECK(parse("*3\r\n$400\r\n" + Bytes(400, 'a') + "\r\n$600\r\n", limits).error == "ERR Protocol error: request too big");
}

TEST_CASE("resp: an 8 MiB value in small pieces and a deep pipeline take linear time") {
    // Quadratic behaviour would need hours here; the test's time limit is the check.
    const Bytes value(8 << 20, 'v');
    const Bytes request = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$" + std::to_string(value.size()) + "\r\n" + value + "\r\n";
    const Parsed out = parse_in_cuts(request, {64});
    REQUIRE(out.requests.size() == 1);
    CHECK(out.requests[0][2] == value);

    Bytes pipeline;
    for (int i = 0; i < 200'000; ++i) pipeline += "*1\r\n$4\r\nPING\r\n";
    RequestParser parser;
    parser.append(pipeline);
    int count = 0;
    while (parser.next() == RequestParser::Status::Request) {
        ++count;
        if (count % 2 == 0) parser.append("x");  // appended while the rest is still unread
        CHECK(parser.buffered_bytes() > 0);
        if (count == 200'000) break;
    }
    CHECK(count == 200'000);
}

TEST_CASE("resp: integers have one spelling") {
    CHECK(parse_int64("0") == 0);
    CHECK(parse_int64("-9223372036854775808") == INT64_MIN);
    CHECK(parse_int64("9223372036854775807") == INT64_MAX);
    for (const char* bad : {"", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "-9223372036854775809", "1e3", "0x1"})
        CHECK_FALSE(parse_int64(bad).has_value());
    CHECK(rc::check([](int64_t value) { RC_ASSERT(parse_int64(int64_text(value)) == value); }));
}

}  // namespace
}  // namespace orrery::resp
