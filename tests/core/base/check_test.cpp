#include "core/base/check.h"

#include <cmath>
#include <string>
#include <utility>

#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("a failed check throws an Error of its kind with all parts joined") {
  try {
    A48_CHECK(1 + 1 == 3, ErrorKind::bad_input, "file ", "x.bin", ": ", 7, " bytes");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_input);
    CHECK(std::string(error.what()) == "file x.bin: 7 bytes");
  }
  CHECK_NOTHROW([] { A48_CHECK(true, ErrorKind::config, "never"); }());
}

TEST_CASE("floats in messages tell neighbours apart") {
  CHECK(concat(0.1f) != concat(std::nextafter(0.1f, 1.0f)));
  CHECK(concat().empty());
}

TEST_CASE("each kind has the documented exit code") {
  const std::pair<ErrorKind, int> expected[] = {{ErrorKind::internal, 1},    {ErrorKind::config, 2},
                                                {ErrorKind::bad_input, 3},   {ErrorKind::check_failed, 4},
                                                {ErrorKind::not_finite, 5},  {ErrorKind::stopped, 6},
                                                {ErrorKind::no_resources, 7}};
  for (const auto& [kind, code] : expected) CHECK(static_cast<int>(exit_code_of(kind)) == code);
}

}  // namespace a48::test
