// Catch2, version 2.13 or 3, and A48_SKIP. The only way tests include Catch2; main() is tests/main.cpp.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace a48::test {

/// Matcher of messages: CHECK_THROWS_WITH(f(), contains("part")).
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Contains(part);
#endif
}

/// Prints "skipped: reason" and marks the running test case. Use A48_SKIP.
void skip(const std::string& reason);

}  // namespace a48::test

/// Leaves the test case (or section) because this machine lacks what it needs. A program run whose test
/// cases were all skipped exits with 77, which ctest reports as skipped.
#define A48_SKIP(reason)         \
  do {                           \
    ::a48::test::skip((reason)); \
    return;                      \
  } while (false)
