// RMSNorm over the last dimension (numerics.md 3), with its exact derivative. Next: core/kernels/api.h
// (rms_norm_rows).
#pragma once

#include <ATen/core/Tensor.h>

namespace a48::ops {

/// x [..., K], gain [K] -> (x·r)·gain, r = 1/√(mean(x²) + eps). Saved: x and r (4 bytes per row).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

}  // namespace a48::ops
