// topk_rows on every level: exactly k survivors, the lowest index among ties, and its place beside the
// quantizer.
#include <numeric>

#include "core/quant/reference.h"
#include "core/quant/topk.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

Matrix<std::uint8_t> topk(const Matrix<float>& x, std::int64_t keep) {
  Matrix<std::uint8_t> mask(x.view().rows, x.view().cols);
  kernels::topk_rows({x.view(), keep, mask.view()});
  return mask;
}

}  // namespace

TEST_CASE("check 11: TopK keeps exactly k entries, ties by lowest index, equal to the ranks on every level") {
  for (const std::int64_t width : {1, 3, 64, 816, 1536}) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const double share : {0.1, 0.25, 0.5, 0.55, 0.75, 1.0}) {
      const std::int64_t keep = quant::topk_count(share, width);
      Matrix<std::uint8_t> expected(x.view().rows, width);
      quant::reference_topk_rows(x.view(), keep, expected.view());
      for (std::int64_t r = 0; r < x.view().rows; ++r)
        REQUIRE(std::accumulate(expected.row(r), expected.row(r) + width, std::int64_t{0}) == keep);
      INFO("width " << width << ", keep " << keep);
      on_every_level(
          [&] {
            if (kernels::table().topk_rows == kernels::table(IsaLevel::reference).topk_rows) return;
            CHECK(first_difference(topk(x, keep), expected) == "");
          },
          2);
    }
  }
}

TEST_CASE("check 11: of equal magnitudes the first k survive, whatever their signs, on every level") {
  const std::int64_t width = 64, keep = 20;
  for (const RowKind kind : {RowKind::all_equal, RowKind::zeros, RowKind::minus_zeros}) {
    const Matrix<float> x = matrix_of(kind, 1, width);
    on_every_level(
        [&] {
          const Matrix<std::uint8_t> mask = topk(x, keep);
          for (std::int64_t k = 0; k < width; ++k) CHECK(int{mask.row(0)[k]} == (k < keep));
        },
        1);
  }
}

TEST_CASE(
    "check 11: mask-then-quantize equals quantize-then-mask bit for bit, outlier included, on every level") {
  for (const RowKind kind : {RowKind::gaussian, RowKind::outlier, RowKind::ties, RowKind::denormals}) {
    const std::int64_t width = 816, keep = 408;
    const Matrix<float> x = matrix_of(kind, 2, width);
    Matrix<float> masked = x;
    Matrix<std::uint8_t> mask(2, width);
    quant::reference_topk_rows(x.view(), keep, mask.view());
    for (std::int64_t r = 0; r < 2; ++r)
      for (std::int64_t k = 0; k < width; ++k)
        if (mask.row(r)[k] == 0) masked.row(r)[k] = 0.0f;
    on_every_level(
        [&] {
          for (const std::int64_t r : {0, 1}) {
            std::vector<std::int8_t> together(width), apart(width);
            float step[2];
            std::int32_t sum[2];
            std::uint8_t status[2];
            const auto quantize = [&](const Matrix<float>& from, std::int64_t kept,
                                      std::vector<std::int8_t>& codes, int i) {
              kernels::quantize_rows({.x = {from.row(r), 1, width},
                                      .scheme = quant::Scheme::int8,
                                      .keep = kept,
                                      .codes = {codes.data(), 1, width},
                                      .step = &step[i],
                                      .code_sum = &sum[i],
                                      .status = &status[i]});
            };
            quantize(x, keep, together, 0);
            quantize(masked, 0, apart, 1);
            CHECK(first_difference(together, apart) == "");
            CHECK(same_bits(step[0], step[1]));
            CHECK(sum[0] == sum[1]);
          }
        },
        1);
  }
}

}  // namespace a48::test
