#include "core/base/parallel.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

namespace a48::test {
namespace {

/// Restores the number of threads that the other tests run with.
class Threads {
 public:
  explicit Threads(int threads) { set_thread_count(threads); }
  ~Threads() { set_thread_count(0); }
};

std::vector<int> visits(std::int64_t n, std::int64_t grain) {
  std::vector<int> count(static_cast<std::size_t>(n), 0);
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) ++count[static_cast<std::size_t>(i)];
  });
  return count;
}

}  // namespace

TEST_CASE("parallel_for visits every item once, with 1 to 4 threads") {
  for (int threads = 1; threads <= 4; ++threads) {
    const Threads set(threads);
    CHECK(thread_count() == threads);
    for (const std::int64_t n : {0, 1, 2, 3, 7, 64, 1000})
      for (const std::int64_t grain : {0, 1, 5, 2000})
        CHECK(visits(n, grain) == std::vector<int>(static_cast<std::size_t>(n), 1));
  }
}

TEST_CASE("ranges hold at least the grain, except the last") {
  const Threads set(4);
  std::atomic<int> short_ranges{0};
  parallel_for(1001, 300, [&](std::int64_t begin, std::int64_t end) {
    short_ranges += end - begin < 300 && end != 1001;
  });
  CHECK(short_ranges == 0);
}

TEST_CASE("many short calls in a row all complete") {
  const Threads set(3);
  std::int64_t total = 0;
  for (int call = 0; call < 20000; ++call) {
    std::atomic<std::int64_t> items{0};
    parallel_for(9, 1, [&](std::int64_t begin, std::int64_t end) { items += end - begin; });
    total += items;
  }
  CHECK(total == 20000 * 9);
}

TEST_CASE("an exception reaches the caller after all ranges ended, and the pool goes on") {
  for (int threads = 1; threads <= 4; ++threads) {
    const Threads set(threads);
    for (int call = 0; call < 200; ++call) {
      std::atomic<int> running{0};
      const auto body = [&](std::int64_t begin, std::int64_t) {
        ++running;
        std::this_thread::yield();
        --running;
        throw std::runtime_error(std::to_string(begin));
      };
      CHECK_THROWS_WITH(parallel_for(100, 1, body), "0");  // of the first range, whatever the timing
      CHECK(running == 0);
    }
    CHECK(visits(100, 1) == std::vector<int>(100, 1));
  }
}

TEST_CASE("a nested call runs in the range that makes it") {
  const Threads set(4);
  std::atomic<int> ranges{0}, items{0};
  parallel_for(4, 1, [&](std::int64_t, std::int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) {
      ++ranges;
      items += static_cast<int>(end - begin);
      if (std::this_thread::get_id() != outer) items += 1000;
    });
  });
  CHECK(ranges == 4);
  CHECK(items == 400);
}

TEST_CASE("two threads of the program may both ask for the pool") {
  const Threads set(2);
  std::atomic<int> items{0};
  const auto work = [&] {
    for (int call = 0; call < 2000; ++call)
      parallel_for(10, 1,
                   [&](std::int64_t begin, std::int64_t end) { items += static_cast<int>(end - begin); });
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(items == 2 * 2000 * 10);
}

TEST_CASE("a foreign pool runs the tasks instead of ours") {
  static int calls, threads_told;
  calls = threads_told = 0;
  const Threads set(3);
  set_parallel_backend({[](int threads) { threads_told = threads; },
                        [](int tasks, FunctionRef<void(int)> task) {
                          ++calls;
                          for (int i = tasks; i-- > 0;) task(i);
                        }});
  CHECK(threads_told == 3);
  CHECK(visits(100, 1) == std::vector<int>(100, 1));
  CHECK(calls == 1);
  CHECK_THROWS_WITH(
      parallel_for(3, 1,
                   [](std::int64_t begin, std::int64_t) { throw std::runtime_error(std::to_string(begin)); }),
      "0");
  set_parallel_backend({});
  CHECK(visits(100, 1) == std::vector<int>(100, 1));
  CHECK(calls == 2);
}

TEST_CASE("there is at least one core") {
  CHECK(physical_cores() >= 1);
  CHECK_THROWS(set_thread_count(-1));
}

}  // namespace a48::test
