// G6: codes and α of a master weight against the reference on CPU, all bits.
#include <limits>

#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/ternary_case.h"

namespace a48::test {
namespace {

void check(const Matrix<float>& weight) {
  const std::int64_t rows = weight.view().rows, cols = weight.view().cols;
  Matrix<std::int8_t> expected(rows, cols);
  float alpha = 0;
  std::uint8_t status = 9;
  quant::reference_ternarize_weight(weight.view(), expected.view(), &alpha, &status);
  INFO(rows << " x " << cols);
  on_every_order([&] {
    const DeviceMatrix<float> on_device(weight.view(), cols + rows % 4);
    DeviceMatrix<std::int8_t> codes(rows, cols, cuda::code_row_bytes(cols));
    const std::int64_t count = cuda::ternary_row_words(cols);
    DeviceMatrix<std::uint32_t> words(rows, count, count);
    DeviceMatrix<float> found_alpha(1, 1, 1);
    DeviceMatrix<std::uint8_t> found_status(1, 1, 1);
    DeviceMatrix<double> sums(1, rows, rows);
    cuda::table_cuda().ternarize_weight({.weight = on_device.view(),
                                         .codes = codes.view(),
                                         .words = words.view(),
                                         .alpha = found_alpha.data(),
                                         .status = found_status.data(),
                                         .row_sums = sums.data()},
                                        nullptr);
    CHECK(same_bits(found_alpha.all()[0], alpha));
    CHECK(found_status.all()[0] == status);
    CHECK(rows_difference<std::int8_t>(codes, expected.view(), cuda::code_row_bytes(cols), 0) == "");
    const std::vector<std::uint32_t> all = words.all();
    std::int64_t wrong = 0;
    for (std::int64_t n = 0; n < rows; ++n)
      for (std::int64_t k = 0; k < cols; ++k)
        wrong += cuda::ternary_of(all[static_cast<std::size_t>(n * count + k / 16)],
                                  static_cast<int>(k % 16)) != expected.row(n)[k];
    CHECK(wrong == 0);
  });
}

Matrix<float> gaussian_weight(std::int64_t rows, std::int64_t cols, float deviation) {
  Matrix<float> weight = matrix_of(RowKind::gaussian, rows, cols, 7);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k) weight.row(r)[k] *= deviation;
  return weight;
}

}  // namespace

TEST_CASE("check 9: alpha, codes and words equal the reference, odd shapes") {
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {33, 100}, {64, 136}, {9, 2202}, {70, 384}})
    check(gaussian_weight(rows, cols, 0.02f));
  check(gaussian_weight(5, 33, 1e-9f));  // below the floor of the statistic
}

TEST_CASE("a NaN or Inf weight raises the flag and clears the codes") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix<float> weight = gaussian_weight(9, 70, 0.02f);
    weight.row(5)[66] = bad;
    check(weight);
  }
}

}  // namespace a48::test
