#include "core/base/utf8.h"

#include <string>

#include "tests/support/catch.h"

namespace a48 {
namespace {

/// The bytes of a code point by the definition of UTF-8; surrogates too.
std::string encoded(std::uint32_t c) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)),
          byte(0x80 | (c & 0x3F))};
}

TEST_CASE("utf8: every code point is one character, every surrogate none, every cut unfinished") {
  int wrong = 0;
  for (std::uint32_t c = 1; c <= 0x10FFFF; ++c) {
    const std::string bytes = encoded(c);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    wrong += utf8_length(bytes, 0) != (surrogate ? 0 : static_cast<int>(bytes.size()));
    if (surrogate) continue;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) wrong += utf8_length(bytes.substr(0, cut), 0) != -1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: all pairs of bytes: only ASCII and the two-byte forms are whole") {
  int wrong = 0;
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second) {
      const std::string bytes{static_cast<char>(first), static_cast<char>(second)};
      const bool continues = second >= 0x80 && second < 0xC0;
      const int length = utf8_length(bytes, 0);
      if (first < 0x80)
        wrong += length != 1;
      else if (first < 0xC2 || first > 0xF4)
        wrong += length != 0;
      else if (first < 0xE0)
        wrong += length != (continues ? 2 : 0);
      else
        wrong += length > 0 || (!continues && length != 0);
    }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: overlong forms, numbers above the last and lone continuations are found where they stand") {
  CHECK(utf8_error("plain é 😀") == std::string_view::npos);
  CHECK(utf8_error("") == std::string_view::npos);
  CHECK(utf8_error("ab\xC0\x80") == 2);
  CHECK(utf8_error("\xE0\x9F\xBF") == 0);
  CHECK(utf8_error("\xF0\x8F\xBF\xBF") == 0);
  CHECK(utf8_error("\xF4\x90\x80\x80") == 0);
  CHECK(utf8_error("é\x80") == 2);
  CHECK(utf8_error("x\xF0\x9F\x98") == 1);
  CHECK(utf8_length("a\xC3", 1) == -1);
}

}  // namespace
}  // namespace a48
