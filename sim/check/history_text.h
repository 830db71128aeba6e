// Byte strings in JSON and EDN, shared by the writer and the readers of histories.
//
// A text must come back as the same bytes, whatever they are: two values that differ must differ in
// the file, or the checker would see them as one. Valid UTF-8 is written as it is. Anything else
// becomes "\u0000hex:" and hex digits; a text that starts with those five characters itself is
// written that way too, so that reading is unambiguous.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/bytes.h"

namespace orrery::check {

/// A quoted JSON string.
std::string json_text(ByteView bytes);
/// The bytes of a decoded JSON string (undoes the hex form). nullopt: a hex form with wrong digits.
std::optional<Bytes> bytes_of_json_text(std::string text);
/// A quoted EDN string: JSON's, whose escapes EDN shares.
std::string edn_text(ByteView bytes);
/// JSON made of texts, numbers, null, true, false and arrays, as EDN: null is nil and a comma is a
/// blank.
std::string edn_from_json(std::string_view json);
bool valid_utf8(ByteView bytes);

}  // namespace orrery::check
