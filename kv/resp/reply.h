// Reply: what a command answers, as a value. It is encoded for a client in RESP2 or RESP3, and has a second, versioned
// form of our own (put_reply/take_reply) for forwarded answers and for the deduplication table, where the protocol of the client
// is not known yet.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"

namespace orrery::resp {

/// Chosen per connection; HELLO changes it.
enum class Version : uint8_t { Resp2 = 2, Resp3 = 3 };

struct Reply {
    enum class Kind : uint8_t {  // stored; never renumber
        Simple = 1,     // text without line ends: OK, PONG
        Error = 2,      // text with its code word first: "ERR syntax error"
        Integer = 3,
        Bulk = 4,       // any bytes
        Null = 5,       // RESP2: the null bulk string
        NullArray = 6,  // RESP2: the null array; RESP3 has one null
        Array = 7,
        Map = 8,        // items: key, value, key, value; RESP2: an array of them
        Bool = 9,       // number 0 or 1; RESP2: an integer
        Double = 10,    // RESP2: a bulk string
        Set = 11,       // RESP2: an array
        Verbatim = 12,  // text for people; RESP2: a bulk string, RESP3: marked as plain text
    };

    Kind kind = Kind::Null;
    int64_t number = 0;  // Integer, Bool
    double real = 0;     // Double
    Bytes text;          // Simple, Error, Bulk, Verbatim
    std::vector<Reply> items;  // Array, Map, Set

    static Reply simple(ByteView text);
    static Reply ok() { return {.kind = Kind::Simple, .text = "OK"}; }
    /// `text` starts with the code word. Line ends become spaces.
    static Reply error(ByteView text);
    static Reply integer(int64_t value);
    static Reply bulk(Bytes bytes);
    static Reply verbatim(Bytes text);
    static Reply null() { return {}; }
    static Reply null_array();
    static Reply array(std::vector<Reply> items);
    /// Requires: an even number of items.
    static Reply map(std::vector<Reply> items);
    static Reply set(std::vector<Reply> items);
    static Reply boolean(bool value);
    static Reply real_number(double value);

    bool is_error() const { return kind == Kind::Error; }
    bool operator==(const Reply&) const = default;
};

/// Appends the reply as a client of that version reads it.
void encode_reply(Bytes& out, const Reply& reply, Version version);
Bytes encoded(const Reply& reply, Version version);

inline constexpr uint8_t kReplyFormat = 1;
inline constexpr size_t kReplyDepthMax = 8;

/// Our own form (README, "Reply record"). Requires: at most kReplyDepthMax levels.
void put_reply(Bytes& out, const Reply& reply);

/// Errors: Corrupt for anything put_reply() does not write. Costs memory in proportion to the bytes given, whatever
/// lengths they claim. Effects on failure: `reader` may have moved.
Result<Reply> take_reply(ByteReader& reader);

}  // namespace orrery::resp
