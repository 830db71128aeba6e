#include "node/admin/json_writer.h"

#include <charconv>

#include "runtime/base/check.h"

namespace orrery::admin {

namespace {

/// How many bytes the UTF-8 sequence at the front of `text` has; 0 when there is no valid one.
size_t sequence_length(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return 1;
    const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                          : lead >= 0xe0 && lead < 0xf0 ? 3
                          : lead >= 0xf0 && lead < 0xf5 ? 4
                                                        : 0;
    if (length == 0 || text.size() < length) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    // Overlong forms, surrogates, beyond U+10FFFF.
    if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0) ||
        (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90))
        return 0;
    return length;
}

void append_text(std::string& out, std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += '"';
    while (!text.empty()) {
        const size_t length = sequence_length(text);
        const char c = text[0];
        if (length == 0) {
            out += "\xef\xbf\xbd";  // U+FFFD
        } else if (c == '"' || c == '\\') {
            (out += '\\') += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            const auto value = static_cast<size_t>(c);
            ((out += "\\u00") += kHex[value >> 4]) += kHex[value & 15];
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    out += '"';
}

template <typename Int>
void append_number(std::string& out, Int number) {
    char digits[24];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, number);
    out.append(digits, end.ptr);
}

}  // namespace

void JsonWriter::before_value() {
    if (open_.empty()) {
        CHECK(out_.empty(), "a document is one value");
    } else if (open_.back() == '{') {
        CHECK(after_key_, "a value in an object needs a key");
    } else if (!first_) {
        out_ += ',';
    }
    after_key_ = false;
    first_ = false;
}

void JsonWriter::open(char bracket) {
    before_value();
    out_ += bracket;
    open_ += bracket;
    first_ = true;
}

void JsonWriter::close(char bracket) {
    CHECK(!open_.empty() && open_.back() == bracket && !after_key_, out_);
    open_.pop_back();
    out_ += bracket == '{' ? '}' : ']';
    first_ = false;
}

JsonWriter& JsonWriter::begin_object() {
    return open('{'), *this;
}
JsonWriter& JsonWriter::end_object() {
    return close('{'), *this;
}
JsonWriter& JsonWriter::begin_array() {
    return open('['), *this;
}
JsonWriter& JsonWriter::end_array() {
    return close('['), *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    CHECK(!open_.empty() && open_.back() == '{' && !after_key_, out_);
    if (!first_) out_ += ',';
    append_text(out_, name);
    out_ += ':';
    after_key_ = true;
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    before_value();
    append_text(out_, text);
    return *this;
}

JsonWriter& JsonWriter::value(uint64_t number) {
    before_value();
    append_number(out_, number);
    return *this;
}

JsonWriter& JsonWriter::value(int64_t number) {
    before_value();
    append_number(out_, number);
    return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
    before_value();
    out_ += truth ? "true" : "false";
    return *this;
}

JsonWriter& JsonWriter::null() {
    before_value();
    out_ += "null";
    return *this;
}

const std::string& JsonWriter::text() const {
    CHECK(open_.empty() && !out_.empty(), "the document is not complete", out_);
    return out_;
}

}  // namespace orrery::admin
