// The checks between tensors and views.
#include "core/ops/bridge.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

namespace a48::ops {

at::Tensor matrix_of(const at::Tensor& x, const char* name) {
  A48_CHECK(x.defined() && x.dim() >= 1, ErrorKind::config, name,
            ": a tensor of at least one dimension is needed");
  A48_CHECK(x.is_cpu(), ErrorKind::config, name, " is on ", x.device().str(),
            "; the operations of this build run on the CPU: move it with .to(torch::kCPU)");
  A48_CHECK(x.scalar_type() == at::kFloat, ErrorKind::config, name, " is ", x.scalar_type(),
            "; activations and weights are fp32: convert with .to(torch::kFloat)");
  const std::int64_t last = x.size(-1);
  A48_CHECK(last > 0, ErrorKind::config, name, ": the last dimension is empty");
  return x.reshape({x.numel() / last, last}).contiguous();
}

std::vector<std::int64_t> sizes_with_last(const at::Tensor& like, std::int64_t last) {
  std::vector<std::int64_t> sizes = like.sizes().vec();
  sizes.back() = last;
  return sizes;
}

at::Tensor empty_matrix(std::int64_t rows, std::int64_t cols, at::ScalarType type) {
  return at::empty({rows, cols}, at::TensorOptions().dtype(type));
}

bool wants_grad(at::TensorList tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined() && tensor.requires_grad()) return true;
  }
  return false;
}

void detail::assert_matrix(const at::Tensor& matrix, at::ScalarType type) {
  A48_ASSERT(matrix.dim() == 2 && matrix.is_contiguous() && matrix.is_cpu(),
             "a contiguous CPU matrix is needed");
  A48_ASSERT(matrix.scalar_type() == type, "found", matrix.scalar_type(), "wanted", type);
}

}  // namespace a48::ops
