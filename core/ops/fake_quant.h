// decode(encode(x)): what a quantizer does to values, with the straight-through gradient (identity). For
// tests, the seed's quantizer classes and slots with float weights; products use integer codes
// (bit_linear.h).
#pragma once

#include <ATen/core/Tensor.h>

#include "core/quant/scheme.h"

namespace a48::ops {

/// Codes and step of each row of x [..., K]; ternary: one α for the matrix.
struct Codes {
  at::Tensor codes;  // int8 [..., K]; FP4 doubled
  at::Tensor step;   // [..., 1]; ternary: [1]
};
Codes encode(const at::Tensor& x, quant::Scheme scheme);

/// codes · step.
at::Tensor decode(const Codes& codes);

/// decode(encode(x)); gradient: identity, through clipping too (numerics.md 2.3).
at::Tensor fake_quant(const at::Tensor& x, quant::Scheme scheme);

}  // namespace a48::ops
