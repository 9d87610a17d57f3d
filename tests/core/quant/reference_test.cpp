// The oracle itself, against numbers worked out by hand and against plain double sums.
#include "core/quant/reference.h"

#include <cmath>
#include <vector>

#include "core/quant/math.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {

using namespace quant;

TEST_CASE("INT4 absmean by hand: statistic, codes, step, sum") {
  const float x[4] = {1.0f, -3.0f, 0.25f, 3.75f};  // mean magnitude 2; products 1.32, -3.97, 0.33, 4.96
  std::int8_t codes[4];
  float step;
  std::int32_t sum;
  std::uint8_t status;
  reference_quantize_rows({x, 1, 4}, Scheme::int4, 0, {codes, 1, 4}, &step, &sum, &status);
  CHECK(std::vector<int>(codes, codes + 4) == std::vector<int>{1, -4, 0, 5});
  CHECK(step == 2.0f / kSqrt7);
  CHECK(sum == 2);
  CHECK(status == 0);
  // Statistic 2·mean|x| doubles the step.
  reference_quantize_rows({x, 1, 4}, Scheme::int4_absmean2, 0, {codes, 1, 4}, &step, &sum, &status);
  CHECK(step == 4.0f / kSqrt7);
  CHECK(std::vector<int>(codes, codes + 4) == std::vector<int>{1, -2, 0, 2});
}

TEST_CASE("INT8 and FP4 by hand") {
  const float x[4] = {1.0f, -2.0f, 0.5f, 0.0f};
  std::int8_t codes[4];
  float step;
  std::int32_t sum;
  std::uint8_t status;
  reference_quantize_rows({x, 1, 4}, Scheme::int8, 0, {codes, 1, 4}, &step, &sum, &status);
  CHECK(std::vector<int>(codes, codes + 4) == std::vector<int>{64, -127, 32, 0});  // 63.5 and 31.75
  CHECK(step == 2.0f / 127.0f);
  reference_quantize_rows({x, 1, 4}, Scheme::fp4, 0, {codes, 1, 4}, &step, &sum, &status);
  CHECK(std::vector<int>(codes, codes + 4) == std::vector<int>{6, -12, 3, 0});  // 3, −6, 1.5 doubled
  CHECK(decode(codes[1], step) == -2.0f);
}

TEST_CASE(
    "the mean statistic is the lane sum: within one fp32 rounding of the double mean, and order does not "
    "matter to it") {
  for (const std::int64_t width : kRowWidths) {
    std::vector<float> x(static_cast<std::size_t>(width));
    fill_row(RowKind::gaussian, x.data(), width, seed(), 0);
    double sum = 0;
    for (const float value : x) sum += std::abs(static_cast<double>(value));
    float stat;
    std::uint8_t status;
    reference_stat_rows({x.data(), 1, width}, Scheme::int4, &stat, &status);
    CHECK(std::abs(stat - sum / static_cast<double>(width)) <= ulp(stat));
  }
}

TEST_CASE("the integer product by hand, and exact at the largest sum of a 7B layer") {
  const std::int8_t codes[3] = {127, -8, 3}, weight[6] = {1, -1, 0, -1, 0, 1};
  const float step = 0.5f;
  float y[2];
  reference_gemm_ternary({codes, 1, 3}, &step, {weight, 2, 3}, 0.25f, {y, 1, 2});
  CHECK(y[0] == 135 * 0.125f);
  CHECK(y[1] == -124 * 0.125f);
  const std::vector<std::int8_t> all127(11008, 127), ones(11008, 1);
  reference_gemm_ternary({all127.data(), 1, 11008}, &step, {ones.data(), 1, 11008}, 2.0f, {y, 1, 1});
  CHECK(y[0] == 1398016.0f);
}

TEST_CASE("rotation by hand: a quarter turn of a head of 4") {
  const float x[4] = {1, 2, 3, 4}, cos[2] = {0, 1}, sin[2] = {1, 0};
  const std::int32_t position = 0;
  float y[4];
  reference_rope_rows({x, 1, 4}, {y, 1, 4}, &position, 1, 4, {cos, 1, 2}, {sin, 1, 2}, false);
  CHECK(std::vector<float>(y, y + 4) == std::vector<float>{-3, 2, 1, 4});  // (1, 3) turns, (2, 4) stays
}

}  // namespace a48::test
