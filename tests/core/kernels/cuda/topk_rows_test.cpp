// G2 alone against the ranks of the reference.
#include "core/quant/reference.h"
#include "core/quant/topk.h"
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

namespace {

void check(const Matrix<float>& x, double share) {
  const std::int64_t rows = x.view().rows, width = x.view().cols;
  const std::int64_t keep = quant::topk_count(share, width);
  Matrix<std::uint8_t> expected(rows, width);
  quant::reference_topk_rows(x.view(), keep, expected.view());
  INFO("width " << width << ", keep " << keep);
  on_every_order([&] {
    const DeviceMatrix<float> on_device(x.view(), width + width % 3);
    DeviceMatrix<std::uint8_t> mask(rows, width, width);
    cuda::table_cuda().topk_rows({on_device.view(), keep, mask.view()}, nullptr);
    CHECK(rows_difference<std::uint8_t>(mask, expected.view()) == "");
  });
}

}  // namespace

TEST_CASE("check 11: the mask of TopK equals the ranks, all kinds of rows, NaN and Inf too") {
  for (const std::int64_t width : {1, 3, 64, 65, 816}) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const double share : {0.1, 0.25, 0.5, 0.55, 0.75, 1.0}) check(x, share);
  }
}

TEST_CASE("check 11: ties spread over a row of many pieces: the lowest indices win") {
  for (const RowKind kind : {RowKind::ties, RowKind::all_equal, RowKind::zeros})
    check(matrix_of(kind, 1, 5460), 0.7);
}

}  // namespace a48::test
