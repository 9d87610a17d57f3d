// rope_rows on every level: bits of the reference, the half-split formula, the inverse, and dependence on
// distance only.
#include <cmath>

#include "core/kernels/rope_table.h"
#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

constexpr double kTheta = 10000.0;

struct Rotation {
  std::int64_t heads, head_dim;
  kernels::RopeTable table;
  Rotation(std::int64_t heads_, std::int64_t head_dim_)
      : heads(heads_), head_dim(head_dim_), table(kernels::build_rope_table(64, head_dim_, kTheta)) {}

  Rows<const float> cos() const { return table.cos.rows(table.positions, table.half); }
  Rows<const float> sin() const { return table.sin.rows(table.positions, table.half); }
  void operator()(Rows<const float> x, Rows<float> y, const std::int32_t* position,
                  bool inverse = false) const {
    kernels::rope_rows({x, y, position, heads, head_dim, cos(), sin(), inverse});
  }
};

constexpr std::int64_t kHeadDims[] = {2, 14, 64, 66, 100, 128, 136};

}  // namespace

TEST_CASE(
    "RoPE equals the reference on every level, both directions, in place and apart, hd = 100 and 136 "
    "included") {
  const std::int64_t rows = 7;
  const std::vector<std::int32_t> position{0, 1, 2, 5, 63, 5, 31};
  for (const std::int64_t head_dim : kHeadDims) {
    const Rotation rope(3, head_dim);
    const Matrix<float> x = matrix_of(RowKind::gaussian, rows, 3 * head_dim);
    for (const bool inverse : {false, true}) {
      Matrix<float> expected(rows, 3 * head_dim);
      quant::reference_rope_rows(x.view(), expected.view(), position.data(), 3, head_dim, rope.cos(),
                                 rope.sin(), inverse);
      INFO("head_dim " << head_dim << ", inverse " << inverse);
      on_every_level(
          [&] {
            Matrix<float> y(rows, 3 * head_dim), in_place = x;
            rope(x.view(), y.view(), position.data(), inverse);
            rope(in_place.view(), in_place.view(), position.data(), inverse);
            CHECK(first_difference(y, expected) == "");
            CHECK(first_difference(in_place, expected) == "");
          },
          2);
    }
  }
}

TEST_CASE(
    "check 19, kernel part: elements i and i + hd/2 are a pair, turned by position times theta^(-2i/hd)") {
  for (const std::int64_t head_dim : {64, 100}) {
    const Rotation rope(2, head_dim);
    const Matrix<float> x = matrix_of(RowKind::gaussian, 1, 2 * head_dim);
    const std::int32_t position = 17;
    on_every_level(
        [&] {
          Matrix<float> y(1, 2 * head_dim);
          rope(x.view(), y.view(), &position);
          for (std::int64_t h = 0; h < 2; ++h)
            for (std::int64_t i = 0; i < head_dim / 2; ++i) {
              const std::int64_t a = h * head_dim + i, b = a + head_dim / 2;
              const double angle =
                  position * std::pow(kTheta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
              const double first = x.row(0)[a], second = x.row(0)[b];
              const double tolerance = dot_tolerance(3, std::abs(first) + std::abs(second));
              CHECK(std::abs(y.row(0)[a] - (first * std::cos(angle) - second * std::sin(angle))) <=
                    tolerance);
              CHECK(std::abs(y.row(0)[b] - (second * std::cos(angle) + first * std::sin(angle))) <=
                    tolerance);
            }
        },
        1);
  }
}

TEST_CASE(
    "check 19, kernel part: scores depend on position differences only; the inverse undoes a rotation") {
  for (const std::int64_t head_dim : {64, 100, 136}) {
    const Rotation rope(1, head_dim);
    const Matrix<float> vectors = matrix_of(RowKind::gaussian, 2, head_dim);
    on_every_level(
        [&] {
          const auto score = [&](std::int32_t first, std::int32_t second) {
            const std::int32_t position[2] = {first, second};
            Matrix<float> turned(2, head_dim);
            rope(vectors.view(), turned.view(), position);
            double sum = 0;
            for (std::int64_t k = 0; k < head_dim; ++k)
              sum += static_cast<double>(turned.row(0)[k]) * turned.row(1)[k];
            return sum;
          };
          double scale = 0;
          for (std::int64_t k = 0; k < head_dim; ++k)
            scale += std::abs(vectors.row(0)[k] * vectors.row(1)[k]) + 1.0;
          for (const std::int32_t shift : {1, 20, 40})
            CHECK(std::abs(score(3, 9) - score(3 + shift, 9 + shift)) <= kRopeScore * scale);
          CHECK(std::abs(score(3, 9) - score(9, 3)) > kRopeScore * scale);

          const std::int32_t position[2] = {11, 50};
          Matrix<float> back(2, head_dim);
          rope(vectors.view(), back.view(), position);
          rope(back.view(), back.view(), position, true);
          for (std::int64_t r = 0; r < 2; ++r)
            for (std::int64_t k = 0; k < head_dim / 2; ++k) {
              const double pair = std::abs(vectors.row(r)[k]) + std::abs(vectors.row(r)[k + head_dim / 2]);
              CHECK(std::abs(back.row(r)[k] - vectors.row(r)[k]) <= dot_tolerance(8, 2 * pair));
            }
        },
        1);
  }
}

}  // namespace a48::test
