// From at::Tensor to the views that kernels take: every check of dtype, device and layout stands here. Next:
// core/kernels/api.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/base/check.h"
#include "core/base/view.h"

namespace a48::ops {

/// x [..., K] as a contiguous fp32 matrix [R, K] on the CPU, R the product of the leading sizes. Copies only
/// when x is laid out otherwise; another dtype or device is Error(config) naming `name`.
at::Tensor matrix_of(const at::Tensor& x, const char* name);

/// The sizes of `like` with the last one replaced.
std::vector<std::int64_t> sizes_with_last(const at::Tensor& like, std::int64_t last);

/// An uninitialised fp32 matrix [rows, cols] on the CPU.
at::Tensor empty_matrix(std::int64_t rows, std::int64_t cols, at::ScalarType type = at::kFloat);

/// True when autograd has to see an operation on these tensors.
bool wants_grad(at::TensorList tensors);

namespace detail {
void assert_matrix(const at::Tensor& matrix, at::ScalarType type);
}  // namespace detail

/// View of a contiguous matrix of our own making (matrix_of, empty_matrix); T may be const.
template <typename T>
Rows<T> rows_of(const at::Tensor& matrix) {
  using Element = std::remove_const_t<T>;
  detail::assert_matrix(matrix, c10::CppTypeToScalarType<Element>::value);
  return {static_cast<T*>(matrix.data_ptr()), matrix.size(0), matrix.size(1)};
}

}  // namespace a48::ops
