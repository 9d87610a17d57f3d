// rms_norm_rows and rms_norm_backward_rows on every level: bits of the reference, the formula in double, the
// derivative.
#include <cmath>

#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

constexpr double kEps = 1e-5;

std::vector<float> gain_of(std::int64_t cols) {
  std::vector<float> gain(static_cast<std::size_t>(cols));
  fill_row(RowKind::gaussian, gain.data(), cols, seed() + 3, 0);
  return gain;
}

struct Normed {
  Matrix<float> y;
  std::vector<float> inverse_rms;
  Normed(std::int64_t rows, std::int64_t cols) : y(rows, cols), inverse_rms(static_cast<std::size_t>(rows)) {}
};

Normed norm(const Matrix<float>& x, const std::vector<float>& gain) {
  Normed n(x.view().rows, x.view().cols);
  kernels::rms_norm_rows({x.view(), gain.data(), kEps, n.y.view(), n.inverse_rms.data()});
  return n;
}

// Σ w ⊙ norm(x) in double, with weights w of the output: its gradients are what the backward kernel returns
// for dy = w.
double weighted_norm(const std::vector<double>& x, const std::vector<double>& gain, const float* weight) {
  double square = 0, sum = 0;
  for (const double value : x) square += value * value;
  const double r = 1.0 / std::sqrt(square / static_cast<double>(x.size()) + kEps);
  for (std::size_t k = 0; k < x.size(); ++k) sum += weight[k] * (x[k] * r * gain[k]);
  return sum;
}

}  // namespace

TEST_CASE(
    "RMSNorm equals the reference on every level, for any row and width, with and without the saved "
    "statistic") {
  for (const std::int64_t width : kRowWidths) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    const std::vector<float> gain = gain_of(width);
    Normed expected(x.view().rows, width);
    quant::reference_rms_norm_rows(x.view(), gain.data(), kEps, expected.y.view(),
                                   expected.inverse_rms.data());
    INFO("width " << width);
    on_every_level([&] {
      const Normed n = norm(x, gain);
      CHECK(first_difference(n.y, expected.y) == "");
      CHECK(first_difference(n.inverse_rms, expected.inverse_rms) == "");
      Matrix<float> y(x.view().rows, width);
      kernels::rms_norm_rows({x.view(), gain.data(), kEps, y.view(), nullptr});
      CHECK(first_difference(y, expected.y) == "");
    });
  }
}

TEST_CASE("RMSNorm in double: r is correctly rounded, y two products away") {
  const std::int64_t width = 816;
  const Matrix<float> x = matrix_of(RowKind::gaussian, 3, width);
  const std::vector<float> gain = gain_of(width);
  on_every_level(
      [&] {
        const Normed n = norm(x, gain);
        for (std::int64_t r = 0; r < 3; ++r) {
          double square = 0;
          for (std::int64_t k = 0; k < width; ++k) square += static_cast<double>(x.row(r)[k]) * x.row(r)[k];
          const double exact = 1.0 / std::sqrt(square / static_cast<double>(width) + kEps);
          CHECK(std::abs(n.inverse_rms[static_cast<std::size_t>(r)] - exact) <= chain_tolerance(1, exact));
          for (std::int64_t k = 0; k < width; ++k) {
            const double y = x.row(r)[k] * exact * gain[static_cast<std::size_t>(k)];
            CHECK(std::abs(n.y.row(r)[k] - y) <= chain_tolerance(3, y));
          }
        }
      },
      1);
}

