// The recorder, its two text forms, and the three readers, on texts made here.
#include "sim/check/history.h"

#include <doctest/doctest.h>

#include "generated_history.h"
#include "sim/check/history_format.h"
#include "sim/check/history_text.h"

using namespace orrery;
using namespace orrery::check;

namespace {

std::string error_of(std::string_view text) {
    auto check = check_history_text(text);
    REQUIRE(!check.ok());
    CHECK_EQ(check.code(), Code::Invalid);
    return check.error().context;
}

int exit_of(std::string_view text, std::optional<Model> model = {}) {
    auto check = check_history_text(text, model);
    REQUIRE_MESSAGE(check.ok(), check.error().text());
    return check->exit_code();
}

std::string op_line(const std::string& fields) {
    return R"({"client":1,"key":"k","start_ns":1,"end_ns":2,)" + fields + "}\n";
}

}  // namespace

TEST_CASE("history: order is the sequence, also within one instant, and survives the line format") {
    History history;
    auto set = history.invoke(Operation::set(1, "k", "v"), Instant{5}).value();
    history.complete(set, OpStatus::Ok, Output::none(), Instant{5});
    auto get = history.invoke(Operation::get(2, "k"), Instant{5}).value();
    history.complete(get, OpStatus::Ok, Output::of_value(std::nullopt), Instant{5});
    CHECK(history.operations()[set].end_sequence < history.operations()[get].start_sequence);
    // All four events are at one instant: with equal times the stale read would pass as concurrent.
    CHECK_EQ(exit_of(history.to_jsonl()), 1);
}

TEST_CASE("history: a full history refuses the next call and says so (operations, bytes)") {
    History few({.max_operations = 1});
    CHECK(few.invoke(Operation::get(1, "k"), Instant{}).ok());
    CHECK_EQ(few.invoke(Operation::get(1, "k"), Instant{}).code(), Code::Overloaded);
    CHECK(few.full());
    History small({.max_bytes = 10});
    CHECK_EQ(small.invoke(Operation::set(1, "k", std::string(10, 'x')), Instant{}).code(),
             Code::Overloaded);
    CHECK_EQ(small.open_count(), 0);
}

TEST_CASE(
    "history: what is written as lines reads back as the same operations (waits, any bytes)") {
    History history;
    Bytes strange("\0hex:\xff\n\"\\", 9);
    auto one =
        history.invoke(Operation::set(1, strange, Bytes("\xc3\xa9\x01", 3)), Instant{1}).value();
    history.complete(one, OpStatus::Ok, Output::none(), Instant{2});
    auto two = history.invoke(Operation::wait(1, 2, 500), Instant{3}).value();
    history.complete(two, OpStatus::Ok, Output::of_number(2), Instant{4});
    auto three = history.invoke(Operation::wait_all(1, 700), Instant{5}).value();
    history.complete(three, OpStatus::Ok, {.number = 1, .missing = {4, 5}, .required = 3},
                     Instant{6});
    auto four =
        history.invoke(Operation::cas(1, "c", std::nullopt, Value("x")), Instant{7}).value();
    history.complete(four, OpStatus::Ok, Output::of_number(0), Instant{8});
    CHECK(history.invoke(Operation::incr(2, "n", -3), Instant{9}).ok());
    auto read = parse_history(history.to_jsonl(), HistoryFormat::Jsonl);
    REQUIRE_MESSAGE(read.ok(), read.error().text());
    REQUIRE_EQ(read->size(), history.operations().size());
    for (size_t i = 0; i < read->size(); ++i) {
        const Operation &a = history.operations()[i], &b = (*read)[i];
        CAPTURE(a.text());
        CHECK_EQ(a.client, b.client);
        CHECK_EQ(a.kind, b.kind);
        CHECK_EQ(a.key, b.key);
        CHECK_EQ(a.value, b.value);
        CHECK_EQ(a.expected, b.expected);
        CHECK_EQ(a.number, b.number);
        CHECK_EQ(a.timeout_ms, b.timeout_ms);
        CHECK(a.output == b.output);
        CHECK_EQ(a.status == OpStatus::Open ? OpStatus::Unknown : a.status, b.status);
    }
}

