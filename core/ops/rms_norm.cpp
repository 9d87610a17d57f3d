// The norm and its derivative. Next: core/kernels/cpu/rms_norm_rows.cpp.
#include "core/ops/rms_norm.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_rows.h"
#include "core/ops/saved_bytes.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// inverse_rms may be undefined: not wanted.
at::Tensor norm(const at::Tensor& x, const at::Tensor& gain, double eps, const at::Tensor& inverse_rms) {
  if (on_device(x)) return device_normed(x, gain, eps, inverse_rms);
  const at::Tensor matrix = matrix_of(x, "input");
  at::Tensor y = empty_matrix(matrix.size(0), matrix.size(1));
  kernels::rms_norm_rows({.x = rows_of<const float>(matrix),
                          .gain = gain.data_ptr<float>(),
                          .eps = eps,
                          .y = rows_of<float>(y),
                          .inverse_rms = inverse_rms.defined() ? inverse_rms.data_ptr<float>() : nullptr});
  return y.view(x.sizes());
}

/// Of y = (x·r)·gain; dx as rows.
NormGradients gradients(const at::Tensor& of_x, const at::Tensor& of_y, const at::Tensor& gain,
                        const at::Tensor& inverse_rms) {
  if (on_device(of_x)) return device_rms_norm_backward(of_x, of_y, gain, inverse_rms);
  const at::Tensor x = matrix_of(of_x, "input"), dy = matrix_of(of_y, "gradient");
  NormGradients result{empty_matrix(x.size(0), x.size(1)), at::zeros_like(gain)};
  kernels::rms_norm_backward_rows({.x = rows_of<const float>(x),
                                   .dy = rows_of<const float>(dy),
                                   .gain = gain.data_ptr<float>(),
                                   .inverse_rms = inverse_rms.data_ptr<float>(),
                                   .dx = rows_of<float>(result.dx),
                                   .dgain = result.dgain.data_ptr<float>()});
  return result;
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& gain, double eps) {
    const at::Tensor inverse_rms =
        at::empty({x.numel() / x.size(-1)}, at::TensorOptions(x.device()).dtype(at::kFloat));
    at::Tensor y = norm(x, gain, eps, inverse_rms);
    ctx->save_for_backward({x, gain, inverse_rms});
    note_saved("rms_norm", {x, inverse_rms});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const NormGradients all = gradients(saved[0], grads[0], saved[1], saved[2]);
    return {all.dx.view(saved[0].sizes()), all.dgain, at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  A48_CHECK(gain.dim() == 1 && gain.size(0) == x.size(-1) && gain.is_contiguous(), ErrorKind::config,
            "RMSNorm: the input has ", x.size(-1), " features, the gain ", gain.numel());
  return wants_grad({x, gain}) ? RmsNorm::apply(x, gain, eps) : norm(x.detach(), gain, eps, {});
}

}  // namespace a48::ops
