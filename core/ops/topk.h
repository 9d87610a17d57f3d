// TopK per token: keeps the entries of largest magnitude (core/quant/topk.h), with the straight-through
// gradient: identity, for dropped entries too (numerics.md 2.2, 2.3).
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace a48::ops {

/// x [..., K] -> (x ⊙ mask, mask as 0/1 floats); keep in (0, 1] is the kept share.
std::pair<at::Tensor, at::Tensor> topk(const at::Tensor& x, double keep);

}  // namespace a48::ops
