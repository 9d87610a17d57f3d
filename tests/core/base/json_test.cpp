#include "core/base/json.h"

#include <bit>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"

namespace a48::test {
namespace {

std::string error_of(std::string_view text) {
  try {
    Json::parse(text, "file.json");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_input);
    return error.what();
  }
  return "no error";
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("json: what is parsed prints as it was written") {
  for (const char* const text :
       {"null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.0", "0.1",
        "\"a\"", "[]", "{}", "[1, 2.5, \"x\", [null]]", "{\"b\": 1, \"a\": {\"c\": [true, {}]}}",
        "\"\\u0001\\n\\\"\\\\\"", "\"é▁😀\""})
    CHECK(Json::parse(text, "").dump() == text);
}

TEST_CASE("json: doubles read back bit for bit and stay doubles") {
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(random_bits(seed(), 1, i));
    if (!std::isfinite(value)) continue;
    const Json again = Json::parse(Json(value).dump(), "");
    REQUIRE_FALSE(again.is_integer());
    REQUIRE(std::bit_cast<std::uint64_t>(again.as_double()) == std::bit_cast<std::uint64_t>(value));
  }
  CHECK(Json(1.0).dump() == "1.0");
  CHECK(Json(-0.0).dump() == "-0.0");
  CHECK(Json(1e300).dump() == "1e+300");
  CHECK(Json(5e-324).dump() == "5e-324");
}

TEST_CASE("json: a number that is not finite prints as null") {
  CHECK(Json(std::numeric_limits<double>::infinity()).dump() == "null");
  CHECK(Json(std::nan("")).dump() == "null");
}

TEST_CASE("json: bytes that are no UTF-8 print as the replacement character") {
  CHECK(Json("a\xFF").dump() == "\"a\xEF\xBF\xBD\"");
}

TEST_CASE("json: indentation") {
  const Json value = Json::parse(R"({"a":[1,2],"b":{},"c":{"d":null}})", "");
  CHECK(value.dump(2) ==
        "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": {\n    \"d\": null\n  }\n}");
}

TEST_CASE("json: an error in a part of a file counts lines from where the part begins") {
  CHECK_THROWS_WITH(Json::parse("{\"a\": }", "f.jsonl", nullptr, 7), contains("f.jsonl:7:7: not JSON"));
  CHECK_THROWS_WITH(Json::parse("{\n\"a\": }", "f.jsonl", nullptr, 7), contains("f.jsonl:8:6: not JSON"));
}

TEST_CASE("json: what is not strict JSON is refused with source, line and column") {
  CHECK(holds(error_of("{\n  \"a\": tru\n}"), "file.json:2:"));
  CHECK(holds(error_of("[1, 2"), "unexpected end"));
  CHECK(holds(error_of("1 2"), "file.json:1:3: "));
  CHECK(holds(error_of("[1,]"), "file.json:1:4: "));
  CHECK(holds(error_of("{\"a\": 1} // comment"), "file.json:1:10: "));
  CHECK(holds(error_of(std::string_view("{}\0x", 4)), "file.json:1:3: not JSON: a NUL byte"));
  CHECK(holds(error_of("\"\xFF\""), "UTF-8"));
  CHECK(holds(error_of("[01]"), "file.json:1:3: "));
  CHECK(holds(error_of("[1e999]"), "overflow"));
  CHECK(holds(error_of("[NaN]"), "file.json:1:2: "));
  CHECK(holds(error_of(""), "unexpected end"));
}

TEST_CASE("json: an integer beyond 63 bits is refused, not rounded") {
  CHECK(holds(error_of("[9223372036854775808]"), "file.json:1:2: the integer 9223372036854775808"));
  CHECK(holds(error_of("[123456789012345678901234567890]"), "does not fit in 63 bits"));
}

TEST_CASE("json: a duplicate key is refused at its place, at any depth") {
  CHECK(holds(error_of("{\"a\": 1,\n \"a\": 2}"), "file.json:2:2: duplicate key \"a\""));
  CHECK(
      holds(error_of(R"({"x": [{}, {"a": 1, "b": 2, "a": 3}]})"), "file.json:1:29: duplicate key \"x.1.a\""));
  CHECK(holds(error_of(R"({"é\"": 1, "é\"": 2})"), "file.json:1:12: "));
  CHECK(Json::parse(R"({"a": {"a": 1}, "b": {"a": 2}})", "").size() == 2);
}

TEST_CASE("json: duplicate keys can be collected; the first value stays") {
  std::vector<std::string> duplicates;
  const Json value = Json::parse(R"({"a": 1, "a": {"b": 2}, "c": 3, "c": [4]})", "f", &duplicates);
  CHECK(duplicates.size() == 2);
  CHECK(value.dump() == R"({"a": 1, "c": 3})");
}

TEST_CASE("json: nesting is bounded") {
  const auto nested = [](int depth) { return std::string(static_cast<std::size_t>(depth), '['); };
  CHECK_NOTHROW(Json::parse(nested(64) + std::string(64, ']'), ""));
  CHECK(holds(error_of(nested(65) + std::string(65, ']')), "file.json:1:65: nested deeper than 64"));
  CHECK(holds(error_of(nested(100000)), "nested deeper"));
}

TEST_CASE("json: access checks types and says what was found") {
  const Json value = Json::parse(R"({"n": 3, "d": 0.5, "s": "x"})", "");
  CHECK(value.at("n").as_double() == 3.0);
  CHECK_THROWS_WITH(value.at("d").as_int(), "expected an integer, found the number 0.5");
  CHECK_THROWS_WITH(value.at("s").as_bool(), "expected a boolean, found the string \"x\"");
  CHECK_THROWS_WITH(value.at("z"), "no member \"z\" in the object");
  CHECK(value.find("z") == nullptr);
  CHECK(value.at("s").find("z") == nullptr);
}

TEST_CASE("json: objects keep their order, and equality ignores it") {
  Json a, b;
  a["x"] = 1;
  a["y"].push_back(2.0);
  b["y"].push_back(2.0);
  b["x"] = 1;
  CHECK(a == b);
  CHECK(a.dump() == R"({"x": 1, "y": [2.0]})");
  CHECK(b.dump() == R"({"y": [2.0], "x": 1})");
  b["y"] = Json::array();
  CHECK_FALSE(a == b);
  CHECK_FALSE(Json(1) == Json(1.0));
}

TEST_CASE("json: any truncation or changed byte is parsed or refused, never worse") {
  const std::string text =
      R"({"a": [1, -2.5e3, {"k\"\u00e9é": null}], "b": "x\\", "a2": [true, false, [[]]]})";
  CHECK_NOTHROW(Json::parse(text, ""));
  const auto survives = [](const std::string& bytes) {
    try {
      const Json value = Json::parse(bytes, "f");
      return Json::parse(value.dump(), "f") == value;
    } catch (const Error&) {
      return true;
    }
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    REQUIRE_THROWS_AS(Json::parse(text.substr(0, i), "f"), Error);
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[i] = static_cast<char>(byte);
      REQUIRE(survives(changed));
    }
  }
}

}  // namespace a48::test
