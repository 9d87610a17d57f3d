#include "core/runtime/sampler.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "core/base/rng.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::runtime {
namespace {

constexpr SamplerOptions kGreedy{0.0, 0, 1.0};

/// All ids that some uniform number draws.
std::set<std::int32_t> reachable(const std::vector<float>& logits, const SamplerOptions& options) {
  std::set<std::int32_t> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(sample(logits, options, i / 1000.0));
  ids.insert(sample(logits, options, std::nextafter(1.0, 0.0)));
  return ids;
}

TEST_CASE("check 39: temperature 0 is argmax, lowest index on ties") {
  CHECK(sample(std::vector<float>{0, 3, 1}, kGreedy, 0.99) == 1);
  CHECK(sample(std::vector<float>{2, 5, 5, 5}, kGreedy, 0.99) == 1);
  CHECK(sample(std::vector<float>{-7, -7}, kGreedy, 0.5) == 0);
  CHECK(sample(std::vector<float>{-0.0f, 0.0f}, kGreedy, 0.5) == 0);
  CHECK(sample(std::vector<float>{4}, kGreedy, 0.5) == 0);
}

TEST_CASE("sampler: shares of draws are the softmax at the temperature") {
  const std::vector<float> logits{1.0f, 0.0f, 2.0f, -1.0f};
  constexpr int kDraws = 40'000;
  for (const double temperature : {0.5, 1.0, 3.0}) {
    std::vector<int> counts(4);
    for (std::uint64_t i = 0; i < kDraws; ++i)
      ++counts[static_cast<std::size_t>(sample(logits, {temperature, 0, 1.0}, random_uniform(48, 1, i)))];
    double total = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit) / temperature);
    for (std::size_t v = 0; v < 4; ++v) {
      const double share = std::exp(static_cast<double>(logits[v]) / temperature) / total;
      // Binomial; five standard deviations.
      CHECK(std::abs(counts[v] - kDraws * share) < 5 * std::sqrt(kDraws * share * (1 - share)));
    }
  }
}

TEST_CASE("sampler: top-k keeps the k likeliest, lowest index on ties") {
  const std::vector<float> logits{1, 3, 2, 3, 2};
  CHECK(reachable(logits, {1.0, 1, 1.0}) == std::set<std::int32_t>{1});
  CHECK(reachable(logits, {1.0, 2, 1.0}) == std::set<std::int32_t>{1, 3});
  CHECK(reachable(logits, {1.0, 3, 1.0}) == std::set<std::int32_t>{1, 2, 3});
  CHECK(reachable(logits, {1.0, 0, 1.0}).size() == 5);
  CHECK(reachable(logits, {1.0, 99, 1.0}).size() == 5);
}

TEST_CASE("sampler: top-p keeps the fewest that reach p, at least one") {
  const std::vector<float> logits{std::log(0.5f), std::log(0.2f), std::log(0.3f)};
  CHECK(reachable(logits, {1.0, 0, 0.01}) == std::set<std::int32_t>{0});
  CHECK(reachable(logits, {1.0, 0, 0.49}) == std::set<std::int32_t>{0});
  CHECK(reachable(logits, {1.0, 0, 0.6}) == std::set<std::int32_t>{0, 2});
  CHECK(reachable(logits, {1.0, 0, 0.9}) == std::set<std::int32_t>{0, 1, 2});
  CHECK(reachable(logits, {1.0, 2, 0.9}) == std::set<std::int32_t>{0, 2});
}

TEST_CASE("sampler: bad options and logits that are not finite are refused") {
  CHECK_ERROR(check_sampler({-0.1, 0, 1.0}), ErrorKind::config, "temperature", "-0.1");
  CHECK_ERROR(check_sampler({std::nan(""), 0, 1.0}), ErrorKind::config, "temperature");
  CHECK_ERROR(check_sampler({1.0, -1, 1.0}), ErrorKind::config, "top-k");
  CHECK_ERROR(check_sampler({1.0, 0, 0.0}), ErrorKind::config, "top-p");
  CHECK_ERROR(check_sampler({1.0, 0, 1.1}), ErrorKind::config, "top-p", "1.1");
  CHECK_NOTHROW(check_sampler(kGreedy));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> logits{0, bad};
    CHECK_ERROR(sample(logits, kGreedy, 0.5), ErrorKind::not_finite, "token 1");
  }
}

}  // namespace
}  // namespace a48::runtime
