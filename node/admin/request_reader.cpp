#include "node/admin/request_reader.h"

#include <algorithm>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "runtime/base/check.h"

namespace orrery::admin {

namespace http = boost::beast::http;
using boost::beast::error_code;
using Text = boost::beast::string_view;

namespace {

int status_of(const error_code& error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
    if (error == http::error::body_limit) return 413;
    if (error == http::error::bad_version) return 505;
    return 400;
}

}  // namespace

/// Keeps the request line and what steers the connection; everything else is only validated.
class RequestReader::Parser final : public http::basic_parser<true> {
 public:
    Parser(uint32_t header_bytes_max, uint64_t body_bytes_max) {
        header_limit(header_bytes_max);
        body_limit(body_bytes_max);
        eager(true);
    }

    HttpRequest request;
    bool hosts_wrong = false;  // HTTP/1.1 demands exactly one Host
    bool expects = false;
    bool framing_twice = false;  // both a length and chunks: a smuggler's request

 private:
    void on_request_impl(http::verb, Text method, Text target, int version, error_code&) override {
        request.method.assign(method.data(), method.size());
        request.target.assign(target.data(), target.size());
        needs_host_ = version >= 11;
    }
    void on_response_impl(int, Text, int, error_code&) override {}
    void on_field_impl(http::field name, Text, Text, error_code&) override {
        hosts_ += name == http::field::host;
        expects |= name == http::field::expect;
        lengths_ |= name == http::field::content_length;
        chunks_ |= name == http::field::transfer_encoding;
    }
    void on_header_impl(error_code&) override {
        hosts_wrong = hosts_ > 1 || (needs_host_ && hosts_ == 0);
        framing_twice = lengths_ && chunks_;
        request.keep_alive = keep_alive();
    }
    void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
    size_t on_body_impl(Text body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(uint64_t, Text, error_code&) override {}
    size_t on_chunk_body_impl(uint64_t, Text body, error_code&) override { return body.size(); }
    void on_finish_impl(error_code&) override {}

    int hosts_ = 0;
    bool needs_host_ = false;
    bool lengths_ = false;
    bool chunks_ = false;
};

RequestReader::RequestReader(uint32_t header_bytes_max, uint64_t body_bytes_max)
    : header_bytes_max_(header_bytes_max), body_bytes_max_(body_bytes_max) {}

RequestReader::~RequestReader() = default;

void RequestReader::feed(ByteView bytes) {
    CHECK(bytes.size() <= kFeedMax, bytes.size());
    buffer_.erase(0, parsed_);
    parsed_ = 0;
    // next() wants more only when what is left is a part of one line or header, which it bounds.
    CHECK(buffer_.size() <= header_bytes_max_ + kFeedMax, buffer_.size());
    buffer_.append(bytes);
}

HttpFailure RequestReader::fail(int status, std::string why) {
    failure_ = HttpFailure{status, std::move(why)};
    return *failure_;
}

std::variant<RequestReader::NeedMore, HttpRequest, HttpFailure> RequestReader::next() {
    if (failure_.has_value()) return *failure_;
    if (parser_ == nullptr) {
        // Empty lines before a request are tolerated: some clients end a body with one too many.
        while (parsed_ < buffer_.size() && (buffer_[parsed_] == '\r' || buffer_[parsed_] == '\n'))
            ++parsed_;
        if (parsed_ == buffer_.size()) return NeedMore{};
        parser_ = std::make_unique<Parser>(header_bytes_max_, body_bytes_max_);
    }
    Parser& parser = *parser_;
    while (parsed_ < buffer_.size() && !parser.is_done()) {
        const size_t left = buffer_.size() - parsed_;
        error_code error;
        const size_t used = parser.put({buffer_.data() + parsed_, left}, error);
        parsed_ += used;
        if (parser.is_header_done()) {
            if (parser.hosts_wrong) return fail(400, "exactly one Host field is required");
            if (parser.framing_twice) return fail(400, "both Content-Length and Transfer-Encoding");
            if (parser.expects) return fail(417, "Expect is not supported");
        }
        if (error == http::error::need_more) {
            // What is kept for later is one unfinished header or chunk line: the parser bounds the
            // first, this both.
            if (buffer_.size() - parsed_ > header_bytes_max_)
                return parser.is_header_done() ? fail(400, "a chunk's header is too long")
                                               : fail(431, "the request's header is too long");
            return NeedMore{};
        }
        if (error) return fail(status_of(error), error.message());
        if (used == 0) return fail(400, "the request can not be parsed");
    }
    if (!parser.is_done()) return NeedMore{};
    HttpRequest request = std::move(parser.request);
    parser_.reset();
    return request;
}

bool RequestReader::between_requests() const {
    return !failure_.has_value() && parser_ == nullptr && parsed_ == buffer_.size();
}

}  // namespace orrery::admin
