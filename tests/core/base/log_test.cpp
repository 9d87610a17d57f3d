#include "core/base/log.h"

#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"

namespace a48::test {

TEST_CASE("messages go to stderr, as they are, down to the level that is set") {
  CHECK(stderr_of([] {
          log::debug("d");
          log::info("i {} %s");
          log::warning("w");
          log::error("e");
        }) == "i {} %s\nwarning: w\nerror: e\n");
  CHECK(stderr_of([] {
          log::set_level(log::Level::warning);
          log::info("i");
          log::progress("p");
          log::warning("w");
          log::set_level(log::Level::off);
          log::error("e");
          log::set_level(log::Level::debug);
          log::debug("d");
          log::set_level(log::Level::info);
        }) == "warning: w\ndebug: d\n");
}

TEST_CASE("away from a terminal, progress is an ordinary line") {
  CHECK(stderr_of([] {
          log::progress("1 of 2");
          log::progress("2 of 2");
        }) == "1 of 2\n2 of 2\n");
}

}  // namespace a48::test
