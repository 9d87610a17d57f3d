// One pool: kernels run on LibTorch's threads; this binary, like every program that links LibTorch, asks for
// it at start.
#include "core/ops/threads.h"

#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

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

TEST_CASE(
    "E4: denormals are neither flushed nor taken for zero on any thread of the pool, LibTorch's products "
    "before it") {
  REQUIRE(pool_shared);
  constexpr int kThreads = 3;
  set_thread_count(kThreads);
  at::mm(torch::ones({256, 256}), torch::ones({256, 256}));  // its library has run on these threads
  std::mutex guard;
  std::set<std::thread::id> threads;
  std::atomic<int> kept = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  parallel_for(kThreads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const volatile float smallest = std::numeric_limits<float>::min(), tiny = 1e-42f;
      const volatile float flushed = smallest * 0.5f, zeroed = tiny * 8388608.0f;
      if (flushed != 0.0f && zeroed != 0.0f) ++kept;
    }
    {
      const std::lock_guard lock(guard);
      threads.insert(std::this_thread::get_id());
    }
    while (std::chrono::steady_clock::now() < deadline) {  // each task keeps its thread until all have one
      const std::lock_guard lock(guard);
      if (threads.size() == kThreads) break;
    }
  });
  CHECK(threads.size() == kThreads);
  CHECK(kept == kThreads);
  const at::Tensor many = torch::full({1 << 20}, 1e-42f);  // LibTorch's own loops, in parallel
  CHECK((many * 8388608.0f).ne(0).all().item<bool>());
  CHECK(many.sum().item<float>() > 0.0f);
  set_thread_count(0);
}

}  // namespace a48::test
