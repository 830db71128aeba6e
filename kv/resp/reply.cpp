#include "kv/resp/reply.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "kv/resp/number.h"
#include "runtime/base/check.h"

namespace orrery::resp {
namespace {

Bytes one_line(ByteView text) {
    Bytes out(text);
    for (char& c : out)
        if (c == '\r' || c == '\n') c = ' ';
    return out;
}

Bytes double_text(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char digits[32];
    const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
    CHECK(error == std::errc());
    return Bytes(digits, end);
}

void put_header(Bytes& out, char sign, int64_t number) {
    out.push_back(sign);
    append_int64(out, number);
    out += "\r\n";
}

void put_line(Bytes& out, char sign, ByteView text) {
    out.push_back(sign);
    out += text;
    out += "\r\n";
}

void put_bulk(Bytes& out, ByteView bytes) {
    put_header(out, '$', static_cast<int64_t>(bytes.size()));
    out += bytes;
    out += "\r\n";
}

bool is_container(Reply::Kind kind) {
    return kind == Reply::Kind::Array || kind == Reply::Kind::Map || kind == Reply::Kind::Set;
}

void put_node(Bytes& out, const Reply& reply, size_t depth) {
    CHECK(depth <= kReplyDepthMax, depth);
    put_le<uint8_t>(out, static_cast<uint8_t>(reply.kind));
    switch (reply.kind) {
        case Reply::Kind::Simple:
        case Reply::Kind::Error:
        case Reply::Kind::Verbatim:
        case Reply::Kind::Bulk: put_string(out, reply.text); break;
        case Reply::Kind::Integer: put_le<int64_t>(out, reply.number); break;
        case Reply::Kind::Bool: put_le<uint8_t>(out, reply.number != 0); break;
        case Reply::Kind::Double: put_le<uint64_t>(out, std::bit_cast<uint64_t>(reply.real)); break;
        case Reply::Kind::Null:
        case Reply::Kind::NullArray: break;
        case Reply::Kind::Array:
        case Reply::Kind::Map:
        case Reply::Kind::Set:
            put_le<uint32_t>(out, static_cast<uint32_t>(reply.items.size()));
            for (const Reply& item : reply.items) put_node(out, item, depth + 1);
            break;
    }
}

Error malformed(std::string_view what) { return {Code::Corrupt, "reply record: " + std::string(what)}; }

Result<Reply> take_node(ByteReader& reader, size_t depth) {
    if (depth > kReplyDepthMax) return malformed("too deep");
    uint8_t kind = 0;
    if (!reader.take_le(kind)) return malformed("cut short");
    Reply reply;
    reply.kind = static_cast<Reply::Kind>(kind);
    switch (reply.kind) {
        case Reply::Kind::Simple:
        case Reply::Kind::Error:
        case Reply::Kind::Verbatim:
        case Reply::Kind::Bulk: {
            ByteView text;
            if (!reader.take_string(text)) return malformed("cut short");
            const bool line = reply.kind == Reply::Kind::Simple || reply.kind == Reply::Kind::Error;
            if (line && text.find_first_of("\r\n") != ByteView::npos)
                return malformed("line end in a line");
            reply.text = text;
            return reply;
        }
        case Reply::Kind::Integer:
            if (!reader.take_le(reply.number)) return malformed("cut short");
            return reply;
        case Reply::Kind::Bool: {
            uint8_t value = 0;
            if (!reader.take_le(value)) return malformed("cut short");
            if (value > 1) return malformed("bool");
            reply.number = value;
            return reply;
        }
        case Reply::Kind::Double: {
            uint64_t bits = 0;
            if (!reader.take_le(bits)) return malformed("cut short");
            reply.real = std::bit_cast<double>(bits);
            return reply;
        }
        case Reply::Kind::Null:
        case Reply::Kind::NullArray: return reply;
        case Reply::Kind::Array:
        case Reply::Kind::Map:
        case Reply::Kind::Set: {
            uint32_t count = 0;
            if (!reader.take_le(count)) return malformed("cut short");
            // An item takes at least one byte; so nothing is allocated on the word of a length alone.
            if (count > reader.rest().size()) return malformed("more items than bytes");
            if (reply.kind == Reply::Kind::Map && count % 2 != 0) return malformed("key without value");
            for (uint32_t i = 0; i < count; ++i) {
                TRY(Reply item, take_node(reader, depth + 1));
                reply.items.push_back(std::move(item));
            }
            return reply;
        }
    }
    return malformed("unknown kind");
}

}  // namespace

Reply Reply::simple(ByteView text) { return {.kind = Kind::Simple, .text = one_line(text)}; }
Reply Reply::error(ByteView text) { return {.kind = Kind::Error, .text = one_line(text)}; }
Reply Reply::integer(int64_t value) { return {.kind = Kind::Integer, .number = value}; }
Reply Reply::bulk(Bytes bytes) { return {.kind = Kind::Bulk, .text = std::move(bytes)}; }
Reply Reply::verbatim(Bytes text) { return {.kind = Kind::Verbatim, .text = std::move(text)}; }
Reply Reply::null_array() { return {.kind = Kind::NullArray}; }
Reply Reply::array(std::vector<Reply> items) { return {.kind = Kind::Array, .items = std::move(items)}; }
Reply Reply::set(std::vector<Reply> items) { return {.kind = Kind::Set, .items = std::move(items)}; }
Reply Reply::boolean(bool value) { return {.kind = Kind::Bool, .number = value}; }
Reply Reply::real_number(double value) { return {.kind = Kind::Double, .real = value}; }

Reply Reply::map(std::vector<Reply> items) {
    CHECK(items.size() % 2 == 0, items.size());
    return {.kind = Kind::Map, .items = std::move(items)};
}

void encode_reply(Bytes& out, const Reply& reply, Version version) {
    const bool resp3 = version == Version::Resp3;
    switch (reply.kind) {
        case Reply::Kind::Simple: put_line(out, '+', reply.text); return;
        case Reply::Kind::Error: put_line(out, '-', reply.text); return;
        case Reply::Kind::Integer: put_header(out, ':', reply.number); return;
        case Reply::Kind::Bulk: put_bulk(out, reply.text); return;
        case Reply::Kind::Verbatim:
            if (!resp3) return put_bulk(out, reply.text);
            put_header(out, '=', static_cast<int64_t>(reply.text.size() + 4));
            out += "txt:";
            out += reply.text;
            out += "\r\n";
            return;
        case Reply::Kind::Null: out += resp3 ? "_\r\n" : "$-1\r\n"; return;
        case Reply::Kind::NullArray: out += resp3 ? "_\r\n" : "*-1\r\n"; return;
        case Reply::Kind::Bool:
            if (resp3)
                out += reply.number != 0 ? "#t\r\n" : "#f\r\n";
            else
                put_header(out, ':', reply.number != 0);
            return;
        case Reply::Kind::Double:
            if (resp3)
                put_line(out, ',', double_text(reply.real));
            else
                put_bulk(out, double_text(reply.real));
            return;
        case Reply::Kind::Array:
        case Reply::Kind::Map:
        case Reply::Kind::Set: break;
    }
    CHECK(is_container(reply.kind), static_cast<int>(reply.kind));
    const auto count = static_cast<int64_t>(reply.items.size());
    if (resp3 && reply.kind == Reply::Kind::Map)
        put_header(out, '%', count / 2);
    else
        put_header(out, resp3 && reply.kind == Reply::Kind::Set ? '~' : '*', count);
    for (const Reply& item : reply.items) encode_reply(out, item, version);
}

Bytes encoded(const Reply& reply, Version version) {
    Bytes out;
    encode_reply(out, reply, version);
    return out;
}

void put_reply(Bytes& out, const Reply& reply) {
    put_le<uint8_t>(out, kReplyFormat);
    put_node(out, reply, 1);
}

Result<Reply> take_reply(ByteReader& reader) {
    uint8_t format = 0;
    if (!reader.take_le(format)) return malformed("cut short");
    if (format != kReplyFormat) return malformed("format " + std::to_string(format));
    return take_node(reader, 1);
}

}  // namespace orrery::resp
