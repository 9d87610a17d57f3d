// The lane sum by its definition, and exp against the double of libm over all magnitudes.
#include "core/base/fmath.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/rng.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

/// E1 as a tree: the sum of lanes l, l + 2n … at level n is (n lanes lower half) + (upper half).
float folded(const std::vector<float>& lane, std::size_t l, std::size_t width) {
  if (width == 32) return lane[l];
  return folded(lane, l, 2 * width) + folded(lane, l + width, 2 * width);
}

constexpr double kUlpBound = 2.0;  // numerics E6

/// |found − e^x| in ulp of the result; an infinite result counts as the first number beyond the largest
/// float.
double ulp_error(float x) {
  const float found = exp_f32(x);
  const double exact = std::exp(static_cast<double>(x));
  const double beyond = 0x1p128;
  const double value = std::isinf(found) ? beyond : static_cast<double>(found);
  const double target = std::min(exact, beyond);
  const float nearest =
      static_cast<float>(std::min(target, static_cast<double>(std::numeric_limits<float>::max())));
  return std::abs(value - target) / ulp(nearest);
}

}  // namespace

TEST_CASE("E1: term k goes to lane k mod 32 in ascending order, then lanes fold by halves") {
  for (const std::int64_t count : {0, 1, 5, 31, 32, 33, 64, 100, 1000}) {
    std::vector<float> term, lane(32, 0.0f);
    for (std::int64_t k = 0; k < count; ++k) {
      term.push_back(static_cast<float>(random_normal(seed(), 1, static_cast<std::uint64_t>(k))));
      lane[static_cast<std::size_t>(k % 32)] += term.back();
    }
    INFO("count " << count);
    CHECK(lane_sum<float>(count, [&](std::int64_t k) { return term[static_cast<std::size_t>(k)]; }) ==
          folded(lane, 0, 1));
  }
}

TEST_CASE(
    "E1: the order decides the bits: 2^24 and 1 in one lane lose the 1, 1 and 1 in two other lanes do not") {
  const auto sum_of = [](std::int64_t a, std::int64_t b) {
    return lane_sum<float>(
        64, [=](std::int64_t k) { return k == 0 ? 0x1p24f : (k == a || k == b ? 1.0f : 0.0f); });
  };
  CHECK(sum_of(32, 16) == 0x1p24f);       // lane 0 twice, then lane 16
  CHECK(sum_of(1, 3) == 0x1p24f + 2.0f);  // lane 1 takes lane 3 before lane 0 takes lane 1
  CHECK_FALSE(std::signbit(lane_sum<float>(40, [](std::int64_t) { return -0.0f; })));  // lanes start at +0
}

TEST_CASE("E3: lane_dot adds each product with one rounding") {
  // 1 + 2^-12 squared is 1 + 2^-11 + 2^-24; added to −1 − 2^-11 in the same lane, only fma keeps the last
  // bit.
  std::vector<float> a(64, 0.0f), b(64, 0.0f);
  a[3] = -1.0f - 0x1p-11f;
  b[3] = 1.0f;
  a[35] = b[35] = 1.0f + 0x1p-12f;
  CHECK(lane_dot(a.data(), b.data(), 64) == 0x1p-24f);
  CHECK(lane_dot(a.data(), b.data(), 0) == 0.0f);
}

TEST_CASE("E6: exp is within 2 ulp over all magnitudes and densely where softmax and silu live") {
  double worst = 0.0;
  for (std::uint64_t bits = 0; bits < 0x7f800000u; bits += 499) {
    const std::uint32_t pattern = static_cast<std::uint32_t>(bits);
    float x;
    std::memcpy(&x, &pattern, sizeof x);
    worst = std::max({worst, ulp_error(x), ulp_error(-x)});
  }
  for (int i = -1'050'000; i <= 900'000; ++i)
    worst = std::max(worst, ulp_error(static_cast<float>(i) * 1e-4f));
  INFO("worst error in ulp: " << worst);
  CHECK(worst <= kUlpBound);
  CHECK(worst > 0.0);
}

TEST_CASE("exp at its ends: 0, infinities, NaN, the edges of overflow and of the denormals") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(exp_f32(0.0f) == 1.0f);
  CHECK(exp_f32(-0.0f) == 1.0f);
  CHECK(exp_f32(infinity) == infinity);
  CHECK(exp_f32(-infinity) == 0.0f);
  CHECK_FALSE(std::signbit(exp_f32(-infinity)));
  CHECK(std::isnan(exp_f32(std::numeric_limits<float>::quiet_NaN())));
  CHECK(exp_f32(88.72f) < infinity);
  CHECK(exp_f32(88.73f) == infinity);
  CHECK(exp_f32(std::numeric_limits<float>::max()) == infinity);
  CHECK(exp_f32(std::numeric_limits<float>::lowest()) == 0.0f);
  CHECK(exp_f32(-87.4f) > 0.0f);
  CHECK(exp_f32(-103.0f) == std::numeric_limits<float>::denorm_min());
  CHECK(exp_f32(-104.0f) == 0.0f);
}

}  // namespace a48::test
