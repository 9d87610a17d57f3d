// The survivors' mask. Next: core/kernels/api.h (topk_rows), core/quant/topk.h.
#include "core/ops/topk.h"

#include <ATen/ops/mul.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/quant/topk.h"

namespace a48::ops {
namespace {

struct Mask : torch::autograd::Function<Mask> {
  static at::Tensor forward(torch::autograd::AutogradContext* /*ctx*/, const at::Tensor& x,
                            const at::Tensor& mask) {
    return at::mul(x, mask);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*ctx*/,
                                                 const torch::autograd::variable_list& grads) {
    return {grads[0], at::Tensor()};
  }
};

}  // namespace

std::pair<at::Tensor, at::Tensor> topk(const at::Tensor& x, double keep) {
  A48_CHECK(keep > 0.0 && keep <= 1.0, ErrorKind::config, "topk: the kept share is ", keep,
            "; allowed: 0 < k <= 1");
  const at::Tensor matrix = matrix_of(x.detach(), "input");
  at::Tensor bytes = empty_matrix(matrix.size(0), matrix.size(1), at::kByte);
  kernels::topk_rows({.x = rows_of<const float>(matrix),
                      .keep = quant::topk_count(keep, matrix.size(1)),
                      .mask = rows_of<std::uint8_t>(bytes)});
  const at::Tensor mask = bytes.to(at::kFloat).view(x.sizes());
  return {wants_grad(x) ? Mask::apply(x, mask) : at::mul(x, mask), mask};
}

}  // namespace a48::ops
