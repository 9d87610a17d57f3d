// The main of every test binary: prints the seed, fails when a filter matches nothing, and exits with 77
// when every selected test case was skipped.
#if __has_include(<catch2/catch_all.hpp>)
#define A48_CATCH_3 1
#else
#define A48_CATCH_3 0
#define CATCH_CONFIG_RUNNER
#endif
#include "tests/support/catch.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "tests/support/seed.h"

namespace a48::test {
namespace {

constexpr int kExitSkipped = 77;
constexpr int kExitNothingSelected = 2;

struct Counts {
  bool case_skipped = false;  // the running test case called skip()
  int cases = 0;
  int skipped = 0;
};
Counts counts;

#if A48_CATCH_3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

// A case counts as skipped when it skipped and checked nothing.
struct SkipCounter : ListenerBase {
  using ListenerBase::ListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    ListenerBase::testCaseStarting(info);
    counts.case_skipped = false;
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    ListenerBase::testCaseEnded(stats);
    ++counts.cases;
    counts.skipped += counts.case_skipped && stats.totals.assertions.total() == 0;
  }
};
CATCH_REGISTER_LISTENER(SkipCounter)

std::uint64_t chosen_seed() {
  const char* text = std::getenv("A48_TEST_SEED");
  if (text == nullptr || *text == '\0') return kDefaultSeed;
  if (std::string(text) == "time") return static_cast<std::uint64_t>(std::time(nullptr));
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 0);
  if (*end != '\0') {
    std::fprintf(stderr, "A48_TEST_SEED=%s is neither a number nor \"time\"\n", text);
    std::exit(kExitNothingSelected);
  }
  return value;
}

}  // namespace

std::uint64_t seed() {
  static const std::uint64_t value = chosen_seed();
  return value;
}

void skip(const std::string& reason) {
  counts.case_skipped = true;
  std::printf("skipped: %s\n", reason.c_str());
}

}  // namespace a48::test

int main(int argc, char** argv) {
  using namespace a48::test;
  std::printf("seed: %llu (A48_TEST_SEED sets another)\n", static_cast<unsigned long long>(seed()));
  Catch::Session session;
#if !A48_CATCH_3
  session.configData().warnings =
      static_cast<Catch::WarnAbout::What>(session.configData().warnings | Catch::WarnAbout::NoTests);
#endif
  if (const int usage_error = session.applyCommandLine(argc, argv)) return usage_error;
  const int status = session.run();
  if (status != 0) return status;
  const auto& config = session.config();
#if A48_CATCH_3
  const bool lists_only = static_cast<bool>(config.listTests()) || static_cast<bool>(config.listTags()) ||
                          static_cast<bool>(config.listReporters()) || session.configData().showHelp;
#else
  const bool lists_only = config.listTests() || config.listTestNamesOnly() || config.listTags() ||
                          config.listReporters() || session.configData().showHelp;
#endif
  if (lists_only) return 0;
  if (counts.cases == 0) return kExitNothingSelected;
  return counts.skipped == counts.cases ? kExitSkipped : 0;
}
