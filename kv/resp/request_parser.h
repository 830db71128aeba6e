// RequestParser: the bytes of one client connection in, requests out.
//
// A request is a RESP array of bulk strings or one inline line (spaces, 'single' and "double" quotes). However the bytes
// were cut by the network, the requests are the same. Every byte is looked at a bounded number of times: what was
// learned of an unfinished request is kept as offsets, and the consumed front of the buffer is dropped only when it is
// the larger half. Memory is bounded by the limits plus one read. It does no I/O and knows no command.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/bytes.h"

namespace orrery::resp {

/// The words of a request, name first.
using ArgvView = std::span<const ByteView>;
/// The same, owning.
using Argv = std::vector<Bytes>;
/// Views of an Argv; valid as long as it is neither changed nor moved.
std::vector<ByteView> views_of(const Argv& argv);
Argv copy_of(ArgvView argv);

struct ParserLimits {
    uint64_t bulk_bytes_max = 8ull << 20;      // one argument: proto-max-bulk-len
    uint64_t arguments_max = 1024 * 1024;      // words of one request
    uint64_t request_bytes_max = 64ull << 20;  // all arguments of one request, plus 32 bytes for each of them
    uint64_t line_bytes_max = 64ull << 10;     // an inline request, or a header line of a bulk request
};

class RequestParser {
 public:
    enum class Status : uint8_t {
        Request,   // argv() has one
        NeedMore,  // nothing complete is buffered
        Error,     // the stream makes no sense from here on: send error_text(), close. Final.
    };

    explicit RequestParser(const ParserLimits& limits = {}) : limits_(limits) {}
    /// Counts from the next argument on.
    void set_bulk_bytes_max(uint64_t bytes) { limits_.bulk_bytes_max = bytes; }
    /// A client that has yet to authenticate gets the narrow limits that Redis has for such: 10 words, 16 KiB each.
    enum class Trust : uint8_t { Stranger, Known };
    void set_trust(Trust trust) { trust_ = trust; }

    /// Takes what was read from the connection. Invalidates argv(). Ignored after an Error.
    void append(ByteView bytes);

    /// The next request in order. Empty requests ("*0", an empty line) are skipped, as Redis skips them.
    Status next();

    /// Requires: the last next() answered Request. At least one word. Valid until the next append() or next().
    ArgvView argv() const { return argv_; }
    /// Whether the bytes of argv()'s words lie in the input: then they are valid until the next append().
    bool argv_stays() const { return argv_stays_; }

    /// "ERR Protocol error: ...", in the words of Redis where Redis has such an error. Requires: Status::Error.
    const Bytes& error_text() const { return error_text_; }

    /// Bytes taken and not yet part of a request that next() gave. A caller that stops calling next() must stop reading.
    uint64_t buffered_bytes() const { return buffer_.size() - consumed_; }

 private:
    enum class Stage : uint8_t { Start, BulkHeader, BulkBody };
    struct Place {  // of an argument, relative to the start of its request
        uint64_t offset;
        uint64_t bytes;
    };
    enum class Line : uint8_t { Complete, Incomplete, TooLong };
    enum class LineEnd : uint8_t { CrThenAny, Lf };
    enum class Step : uint8_t { Again, Request, NeedMore, Error };

    Step start_request();
    Step inline_request();
    Step array_header();
    Step bulk_header();
    Step bulk_body();
    Line find_line(LineEnd end, ByteView& line);
    Step fail(ByteView text);
    void finish_request();
    bool split_inline(ByteView line);

    ParserLimits limits_;
    Trust trust_ = Trust::Known;
    Bytes buffer_;
    size_t consumed_ = 0;  // start of the unfinished request
    size_t at_ = 0;        // parsed so far; >= consumed_
    size_t scanned_ = 0;   // no line end before this; >= at_ while a line is incomplete
    Stage stage_ = Stage::Start;
    uint64_t missing_ = 0;        // arguments still to come
    uint64_t bulk_bytes_ = 0;     // of the argument at hand
    uint64_t request_bytes_ = 0;  // charged against request_bytes_max
    std::vector<Place> places_;
    std::vector<ByteView> argv_;
    bool argv_stays_ = false;
    Argv inline_argv_;  // unquoted words of an inline request
    bool failed_ = false;
    Bytes error_text_;
};

}  // namespace orrery::resp
