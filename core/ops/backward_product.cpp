#include "core/ops/backward_product.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

namespace a48::ops {

at::Tensor operand_of(const at::Tensor& matrix, BackwardDtype dtype) {
  return dtype == BackwardDtype::bf16 ? matrix.to(at::kBFloat16) : matrix;
}

void add_product(at::Tensor& c, const at::Tensor& a, const at::Tensor& b, double scale, bool accumulate,
                 BackwardDtype dtype) {
  if (dtype == BackwardDtype::fp32) {
    at::addmm_out(c, c, a, b, accumulate ? 1.0 : 0.0, scale);
    return;
  }
  const at::Tensor product = at::mm(operand_of(a, dtype), operand_of(b, dtype));
  if (accumulate) {
    c.add_(product, scale);  // in fp32: the wider of the two dtypes
  } else {
    c.copy_(product).mul_(scale);
  }
}

}  // namespace a48::ops
