#include "kv/resp/request_parser.h"

#include <algorithm>
#include <cstring>

#include "kv/resp/number.h"
#include "runtime/base/check.h"

namespace orrery::resp {
namespace {

constexpr uint64_t kArgumentCost = 32;            // what an argument costs beside its bytes
constexpr int64_t kStrangerWordsMax = 10, kStrangerBytesMax = 16384;
constexpr size_t kIdleCapacityMax = 256ull << 10;  // an idle connection keeps no more buffer than this

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

char escaped(char c) {
    switch (c) {
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'b': return '\b';
        case 'a': return '\a';
        default: return c;
    }
}

// A closing quote ends the word: what follows must be a blank or the end.
bool ends_word(ByteView line, size_t after) { return after == line.size() || is_blank(line[after]); }

// Both take `at` behind the opening quote and leave it behind the closing one. False: unbalanced.
bool take_double_quoted(ByteView line, size_t& at, Bytes& word) {
    while (at < line.size()) {
        const char c = line[at];
        if (c == '"') return ends_word(line, ++at);
        if (c == '\\' && at + 3 < line.size() && line[at + 1] == 'x' && hex_digit(line[at + 2]) >= 0 &&
            hex_digit(line[at + 3]) >= 0) {
            word.push_back(static_cast<char>(hex_digit(line[at + 2]) * 16 + hex_digit(line[at + 3])));
            at += 4;
        } else if (c == '\\' && at + 1 < line.size()) {
            word.push_back(escaped(line[at + 1]));
            at += 2;
        } else {
            word.push_back(c);
            ++at;
        }
    }
    return false;
}

bool take_single_quoted(ByteView line, size_t& at, Bytes& word) {
    while (at < line.size()) {
        if (line[at] == '\'') return ends_word(line, ++at);
        if (line[at] == '\\' && at + 1 < line.size() && line[at + 1] == '\'') ++at;
        word.push_back(line[at++]);
    }
    return false;
}

}  // namespace

std::vector<ByteView> views_of(const Argv& argv) { return {argv.begin(), argv.end()}; }

Argv copy_of(ArgvView argv) { return {argv.begin(), argv.end()}; }

void RequestParser::append(ByteView bytes) {
    if (failed_) return;
    argv_.clear();
    // Dropping the front moves what is behind it, so it waits until that is the smaller half: each byte is moved O(1)
    // times on average.
    if (consumed_ == buffer_.size()) {
        if (buffer_.capacity() > kIdleCapacityMax)
            Bytes().swap(buffer_);
        else
            buffer_.clear();
        at_ = scanned_ = consumed_ = 0;
    } else if (consumed_ >= buffer_.size() - consumed_) {
        buffer_.erase(0, consumed_);
        at_ -= consumed_;
        scanned_ -= std::min(scanned_, consumed_);
        consumed_ = 0;
    }
    buffer_.append(bytes);
}

RequestParser::Status RequestParser::next() {
    argv_.clear();
    if (failed_) return Status::Error;
    for (;;) {
        Step step = Step::Again;
        switch (stage_) {
            case Stage::Start: step = start_request(); break;
            case Stage::BulkHeader: step = bulk_header(); break;
            case Stage::BulkBody: step = bulk_body(); break;
        }
        switch (step) {
            case Step::Again: break;
            case Step::Request: return Status::Request;
            case Step::NeedMore: return Status::NeedMore;
            case Step::Error: return Status::Error;
        }
    }
}

RequestParser::Step RequestParser::start_request() {
    if (at_ == buffer_.size()) return Step::NeedMore;
    return buffer_[at_] == '*' ? array_header() : inline_request();
}

RequestParser::Line RequestParser::find_line(LineEnd end, ByteView& line) {
    const size_t limit = std::min<uint64_t>(buffer_.size(), at_ + limits_.line_bytes_max + 1);
    const size_t from = std::max(at_, scanned_);
    const char wanted = end == LineEnd::Lf ? '\n' : '\r';
    const void* found = from < limit ? std::memchr(buffer_.data() + from, wanted, limit - from) : nullptr;
    if (found == nullptr) {
        scanned_ = limit;
        return limit - at_ > limits_.line_bytes_max ? Line::TooLong : Line::Incomplete;
    }
    const size_t place = static_cast<size_t>(static_cast<const char*>(found) - buffer_.data());
    // Redis takes whatever byte follows a carriage return for the line feed; so do we, but it must be there.
    if (end == LineEnd::CrThenAny && place + 1 == buffer_.size()) {
        scanned_ = place;
        return Line::Incomplete;
    }
    line = ByteView(buffer_).substr(at_, place - at_);
    at_ = place + (end == LineEnd::Lf ? 1 : 2);
    scanned_ = at_;
    return Line::Complete;
}

RequestParser::Step RequestParser::inline_request() {
    ByteView line;
    switch (find_line(LineEnd::Lf, line)) {
        case Line::Incomplete: return Step::NeedMore;
        case Line::TooLong: return fail("too big inline request");
        case Line::Complete: break;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!split_inline(line)) return fail("unbalanced quotes in request");
    consumed_ = at_;
    if (inline_argv_.empty()) return Step::Again;
    argv_.assign(inline_argv_.begin(), inline_argv_.end());
    argv_stays_ = false;
    return Step::Request;
}

bool RequestParser::split_inline(ByteView line) {
    inline_argv_.clear();
    size_t at = 0;
    for (;;) {
        while (at < line.size() && is_blank(line[at])) ++at;
        if (at == line.size()) return true;
        Bytes word;
        bool open = true;
        while (open && at < line.size()) {
            const char c = line[at];
            if (c == '"' || c == '\'') {
                ++at;
                if (!(c == '"' ? take_double_quoted(line, at, word) : take_single_quoted(line, at, word))) return false;
                open = false;
            } else if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
                open = false;
            } else {
                word.push_back(c);
                ++at;
            }
        }
        inline_argv_.push_back(std::move(word));
    }
}

