// The survivors' mask. Next: core/kernels/api.h (topk_rows), core/quant/topk.h.
#include "core/ops/topk.h"

#include <ATen/ops/mul.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_linear.h"
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

namespace {

/// 0/1 bytes [R, K] of the survivors.
at::Tensor mask_of(const at::Tensor& x, double keep) {
  const std::int64_t count = quant::topk_count(keep, x.size(-1));
  if (on_device(x)) return device_topk_mask(x, count);
  const at::Tensor matrix = matrix_of(x, "input");
  at::Tensor bytes = empty_matrix(matrix.size(0), matrix.size(1), at::kByte);
  kernels::topk_rows(
      {.x = rows_of<const float>(matrix), .keep = count, .mask = rows_of<std::uint8_t>(bytes)});
  return bytes;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> topk(const at::Tensor& x, double keep) {
  A48_CHECK(keep > 0.0 && keep <= 1.0, ErrorKind::config, "topk: the kept share is ", keep,
            "; allowed: 0 < k <= 1");
  const at::Tensor mask = mask_of(x.detach(), keep).to(x.scalar_type()).view(x.sizes());
  return {wants_grad(x) ? Mask::apply(x, mask) : at::mul(x, mask), mask};
}

}  // namespace a48::ops
