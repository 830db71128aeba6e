// JsonWriter: builds the document of /status in one pass. Output only; texts that are not UTF-8
// keep their valid parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/time.h"

namespace orrery::admin {

/// Misuse (a value without a key in an object, unbalanced ends) is a bug and CHECKs in text().
class JsonWriter {
 public:
    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    JsonWriter& value(uint64_t number);
    JsonWriter& value(int64_t number);
    JsonWriter& value(uint32_t number) { return value(uint64_t{number}); }
    JsonWriter& value(int number) { return value(int64_t{number}); }
    JsonWriter& value(bool truth);
    JsonWriter& null();
    /// `key` and `value` in one.
    template <typename T>
    JsonWriter& field(std::string_view name, const T& what) {
        return key(name).value(what);
    }
    /// The finished document. Requires: every object and array was ended.
    const std::string& text() const;

 private:
    void before_value();
    void open(char bracket);
    void close(char bracket);

    std::string out_;
    std::string open_;   // the brackets that wait for their end
    bool first_ = true;  // no value yet in the innermost one
    bool after_key_ = false;
};

}  // namespace orrery::admin
