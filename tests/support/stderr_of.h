// What an action writes to stderr, where messages go (core/base/log.h).
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "core/base/files.h"
#include "tests/support/temp_dir.h"

namespace a48::test {

/// stderr is a file meanwhile, also when the action throws.
inline std::string stderr_of(const std::function<void()>& action) {
  const TempDir dir;
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  const int file = open((dir / "err").c_str(), O_WRONLY | O_CREAT, 0600);
  dup2(file, STDERR_FILENO);
  const auto restore = [&] {
    std::fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
  };
  try {
    action();
  } catch (...) {
    restore();
    throw;
  }
  restore();
  return read_file(dir / "err");
}

}  // namespace a48::test
