// Quantization-aware training as it is commonly written: LibTorch calls one after another, float values that
// pass through the quantizer's steps, the gradient by detach. What `bench train` compares with, and nothing
// else: values are those of numerics.md 2 up to roundings.
#pragma once

#include "core/quant/scheme.h"

namespace a48::nn {

/// x + (decode(encode(x)) − x).detach() per row, after TopK where keep < 1.
at::Tensor eager_fake_quant(const at::Tensor& x, quant::Scheme scheme, double keep);
/// w + (α·T − w).detach().
at::Tensor eager_ternary(const at::Tensor& weight);

}  // namespace a48::nn
