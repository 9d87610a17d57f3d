// One pool: kernels run on LibTorch's threads; this binary, like every program that links LibTorch, asks for
// it at start.
#include "core/ops/threads.h"

#include <atomic>

#include "core/base/parallel.h"
#include "tests/support/catch.h"

namespace a48::test {
namespace {

const bool pool_shared = (ops::use_torch_threads(), true);

}  // namespace

TEST_CASE("parallel_for covers its range once on LibTorch's threads, whatever their number") {
  REQUIRE(pool_shared);
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    CHECK(at::get_num_threads() == threads);
    std::vector<std::atomic<int>> visits(1000);
    parallel_for(1000, 7, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& count : visits) CHECK(count == 1);
  }
  set_thread_count(0);
}

TEST_CASE("an exception of a body on LibTorch's threads reaches the caller, and the pool stays usable") {
  const auto failing = [] {
    parallel_for(8, 1, [](std::int64_t, std::int64_t) { throw std::runtime_error("body"); });
  };
  CHECK_THROWS_AS(failing(), std::runtime_error);
  std::atomic<int> sum = 0;
  parallel_for(8, 1, [&](std::int64_t begin, std::int64_t end) { sum += static_cast<int>(end - begin); });
  CHECK(sum == 8);
}

}  // namespace a48::test
