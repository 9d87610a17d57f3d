// From tensors on a device to the views that CUDA kernels take.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/base/check.h"
#include "core/ops/backward_product.h"
#include "core/ops/device.h"

namespace a48::ops {

/// Of the operands of backward products on a device.
inline at::ScalarType operand_type(BackwardDtype dtype) {
  return dtype == BackwardDtype::bf16 ? at::kBFloat16 : at::kFloat;
}

/// x [..., K] as rows [R, K] of neighbours, with any stride, fp32 or bf16; another type is Error(config)
/// naming `name`.
at::Tensor device_matrix(const at::Tensor& x, const char* name);

kernels::cuda::ConstFloatRows float_rows(const at::Tensor& matrix);
/// To be written.
kernels::cuda::FloatRows float_rows_of(at::Tensor& matrix);

/// Rows of `cols` elements in a matrix whose rows may be longer; T may be const.
template <typename T>
Rows<T> device_rows_of(const at::Tensor& matrix, std::int64_t cols) {
  A48_ASSERT(matrix.dim() == 2 && matrix.stride(1) == 1 && matrix.size(1) >= cols &&
             matrix.element_size() == static_cast<std::int64_t>(sizeof(T)));
  return {static_cast<T*>(matrix.data_ptr()), matrix.size(0), cols, matrix.stride(0)};
}

template <typename T>
T* device_data(const at::Tensor& tensor) {
  A48_ASSERT(tensor.is_contiguous() && tensor.element_size() == static_cast<std::int64_t>(sizeof(T)));
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace a48::ops
