// What every test of a CUDA kernel needs: matrices on the device, and a loop over the ways to run. Built
// twice: with nvcc into test_cuda (on a GPU, skipped without one), with g++ into test_cuda_on_host (in three
// orders).
#pragma once

#include <cstring>

#include "core/kernels/cuda/memory.h"
#include "core/kernels/cuda/table_cuda.h"
#include "tests/support/cuda_orders.h"
#include "tests/support/kernel_test.h"

namespace a48::test {

namespace cuda = kernels::cuda;

/// Elements on the device, filled with `filler` bytes at first.
template <typename T>
class DeviceMatrix {
 public:
  /// Room for rows x cols with the given stride, and nothing behind the last row's stride.
  DeviceMatrix(std::int64_t rows, std::int64_t cols, std::int64_t stride, int filler = 0xCB)
      : rows_(rows), cols_(cols), stride_(stride), buffer_(rows * stride) {
    std::vector<T> filled(static_cast<std::size_t>(rows * stride));
    if (!filled.empty()) std::memset(filled.data(), filler, filled.size() * sizeof(T));
    upload(filled);
  }
  /// A copy of `from` with another stride.
  DeviceMatrix(Rows<const T> from, std::int64_t stride, T padding = T{})
      : rows_(from.rows), cols_(from.cols), stride_(stride), buffer_(from.rows * stride) {
    std::vector<T> filled(static_cast<std::size_t>(rows_ * stride), padding);
    for (std::int64_t r = 0; r < rows_; ++r)
      std::copy(from.row(r), from.row(r) + cols_, filled.begin() + r * stride);
    upload(filled);
  }

  Rows<T> view() { return {buffer_.data(), rows_, cols_, stride_}; }
  Rows<const T> view() const { return {buffer_.data(), rows_, cols_, stride_}; }
  T* data() { return buffer_.data(); }

  /// All elements, padding too.
  std::vector<T> all() const {
    std::vector<T> found(static_cast<std::size_t>(rows_ * stride_));
    cuda::copy_to_host(found.data(), buffer_.data(), rows_ * stride_ * static_cast<std::int64_t>(sizeof(T)),
                       nullptr);
    cuda::synchronize(nullptr);
    return found;
  }

 private:
  void upload(const std::vector<T>& from) {
    cuda::copy_to_device(buffer_.data(), from.data(), rows_ * stride_ * static_cast<std::int64_t>(sizeof(T)),
                         nullptr);
    cuda::synchronize(nullptr);
  }
  std::int64_t rows_, cols_, stride_;
  cuda::DeviceBuffer<T> buffer_;
};

template <typename T>
std::string printed(T value) {
  if constexpr (std::is_same_v<T, quant::Bf16>) {
    return std::to_string(quant::widen(value));
  } else {
    return std::to_string(value);
  }
}

/// "" when `found` holds the rows of `expected`, and `padding` behind them where it is given.
template <typename T>
std::string rows_difference(const DeviceMatrix<T>& found, Rows<const T> expected,
                            std::int64_t padded_cols = 0, T padding = T{}) {
  const std::vector<T> all = found.all();
  const std::int64_t stride = found.view().stride;
  for (std::int64_t r = 0; r < expected.rows; ++r) {
    const T* row = all.data() + r * stride;
    for (std::int64_t k = 0; k < expected.cols; ++k)
      if (!same_bits(row[k], expected.row(r)[k]))
        return "row " + std::to_string(r) + ", element " + std::to_string(k) + ": " + printed(row[k]) +
               ", expected " + printed(expected.row(r)[k]);
    for (std::int64_t k = expected.cols; k < padded_cols; ++k)
      if (!same_bits(row[k], padding)) return "row " + std::to_string(r) + ": padding " + std::to_string(k);
  }
  return "";
}

/// A vector on the device.
template <typename T>
DeviceMatrix<T> device_vector(const std::vector<T>& from) {
  const std::int64_t size = static_cast<std::int64_t>(from.size());
  return DeviceMatrix<T>(Rows<const T>(from.data(), 1, size), size);
}

}  // namespace a48::test
