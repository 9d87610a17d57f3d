// The checks between tensors on a device and views.
#include "core/ops/device_views.h"

namespace a48::ops {

at::Tensor device_matrix(const at::Tensor& x, const char* name) {
  A48_CHECK(x.defined() && x.dim() >= 1, ErrorKind::config, name,
            ": a tensor of at least one dimension is needed");
  A48_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, ErrorKind::config, name,
            " is ", x.scalar_type(),
            "; on a GPU activations are fp32 or bf16: convert with .to(torch::kBFloat16)");
  A48_CHECK(on_device(x), ErrorKind::config, name, " is on ", x.device().str(),
            ", the other operands are on the GPU: move it with .to(torch::kCUDA)");
  const std::int64_t last = x.size(-1);
  A48_CHECK(last > 0, ErrorKind::config, name, ": the last dimension is empty");
  const at::Tensor rows = x.reshape({x.numel() / last, last});
  return rows.stride(1) == 1 ? rows : rows.contiguous();
}

kernels::cuda::ConstFloatRows float_rows(const at::Tensor& matrix) {
  if (matrix.scalar_type() == at::kFloat) return device_rows_of<const float>(matrix, matrix.size(1));
  A48_ASSERT(matrix.scalar_type() == at::kBFloat16);
  return device_rows_of<const quant::Bf16>(matrix, matrix.size(1));
}

kernels::cuda::FloatRows float_rows_of(at::Tensor& matrix) {
  if (matrix.scalar_type() == at::kFloat) return device_rows_of<float>(matrix, matrix.size(1));
  A48_ASSERT(matrix.scalar_type() == at::kBFloat16);
  return device_rows_of<quant::Bf16>(matrix, matrix.size(1));
}

}  // namespace a48::ops
