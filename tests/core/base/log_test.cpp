#include "core/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "core/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace a48::test {
namespace {

/// What `action` writes to stderr, which is a file meanwhile.
std::string stderr_of(const std::function<void()>& action) {
  const TempDir dir;
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  const int file = open((dir / "err").c_str(), O_WRONLY | O_CREAT, 0600);
  dup2(file, STDERR_FILENO);
  action();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(file);
  return read_file(dir / "err");
}

}  // namespace

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
