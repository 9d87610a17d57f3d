#include "data/order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support/catch.h"

namespace a48::data {
namespace {

std::vector<std::int64_t> epoch(std::uint64_t seed, std::uint64_t stream, std::int64_t number,
                                std::int64_t windows) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < windows; ++i)
    order.push_back(window_at(seed, stream, number * windows + i, windows));
  return order;
}

TEST_CASE("order: the goldens of formats.md 6.4") {
  using Order = std::vector<std::int64_t>;
  CHECK(epoch(1, 0, 0, 10) == Order{0, 3, 8, 4, 6, 7, 1, 5, 9, 2});
  CHECK(epoch(1, 0, 1, 10) == Order{3, 6, 7, 8, 1, 4, 5, 9, 0, 2});
  CHECK(epoch(1, 1, 0, 10) == Order{6, 4, 5, 2, 3, 7, 8, 0, 1, 9});
  Order first;
  for (std::int64_t position = 0; position < 5; ++position)
    first.push_back(window_at(1, 0, position, 1'000'000));
  CHECK(first == Order{825257, 465761, 344696, 52009, 389405});
}

TEST_CASE("order: a bijection for every number of windows from 1 to 300, in every epoch and stream") {
  for (std::int64_t windows = 1; windows <= 300; ++windows) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(windows));
    std::iota(all.begin(), all.end(), 0);
    for (const auto& [stream, number] : {std::pair<std::uint64_t, std::int64_t>{0, 0}, {0, 1}, {3, 7}}) {
      std::vector<std::int64_t> order = epoch(48, stream, number, windows);
      std::sort(order.begin(), order.end());
      CHECK(order == all);
    }
  }
}

TEST_CASE("order: each window stands at each place about equally often over seeds") {
  constexpr std::int64_t kWindows = 7;
  constexpr int kSeeds = 7000;
  std::vector<int> counts(kWindows * kWindows);
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    for (std::int64_t i = 0; i < kWindows; ++i)
      ++counts[static_cast<std::size_t>(i * kWindows + window_at(seed, 0, i, kWindows))];
  // A count is binomial with mean n/7; five standard deviations.
  const double mean = static_cast<double>(kSeeds) / kWindows;
  const double allowed = 5.0 * std::sqrt(mean * (1.0 - 1.0 / kWindows));
  for (const int count : counts) CHECK(std::abs(count - mean) < allowed);
}

}  // namespace
}  // namespace a48::data
