// The formulas one value at a time.
#include "core/quant/math.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/rng.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

using namespace quant;

constexpr double kGrid[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

// The paper's formula: exponent e = max(⌊log2 |x| + b⌋, 1) with bias, mantissa of one bit, evaluated for y =
// |x|·6/max|x| in double.
double minmax_fp4(double y) {
  if (y == 0) return 0;
  const double exponent = std::max(std::floor(std::log2(y)), 0.0);
  const double spacing = std::exp2(exponent - 1);
  return std::min(std::nearbyint(y / spacing) * spacing, 6.0);
}

bool is_bound(double y) {
  for (const double bound : {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0})
    if (y == bound) return true;
  return false;
}

}  // namespace

TEST_CASE("round_even takes ties to even and keeps large values") {
  const std::vector<float> from{0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49999997f, 8388609.0f, -1e30f};
  const std::vector<float> to{0.0f, 2.0f, 2.0f, -0.0f, -2.0f, -2.0f, 0.0f, 8388609.0f, -1e30f};
  for (std::size_t i = 0; i < from.size(); ++i) CHECK(round_even(from[i]) == to[i]);
}

TEST_CASE(
    "check 5: products of +-0.5, +-1.5, +-2.5 round to 0, +-2, +-2 before clipping in every integer "
    "quantizer") {
  for (const SchemeRow& row : kSchemes) {
    if (row.kind != CodeKind::integer) continue;
    const auto clip = [&](int code) { return std::max(row.min_code, std::min(row.max_code, code)); };
    INFO(row.name);
    for (const float sign : {1.0f, -1.0f}) {
      CHECK(encode(row, sign * 0.5f, 1.0f) == 0);
      CHECK(encode(row, sign * 1.5f, 1.0f) == clip(sign > 0 ? 2 : -2));
      CHECK(encode(row, sign * 2.5f, 1.0f) == clip(sign > 0 ? 2 : -2));
      CHECK(encode(row, sign * 1e30f, 1.0f) == clip(sign > 0 ? 1000 : -1000));
    }
    CHECK(encode(row, -0.0f, 1.0f) == 0);
  }
}

TEST_CASE(
    "the clip bounds of every scheme hold its largest magnitude, and codes beyond them are clipped after "
    "rounding") {
  for (const SchemeRow& row : kSchemes) {
    if (row.kind == CodeKind::none) continue;
    INFO(row.name);
    CHECK(row.max_magnitude >= row.max_code);
    // INT8 rows never reach −128: |x|·(127/max|x|) rounds to 127 at most.
    CHECK((row.max_magnitude >= -row.min_code || row.scheme == Scheme::int8));
    CHECK(encode(row, row.kind == CodeKind::fp4_grid ? 6.0f : static_cast<float>(row.max_code) + 0.49f,
                 1.0f) == row.max_code);
  }
}

TEST_CASE("check 3: INT4 of a row of ones is 3/sqrt(7)") {
  const SchemeRow& row = row_of(Scheme::int4);
  const float inv = inv_of(row, clamp_statistic(1.0f)), step = step_of(row, clamp_statistic(1.0f));
  CHECK(encode(row, 1.0f, inv) == 3);
  CHECK(decode(3, step) == Approx(1.13389).epsilon(kInt4Error));
  CHECK(std::abs(decode(3, step) - 3.0 / std::sqrt(7.0)) <= chain_tolerance(3, 1.14));
}

TEST_CASE("check 4: FP4 bounds and ties of 2.1 go where the table says") {
  const SchemeRow& row = row_of(Scheme::fp4);
  const struct {
    float bound;
    int at, above;  // doubled codes at the bound and just above it; just below it is the code before
    int below;
  } bounds[] = {{0.25f, 0, 1, 0}, {0.75f, 2, 2, 1}, {1.25f, 2, 3, 2}, {1.75f, 4, 4, 3},
                {2.5f, 4, 6, 4},  {3.5f, 8, 8, 6},  {5.0f, 8, 12, 8}};
  for (const auto& b : bounds)
    for (const float sign : {1.0f, -1.0f}) {
      const int s = static_cast<int>(sign);
      INFO("bound " << b.bound);
      CHECK(encode(row, sign * std::nextafter(b.bound, 0.0f), 1.0f) == s * b.below);
      CHECK(encode(row, sign * b.bound, 1.0f) == s * b.at);
      CHECK(encode(row, sign * std::nextafter(b.bound, 9.0f), 1.0f) == s * b.above);
    }
  for (int index = 0; index < 8; ++index) {
    CHECK(fp4_index(static_cast<float>(kGrid[index])) == index);
    CHECK(fp4_doubled(index) == static_cast<int>(2 * kGrid[index]));
  }
}

