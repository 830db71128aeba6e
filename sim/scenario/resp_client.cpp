#include "sim/scenario/resp_client.h"

#include <charconv>

namespace orrery::sim {

namespace {

constexpr size_t kReplyMax = 8 << 20;
constexpr int kDepthMax = 4;

/// Position after the line that starts at `at`, and its text; 0 when it is not whole.
size_t line_at(ByteView text, size_t at, ByteView& line) {
    const size_t end = text.find("\r\n", at);
    if (end == ByteView::npos) return 0;
    line = text.substr(at, end - at);
    return end + 2;
}

Result<int64_t> reply_number(ByteView line) {
    int64_t value = 0;
    auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || end != line.data() + line.size())
        return Error(Code::Corrupt, "no number: '" + std::string(line.substr(0, 40)) + "'");
    return value;
}

Result<size_t> parse_at(ByteView text, size_t at, int depth, resp::Reply& out) {
    using Kind = resp::Reply::Kind;
    if (at >= text.size()) return size_t{0};
    const char type = text[at];
    ByteView line;
    const size_t next = line_at(text, at + 1, line);
    if (next == 0) {
        if (text.size() - at > (64 << 10)) return Error(Code::Corrupt, "a line without an end");
        return size_t{0};
    }
    switch (type) {
        case '+':
            out = resp::Reply::simple(line);
            return next;
        case '-':
            out = resp::Reply::error(line);
            return next;
        case ':': {
            TRY(int64_t value, reply_number(line));
            out = resp::Reply::integer(value);
            return next;
        }
        case '$': {
            TRY(int64_t length, reply_number(line));
            if (length == -1) {
                out = resp::Reply::null();
                return next;
            }
            if (length < 0 || static_cast<uint64_t>(length) > kReplyMax)
                return Error(Code::Corrupt, "a bulk of impossible length");
            const auto size = static_cast<size_t>(length);
            if (text.size() < next + size + 2) return size_t{0};
            if (text.substr(next + size, 2) != "\r\n")
                return Error(Code::Corrupt, "a bulk without its end");
            out = resp::Reply::bulk(Bytes(text.substr(next, size)));
            return next + size + 2;
        }
        case '*': {
            TRY(int64_t count, reply_number(line));
            if (count == -1) {
                out = resp::Reply::null_array();
                return next;
            }
            if (count < 0 || count > 1024 || depth >= kDepthMax)
                return Error(Code::Corrupt, "an array of impossible length");
            out = resp::Reply::array({});
            out.kind = Kind::Array;
            size_t position = next;
            for (int64_t i = 0; i < count; ++i) {
                resp::Reply item;
                TRY(size_t after, parse_at(text, position, depth + 1, item));
                if (after == 0) return size_t{0};
                out.items.push_back(std::move(item));
                position = after;
            }
            return position;
        }
        default:
            return Error(Code::Corrupt, std::string("a reply that begins with '") + type + "'");
    }
}

}  // namespace

Result<size_t> parse_reply(ByteView text, resp::Reply& out) {
    return parse_at(text, 0, 0, out);
}

Bytes encode_command(const std::vector<Bytes>& words) {
    Bytes out = "*" + std::to_string(words.size()) + "\r\n";
    for (const Bytes& word : words)
        out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    return out;
}

Result<void> RespClient::connect(Fiber& fiber, const Address& to, Instant deadline) {
    close();
    TRY(conn_, env_.net.connect(fiber, to, deadline));
    return {};
}

void RespClient::close() {
    conn_.reset();
    input_.clear();
    used_ = 0;
}

Result<void> RespClient::send(Fiber& fiber, ByteView bytes, Instant deadline) {
    if (!conn_) return Error(Code::Unreachable, "not connected");
    Result<void> sent = conn_->write_all(fiber, bytes, deadline);
    if (!sent.ok()) close();
    return sent;
}

Result<resp::Reply> RespClient::receive(Fiber& fiber, Instant deadline) {
    char buffer[4096];
    for (;;) {
        if (!conn_) return Error(Code::Unreachable, "not connected");
        resp::Reply reply;
        Result<size_t> length = parse_reply(ByteView(input_).substr(used_), reply);
        if (!length.ok()) {
            close();
            return length.error();
        }
        if (*length > 0) {
            used_ += *length;
            if (used_ == input_.size()) {
                input_.clear();
                used_ = 0;
            }
            return reply;
        }
        Result<size_t> count = conn_->read(fiber, buffer, deadline);
        if (count.ok() && *count == 0)
            count = Error(Code::Unreachable, "the server closed the connection");
        if (!count.ok()) {
            close();
            return count.error();
        }
        input_.append(buffer, *count);
    }
}

}  // namespace orrery::sim
