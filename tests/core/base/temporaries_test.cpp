#include "core/base/temporaries.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <set>

#include "core/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace a48::test {
namespace {

std::set<std::string> names_in(const Path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// The signal that ended a child in which `run` was called; 0 when it came to its end.
template <typename Run>
int signal_that_ends(const Run& run) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int signal : std::array{SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);  // not Catch's
    run();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/// A process id that no process has.
pid_t ended_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

}  // namespace

TEST_CASE("temporaries: a signal removes what is unfinished, keeps what is whole, and ends the program") {
  for (const int signal : std::array{SIGTERM, SIGINT, SIGHUP}) {
    const TempDir dir;
    const int ended_by = signal_that_ends([&] {
      const TemporariesEndOnSignal scope;
      write_file(dir / "whole", "x");
      FileWriter first(dir / "first"), second(dir / "second");
      first.write("text");
      second.write(std::string(1 << 20, 'x'));
      ::raise(signal);
    });
    CHECK(ended_by == signal);
    CHECK(names_in(dir.path()) == std::set<std::string>{"whole"});
  }
}

TEST_CASE("temporaries: after the scope a signal acts as before, and one that is ignored stays so") {
  const TempDir dir;
  CHECK(signal_that_ends([&] {
          { const TemporariesEndOnSignal scope; }
          const FileWriter file(dir / "left");
          ::raise(SIGTERM);
        }) == SIGTERM);
  CHECK(names_in(dir.path()).size() == 1);
  CHECK(signal_that_ends([&] {
          ::signal(SIGHUP, SIG_IGN);  // as nohup does
          const TemporariesEndOnSignal scope;
          ::raise(SIGHUP);
        }) == 0);
}

TEST_CASE("temporaries: a held signal acts at the end of the hold") {
  const TempDir dir;
  CHECK(signal_that_ends([&] {
          const TemporariesEndOnSignal scope;
          FileWriter first(dir / "first"), second(dir / "second");
          {
            const HoldSignals hold;
            ::raise(SIGTERM);
            first.commit();
          }
          second.commit();
        }) == SIGTERM);
  CHECK(names_in(dir.path()) == std::set<std::string>{"first"});
}

TEST_CASE("temporaries: those of ended processes are removed where they are ours, no others") {
  const TempDir dir;
  const std::string dead = ".tmp-" + std::to_string(ended_process());
  const std::set<std::string> kept{"ours", "ours.tmp-", "ours.tmp-12x", "theirs" + dead,
                                   "ours.tmp-" + std::to_string(::getppid())};
  for (const std::string& name : kept) std::ofstream(dir / name) << name;
  std::ofstream(dir / ("ours" + dead)) << "stale";
  remove_stale_temporaries(dir.path(), [](std::string_view name) { return name == "ours"; });
  CHECK(names_in(dir.path()) == kept);
  remove_stale_temporaries(dir / "absent", [](std::string_view) { return true; });
}

}  // namespace a48::test
