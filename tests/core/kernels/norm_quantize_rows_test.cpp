// norm_quantize_rows against its two parts, on every level and number of threads.
#include "core/quant/topk.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

struct Codes {
  Matrix<std::int8_t> codes;
  std::vector<float> step;
  std::vector<std::int32_t> code_sum;
  std::vector<std::uint8_t> status;

  Codes(std::int64_t rows, std::int64_t cols)
      : codes(rows, cols),
        step(static_cast<std::size_t>(rows)),
        code_sum(static_cast<std::size_t>(rows)),
        status(static_cast<std::size_t>(rows)) {}
};

void check_same(const Codes& found, const Codes& expected) {
  CHECK(first_difference(found.codes, expected.codes) == "");
  CHECK(first_difference(found.step, expected.step) == "");
  CHECK(first_difference(found.code_sum, expected.code_sum) == "");
  CHECK(first_difference(found.status, expected.status) == "");
}

TEST_CASE(
    "norm and quantise in one pass equal the two in turn, with TopK and with rows that are not finite") {
  constexpr double kEps = 1e-5;
  for (const std::int64_t cols : {1, 7, 64, 136, 2202}) {
    const Matrix<float> x = matrix_of_all_kinds(cols);
    const Matrix<float> gain = matrix_of(RowKind::gaussian, 1, cols, 3);
    const std::int64_t rows = x.view().rows;
    for (const quant::Scheme scheme : kActivationSchemes) {
      for (const std::int64_t keep : {std::int64_t{0}, quant::topk_count(0.5, cols)}) {
        INFO("width " << cols << ", " << quant::row_of(scheme).name << ", keep " << keep);
        on_every_level(
            [&] {
              Codes expected(rows, cols), found(rows, cols);
              Matrix<float> normed(rows, cols);
              kernels::rms_norm_rows({x.view(), gain.row(0), kEps, normed.view(), nullptr});
              kernels::quantize_rows({normed.view(), scheme, keep, expected.codes.view(),
                                      expected.step.data(), expected.code_sum.data(),
                                      expected.status.data()});
              kernels::norm_quantize_rows({x.view(), gain.row(0), kEps, scheme, keep, found.codes.view(),
                                           found.step.data(), found.code_sum.data(), found.status.data()});
              check_same(found, expected);
            },
            2);
      }
    }
  }
}

}  // namespace
}  // namespace a48::test
