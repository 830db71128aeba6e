#include "node/admin/json_writer.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "runtime/base/random.h"

using namespace orrery;
using admin::JsonWriter;

TEST_CASE("admin: a document reads back as what was written") {
    JsonWriter json;
    json.begin_object()
        .field("name", "n1")
        .field("term", uint64_t{18446744073709551615u})
        .field("lag", int64_t{-3});
    json.field("ready", false).key("empty").begin_array().end_array().key("none").null();
    json.key("members").begin_array();
    for (int i = 0; i < 3; ++i) json.begin_object().field("id", i).end_object();
    json.value("last").end_array().end_object();
    const nlohmann::json read = nlohmann::json::parse(json.text());
    CHECK(read["name"] == "n1");
    CHECK(read["term"] == 18446744073709551615u);
    CHECK(read["lag"] == -3);
    CHECK(read["ready"] == false);
    CHECK(read["empty"].empty());
    CHECK(read["none"].is_null());
    CHECK(read["members"].size() == 4);
    CHECK(read["members"][2]["id"] == 2);
    CHECK(read["members"][3] == "last");
}

TEST_CASE(
    "admin: any bytes as a text make a valid document, and valid UTF-8 comes back unchanged "
    "(random bytes)") {
    RandomStream draws(7, "json", 0);
    for (int round = 0; round < 5000; ++round) {
        std::string text;
        for (uint64_t left = draws.below(12); left > 0; --left)
            text += static_cast<char>(draws.below(256));
        JsonWriter json;
        json.begin_object().field(text, text).end_object();
        REQUIRE(nlohmann::json::accept(json.text()));  // it refuses what is not UTF-8
    }
    for (const char* text :
         {"", "plain", "tab\tquote\" back\\ \x01 \x7f",
          "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf"}) {
        JsonWriter json;
        json.value(text);
        CHECK(nlohmann::json::parse(json.text()) == text);
    }
}

TEST_CASE(
    "admin: each byte of no valid UTF-8 becomes one replacement character (overlong, surrogate, "
    "cut short)") {
    for (const auto& [bad, count] :
         std::vector<std::pair<std::string, size_t>>{{"\xc0\xaf", 2},
                                                     {"\xed\xa0\x80", 3},
                                                     {"\xf4\x90\x80\x80", 4},
                                                     {"\xe2\x82", 2},
                                                     {"\xff", 1}}) {
        JsonWriter json;
        json.value(bad);
        std::string expected = "\"";
        for (size_t i = 0; i < count; ++i) expected += "\xef\xbf\xbd";
        CHECK(json.text() == expected + "\"");
    }
}
