// The rotary embedding of CUDA, forth and back, against the reference on CPU, all bits.
#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/float_rows.h"

namespace a48::test {
namespace {

template <typename T>
void check(std::int64_t heads, std::int64_t head_dim, bool inverse) {
  constexpr std::int64_t kRows = 5, kPositions = 64;
  const std::int64_t width = heads * head_dim;
  // Made up: the table's own numbers are another test's (rope_table_test.cpp).
  const Matrix<float> cos = matrix_of(RowKind::gaussian, kPositions, head_dim / 2, 8),
                      sin = matrix_of(RowKind::gaussian, kPositions, head_dim / 2, 9);
  const std::vector<std::int32_t> position{0, 5, 63, 5, 17};
  const Matrix<float> x = kept_by<T>(matrix_of(RowKind::gaussian, kRows, width, 7));
  const Matrix<T> stored = stored_as<T>(x);
  Matrix<float> expected(kRows, width);
  quant::reference_rope_rows(x.view(), expected.view(), position.data(), heads, head_dim, cos.view(),
                             sin.view(), inverse);
  const Matrix<float> kept = kept_by<T>(expected);
  INFO(heads << " heads of " << head_dim << ", inverse " << inverse);
  on_every_order([&] {
    const DeviceMatrix<float> cosines(cos.view(), head_dim / 2), sines(sin.view(), head_dim / 2);
    const DeviceMatrix<std::int32_t> positions = device_vector(position);
    DeviceMatrix<T> rows(stored.view(), width + 1);
    cuda::table_cuda().rope_rows({.x = static_cast<const DeviceMatrix<T>&>(rows).view(),
                                  .y = rows.view(),
                                  .position = positions.view().data,
                                  .heads = heads,
                                  .head_dim = head_dim,
                                  .cos = cosines.view(),
                                  .sin = sines.view(),
                                  .inverse = inverse},
                                 nullptr);
    CHECK(difference_as_float(rows, kept) == "");
  });
}

}  // namespace

TEST_CASE("check 19: RoPE in place equals the CPU's, forth and back, fp32 and bf16, hd 100 too") {
  for (const bool inverse : {false, true})
    for (const std::int64_t head_dim : {2, 64, 100}) {
      check<float>(3, head_dim, inverse);
      check<quant::Bf16>(3, head_dim, inverse);
    }
}

}  // namespace a48::test