TEST_CASE("check 18: zero inputs stay zero; changing another row or the number of rows changes no bit") {
  const std::int64_t width = 100;
  const std::vector<float> gain = gain_of(width);
  Matrix<float> x = matrix_of(RowKind::gaussian, 4, width);
  for (std::int64_t k = 0; k < width; k += 3) x.row(1)[k] = 0.0f;
  Matrix<float> other = matrix_of(RowKind::huge, 4, width, 1);
  std::memcpy(other.row(1), x.row(1), width * sizeof(float));
  Matrix<float> alone(1, width);
  std::memcpy(alone.row(0), x.row(1), width * sizeof(float));
  on_every_level([&] {
    const Normed n = norm(x, gain), beside = norm(other, gain), single = norm(alone, gain);
    for (std::int64_t k = 0; k < width; k += 3) CHECK(n.y.row(1)[k] == 0.0f);
    CHECK(first_difference(n.y.row(1), beside.y.row(1), width) == "");
    CHECK(first_difference(n.y.row(1), single.y.row(0), width) == "");
    const Normed zeros = norm(matrix_of(RowKind::zeros, 1, width), gain);
    for (std::int64_t k = 0; k < width; ++k) CHECK(zeros.y.row(0)[k] == 0.0f);
  });
}

TEST_CASE(
    "the derivative of RMSNorm equals the reference on every level, for 1 to 4 threads, and adds to the "
    "gain's gradient") {
  for (const auto& [rows, width] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {64, 33}, {65, 100}, {200, 384}, {130, 136}}) {
    const Matrix<float> x = matrix_of(RowKind::gaussian, rows, width),
                        dy = matrix_of(RowKind::gaussian, rows, width, 5);
    const std::vector<float> gain = gain_of(width);
    const Normed n = norm(x, gain);
    const std::vector<float> before = gain_of(width);
    Matrix<float> expected(rows, width);
    std::vector<float> expected_dgain = before;
    quant::reference_rms_norm_backward_rows(x.view(), dy.view(), gain.data(), n.inverse_rms.data(),
                                            expected.view(), expected_dgain.data());
    INFO(rows << " x " << width);
    on_every_level([&] {
      Matrix<float> dx(rows, width);
      std::vector<float> dgain = before;
      kernels::rms_norm_backward_rows(
          {x.view(), dy.view(), gain.data(), n.inverse_rms.data(), dx.view(), dgain.data()});
      CHECK(first_difference(dx, expected) == "");
      CHECK(first_difference(dgain, expected_dgain) == "");
    });
  }
}

TEST_CASE("the derivative of RMSNorm equals differences of the formula in double") {
  const std::int64_t width = 12;
  const Matrix<float> x = matrix_of(RowKind::gaussian, 1, width),
                      dy = matrix_of(RowKind::gaussian, 1, width, 5);
  const std::vector<float> gain = gain_of(width);
  const Normed n = norm(x, gain);
  Matrix<float> dx(1, width);
  std::vector<float> dgain(static_cast<std::size_t>(width), 0.0f);
  kernels::rms_norm_backward_rows(
      {x.view(), dy.view(), gain.data(), n.inverse_rms.data(), dx.view(), dgain.data()});

  const std::vector<double> point(x.row(0), x.row(0) + width), gains(gain.begin(), gain.end());
  double magnitude = 0;
  for (std::int64_t k = 0; k < width; ++k)
    magnitude += std::abs(dy.row(0)[k] * n.y.row(0)[k]) + std::abs(dx.row(0)[k]);
  for (std::size_t k = 0; k < static_cast<std::size_t>(width); ++k) {
    std::vector<double> above = point, below = point;
    above[k] += kDifferenceStep;
    below[k] -= kDifferenceStep;
    const double slope = (weighted_norm(above, gains, dy.row(0)) - weighted_norm(below, gains, dy.row(0))) /
                         (2 * kDifferenceStep);
    const double rounding = dot_tolerance(width + 8, magnitude);
    CHECK(std::abs(dx.row(0)[k] - slope) <= difference_tolerance(8 * magnitude) + rounding);
    std::vector<double> more = gains, less = gains;
    more[k] += kDifferenceStep;
    less[k] -= kDifferenceStep;
    const double gain_slope =
        (weighted_norm(point, more, dy.row(0)) - weighted_norm(point, less, dy.row(0))) /
        (2 * kDifferenceStep);
    CHECK(std::abs(dgain[k] - gain_slope) <= difference_tolerance(8 * magnitude) + rounding);
  }
}

}  // namespace a48::test
