// The output head and the loss: logits = x·Wᵀ in high precision, never quantized in training (numerics.md 3).
// Next: core/kernels/api.h (head_rows).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/ops/backward_product.h"

namespace a48::ops {

/// x [..., D], weight [V, D] -> [..., V], in the bits of numerics E3; on a GPU sums of LibTorch's order. The
/// two products of its backward are in `dtype`, which rounds all operands.
at::Tensor exact_head(const at::Tensor& x, const at::Tensor& weight,
                      BackwardDtype dtype = BackwardDtype::fp32);

/// One int64 target per row, each in [0, vocab); else Error naming the row. On a GPU only the shape is looked
/// at: the values were checked before they were sent there.
void check_targets(const at::Tensor& target, std::int64_t rows, std::int64_t vocab);

/// Σ_r −ln softmax(x·Wᵀ)[r, target[r]], fp32, for x [R, D] and int64 target [R]. Logits exist for a few rows
/// at a time: their gradient is computed with the loss and the products of backward are done at once, so that
/// no [R, V] matrix is kept. Logits are fp32 products, those of backward are in `dtype`.
at::Tensor head_loss_sum(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target,
                         BackwardDtype dtype = BackwardDtype::fp32);

}  // namespace a48::ops
