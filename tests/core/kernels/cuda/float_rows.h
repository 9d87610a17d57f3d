// Rows of fp32 and bf16 for the tests of the float row operations.
#pragma once

#include "core/quant/half.h"
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

/// The rows as a device stores them in type T.
template <typename T>
Matrix<T> stored_as(const Matrix<float>& x) {
  Matrix<T> stored(x.view().rows, x.view().cols);
  for (std::int64_t r = 0; r < x.view().rows; ++r)
    for (std::int64_t k = 0; k < x.view().cols; ++k) {
      if constexpr (std::is_same_v<T, float>) {
        stored.row(r)[k] = x.row(r)[k];
      } else {
        stored.row(r)[k] = quant::to_bf16(x.row(r)[k]);
      }
    }
  return stored;
}

/// What stored_as<T> keeps of x.
template <typename T>
Matrix<float> kept_by(const Matrix<float>& x) {
  Matrix<float> kept = x;
  if constexpr (!std::is_same_v<T, float>) {
    for (std::int64_t r = 0; r < x.view().rows; ++r)
      for (std::int64_t k = 0; k < x.view().cols; ++k)
        kept.row(r)[k] = quant::widen(quant::to_bf16(x.row(r)[k]));
  }
  return kept;
}

/// "" when the rows on the device, widened, have the bits of `expected`; any NaN equals any other.
template <typename T>
std::string difference_as_float(const DeviceMatrix<T>& found, const Matrix<float>& expected) {
  const std::vector<T> all = found.all();
  const std::int64_t stride = found.view().stride;
  for (std::int64_t r = 0; r < expected.view().rows; ++r)
    for (std::int64_t k = 0; k < expected.view().cols; ++k) {
      float value;
      if constexpr (std::is_same_v<T, float>) {
        value = all[static_cast<std::size_t>(r * stride + k)];
      } else {
        value = quant::widen(all[static_cast<std::size_t>(r * stride + k)]);
      }
      if (!same_bits(value, expected.row(r)[k]))
        return "row " + std::to_string(r) + ", element " + std::to_string(k) + ": " + std::to_string(value) +
               ", expected " + std::to_string(expected.row(r)[k]);
    }
  return "";
}

}  // namespace a48::test
