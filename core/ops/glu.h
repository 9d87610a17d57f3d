// The gated unit: ReLU²(gate) ⊙ up, or silu(gate) ⊙ up for baselines (numerics.md 3). Next:
// core/kernels/api.h (glu_rows).
#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/api.h"

namespace a48::ops {

/// gate, up [..., F] -> [..., F]. relu2 backward: dup = dy·r², dgate = dy·up·2r, r = max(gate, 0). Saved:
/// gate and up.
at::Tensor glu(const at::Tensor& gate, const at::Tensor& up, kernels::GluKind kind);

}  // namespace a48::ops