TEST_CASE(
    "history: generated histories keep their verdict through the file (linearizable, then one "
    "answer changed)") {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
        History again;
        std::vector<Operation> operations = generate_history(seed, {.operations = 200});
        auto write = [](const std::vector<Operation>& all) {
            std::string out;
            for (const Operation& operation : all) {
                // One history an operation keeps its own times: enough for a line.
                History one;
                auto id =
                    one.invoke(operation, Instant{static_cast<int64_t>(operation.start_sequence)})
                        .value();
                if (operation.status != OpStatus::Open)
                    one.complete(id, operation.status, operation.output,
                                 Instant{static_cast<int64_t>(operation.end_sequence)});
                out += one.to_jsonl();
            }
            return out;
        };
        CHECK_EQ(exit_of(write(operations)), 0);
        for (Operation& operation : operations)
            if (operation.kind == OpKind::Get && operation.status == OpStatus::Ok)
                operation.output.value = "never written";
        CHECK_EQ(exit_of(write(operations)), 1);
    }
}

TEST_CASE("history: the jepsen form has an event a line, an open call has no return") {
    History history;
    auto id = history.invoke(Operation::set(3, "k", "a,\"b"), Instant{10}).value();
    history.complete(id, OpStatus::Unknown, Output::none(), Instant{20});
    CHECK(history.invoke(Operation::cas(4, "k", std::nullopt, Value("null")), Instant{30}).ok());
    CHECK_EQ(
        history.to_jepsen(),
        "{:index 0, :time 10, :process 3, :type :invoke, :f :set, :key \"k\", :value \"a,\\\"b\"}\n"
        "{:index 1, :time 20, :process 3, :type :info, :f :set, :key \"k\", :value \"a,\\\"b\"}\n"
        "{:index 2, :time 30, :process 4, :type :invoke, :f :cas, :key \"k\", :value [nil "
        "\"null\"]}\n");
}

TEST_CASE("history: texts come back as the same bytes (hex form, its own mark, bad UTF-8)") {
    for (const Bytes& bytes :
         {Bytes("plain"), Bytes("\xff\xfe"), Bytes("\0hex:00", 7), Bytes("\xc0\x80"), Bytes()}) {
        std::string line = R"({"client":1,"op":"set","key":"k","value":)" + json_text(bytes) +
                           R"(,"output":null,"start_ns":1,"end_ns":2,"status":"ok"})";
        auto read = parse_history(line, HistoryFormat::Jsonl);
        REQUIRE_MESSAGE(read.ok(), read.error().text());
        CHECK_EQ((*read)[0].value, Value(bytes));
    }
    CHECK_EQ(bytes_of_json_text(std::string("\0hex:0", 6)), std::nullopt);
    CHECK_EQ(bytes_of_json_text(std::string("\0hex:zz", 7)), std::nullopt);
}

TEST_CASE("history: the line format is strict and names the line") {
    CHECK_EQ(error_of("# comment\n\n" + op_line(R"("op":"get","status":"ok","x":1)")),
             "line 3: unknown field 'x'");
    CHECK(error_of(op_line(R"("op":"get","op":"get","status":"ok")")).find("twice") !=
          std::string::npos);
    CHECK(error_of(op_line(R"("op":"pop","status":"ok")")).find("unknown operation 'pop'") !=
          std::string::npos);
    CHECK(error_of(op_line(R"("op":"get")")).find("'status' is missing") != std::string::npos);
    CHECK(error_of(op_line(R"("op":"get","status":"maybe")")).find("not ok, fail or unknown") !=
          std::string::npos);
    CHECK(error_of(op_line(R"("op":"set","status":"ok")")).find("must not be null") !=
          std::string::npos);
    CHECK(error_of(op_line(R"("op":"cas","value":["1"],"status":"ok")")).find("[expected, new]") !=
          std::string::npos);
    CHECK(
        error_of(op_line(R"("op":"cas","value":["1","2"],"status":"ok")")).find("true or false") !=
        std::string::npos);
    CHECK(error_of(op_line(R"("op":"get","value":[{}],"status":"ok")")).find("must be null") !=
          std::string::npos);
    CHECK(error_of("{\"client\":1\n").find("line 1: not valid JSON") != std::string::npos);
    CHECK(error_of("{}\n").find("is missing") != std::string::npos);
    CHECK(error_of("hello\n").find("neither") != std::string::npos);
    CHECK(error_of(R"({"client":1,"op":"get","key":"k","start_ns":5,"end_ns":4,"status":"ok"})")
              .find("before") != std::string::npos);
    CHECK(error_of(R"({"client":1,"op":"get","key":"k","start_ns":5,"status":"ok"})")
              .find("only when") != std::string::npos);
    CHECK(
        error_of(
            R"({"client":1,"op":"get","key":"k","start_ns":99999999999999999999,"end_ns":4,"status":"ok"})")
            .find("64-bit") != std::string::npos);
}

