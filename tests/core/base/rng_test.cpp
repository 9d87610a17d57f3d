#include "core/base/rng.h"

#include <cmath>
#include <set>

#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("random numbers are a function of seed, stream and index") {
  CHECK(random_bits(1, 2, 3) == random_bits(1, 2, 3));
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed)
    for (std::uint64_t stream = 0; stream < 10; ++stream)
      for (std::uint64_t index = 0; index < 100; ++index) seen.insert(random_bits(seed, stream, index));
  CHECK(seen.size() == 10 * 10 * 100);
  CHECK(stream_of("a") != stream_of("b"));
}

TEST_CASE("uniform numbers fill [0, 1) evenly") {
  constexpr int kDraws = 100000, kBins = 20;
  int counts[kBins] = {};
  for (int i = 0; i < kDraws; ++i) {
    const double u = random_uniform(7, 1, static_cast<std::uint64_t>(i));
    REQUIRE((u >= 0.0 && u < 1.0));
    ++counts[static_cast<int>(u * kBins)];
  }
  // Binomial counts; the seed is fixed, so five deviations leave room for any sound generator.
  const double expected = double(kDraws) / kBins, deviation = std::sqrt(expected * (1.0 - 1.0 / kBins));
  for (const int count : counts) CHECK(std::abs(count - expected) < 5 * deviation);
}

TEST_CASE("normal numbers have the moments of N(0, 1)") {
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random_normal(3, 4, static_cast<std::uint64_t>(i));
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  // Deviations of the mean of x, x^2, x^4: sqrt(1/n), sqrt(2/n), sqrt(96/n).
  CHECK(std::abs(sum / kDraws) < 5 * std::sqrt(1.0 / kDraws));
  CHECK(std::abs(squares / kDraws - 1) < 5 * std::sqrt(2.0 / kDraws));
  CHECK(std::abs(fourths / kDraws - 3) < 5 * std::sqrt(96.0 / kDraws));
}

}  // namespace a48::test
