// Rows<T>: a matrix view of rows x cols elements with a row stride; owns nothing. Storage: buffer.h. All is
// constexpr, which also makes it callable from CUDA kernels.
#pragma once

#include <cstdint>

namespace a48 {

template <typename T>
struct Rows {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  // elements from one row to the next, >= cols

  constexpr Rows() = default;
  constexpr Rows(T* data_, std::int64_t rows_, std::int64_t cols_) : Rows(data_, rows_, cols_, cols_) {}
  constexpr Rows(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  constexpr T* row(std::int64_t r) const { return data + r * stride; }
  constexpr bool empty() const { return rows == 0 || cols == 0; }

  constexpr operator Rows<const T>() const { return {data, rows, cols, stride}; }
};

}  // namespace a48
