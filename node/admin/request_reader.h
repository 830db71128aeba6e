// RequestReader: bytes of one HTTP/1.1 connection in any split, requests out. Pure: no I/O, no
// clock.
//
// The parser proper is Boost.Beast's, hidden in request_reader.cpp. Bodies are checked and thrown
// away: nothing that this server answers depends on one. After a failure the connection has no
// request boundary any more; it ends with one answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "runtime/base/bytes.h"

namespace orrery::admin {

struct HttpRequest {
    std::string method;
    std::string target;  // as sent
    bool keep_alive = true;
};

/// The status that ends the connection, and why, for people.
struct HttpFailure {
    int status = 400;
    std::string why;
};

class RequestReader {
 public:
    RequestReader(uint32_t header_bytes_max, uint64_t body_bytes_max);
    ~RequestReader();
    RequestReader(const RequestReader&) = delete;
    RequestReader& operator=(const RequestReader&) = delete;

    /// Requires: next() has answered NeedMore since the last call, and none has failed. At most
    /// kFeedMax bytes.
    void feed(ByteView bytes);
    struct NeedMore {};
    /// The next request of what was fed. Call until it wants more. A failure repeats for ever.
    std::variant<NeedMore, HttpRequest, HttpFailure> next();
    /// Whether the stream may end here: no request has begun.
    bool between_requests() const;

    static constexpr size_t kFeedMax = 16 * 1024;

 private:
    class Parser;
    HttpFailure fail(int status, std::string why);

    uint32_t header_bytes_max_;
    uint64_t body_bytes_max_;
    std::unique_ptr<Parser> parser_;
    std::string buffer_;  // not yet parsed; at most header_bytes_max_ + 2 * kFeedMax
    size_t parsed_ = 0;   // of buffer_
    std::optional<HttpFailure> failure_;
};

}  // namespace orrery::admin