TEST_CASE("history: operations whose times touch are concurrent; numbers count as their text") {
    std::string set =
        R"({"client":"a","op":"set","key":"k","value":7,"output":null,"start_ns":1,"end_ns":5,"status":"ok"})"
        "\n";
    std::string read =
        R"({"client":null,"op":"read","key":"k","value":null,"output":null,"start_ns":%,"end_ns":9,"status":"ok"})"
        "\n";
    auto at = [&](const std::string& start) {
        return set + std::string(read).replace(read.find('%'), 1, start);
    };
    CHECK_EQ(exit_of(at("5")), 0);
    CHECK_EQ(exit_of(at("6")), 1);
    std::string seven = at("6");
    seven.replace(seven.rfind("\"output\":null"), 13, "\"output\":\"7\"");
    CHECK_EQ(exit_of(seven), 0);
}

TEST_CASE(
    "history: jepsen logs (refused cas is an answer, timed-out stays open, a read that told "
    "nothing is dropped)") {
    std::string head = "INFO  jepsen.util - ";
    std::string log = head + "0  :invoke\t:write\t1\n" + head + "0  :ok\t:write\t1\n" + head +
                      "1  :invoke\t:cas\t[2 3]\n" + head + "1  :fail\t:cas\t[2 3]\n" + head +
                      "12 :invoke :read nil\n" + head + "12 :fail :read :timed-out\n" + head +
                      "2 :invoke :write 9\n" + head + "2 :info :write :timed-out\n" + head +
                      "3 :invoke :read nil\n" + head + "3 :ok :read ";
    CHECK_EQ(exit_of(log + "1\n"), 0);
    CHECK_EQ(exit_of(log + "9\n"), 0);
    CHECK_EQ(exit_of(log + "3\n"), 1);
    CHECK_EQ(exit_of(log + "nil\n"), 1);
    CHECK(error_of(head + "0 :ok :read 1\n").find("no call open") != std::string::npos);
    CHECK(error_of(head + "0 :invoke :pop 1\n").find("unknown operation") != std::string::npos);
    CHECK(error_of(head + "0 :invoke :write x\n").find("line 1: not a number") !=
          std::string::npos);
    CHECK(
        error_of(head + "0 :invoke :read nil\n" + head + "0 :invoke :read nil\n").find("line 2") !=
        std::string::npos);
    CHECK_EQ(exit_of(""), 0);
}

TEST_CASE("history: kv logs start empty, and are strict") {
    std::string log =
        "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 0 y\"}\n"
        "{:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 0 y\"}\n"
        "{:process 1, :type :invoke, :f :get, :key \"0\", :value nil}\n"
        "{:process 1, :type :ok, :f :get, :key \"0\", :value \"";
    CHECK_EQ(exit_of(log + "x 0 0 y\"}\n"), 0);
    CHECK_EQ(exit_of(log + "\"}\n"), 1);
    CHECK_EQ(exit_of("{:process 1, :type :invoke, :f :get, :key \"0\", :value nil}\n"
                     "{:process 1, :type :ok, :f :get, :key \"0\", :value \"\"}\n"),
             0);
    CHECK(error_of("{:process 0, :type :invoke, :f :get, :key \"0\", :value nil, :x 1}\n")
              .find("unknown field ':x'") != std::string::npos);
    CHECK(error_of("{:process 0, :type :invoke, :f :get, :key \"0\"}\n").find("missing") !=
          std::string::npos);
    CHECK(error_of("{:process 0, :type :invoke, :f :get, :key \"0, :value nil}\n").find("line 1") !=
          std::string::npos);
    CHECK(error_of("{:process 0, :type :ok, :f :get, :key \"0\", :value \"\"}\n")
              .find("no call open") != std::string::npos);
    CHECK(check_history_text(log + "x 0 0 y\"}\n", Model::Register).failed_with(Code::Invalid));
}
