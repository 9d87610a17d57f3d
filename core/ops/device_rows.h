// Norm, GLU and rotary positions on a device, with their derivatives; rows are fp32 or bf16, and so are the
// results. Arguments and meaning: rms_norm.h, glu.h, rope.h. Next: core/kernels/cuda/table_cuda.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "core/kernels/api.h"

namespace a48::ops {

// None of them makes a graph.

/// RMSNorm of x [..., K]; r [R] goes to inverse_rms, if that is defined.
at::Tensor device_normed(const at::Tensor& x, const at::Tensor& gain, double eps,
                         const at::Tensor& inverse_rms);
/// y of rows [R, H·hd] rotated by their positions, or back.
at::Tensor device_rotated(const at::Tensor& x, const at::Tensor& position, std::int64_t heads,
                          const at::Tensor& cos, const at::Tensor& sin, bool inverse);
/// For [..., F]: y, and (dgate, dup) as rows.
at::Tensor device_gated(const at::Tensor& gate, const at::Tensor& up, kernels::GluKind kind);
std::pair<at::Tensor, at::Tensor> device_glu_backward(const at::Tensor& gate, const at::Tensor& up,
                                                      const at::Tensor& dy, kernels::GluKind kind);

struct NormGradients {
  at::Tensor dx, dgain;  // of x's type; fp32
};
/// Of y = (x·r)·gain for x [..., K] and its dy; dx as rows.
NormGradients device_rms_norm_backward(const at::Tensor& of_x, const at::Tensor& of_y, const at::Tensor& gain,
                                       const at::Tensor& inverse_rms);

}  // namespace a48::ops
