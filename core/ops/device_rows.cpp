// The float row operations as kernels of a device. Next: core/kernels/cuda/rms_norm_rows.cu, glu_rows.cu,
// rope_rows.cu.
#include "core/ops/device_rows.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>

#include <algorithm>

#include "core/ops/device_views.h"

namespace a48::ops {
namespace {

/// Blocks of the norm's derivative: each adds its share of dgain over its rows; a few for every
/// multiprocessor.
constexpr std::int64_t kMostGainParts = 512;

}  // namespace

at::Tensor device_normed(const at::Tensor& x, const at::Tensor& gain, double eps,
                         const at::Tensor& inverse_rms) {
  const at::Tensor matrix = device_matrix(x, "input");
  at::Tensor y = at::empty_like(matrix);
  device().kernels->rms_norm_rows(
      {.x = float_rows(matrix),
       .gain = device_data<float>(gain),
       .eps = eps,
       .y = float_rows_of(y),
       .inverse_rms = inverse_rms.defined() ? device_data<float>(inverse_rms) : nullptr},
      device().stream());
  return y.view(x.sizes());
}

at::Tensor device_gated(const at::Tensor& gate, const at::Tensor& up, kernels::GluKind kind) {
  const at::Tensor g = device_matrix(gate, "gate"), u = device_matrix(up, "up");
  at::Tensor y = at::empty_like(g);
  device().kernels->glu_rows({kind, float_rows(g), float_rows(u), float_rows_of(y)}, device().stream());
  return y.view(gate.sizes());
}

std::pair<at::Tensor, at::Tensor> device_glu_backward(const at::Tensor& gate, const at::Tensor& up,
                                                      const at::Tensor& dy, kernels::GluKind kind) {
  const at::Tensor g = device_matrix(gate, "gate"), u = device_matrix(up, "up"),
                   d = device_matrix(dy, "gradient");
  at::Tensor dgate = at::empty_like(g), dup = at::empty_like(u);
  device().kernels->glu_backward_rows(
      {kind, float_rows(g), float_rows(u), float_rows(d), float_rows_of(dgate), float_rows_of(dup)},
      device().stream());
  return {dgate, dup};
}

NormGradients device_rms_norm_backward(const at::Tensor& of_x, const at::Tensor& of_y, const at::Tensor& gain,
                                       const at::Tensor& inverse_rms) {
  const at::Tensor x = device_matrix(of_x, "input"), dy = device_matrix(of_y, "gradient");
  NormGradients result{at::empty_like(x), {}};
  const std::int64_t parts = std::clamp<std::int64_t>(x.size(0), 1, kMostGainParts);
  const at::Tensor dgain_parts =
      at::empty({parts, x.size(1)}, at::TensorOptions(x.device()).dtype(at::kFloat));
  device().kernels->rms_norm_backward_rows({.x = float_rows(x),
                                            .dy = float_rows(dy),
                                            .gain = device_data<float>(gain),
                                            .inverse_rms = device_data<float>(inverse_rms),
                                            .dx = float_rows_of(result.dx),
                                            .dgain_parts = device_rows_of<float>(dgain_parts, x.size(1))},
                                           device().stream());
  result.dgain = at::sum(dgain_parts, 0);
  return result;
}

at::Tensor device_rotated(const at::Tensor& x, const at::Tensor& position, std::int64_t heads,
                          const at::Tensor& cos, const at::Tensor& sin, bool inverse) {
  const at::Tensor matrix = device_matrix(x, "input");
  at::Tensor y = at::empty_like(matrix);
  device().kernels->rope_rows({.x = float_rows(matrix),
                               .y = float_rows_of(y),
                               .position = device_data<std::int32_t>(position),
                               .heads = heads,
                               .head_dim = matrix.size(1) / heads,
                               .cos = device_rows_of<const float>(cos, cos.size(1)),
                               .sin = device_rows_of<const float>(sin, sin.size(1)),
                               .inverse = inverse},
                              device().stream());
  return y;
}

}  // namespace a48::ops
