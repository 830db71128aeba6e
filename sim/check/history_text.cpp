// See the header. Written by hand, since the JSON library throws on text that is not UTF-8.
#include "sim/check/history_text.h"

#include <cstdint>
#include <cstdio>

namespace orrery::check {
namespace {

constexpr ByteView kHexMark{"\0hex:", 5};

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

}  // namespace

bool valid_utf8(ByteView bytes) {
    for (size_t i = 0; i < bytes.size();) {
        auto lead = static_cast<unsigned char>(bytes[i]);
        size_t length = lead < 0x80       ? 1
                        : lead >> 5 == 6  ? 2
                        : lead >> 4 == 14 ? 3
                        : lead >> 3 == 30 ? 4
                                          : 0;
        if (length == 0 || i + length > bytes.size()) return false;
        uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
        for (size_t j = 1; j < length; ++j) {
            auto next = static_cast<unsigned char>(bytes[i + j]);
            if (next >> 6 != 2) return false;
            code = code << 6 | (next & 0x3fu);
        }
        constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800,
                                          0x10000};  // a longer form than needed is not valid
        if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        i += length;
    }
    return true;
}

std::string json_text(ByteView bytes) {
    std::string out = "\"";
    if (!valid_utf8(bytes) || bytes.substr(0, kHexMark.size()) == kHexMark) {
        out += "\\u0000hex:";
        for (char c : bytes) {
            char hex[3];
            std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(c));
            out += hex;
        }
        return out + '"';
    }
    for (char c : bytes) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[7];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::optional<Bytes> bytes_of_json_text(std::string text) {
    if (ByteView(text).substr(0, kHexMark.size()) != kHexMark) return text;
    ByteView digits = ByteView(text).substr(kHexMark.size());
    if (digits.size() % 2 != 0) return std::nullopt;
    Bytes out;
    for (size_t i = 0; i < digits.size(); i += 2) {
        int high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high << 4 | low);
    }
    return out;
}

std::string edn_text(ByteView bytes) {
    return json_text(bytes);
}

std::string edn_from_json(std::string_view json) {
    std::string out;
    bool quoted = false;
    for (size_t i = 0; i < json.size(); ++i) {
        char c = json[i];
        if (quoted && c == '\\') {
            out += c;
            out += json[++i];
            continue;
        }
        if (c == '"') quoted = !quoted;
        if (!quoted && json.substr(i, 4) == "null") {
            out += "nil";
            i += 3;
            continue;
        }
        out += !quoted && c == ',' ? ' ' : c;
    }
    return out;
}

}  // namespace orrery::check