TEST_CASE(
    "check 4: every float of the FP4 range, in steps of 2^-12, and the paper's formula off the bounds on "
    "10^6 values") {
  const SchemeRow& row = row_of(Scheme::fp4);
  for (float y = 0.0f; y <= 6.25f; y += 0x1p-12f) {
    int best = 0;
    for (int i = 1; i < 8; ++i) {
      const double before = std::fabs(y - kGrid[best]), now = std::fabs(y - kGrid[i]);
      if (now < before || (now == before && i % 2 == 0)) best = i;
    }
    if (encode(row, y, 1.0f) != 2 * kGrid[best]) FAIL("y = " << y);
  }
  std::vector<float> x(1000);
  for (int r = 0; r < 1000; ++r) {
    fill_row(RowKind::gaussian, x.data(), 1000, seed(), r);
    float largest = 0.0f;
    for (const float value : x) largest = std::max(largest, std::fabs(value));
    const float inv = inv_of(row, largest), step = step_of(row, largest);
    CHECK(encode(row, largest, inv) == 12);
    for (const float value : x) {
      const float y = std::fabs(value) * inv;
      if (is_bound(static_cast<double>(y))) continue;
      const int code = encode(row, value, inv);
      if (std::abs(code) != 2 * minmax_fp4(static_cast<double>(y)) || (code < 0) != (value < 0 && code != 0))
        FAIL("value " << value << " of a row with maximum " << largest << " has code " << code);
      // Decoded values lie on the grid in units of max|x|/6.
      const double units = static_cast<double>(decode(code, step)) * 6.0 / static_cast<double>(largest);
      if (std::abs(units - 0.5 * code) > chain_tolerance(2, units))
        FAIL("decoded " << units << " for code " << code);
    }
  }
}

TEST_CASE("check 6: the floor makes a zero row finite; magnitude bits order NaN and Inf on top") {
  for (const SchemeRow& row : kSchemes) {
    if (row.kind == CodeKind::none) continue;
    const float floor = clamp_statistic(0.0f);
    CHECK(floor == kStatisticFloor);
    CHECK(std::isfinite(inv_of(row, floor)));
    CHECK(encode(row, 0.0f, inv_of(row, floor)) == 0);
    const float zero = decode(0, step_of(row, floor));
    CHECK((zero == 0.0f && !std::signbit(zero)));
  }
  const float largest = std::numeric_limits<float>::max(), infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(magnitude_bits(-largest) < magnitude_bits(infinity));
  CHECK(magnitude_bits(-infinity) < magnitude_bits(-nan));
  CHECK(magnitude_bits(-0.0f) == 0u);
  CHECK((is_finite(largest) && !is_finite(-infinity) && !is_finite(nan)));
  CHECK(clamp_statistic(nan) != clamp_statistic(nan));
}

TEST_CASE("the epilogue multiplies the scales first, then the sum") {
  // (d·α) underflows to 0 although float(acc)·d would not: the order is visible.
  CHECK(epilogue(1 << 20, 0x1p-100f, 0x1p-60f) == 0.0f);
  CHECK(epilogue(-3, 0.5f, 0.25f) == -0.375f);
  const float step = 0.1f, alpha = 0.3f;
  CHECK(epilogue(1398016, step, alpha) == static_cast<float>(1398016) * (step * alpha));
}

TEST_CASE("c7 is sqrt(7) rounded to fp32") { CHECK(kSqrt7 == static_cast<float>(std::sqrt(7.0))); }

}  // namespace a48::test
