// ternarize_weight on every level: α in the order of numerics.md E2, codes, and the non-finite rule.
#include <cmath>
#include <limits>

#include "core/base/fmath.h"
#include "core/quant/math.h"
#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

struct Ternary {
  Matrix<std::int8_t> codes;
  float alpha = -1.0f;
  std::uint8_t status = 9;
  Ternary(std::int64_t rows, std::int64_t cols) : codes(rows, cols) {}
};

Ternary ternarize(Rows<const float> weight) {
  Ternary t(weight.rows, weight.cols);
  kernels::ternarize_weight({weight, t.codes.view(), &t.alpha, &t.status});
  return t;
}

Matrix<float> gaussian_weight(std::int64_t rows, std::int64_t cols, float deviation) {
  Matrix<float> weight = matrix_of(RowKind::gaussian, rows, cols, 7);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k) weight.row(r)[k] *= deviation;
  return weight;
}

}  // namespace

TEST_CASE("check 9: ternary codes and alpha equal the reference on every level, for 1 to 4 threads") {
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {33, 100}, {64, 136}, {100, 2202}, {257, 384}}) {
    const Matrix<float> weight = gaussian_weight(rows, cols, 0.02f);
    Ternary expected(rows, cols);
    quant::reference_ternarize_weight(weight.view(), expected.codes.view(), &expected.alpha,
                                      &expected.status);
    INFO(rows << " x " << cols);
    on_every_level([&] {
      const Ternary t = ternarize(weight.view());
      CHECK(same_bits(t.alpha, expected.alpha));
      CHECK(t.status == kernels::kRowFinite);
      CHECK(first_difference(t.codes, expected.codes) == "");
    });
  }
}

TEST_CASE("check 9: alpha is the lane sum of the rows' lane sums over N K, clamped; |w| = alpha/2 gives 0") {
  const std::int64_t rows = 40, cols = 50;
  Matrix<float> weight(rows, cols);
  // Mean magnitude 1/4: half the weights ±1/8 (= α/2, code 0), half ±3/8.
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k)
      weight.row(r)[k] = (k % 2 == 0 ? 0.125f : 0.375f) * (r % 2 == 0 ? 1.0f : -1.0f);
  on_every_level(
      [&] {
        const Ternary t = ternarize(weight.view());
        CHECK(t.alpha == 0.25f);
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t k = 0; k < cols; ++k)
            CHECK(int{t.codes.row(r)[k]} == (k % 2 == 0 ? 0 : (r % 2 == 0 ? 1 : -1)));
      },
      2);

  const Matrix<float> tiny = gaussian_weight(4, 33, 1e-9f);
  CHECK(ternarize(tiny.view()).alpha == quant::kStatisticFloor);
}

TEST_CASE("check 9: Gaussian weights have 31.0 % zeros") {
  const std::int64_t rows = 1000, cols = 1000;
  const Matrix<float> weight = gaussian_weight(rows, cols, 0.02f);
  const Ternary t = ternarize(weight.view());
  const double zeros =
      static_cast<double>(kernels::count_zero_codes(t.codes.view())) / static_cast<double>(rows * cols);
  CHECK(std::abs(zeros - 0.310) <= kTernaryZeros);
  // α against the plain double sum: 10^6 additions in fp64 are far below one fp32 rounding.
  double sum = 0;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k) sum += std::abs(static_cast<double>(weight.row(r)[k]));
  CHECK(std::abs(t.alpha - sum / static_cast<double>(rows * cols)) <= ulp(t.alpha));
}

TEST_CASE("ternarize_weight reads rows by their stride, of a part of a larger buffer too") {
  const std::int64_t cols = 100;
  Matrix<float> both(48, cols);
  const Matrix<float> first = gaussian_weight(16, cols, 0.02f), second = gaussian_weight(32, cols, 0.5f);
  for (std::int64_t r = 0; r < 48; ++r)
    std::memcpy(both.row(r), r < 16 ? first.row(r) : second.row(r - 16), cols * sizeof(float));
  on_every_level(
      [&] {
        const Rows<const float> all = both.view();
        const Ternary upper = ternarize({all.row(0), 16, cols, all.stride}),
                      lower = ternarize({all.row(16), 32, cols, all.stride});
        const Ternary alone1 = ternarize(first.view()), alone2 = ternarize(second.view());
        CHECK(same_bits(upper.alpha, alone1.alpha));
        CHECK(same_bits(lower.alpha, alone2.alpha));
        CHECK(first_difference(upper.codes, alone1.codes) == "");
        CHECK(first_difference(lower.codes, alone2.codes) == "");
      },
      2);
}

TEST_CASE("a NaN or Inf weight raises the flag and clears the codes, on every level") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix<float> weight = gaussian_weight(9, 70, 0.02f);
    weight.row(5)[66] = bad;
    on_every_level(
        [&] {
          const Ternary t = ternarize(weight.view());
          CHECK(t.status == kernels::kRowNonFinite);
          CHECK(t.alpha == quant::kStatisticFloor);
          CHECK(kernels::count_zero_codes(t.codes.view()) == 9 * 70);
        },
        2);
  }
}

}  // namespace a48::test