RequestParser::Step RequestParser::array_header() {
    ByteView line;
    switch (find_line(LineEnd::CrThenAny, line)) {
        case Line::Incomplete: return Step::NeedMore;
        case Line::TooLong: return fail("too big mbulk count string");
        case Line::Complete: break;
    }
    const auto count = parse_int64(line.substr(1));
    if (!count || *count > static_cast<int64_t>(limits_.arguments_max)) return fail("invalid multibulk length");
    if (trust_ == Trust::Stranger && *count > kStrangerWordsMax) return fail("unauthenticated multibulk length");
    if (*count <= 0) {
        consumed_ = at_;
        return Step::Again;
    }
    missing_ = static_cast<uint64_t>(*count);
    request_bytes_ = 0;
    places_.clear();
    stage_ = Stage::BulkHeader;
    return Step::Again;
}

RequestParser::Step RequestParser::bulk_header() {
    ByteView line;
    switch (find_line(LineEnd::CrThenAny, line)) {
        case Line::Incomplete: return Step::NeedMore;
        case Line::TooLong: return fail("too big bulk count string");
        case Line::Complete: break;
    }
    const char first = line.empty() ? '\r' : line[0];
    if (first != '$') {
        const char shown = first == '\r' || first == '\n' ? ' ' : first;
        return fail(Bytes("expected '$', got '") + shown + "'");
    }
    const auto bytes = parse_int64(line.substr(1));
    if (!bytes || *bytes < 0 || *bytes > static_cast<int64_t>(limits_.bulk_bytes_max)) return fail("invalid bulk length");
    if (trust_ == Trust::Stranger && *bytes > kStrangerBytesMax) return fail("unauthenticated bulk length");
    bulk_bytes_ = static_cast<uint64_t>(*bytes);
    request_bytes_ += bulk_bytes_ + kArgumentCost;
    if (request_bytes_ > limits_.request_bytes_max) return fail("request too big");
    stage_ = Stage::BulkBody;
    return Step::Again;
}

RequestParser::Step RequestParser::bulk_body() {
    if (buffer_.size() - at_ < bulk_bytes_ + 2) return Step::NeedMore;
    places_.push_back({at_ - consumed_, bulk_bytes_});
    at_ += bulk_bytes_ + 2;
    scanned_ = at_;
    if (--missing_ > 0) {
        stage_ = Stage::BulkHeader;
        return Step::Again;
    }
    finish_request();
    return Step::Request;
}

void RequestParser::finish_request() {
    const ByteView all = buffer_;
    argv_.reserve(places_.size());
    for (const Place& place : places_) argv_.push_back(all.substr(consumed_ + place.offset, place.bytes));
    argv_stays_ = true;
    consumed_ = at_;
    stage_ = Stage::Start;
    if (places_.capacity() * sizeof(Place) > kIdleCapacityMax) std::vector<Place>().swap(places_);
}

RequestParser::Step RequestParser::fail(ByteView text) {
    failed_ = true;
    error_text_ = "ERR Protocol error: ";
    error_text_ += text;
    consumed_ = at_ = scanned_ = buffer_.size();  // what was given out before stays valid
    return Step::Error;
}

}  // namespace orrery::resp
